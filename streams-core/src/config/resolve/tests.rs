#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::{ClientScope, KNOWN_KEYS, Kind};
use crate::error::BoxError;
use crate::reaction::{ErrorContext, ErrorStage, Reaction};
use crate::record::Headers;
use crate::task_id::TaskId;

fn config() -> StreamsConfig {
    StreamsConfig::new("orders", "localhost:9092")
}

fn mistake(name: &str, value: &str) -> String {
    let error = config().set(name, value).validate().unwrap_err();
    assert_eq!(error.mistakes().len(), 1, "{error}");
    error.mistakes()[0].to_string()
}

#[test]
fn defaults_are_kafka_streams() {
    let config = config().validate().unwrap();
    assert_eq!(&*config.application_id, "orders");
    assert_eq!(&*config.bootstrap_servers, "localhost:9092");
    assert_eq!(config.num_stream_threads, 1);
    assert_eq!(config.commit_interval, Duration::from_secs(30));
    assert_eq!(config.processing_guarantee, ProcessingGuarantee::AtLeastOnce);
    assert_eq!(config.session_timeout, Duration::from_secs(45));
    assert_eq!(config.heartbeat_interval, Duration::from_secs(3));
    assert_eq!(config.rebalance_timeout(), Duration::from_mins(5));
    assert_eq!(config.max_task_idle, Some(Duration::ZERO));
    assert_eq!(config.max_future_skew, None);
    assert_eq!(config.replication_factor, -1);
    assert_eq!(config.memory_budget_bytes, 256 << 20);
    assert_eq!(config.auto_offset_reset, OffsetReset::Earliest);
    assert_eq!(config.topology_optimization, TopologyOptimization::default());
    assert_eq!(config.acceptable_recovery_lag, 10_000);
    assert!(config.state_dir_is_temporary && config.state_dir.ends_with("streams-rs"));
    assert!(config.client_settings.is_empty() && config.warnings.is_empty());
    assert!(!config.emit_on_commit);
}

#[test]
fn every_default_is_what_its_kind_takes() {
    for key in KNOWN_KEYS.iter().filter(|key| !key.default.is_empty()) {
        let result = config().set(key.name, key.default).validate();
        assert!(result.is_ok(), "{}: {result:?}", key.name);
    }
}

#[test]
fn every_kind_refuses_nonsense() {
    let free = |kind| matches!(kind, Kind::Text) || kind == Kind::List;
    for key in KNOWN_KEYS.iter().filter(|key| !free(key.kind)) {
        assert!(mistake(key.name, "!").starts_with(&format!("{}: expected ", key.name)));
        assert!(mistake(key.name, "!").ends_with("; found `!`"));
    }
}

#[test]
fn exactly_once_commits_often_unless_told_otherwise() {
    let eos = config().exactly_once();
    assert_eq!(eos.validate().unwrap().commit_interval, Duration::from_millis(100));
    let slower = eos.commit_interval(Duration::from_secs(1)).validate().unwrap();
    assert_eq!(slower.commit_interval, Duration::from_secs(1));
    assert_eq!(slower.isolation(), crate::client::Isolation::ReadCommitted);
}

#[test]
fn mistakes_say_what_is_expected() {
    let cases = [
        (
            "commit.interval.ms",
            "ten",
            "commit.interval.ms: expected milliseconds, or a number with a unit such as `30s` or \
             `5m`; found `ten`",
        ),
        (
            "probing.rebalance.interval.ms",
            "1s",
            "probing.rebalance.interval.ms: expected milliseconds, at least 60000, or a number \
             with a unit such as `30s` or `5m`; found `1s`",
        ),
        (
            "max.task.idle.ms",
            "-2",
            "max.task.idle.ms: expected milliseconds (-1 for none), or a number with a unit such \
             as `30s` or `5m`; found `-2`",
        ),
        (
            "num.stream.threads",
            "0",
            "num.stream.threads: expected a whole number from 1 to 1000; found `0`",
        ),
        (
            "memory.budget.bytes",
            "256MB",
            "memory.budget.bytes: expected bytes, at least 1048576, or a number with a unit such \
             as `256MiB` or `2GiB`; found `256MB`",
        ),
        (
            "processing.guarantee",
            "exactly_once",
            "processing.guarantee: expected `at_least_once` or `exactly_once_v2`; found \
             `exactly_once`",
        ),
        (
            "bootstrap.servers",
            "localhost",
            "bootstrap.servers: expected `host:port`, several separated by commas; `localhost` is \
             not one; found `localhost`",
        ),
        (
            "bootstrap.servers",
            "embedded",
            "bootstrap.servers: `embedded` is the cluster of `streams-test`: pass its client to \
             `StreamsConfig::client`; found `embedded`",
        ),
        (
            "application.id",
            "my app",
            "application.id: expected letters, digits, `.`, `_` and `-`, at most 249 of them, \
             because internal topics are named after it; found `my app`",
        ),
        (
            "comit.interval.ms",
            "1",
            "comit.interval.ms: there is no such setting; did you mean `commit.interval.ms`?",
        ),
        (
            "consumer.fetch.min.byte",
            "1",
            "consumer.fetch.min.byte: there is no such setting; did you mean \
             `consumer.fetch.min.bytes`?",
        ),
        (
            "entirely.different",
            "1",
            "entirely.different: there is no such setting; docs/configuration.md has all names",
        ),
        (
            "default.key.serde",
            "Serdes$String",
            "default.key.serde: serdes are types here: `#[derive(DefaultSerde)]`, or \
             `Consumed::with(..)`, `Produced::with(..)`, `Materialized::with(..)`",
        ),
        (
            "rocksdb.config.setter",
            "com.example.Setter",
            "rocksdb.config.setter: RocksDB is set up by the library; its memory is part of \
             `memory.budget.bytes`",
        ),
        ("group.id", "g", "group.id: the group's id is `application.id`"),
        ("application.server", "here", "application.server: expected `host:port`; found `here`"),
        (
            "rack.aware.assignment.tags",
            "zone",
            "rack.aware.assignment.tags: `zone` is not a tag of this client: set `client.tag.zone`",
        ),
        (
            "errors.dead.letter.queue.topic.name",
            "dlq",
            "errors.dead.letter.queue.topic.name: only records that are skipped go there, and no \
             handler skips: set for example `processing.exception.handler=skip`",
        ),
        (
            "heartbeat.interval.ms",
            "23s",
            "heartbeat.interval.ms: must be at most half of `session.timeout.ms`, best a third of \
             it; it is 23000, the session timeout is 45000",
        ),
    ];
    for (name, value, expected) in cases {
        assert_eq!(mistake(name, value), expected);
    }
}

/// A record that comes after the session puts an old value over a newer one.
#[test]
fn under_at_least_once_records_are_not_under_way_for_longer_than_the_session() {
    let of = |config: StreamsConfig| config.validate().unwrap();
    let plain = of(config().set("producer.delivery.timeout.ms", 20_000));
    assert_eq!(plain.delivery_timeout(), Some(Duration::from_secs(21)));
    assert_eq!(plain.warnings, [] as [&str; 0]);
    let longer = of(config().set("producer.delivery.timeout.ms", 120_000));
    let warning = "producer.delivery.timeout.ms is 21000 ms: under at-least-once a record must not \
                   be written when the session may have ended; raise `session.timeout.ms` for more";
    assert_eq!(longer.warnings, [warning]);
    let exactly_once = config().exactly_once().set("producer.delivery.timeout.ms", 120_000);
    let exactly_once = of(exactly_once);
    assert_eq!(exactly_once.delivery_timeout(), None);
    assert_eq!(exactly_once.warnings, [] as [&str; 0]);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let error = StreamsConfig::default().set("num.stream.threads", "x").validate().unwrap_err();
    let expected = "the configuration has 3 mistakes:\n  \
        application.id: is missing: name the application by letters, digits, `.`, `_` and `-`; its \
        group and its internal topics are named after it\n  \
        bootstrap.servers: is missing: name one broker or more, as `host:port,host:port`\n  \
        num.stream.threads: expected a whole number from 1 to 1000; found `x`";
    assert_eq!(error.to_string(), expected);
    assert_eq!(format!("{error:?}"), expected);
    let error = config().set("poll.ms", "soon").validate().unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("the configuration is wrong: poll.ms: expected"), "{message}");
}

#[test]
fn settings_that_contradict_one_another() {
    let error = config().exactly_once().commit_interval(Duration::from_secs(20)).validate();
    assert_eq!(
        error.unwrap_err().mistakes()[0].to_string(),
        "transaction.timeout.ms: must be above `commit.interval.ms`, or the broker aborts before \
         the commit; it is 10000, the commit interval is 20000"
    );
    assert!(config().commit_interval(Duration::from_secs(20)).validate().is_ok());
}

#[test]
fn settings_of_clients_are_sorted_by_client() {
    let config = config()
        .set("security.protocol", "SASL_SSL")
        .set("consumer.fetch.max.wait.ms", "100")
        .set("restore.consumer.fetch.max.wait.ms", "500")
        .set("linger.ms", "5")
        .set("client.rack", "eu-1a")
        .set("topic.segment.bytes", "1048576")
        .set("client.tag.zone", "a")
        .set("consumer.session.timeout.ms", "20s")
        .validate()
        .unwrap();
    let of = |scope| config.client_settings.of(scope);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let common = [pair("client.rack", "eu-1a"), pair("security.protocol", "SASL_SSL")];
    assert_eq!(config.client_settings.common(), common);
    assert!(of(ClientScope::MainConsumer).contains(&pair("fetch.wait.max.ms", "100")));
    assert!(of(ClientScope::RestoreConsumer).contains(&pair("fetch.wait.max.ms", "500")));
    assert!(of(ClientScope::Producer).contains(&pair("linger.ms", "5")));
    assert_eq!(config.session_timeout, Duration::from_secs(20));
    assert_eq!(config.client_rack.as_deref(), Some("eu-1a"));
    assert_eq!(config.topic_configs["segment.bytes"], "1048576");
    assert_eq!(config.client_tags["zone"], "a");
}

#[test]
fn both_kinds_of_connections_are_given_the_same_settings() {
    let config = config()
        .exactly_once()
        .set("security.protocol", "SSL")
        .set("retry.backoff.ms", "1s")
        .set("main.consumer.fetch.min.bytes", "7")
        .set("restore.consumer.fetch.min.bytes", "8")
        .set("producer.batch.size", "9")
        .set("global.consumer.check.crcs", "true")
        .set("admin.socket.connection.setup.timeout.ms", "10")
        .set("admin.ssl.ca.location", "/etc/ca.pem")
        .set("admin.metadata.max.age.ms", "60000")
        .set("admin.socket.max.fails", "3")
        .validate()
        .unwrap();
    let has = |settings: &[(String, String)], name: &str, value: &str| {
        settings.contains(&(name.to_owned(), value.to_owned()))
    };
    let records = config.librdkafka_settings();
    for (name, value) in [
        ("bootstrap.servers", "localhost:9092"),
        ("security.protocol", "SSL"),
        ("retry.backoff.ms", "1000"),
        ("main.consumer.fetch.min.bytes", "7"),
        ("restore.consumer.fetch.min.bytes", "8"),
        ("global.consumer.check.crcs", "true"),
        ("producer.batch.size", "9"),
        ("producer.transaction.timeout.ms", "10000"),
    ] {
        assert!(has(&records, name, value), "{name}: {records:?}");
    }
    let others = config.connection_settings();
    for (name, value) in [
        ("bootstrap.servers", "localhost:9092"),
        ("security.protocol", "SSL"),
        ("request.timeout.ms", "40000"),
        ("retry.backoff.ms", "1000"),
        ("socket.connection.setup.timeout.ms", "10"),
    ] {
        assert!(has(&others, name, value), "{name}: {others:?}");
    }
    let warning = "admin.socket.max.fails is ignored: the connections for groups, topics and \
                   offsets are not librdkafka's, and have no such setting";
    assert_eq!(config.warnings, [warning]);
    assert_eq!(
        mistake("producer.acks", "1"),
        "acks: must be `all`: producers are idempotent; found `1`"
    );
}

#[test]
fn what_is_said_later_wins_and_mistakes_say_where() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("streams.properties");
    std::fs::write(&file, "# mine\nnum.stream.threads = 2\npoll.ms=often\n").unwrap();
    let from_file = config().with_properties_file(&file).unwrap();
    let vars = [
        ("STREAMS_NUM_STREAM_THREADS", "3"),
        ("STREAMS_POLL_MS", "50"),
        ("STREAMS_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/root"),
    ];
    let over = from_file.clone().with_vars(vars).validate().unwrap();
    assert_eq!((over.num_stream_threads, over.poll), (3, Duration::from_millis(50)));
    let error = from_file.validate().unwrap_err();
    let place = format!("poll.ms ({}, line 3): expected", file.display());
    assert!(error.mistakes()[0].to_string().starts_with(&place), "{error}");
    let vars = [("STREAMS_POLL_MS", "often"), ("STREAMS_APLICATION_ID", "x")];
    let error = config().with_vars(vars).validate().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration has 2 mistakes:\n  \
         STREAMS_APLICATION_ID: there is no such setting; did you mean `STREAMS_APPLICATION_ID`?\n  \
         poll.ms (environment variable STREAMS_POLL_MS): expected milliseconds, at most \
         2147483647, or a number with a unit such as `30s` or `5m`; found `often`"
    );
    let missing = StreamsConfig::from_properties_file(directory.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("the properties file cannot be read: "), "{missing}");
}

#[test]
fn a_file_of_a_jvm_application_is_answered_line_by_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("app.properties");
    let text = "application.id=orders\nbootstrap.servers=a:9092,b:9092\n\
                cache.max.bytes.buffering=10485760\nauto.include.jmx.reporter=false\n\
                deserialization.exception.handler=\
                org.apache.kafka.streams.errors.LogAndContinueExceptionHandler\n\
                sasl.jaas.config=Plain required password=\"hunter2\";\n";
    std::fs::write(&file, text).unwrap();
    let config = StreamsConfig::from_properties_file(&file).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let misspelt = config.clone().set("sasl.pasword", "hunter2");
    assert!(!format!("{misspelt:?}").contains("hunter2"));
    let error = config.validate().unwrap_err();
    assert_eq!(error.mistakes().len(), 1, "{error}");
    assert!(error.to_string().contains("use `sasl.mechanism`, `sasl.username`"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    std::fs::write(&file, text.lines().take(5).collect::<Vec<_>>().join("\n")).unwrap();
    let config = StreamsConfig::from_properties_file(&file).unwrap().validate().unwrap();
    assert!(config.emit_on_commit, "the JVM's cache emits once per commit");
    assert_eq!(config.memory_budget_bytes, 256 << 20);
    assert_eq!(
        config.warnings,
        ["auto.include.jmx.reporter is ignored: metrics are read from `KafkaStreams::metrics()`"]
    );
    assert_eq!(ask(&config.handlers.deserialization), Reaction::Skip);
}

#[test]
fn handlers_by_name_and_in_code() {
    let named = config()
        .set("processing.exception.handler", "skip")
        .set("errors.dead.letter.queue.topic.name", "dlq");
    let resolved = named.validate().unwrap();
    let dead_letter = Reaction::DeadLetter { topic: "dlq".to_owned() };
    assert_eq!(ask(&resolved.handlers.processing), dead_letter);
    assert_eq!(ask(&resolved.handlers.production), Reaction::Fail);
    let in_code = named.on_processing_error(|_, _| Reaction::Retry).validate().unwrap();
    assert_eq!(ask(&in_code.handlers.processing), Reaction::Retry);
    let warning = "processing.exception.handler is ignored: a handler is given in code";
    assert_eq!(in_code.warnings, [warning]);
}

#[test]
fn the_cache_of_the_jvm_is_part_of_the_budget() {
    let set = |name: &str, value: &str| {
        let config = config().set(name, value).validate().unwrap();
        (config.memory_budget_bytes, config.emit_on_commit)
    };
    assert_eq!(set("statestore.cache.max.bytes", "0"), (256 << 20, false));
    assert_eq!(set("statestore.cache.max.bytes", "1GiB"), (1 << 30, true));
    let both = config().set("statestore.cache.max.bytes", "1GiB").memory_budget(64 << 20);
    assert_eq!(both.emit_on_commit(false).validate().unwrap().memory_budget_bytes, 64 << 20);
}

#[test]
fn the_broker_decides_with_the_streams_protocol() {
    let config = config().set("group.protocol", "STREAMS").standbys(1).validate().unwrap();
    assert_eq!(config.group_protocol, GroupProtocol::Streams);
    let warned = |text: &str| config.warnings.iter().any(|warning| warning.starts_with(text));
    assert!(warned("num.standby.replicas is ignored"));
    assert!(warned("group.protocol=streams has no effect yet"));
    assert!(warned("num.standby.replicas has no effect yet"));
}

#[test]
fn what_has_no_effect_is_told_and_nothing_else() {
    let warnings = |name: &str, value: &str| config().set(name, value).validate().unwrap().warnings;
    for (name, value) in [
        ("max.poll.records", "10"),
        ("poll.ms", "10"),
        ("state.cleanup.dir.max.age.ms", "10"),
        ("rack.aware.assignment.traffic_cost", "10"),
    ] {
        let expected = format!("{name} has no effect yet: what it sets is not built");
        assert_eq!(warnings(name, value), [expected]);
    }
    for (name, value) in [
        ("processing.exception.handler.global.enabled", "true"),
        ("windowstore.changelog.additional.retention.ms", "10d"),
    ] {
        assert_eq!(warnings(name, value), [""; 0], "{name}");
    }
}

#[test]
fn typed_methods_say_the_same_as_names() {
    let config = config()
        .threads(4)
        .state_dir("/var/lib/orders")
        .standbys(1)
        .max_task_idle(Duration::from_secs(2))
        .offset_reset(OffsetReset::ByDuration(Duration::from_hours(1)))
        .application_server("[::1]:8080")
        .optimize()
        .validate()
        .unwrap();
    assert_eq!((config.num_stream_threads, config.num_standby_replicas), (4, 1));
    assert!(!config.state_dir_is_temporary);
    assert_eq!(config.max_task_idle, Some(Duration::from_secs(2)));
    assert_eq!(config.auto_offset_reset, OffsetReset::ByDuration(Duration::from_hours(1)));
    assert_eq!(config.application_server.unwrap().to_string(), "[::1]:8080");
    assert!(config.topology_optimization.merge_repartition_topics);
}

#[test]
fn client_tags_are_limited() {
    let mut many = config();
    for n in 0..6 {
        many = many.set(format!("client.tag.t{n}"), n);
    }
    let error = many.set("client.tag.t0", "x".repeat(31)).validate().unwrap_err();
    let messages: Vec<_> = error.mistakes().iter().map(ToString::to_string).collect();
    let expected = [
        "client.tag.: there are 6, at most 5 are sent",
        "client.tag.t0: a tag's name has at most 20 bytes, its value at most 30",
    ];
    assert_eq!(messages, expected);
}

fn ask(handler: &ErrorHandler) -> Reaction {
    let headers = Headers::new();
    let cx = ErrorContext::new(ErrorStage::Processing, "node", TaskId::new(0, 0), &headers);
    let error: BoxError = "no".into();
    handler(&cx, &error)
}
