//! Names that Kafka Streams or its clients take and this library does not: each with what to do
//! instead.

/// What is said about a name that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ignoring it would change what the application does.
    Refuse,
    /// It makes no difference here: a warning.
    Ignore,
}

/// Set by this library.
pub(super) static MANAGED_KEYS: &[(&str, &str)] = &[
    ("group.id", "the group's id is `application.id`"),
    ("transactional.id", "it is made of `application.id` and the process id"),
    ("enable.auto.commit", "commits are the library's: `commit.interval.ms`"),
    ("auto.commit.enable", "commits are the library's: `commit.interval.ms`"),
    ("auto.commit.interval.ms", "commits are the library's: `commit.interval.ms`"),
    ("enable.auto.offset.store", "commits are the library's: `commit.interval.ms`"),
    ("isolation.level", "it follows from `processing.guarantee`"),
    ("enable.partition.eof", "the library sets it"),
    ("enable.idempotence", "producers are always idempotent"),
    ("enable.gapless.guarantee", "the library sets it"),
    ("partition.assignment.strategy", "tasks are assigned by the library"),
    ("group.remote.assignor", "tasks are assigned by the library"),
    ("group.protocol.type", "the library sets it"),
    (
        "partitioner",
        "keys are partitioned as in the JVM, always; `Produced::partitioner` takes another one",
    ),
    ("delivery.report.only.error", "the library sets it"),
    ("produce.offset.report", "the library sets it"),
    ("queuing.strategy", "the library sets it"),
    ("log.queue", "the library sets it"),
    ("metadata.broker.list", "the name is `bootstrap.servers`"),
];

/// Other names of the same setting, in the same unit.
pub(super) static ALIASES: &[(&str, &str)] = &[
    ("cache.max.bytes.buffering", "statestore.cache.max.bytes"),
    ("default.deserialization.exception.handler", "deserialization.exception.handler"),
    ("default.production.exception.handler", "production.exception.handler"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.request.size", "message.max.bytes"),
];

const TYPES: &str = "serdes are types here: `#[derive(DefaultSerde)]`, or `Consumed::with(..)`, \
                     `Produced::with(..)`, `Materialized::with(..)`";
const WINDOWS: &str = "the window's size is part of the serde: `TimeWindowedKey`";
const TRUST: &str = "name a PEM file of the authorities in `ssl.ca.location`, or the PEM text in \
                     `ssl.ca.pem`";
const KEYSTORE: &str = "name a PKCS#12 file in `ssl.keystore.location`, or PEM files in \
                        `ssl.certificate.location` and `ssl.key.location`";
const TLS: &str = "OpenSSL chooses; `ssl.cipher.suites` and `ssl.curves.list` limit it";
const OAUTH: &str = "use `sasl.oauthbearer.method=oidc` with `sasl.oauthbearer.token.endpoint.url`";
const METRICS: &str = "metrics are read from `KafkaStreams::metrics()`";
const LOAD: &str = "there are no classes to load: pass closures and types to the builder";
const BUDGET: &str = "memory is one budget for the process: `memory.budget.bytes`";

/// Settings that mean something to a JVM only.
pub(super) static JVM_KEYS: &[(&str, Verdict, &str)] = {
    use Verdict::{Ignore, Refuse};
    &[
        ("default.key.serde", Refuse, TYPES),
        ("default.value.serde", Refuse, TYPES),
        ("default.list.key.serde.inner", Refuse, TYPES),
        ("default.list.key.serde.type", Refuse, TYPES),
        ("default.list.value.serde.inner", Refuse, TYPES),
        ("default.list.value.serde.type", Refuse, TYPES),
        ("key.serializer", Refuse, TYPES),
        ("key.deserializer", Refuse, TYPES),
        ("value.serializer", Refuse, TYPES),
        ("value.deserializer", Refuse, TYPES),
        (
            "schema.registry.url",
            Refuse,
            "it belongs to the serde: pass it to the serde's constructor",
        ),
        ("window.size.ms", Refuse, WINDOWS),
        ("windowed.inner.class.serde", Refuse, WINDOWS),
        ("default.windowed.key.serde.inner", Refuse, WINDOWS),
        ("default.windowed.value.serde.inner", Refuse, WINDOWS),
        (
            "default.timestamp.extractor",
            Refuse,
            "timestamps are read by a closure for each source: `Consumed::timestamps`",
        ),
        (
            "rocksdb.config.setter",
            Refuse,
            "RocksDB is set up by the library; its memory is part of `memory.budget.bytes`",
        ),
        ("default.client.supplier", Refuse, "plug another client by `StreamsConfig::client`"),
        (
            "dsl.store.suppliers.class",
            Refuse,
            "use `default.dsl.store=rocksdb` or `default.dsl.store=in_memory`; an engine of your own \
             is given by `StreamsConfig::engine`",
        ),
        ("dsl.store.format", Refuse, "headers are not kept in stores; leave it out"),
        ("processor.wrapper.class", Refuse, LOAD),
        (
            "task.assignor.class",
            Refuse,
            "the assignor is the library's: sticky, and aware of lag and racks",
        ),
        ("interceptor.classes", Refuse, LOAD),
        ("partitioner.class", Refuse, "pass a closure to `Produced::partitioner`"),
        (
            "upgrade.from",
            Refuse,
            "the formats are those of Kafka Streams 3.5 and later: bring the JVM application there \
             first, then leave it out",
        ),
        ("input.buffer.max.bytes", Refuse, BUDGET),
        ("statestore.uncommitted.max.bytes", Refuse, BUDGET),
        ("buffer.memory", Refuse, "the name is `queue.buffering.max.kbytes`, in kilobytes"),
        ("max.block.ms", Refuse, "a full queue blocks until `task.timeout.ms`"),
        ("default.api.timeout.ms", Refuse, "use `request.timeout.ms` or `task.timeout.ms`"),
        (
            "default.interactive.query.isolation.level",
            Refuse,
            "queries see committed state; one that does not is `QueryStore::uncommitted`",
        ),
        ("sasl.jaas.config", Refuse, "use `sasl.mechanism`, `sasl.username` and `sasl.password`"),
        ("sasl.client.callback.handler.class", Refuse, OAUTH),
        ("sasl.login.callback.handler.class", Refuse, OAUTH),
        ("sasl.login.class", Refuse, OAUTH),
        ("ssl.truststore.location", Refuse, TRUST),
        ("ssl.truststore.password", Refuse, TRUST),
        ("ssl.truststore.type", Refuse, TRUST),
        ("ssl.truststore.certificates", Refuse, TRUST),
        ("ssl.keystore.type", Refuse, KEYSTORE),
        ("ssl.keystore.key", Refuse, "the name is `ssl.key.pem`"),
        ("ssl.keystore.certificate.chain", Refuse, "the name is `ssl.certificate.pem`"),
        ("ssl.engine.factory.class", Refuse, TLS),
        ("ssl.provider", Refuse, TLS),
        ("ssl.protocol", Ignore, TLS),
        ("ssl.enabled.protocols", Ignore, TLS),
        ("ssl.keymanager.algorithm", Ignore, TLS),
        ("ssl.trustmanager.algorithm", Ignore, TLS),
        ("ssl.secure.random.implementation", Ignore, TLS),
        ("security.providers", Ignore, TLS),
        ("metric.reporters", Ignore, METRICS),
        ("auto.include.jmx.reporter", Ignore, METRICS),
        ("built.in.metrics.version", Ignore, METRICS),
        ("metrics.num.samples", Ignore, METRICS),
        ("metrics.sample.window.ms", Ignore, METRICS),
        ("enable.metrics.push", Ignore, METRICS),
        ("enable.transactional.statestores", Ignore, "stores are always transactional here"),
        ("topology.description.push.enabled", Ignore, "the topology is not sent to the broker"),
        ("internal.leave.group.on.close", Ignore, "see `KafkaStreams::close_with`"),
        ("exclude.internal.topics", Ignore, "internal topics are never subscribed"),
        ("metadata.max.idle.ms", Ignore, "librdkafka forgets idle topics itself"),
        ("socket.connection.setup.timeout.max.ms", Ignore, "the timeout does not grow"),
        ("partitioner.ignore.keys", Refuse, "keys are partitioned as in the JVM, always"),
        (
            "partitioner.adaptive.partitioning.enable",
            Ignore,
            "records without key stick to a partition",
        ),
        ("partitioner.availability.timeout.ms", Ignore, "records without key stick to a partition"),
        (
            "sasl.kerberos.ticket.renew.jitter",
            Ignore,
            "see `sasl.kerberos.min.time.before.relogin`",
        ),
        (
            "sasl.kerberos.ticket.renew.window.factor",
            Ignore,
            "see `sasl.kerberos.min.time.before.relogin`",
        ),
        ("sasl.login.refresh.buffer.seconds", Ignore, "librdkafka renews tokens itself"),
        ("sasl.login.refresh.min.period.seconds", Ignore, "librdkafka renews tokens itself"),
        ("sasl.login.refresh.window.factor", Ignore, "librdkafka renews tokens itself"),
        ("sasl.login.refresh.window.jitter", Ignore, "librdkafka renews tokens itself"),
    ]
};
