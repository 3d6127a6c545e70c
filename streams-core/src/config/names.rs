//! What a setting's name means: ours, a client's, the JVM's, or nobody's.

use super::foreign_keys::{ALIASES, JVM_KEYS, MANAGED_KEYS, Verdict};
use super::keys::{ConfigKey, KNOWN_KEYS, known_key};
use super::librdkafka_keys::{CLIENT_KEYS, CONSUMER_KEYS, PRODUCER_KEYS};

/// For which clients a setting is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientScope {
    /// All.
    All,
    /// All consumers: `consumer.`.
    Consumer,
    /// The consumer of input records: `main.consumer.`.
    MainConsumer,
    /// The consumer of changelogs: `restore.consumer.`.
    RestoreConsumer,
    /// The consumer of global tables: `global.consumer.`.
    GlobalConsumer,
    /// Producers: `producer.`.
    Producer,
    /// Metadata, topics, offsets: `admin.`.
    Admin,
}

impl ClientScope {
    /// What stands before the names of settings for these clients.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Consumer => "consumer.",
            Self::MainConsumer => "main.consumer.",
            Self::RestoreConsumer => "restore.consumer.",
            Self::GlobalConsumer => "global.consumer.",
            Self::Producer => "producer.",
            Self::Admin => "admin.",
        }
    }
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A setting of this library.
    Ours(&'static str),
    /// A setting of clients, by librdkafka's name.
    Client(ClientScope, &'static str),
    /// A configuration of internal topics.
    Topic(String),
    /// A tag of this client.
    Tag(String),
    /// Recognised; this is said about it.
    Foreign(Verdict, &'static str),
    /// Unknown; perhaps this was meant.
    Unknown(Option<String>),
}

/// The scopes that have a prefix.
pub(super) const PREFIXED: [ClientScope; 6] = [
    ClientScope::MainConsumer,
    ClientScope::RestoreConsumer,
    ClientScope::GlobalConsumer,
    ClientScope::Consumer,
    ClientScope::Producer,
    ClientScope::Admin,
];
pub(super) const TOPIC_PREFIX: &str = "topic.";
pub(super) const TAG_PREFIX: &str = "client.tag.";

/// Settings of ours that Kafka Streams has as a client's: their prefixed form is the same.
const PREFIXED_KEYS: &[(&str, &[ClientScope])] = {
    use ClientScope::{Consumer, MainConsumer, Producer};
    &[
        ("session.timeout.ms", &[Consumer, MainConsumer]),
        ("heartbeat.interval.ms", &[Consumer, MainConsumer]),
        ("max.poll.interval.ms", &[Consumer, MainConsumer]),
        ("max.poll.records", &[Consumer, MainConsumer]),
        ("auto.offset.reset", &[Consumer, MainConsumer]),
        ("group.instance.id", &[Consumer, MainConsumer]),
        ("group.protocol", &[Consumer, MainConsumer]),
        ("client.rack", &[Consumer, MainConsumer]),
        ("transaction.timeout.ms", &[Producer]),
    ]
};

pub(super) fn meaning(name: &str) -> Meaning {
    if let Some(meaning) = exact(name) {
        return meaning;
    }
    for scope in PREFIXED {
        if let Some(rest) = name.strip_prefix(scope.prefix()) {
            return prefixed(scope, rest);
        }
    }
    match (name.strip_prefix(TOPIC_PREFIX), name.strip_prefix(TAG_PREFIX)) {
        (Some(config), _) if !config.is_empty() => Meaning::Topic(config.to_owned()),
        (_, Some(tag)) if !tag.is_empty() => Meaning::Tag(tag.to_owned()),
        _ => Meaning::Unknown(nearest(name, all_names())),
    }
}

/// The names that are complete in themselves.
pub(super) fn all_names() -> impl Iterator<Item = &'static str> {
    let ours = KNOWN_KEYS.iter().map(|key: &ConfigKey| key.name);
    let aliases = ALIASES.iter().map(|(name, _)| *name);
    let managed = MANAGED_KEYS.iter().map(|(name, _)| *name);
    let foreign = JVM_KEYS.iter().map(|(name, ..)| *name);
    ours.chain(client_names()).chain(aliases).chain(managed).chain(foreign)
}

/// The name that differs least, if it differs little. The first of equals: ours go first.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let allowed = (name.len() / 4).clamp(1, 5);
    names
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

fn client_names() -> impl Iterator<Item = &'static str> {
    CLIENT_KEYS.iter().chain(CONSUMER_KEYS).chain(PRODUCER_KEYS).copied()
}

fn exact(name: &str) -> Option<Meaning> {
    let name = alias(name);
    if let Some(key) = known_key(name) {
        return Some(Meaning::Ours(key.name));
    }
    if let Some((scope, name)) = client_key(name) {
        return Some(Meaning::Client(scope, name));
    }
    foreign(name)
}

fn alias(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

fn client_key(name: &str) -> Option<(ClientScope, &'static str)> {
    let scopes = [
        (ClientScope::All, CLIENT_KEYS),
        (ClientScope::Consumer, CONSUMER_KEYS),
        (ClientScope::Producer, PRODUCER_KEYS),
    ];
    scopes.into_iter().find_map(|(scope, names)| {
        names.iter().find(|known| **known == name).map(|known| (scope, *known))
    })
}

fn foreign(name: &str) -> Option<Meaning> {
    if let Some((_, advice)) = MANAGED_KEYS.iter().find(|(managed, _)| *managed == name) {
        return Some(Meaning::Foreign(Verdict::Refuse, advice));
    }
    let (_, verdict, advice) = JVM_KEYS.iter().find(|(key, ..)| *key == name)?;
    Some(Meaning::Foreign(*verdict, advice))
}

fn prefixed(scope: ClientScope, rest: &str) -> Meaning {
    let rest = alias(rest);
    let ours = PREFIXED_KEYS.iter().find(|(name, _)| *name == rest);
    if let Some((name, scopes)) = ours {
        return if scopes.contains(&scope) {
            Meaning::Ours(name)
        } else {
            Meaning::Foreign(Verdict::Refuse, "this client does not use it")
        };
    }
    match client_key(rest) {
        Some((of, name)) if fits(of, scope) => Meaning::Client(scope, name),
        Some(_) => Meaning::Foreign(Verdict::Refuse, "this client does not use it"),
        None if known_key(rest).is_some() => {
            Meaning::Foreign(Verdict::Refuse, "it is one for all clients: leave the prefix out")
        }
        None => foreign(rest).unwrap_or_else(|| {
            let names = client_names().chain(PREFIXED_KEYS.iter().map(|(name, _)| *name));
            Meaning::Unknown(nearest(rest, names).map(|name| format!("{}{name}", scope.prefix())))
        }),
    }
}

/// Whether a setting for clients `of` may be given to client `scope`.
fn fits(of: ClientScope, scope: ClientScope) -> bool {
    use ClientScope::{All, Consumer, GlobalConsumer, MainConsumer, RestoreConsumer};
    let consumer = matches!(scope, Consumer | MainConsumer | RestoreConsumer | GlobalConsumer);
    of == All || of == scope || (of == Consumer && consumer)
}

/// The number of letters to insert, delete, exchange, or swap with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut before = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut row = above.clone();
    for i in 1..=left.len() {
        row[0] = i;
        for j in 1..=right.len() {
            let differs = usize::from(left[i - 1] != right[j - 1]);
            row[j] = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + differs);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let cases = [
            ("num.stream.thread", Some("num.stream.threads")),
            ("comit.interval.ms", Some("commit.interval.ms")),
            ("commit.interval", Some("commit.interval.ms")),
            ("bootstrap.server", Some("bootstrap.servers")),
            ("sasl.usrename", Some("sasl.username")),
            ("consumer.fetch.min.byte", Some("consumer.fetch.min.bytes")),
            ("something.else.entirely", None),
        ];
        for (name, expected) in cases {
            assert_eq!(meaning(name), Meaning::Unknown(expected.map(str::to_owned)), "{name}");
        }
        assert_eq!(distance("abcd", "acbd"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn prefixes_say_which_client() {
        use ClientScope::*;
        let cases = [
            ("linger.ms", Meaning::Client(Producer, "linger.ms")),
            ("producer.linger.ms", Meaning::Client(Producer, "linger.ms")),
            ("consumer.session.timeout.ms", Meaning::Ours("session.timeout.ms")),
            ("producer.transaction.timeout.ms", Meaning::Ours("transaction.timeout.ms")),
            (
                "restore.consumer.fetch.max.wait.ms",
                Meaning::Client(RestoreConsumer, "fetch.wait.max.ms"),
            ),
            ("admin.security.protocol", Meaning::Client(Admin, "security.protocol")),
            (
                "topic.metadata.refresh.fast.interval.ms",
                Meaning::Client(All, "topic.metadata.refresh.fast.interval.ms"),
            ),
            ("topic.retention.ms", Meaning::Topic("retention.ms".to_owned())),
            ("client.tag.zone", Meaning::Tag("zone".to_owned())),
        ];
        for (name, expected) in cases {
            assert_eq!(meaning(name), expected, "{name}");
        }
        for wrong in
            ["consumer.linger.ms", "restore.consumer.auto.offset.reset", "consumer.group.id"]
        {
            assert!(matches!(meaning(wrong), Meaning::Foreign(Verdict::Refuse, _)), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_in_one_table_only() {
        let mut names: Vec<_> = all_names().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        for (_, name) in ALIASES {
            assert!(known_key(name).is_some() || client_key(name).is_some(), "{name}");
        }
        for (name, _) in PREFIXED_KEYS {
            assert!(known_key(name).is_some(), "{name}");
        }
    }
}
