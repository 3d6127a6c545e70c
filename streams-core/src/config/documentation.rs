//! `docs/configuration.md` is written from the tables of settings:
//! `UPDATE_DOCS=1 cargo test -p streams-core configuration_md`.

use std::fmt::Write as _;
use std::path::Path;

use super::foreign_keys::{ALIASES, JVM_KEYS, MANAGED_KEYS, Verdict};
use super::keys::{ConfigKey, KNOWN_KEYS, Section};
use super::kind::Kind;
use super::librdkafka_keys::{CLIENT_KEYS, CONSUMER_KEYS, PRODUCER_KEYS};
use super::resolve::NOT_BUILT;

#[test]
fn configuration_md_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let expected = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().expect("it is a file of docs")).expect("docs exists");
        std::fs::write(&file, &expected).expect("docs/configuration.md is writable");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "docs/configuration.md is not what the tables say: \
         UPDATE_DOCS=1 cargo test -p streams-core configuration_md"
    );
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Written by a test from streams-core/src/config/keys.rs: do not edit. -->

Settings are said by methods of `StreamsConfig`, or by the names below: in code with
`.set(name, value)`, in a properties file (`StreamsConfig::from_properties_file`), or in environment
variables (`StreamsConfig::from_env`), where `commit.interval.ms` is `STREAMS_COMMIT_INTERVAL_MS`.
What is said later goes before what was said earlier. All mistakes are reported at once, when the
application starts.

Names are those of Kafka Streams where it has the setting. Durations are milliseconds, or have a unit:
`250ms`, `30s`, `5m`, `2h`, `7d`. Amounts of memory are bytes, or have one: `64KiB`, `256MiB`, `2GiB`.
";

const CLIENTS: &str = "
## Names of librdkafka

Connections, consumers and producers are set up by librdkafka's names, given once for all clients, or
for some by a prefix: `consumer.`, `main.consumer.`, `restore.consumer.`, `global.consumer.`,
`producer.`, `admin.`. The prefixed one goes before the other. Secrets are not shown in logs.

`restore.consumer.` is for the consumer of changelogs, `global.consumer.` for the one of global tables,
`main.consumer.` for the one of all other topics. They are one consumer, with one set of connections, as
long as nothing is said for one of them alone. `admin.` is for the library's own connections, for groups,
topics and offsets, which know `security.protocol`, `sasl.*`, `ssl.*`,
`enable.ssl.certificate.verification`, `socket.connection.setup.timeout.ms`, `retry.backoff.max.ms` and
`metadata.max.age.ms`; a warning names any other.
";

const PREFIXES: &str = "
## Prefixes

| prefix | meaning |
|---|---|
| `topic.` | configurations of internal topics, by the broker's names: `topic.retention.ms` |
| `client.tag.` | tags of this instance for `rack.aware.assignment.tags`: `client.tag.zone` |
";

fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in Section::ALL {
        let _ = writeln!(text, "\n## {}\n\n| name | takes | default | meaning |", section.title());
        text.push_str("|---|---|---|---|\n");
        for key in KNOWN_KEYS.iter().filter(|key| key.section == section) {
            text.push_str(&row(key));
        }
    }
    text.push_str(PREFIXES);
    text.push_str(CLIENTS);
    for (clients, names) in
        [("All clients", CLIENT_KEYS), ("Consumers", CONSUMER_KEYS), ("Producers", PRODUCER_KEYS)]
    {
        let _ = writeln!(text, "\n{clients}: {}.", quoted(names));
    }
    text.push_str("\nOther names that are understood:\n\n| name | stands for |\n|---|---|\n");
    for (alias, name) in ALIASES {
        let _ = writeln!(text, "| `{alias}` | `{name}` |");
    }
    text.push_str("\nRefused, because the library sets them:\n\n| name | instead |\n|---|---|\n");
    for (name, advice) in MANAGED_KEYS {
        let _ = writeln!(text, "| `{name}` | {advice} |");
    }
    text.push_str("\n## Names of the JVM\n\n| name | | instead |\n|---|---|---|\n");
    for (name, verdict, advice) in JVM_KEYS {
        let verdict = if *verdict == Verdict::Refuse { "refused" } else { "ignored" };
        let _ = writeln!(text, "| `{name}` | {verdict} | {advice} |");
    }
    text
}

fn row(key: &ConfigKey) -> String {
    let takes = match key.kind {
        Kind::Text => "text".to_owned(),
        Kind::Bool => "`true`, `false`".to_owned(),
        Kind::Integer { min, max: i64::MAX } => format!("a number from {min}"),
        Kind::Integer { min, max } if max == i64::from(i32::MAX) => format!("a number from {min}"),
        Kind::Integer { min, max } => format!("{min} to {max}"),
        Kind::Millis { .. } => "a duration".to_owned(),
        Kind::Bytes { .. } => "bytes".to_owned(),
        Kind::OneOf(words) => quoted(words),
        Kind::List => "words, by commas".to_owned(),
        Kind::Servers => "addresses".to_owned(),
        Kind::Reset => "see there".to_owned(),
        Kind::Handler => "`fail`, `skip`".to_owned(),
    };
    let default = match key.default {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let yet = if NOT_BUILT.contains(&key.name) { " *Has no effect yet.*" } else { "" };
    format!("| `{}` | {takes} | {default} | {}{yet} |\n", key.name, key.meaning)
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
