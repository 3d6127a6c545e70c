//! Every setting: its name, what it takes, its default and its meaning. The one table behind the
//! parser, environment variables, the search for the nearest name, and `docs/configuration.md`.

use super::kind::Kind::{
    self, Bool, Bytes, Handler, Integer, List, Millis, OneOf, Reset, Servers, Text,
};

/// A setting of this library.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// As in Kafka Streams where that has it.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// As text; empty for none.
    pub default: &'static str,
    /// For people.
    pub meaning: &'static str,
    /// Under which heading it is documented.
    pub section: Section,
}

/// The headings of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What every application must say.
    Required,
    /// Threads, time, commits.
    Processing,
    /// Failing records and threads.
    Errors,
    /// Stores and memory.
    State,
    /// Internal topics.
    Topics,
    /// Membership and assignment.
    Group,
    /// Connections.
    Clients,
    /// Logs and metrics.
    Monitoring,
}

const EVER: i64 = i64::MAX;
const INT: i64 = i32::MAX as i64;

/// All settings.
pub static KNOWN_KEYS: &[ConfigKey] = &{
    use Section::*;
    [
        key(
            Required,
            "application.id",
            Text,
            "",
            "Names the application: its group, and the \
            prefix of its internal topics and transactional ids. Instances with the same id share \
            the work. Letters, digits, `.`, `_` and `-`.",
        ),
        key(
            Required,
            "bootstrap.servers",
            Servers,
            "",
            "Brokers to begin with, as \
            `host:port,host:port`.",
        ),
        key(
            Processing,
            "num.stream.threads",
            Integer { min: 1, max: 1000 },
            "1",
            "Threads that process records. A task runs on one thread at a time.",
        ),
        key(
            Processing,
            "processing.guarantee",
            OneOf(&["at_least_once", "exactly_once_v2"]),
            "at_least_once",
            "`exactly_once_v2` makes input positions, state and output one \
            transaction.",
        ),
        key(
            Processing,
            "commit.interval.ms",
            Millis { min: 0, max: EVER },
            "30000",
            "How often progress is committed. 100 under `exactly_once_v2`, where output is seen \
            only after the commit.",
        ),
        key(
            Processing,
            "poll.ms",
            Millis { min: 0, max: INT },
            "100",
            "How long an idle thread waits before it looks after timers and commits.",
        ),
        key(
            Processing,
            "buffered.records.per.partition",
            Integer { min: 1, max: INT },
            "1000",
            "Records of one partition that wait in a task; above it, the partition is not read.",
        ),
        key(
            Processing,
            "max.poll.records",
            Integer { min: 1, max: INT },
            "1000",
            "Records that are taken from a partition at once.",
        ),
        key(
            Processing,
            "max.task.idle.ms",
            Millis { min: -1, max: EVER },
            "0",
            "How long a task waits for its empty input partitions, so that joins see records in \
            the order of time. 0 waits only for what the broker is known to have; -1 never waits.",
        ),
        key(
            Processing,
            "max.future.skew.ms",
            Millis { min: -1, max: EVER },
            "-1",
            "Records further in the future than this are treated as records that cannot be read, \
            so that one of them does not end all windows. -1 takes all.",
        ),
        key(
            Processing,
            "task.timeout.ms",
            Millis { min: 0, max: EVER },
            "300000",
            "How long a task may make no progress because of errors that may pass, before they \
            become an error of its thread.",
        ),
        key(
            Processing,
            "auto.offset.reset",
            Reset,
            "earliest",
            "Where to begin without a \
            committed position: `earliest`, `latest`, `none` (an error), or `by_duration:PT1H` (an \
            hour ago).",
        ),
        key(
            Processing,
            "topology.optimization",
            List,
            "none",
            "`none`, `all`, or some of \
            `reuse.ktable.source.topics`, `merge.repartition.topics`, \
            `single.store.self.join`.",
        ),
        key(
            Processing,
            "ensure.explicit.internal.resource.naming",
            Bool,
            "false",
            "Refuse a topology whose internal topics or stores have counted names, which change \
            when operators are added.",
        ),
        key(
            Processing,
            "accept.changed.topology",
            Bool,
            "false",
            "Start although generated names of stores or repartition topics have moved since the \
            last start with this state directory: what lies under the old names is left behind.",
        ),
        key(
            Errors,
            "deserialization.exception.handler",
            Handler,
            "fail",
            "What to do about a \
            record that cannot be read: `fail` or `skip`. A handler in code goes first.",
        ),
        key(
            Errors,
            "processing.exception.handler",
            Handler,
            "fail",
            "What to do about a record \
            on which the application's code fails: `fail` or `skip`. A handler in code goes \
            first.",
        ),
        key(
            Errors,
            "production.exception.handler",
            Handler,
            "fail",
            "What to do about a record \
            that cannot be written: `fail` or `skip`. A handler in code goes first.",
        ),
        key(
            Errors,
            "errors.dead.letter.queue.topic.name",
            Text,
            "",
            "Where the handlers named \
            `skip` above send the records that they skip. The topic must exist.",
        ),
        key(
            Errors,
            "processing.exception.handler.global.enabled",
            Bool,
            "false",
            "Whether the processing handler is asked for processors of global stores too.",
        ),
        key(
            State,
            "state.dir",
            Text,
            "",
            "The directory in which state is kept, one per \
            machine. By default `streams-rs` in the directory for temporary files, which is \
            emptied by a reboot on many systems: name one that stays.",
        ),
        key(
            State,
            "memory.budget.bytes",
            Bytes { min: 1 << 20 },
            "268435456",
            "Memory for the \
            state of this process: writes that are not yet committed, caches, and RocksDB.",
        ),
        key(
            State,
            "statestore.cache.max.bytes",
            Bytes { min: 0 },
            "",
            "As in Kafka Streams: 0 \
            forwards every update, more means one change per key and commit \
            (`emit.on.commit=true`). Raises the memory budget when it is larger.",
        ),
        key(
            State,
            "emit.on.commit",
            Bool,
            "false",
            "Whether tables forward one change per key \
            and commit, in place of every update.",
        ),
        key(
            State,
            "__emit.interval.ms.kstreams.windowed.aggregation__",
            Millis { min: 0, max: EVER },
            "1000",
            "How often a windowed aggregation \
            looks for windows that have closed, if it emits them then.",
        ),
        key(
            State,
            "__emit.interval.ms.kstreams.outer.join.spurious.results.fix__",
            Millis { min: 0, max: EVER },
            "1000",
            "How often a left or outer join of \
            streams looks for records whose windows have closed without a partner.",
        ),
        key(
            State,
            "default.dsl.store",
            OneOf(&["rocksdb", "in_memory"]),
            "rocksdb",
            "Where stores lie that do not say it themselves. `rocksdb` is on disk: in RocksDB, or in \
             the engine that the application gives by `StreamsConfig::engine`.",
        ),
        key(
            State,
            "state.flush.interval.ms",
            Millis { min: 0, max: EVER },
            "30000",
            "The longest time that committed state is kept only in memory and in its changelog. \
            Bounds what is replayed after a kill.",
        ),
        key(
            State,
            "state.cleanup.delay.ms",
            Millis { min: 0, max: EVER },
            "600000",
            "How long the state of a task that went elsewhere is kept on disk.",
        ),
        key(
            State,
            "state.cleanup.dir.max.age.ms",
            Millis { min: -1, max: EVER },
            "-1",
            "State that was not touched for so long is removed at start; -1 never.",
        ),
        key(
            State,
            "allow.os.group.write.access",
            Bool,
            "false",
            "Whether the group of the operating system's user may write the state directory.",
        ),
        key(
            State,
            "windowstore.changelog.additional.retention.ms",
            Millis { min: 0, max: EVER },
            "86400000",
            "How much longer than its store a window's changelog keeps records, by the clock. \
             Processing older records than that (again) needs more: the broker deletes by the \
             records' own time.",
        ),
        key(
            Topics,
            "replication.factor",
            Integer { min: -1, max: 32_767 },
            "-1",
            "Of internal topics; -1 is the broker's default.",
        ),
        key(
            Topics,
            "repartition.purge.interval.ms",
            Millis { min: 0, max: EVER },
            "30000",
            "How often processed records are deleted from repartition topics.",
        ),
        key(
            Group,
            "num.standby.replicas",
            Integer { min: 0, max: INT },
            "0",
            "Copies of each task's state that other instances keep up to date.",
        ),
        key(
            Group,
            "max.warmup.replicas",
            Integer { min: 1, max: INT },
            "2",
            "Tasks that may be restored elsewhere at a time before they move.",
        ),
        key(
            Group,
            "acceptable.recovery.lag",
            Integer { min: 0, max: i64::MAX },
            "10000",
            "An instance whose copy of the state lacks no more records than this may take over \
            a task at once.",
        ),
        key(
            Group,
            "probing.rebalance.interval.ms",
            Millis { min: 60_000, max: EVER },
            "600000",
            "How often it is looked whether warm-ups are done.",
        ),
        key(
            Group,
            "session.timeout.ms",
            Millis { min: 1, max: INT },
            "45000",
            "After which silence an instance counts as dead.",
        ),
        key(
            Group,
            "heartbeat.interval.ms",
            Millis { min: 1, max: INT },
            "3000",
            "How often an instance says that it lives; well below the session timeout.",
        ),
        key(
            Group,
            "max.poll.interval.ms",
            Millis { min: 1, max: INT },
            "300000",
            "After which time without progress of its loop a thread gives its tasks away. Also \
            the time that a rebalance may take.",
        ),
        key(
            Group,
            "group.instance.id",
            Text,
            "",
            "Makes the instance a static member: a restart \
            within the session timeout moves no task.",
        ),
        key(
            Group,
            "group.protocol",
            OneOf(&["classic", "streams"]),
            "classic",
            "`streams`: the \
            broker assigns the tasks (Kafka 4.2 and later).",
        ),
        key(
            Group,
            "client.rack",
            Text,
            "",
            "The rack or zone of this instance: records are \
            fetched from replicas nearby.",
        ),
        key(
            Group,
            "rack.aware.assignment.tags",
            List,
            "",
            "The names of client tags by which \
            standbys are spread, most important first.",
        ),
        key(
            Group,
            "rack.aware.assignment.strategy",
            OneOf(&["none", "min_traffic", "balance_subtopology"]),
            "none",
            "Whether tasks are assigned so that less is read across racks.",
        ),
        key(
            Group,
            "rack.aware.assignment.traffic_cost",
            Integer { min: 0, max: INT },
            "",
            "What reading across racks costs in the assignment.",
        ),
        key(
            Group,
            "rack.aware.assignment.non_overlap_cost",
            Integer { min: 0, max: INT },
            "",
            "What moving a task costs in the assignment.",
        ),
        key(
            Group,
            "application.server",
            Text,
            "",
            "`host:port` under which other instances \
            reach this one's stores.",
        ),
        key(
            Clients,
            "client.id",
            Text,
            "",
            "Prefix of the names of clients in the broker's logs \
            and metrics. By default the application id and the process id.",
        ),
        key(
            Clients,
            "request.timeout.ms",
            Millis { min: 1, max: INT },
            "40000",
            "How long an answer of the broker is waited for.",
        ),
        key(
            Clients,
            "retry.backoff.ms",
            Millis { min: 1, max: INT },
            "100",
            "How long to wait before a request is repeated.",
        ),
        key(
            Clients,
            "transaction.timeout.ms",
            Millis { min: 1000, max: INT },
            "10000",
            "After which time the broker aborts an open transaction. Not above the broker's \
            `transaction.max.timeout.ms`.",
        ),
        key(
            Monitoring,
            "metrics.recording.level",
            OneOf(&["info", "debug", "trace"]),
            "info",
            "Which metrics are recorded.",
        ),
        key(
            Monitoring,
            "log.summary.interval.ms",
            Millis { min: -1, max: EVER },
            "120000",
            "How often each thread logs what it did; -1 never.",
        ),
    ]
};

/// The setting of that name.
pub(super) fn known_key(name: &str) -> Option<&'static ConfigKey> {
    KNOWN_KEYS.iter().find(|key| key.name == name)
}

impl Section {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Required,
        Self::Processing,
        Self::Errors,
        Self::State,
        Self::Topics,
        Self::Group,
        Self::Clients,
        Self::Monitoring,
    ];

    /// The heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Required => "Required",
            Self::Processing => "Processing",
            Self::Errors => "Errors",
            Self::State => "State and memory",
            Self::Topics => "Internal topics",
            Self::Group => "Group and assignment",
            Self::Clients => "Clients",
            Self::Monitoring => "Monitoring",
        }
    }
}

const fn key(
    section: Section,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> ConfigKey {
    ConfigKey { name, kind, default, meaning, section }
}
