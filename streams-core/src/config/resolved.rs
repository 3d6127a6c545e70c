//! A configuration that was checked, as the runtime reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use state_stores::EngineKind;

use super::client_settings::ClientSettings;
use super::handlers::Handlers;
use super::names::ClientScope;
use crate::client::{ClientSupplier, Isolation};
pub use crate::topology::OffsetReset;

/// A configuration that was checked. The names are those of `docs/configuration.md`; durations
/// and sizes have types.
#[derive(Clone)]
#[non_exhaustive]
pub struct ResolvedConfig {
    /// Also the group's id.
    pub application_id: Arc<str>,
    /// `host:port,host:port`.
    pub bootstrap_servers: Arc<str>,
    /// Empty if it was not given.
    pub client_id: String,

    /// At least one.
    pub num_stream_threads: usize,
    /// What a commit covers.
    pub processing_guarantee: ProcessingGuarantee,
    /// Between commits.
    pub commit_interval: Duration,
    /// How long an idle thread waits.
    pub poll: Duration,
    /// Per partition and task.
    pub buffered_records_per_partition: usize,
    /// Taken from a partition at once.
    pub max_poll_records: usize,
    /// `None`: never wait for empty partitions.
    pub max_task_idle: Option<Duration>,
    /// `None`: records may lie in the future as far as they want.
    pub max_future_skew: Option<Duration>,
    /// Without progress.
    pub task_timeout: Duration,
    /// Without a committed position.
    pub auto_offset_reset: OffsetReset,
    /// For the builder of the DSL.
    pub topology_optimization: TopologyOptimization,
    /// Counted names are refused.
    pub ensure_explicit_internal_resource_naming: bool,
    /// State under names that moved is left behind.
    pub accept_changed_topology: bool,
    /// Global processors have the processing handler too.
    pub processing_exception_handler_global_enabled: bool,

    /// Without the application's id.
    pub state_dir: PathBuf,
    /// Whether `state_dir` is the default: worth a warning if there is state on disk.
    pub state_dir_is_temporary: bool,
    /// Of this process.
    pub memory_budget_bytes: u64,
    /// Whether tables forward one change per key and commit.
    pub emit_on_commit: bool,
    /// `__emit.interval.ms.kstreams.windowed.aggregation__`.
    pub windowed_emit_interval: Duration,
    /// `__emit.interval.ms.kstreams.outer.join.spurious.results.fix__`.
    pub outer_join_emit_interval: Duration,
    /// For stores that do not say it themselves.
    pub default_dsl_store: DslStore,
    /// Where persistent stores keep their rows.
    pub engines: Engines,
    /// Committed state that is only in memory, at most.
    pub state_flush_interval: Duration,
    /// Until the state of a task that went elsewhere is removed.
    pub state_cleanup_delay: Duration,
    /// `None`: old state is kept at start.
    pub state_cleanup_dir_max_age: Option<Duration>,
    /// Permissions of the state directory.
    pub allow_os_group_write_access: bool,
    /// Beyond the store's.
    pub windowstore_changelog_additional_retention: Duration,

    /// Of internal topics; -1 is the broker's default.
    pub replication_factor: i16,
    /// Of repartition topics.
    pub repartition_purge_interval: Duration,
    /// Of internal topics, by the broker's names (`topic.` prefix).
    pub topic_configs: BTreeMap<String, String>,

    /// Per task.
    pub num_standby_replicas: usize,
    /// At a time.
    pub max_warmup_replicas: usize,
    /// In records.
    pub acceptable_recovery_lag: i64,
    /// While warm-ups run.
    pub probing_rebalance_interval: Duration,
    /// After which silence a member is dead.
    pub session_timeout: Duration,
    /// Well below the session timeout.
    pub heartbeat_interval: Duration,
    /// Without progress of a thread; also the rebalance timeout.
    pub max_poll_interval: Duration,
    /// Static membership.
    pub group_instance_id: Option<String>,
    /// Who assigns.
    pub group_protocol: GroupProtocol,
    /// Of this instance.
    pub client_rack: Option<String>,
    /// `client.tag.` settings.
    pub client_tags: BTreeMap<String, String>,
    /// Names of client tags, most important first.
    pub rack_aware_assignment_tags: Vec<String>,
    /// Of active tasks.
    pub rack_aware_assignment_strategy: RackAwareStrategy,
    /// `None`: the strategy's default.
    pub rack_aware_assignment_traffic_cost: Option<u32>,
    /// `None`: the strategy's default.
    pub rack_aware_assignment_non_overlap_cost: Option<u32>,
    /// Where others reach this instance's stores.
    pub application_server: Option<HostInfo>,

    /// Of one request to the broker.
    pub request_timeout: Duration,
    /// Between attempts.
    pub retry_backoff: Duration,
    /// Of a transaction that is left open.
    pub transaction_timeout: Duration,
    /// Settings by librdkafka's names.
    pub client_settings: ClientSettings,

    /// Which metrics are recorded.
    pub metrics_recording_level: RecordingLevel,
    /// `None`: no summaries.
    pub log_summary_interval: Option<Duration>,

    /// What the application is asked and told.
    pub handlers: Handlers,
    /// Another client than librdkafka and our own connections.
    pub client: Option<Arc<dyn ClientSupplier>>,
    /// For the log, at start.
    pub warnings: Vec<String>,
}

impl ResolvedConfig {
    /// Whether input positions, state and output are one transaction.
    pub fn exactly_once(&self) -> bool {
        self.processing_guarantee == ProcessingGuarantee::ExactlyOnceV2
    }

    /// Under at-least-once: within what time a record is written, or not at all. With heartbeats
    /// answered as they should be, that is always within what is proven of the session, and as much
    /// is left for heartbeats that are answered late.
    pub fn delivery_timeout(&self) -> Option<Duration> {
        let spare = self.session_timeout.saturating_sub(self.heartbeat_interval);
        (!self.exactly_once()).then_some(spare / 2)
    }

    /// What consumers see.
    pub fn isolation(&self) -> Isolation {
        if self.exactly_once() { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
    }

    /// What librdkafka is given: settings for all clients, and those for some behind the prefix
    /// that says which.
    pub fn librdkafka_settings(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut settings = vec![pair("bootstrap.servers", &self.bootstrap_servers)];
        settings.extend(self.client_settings.common());
        use ClientScope::{Consumer, GlobalConsumer, MainConsumer, Producer, RestoreConsumer};
        for scope in [Consumer, MainConsumer, RestoreConsumer, GlobalConsumer, Producer] {
            let own = self.client_settings.only(scope);
            settings
                .extend(own.map(|(name, value)| pair(&format!("{}{name}", scope.prefix()), value)));
        }
        if self.exactly_once() {
            let timeout = self.transaction_timeout.as_millis().to_string();
            settings.push(pair("producer.transaction.timeout.ms", &timeout));
        }
        settings
    }

    /// What our own connections are given: for groups, topics and offsets.
    pub fn connection_settings(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let millis = |duration: Duration| duration.as_millis().to_string();
        let mut settings = self.client_settings.of(ClientScope::Admin);
        settings.extend([
            pair("bootstrap.servers", &self.bootstrap_servers),
            pair("request.timeout.ms", &millis(self.request_timeout)),
            pair("retry.backoff.ms", &millis(self.retry_backoff)),
        ]);
        settings
    }

    /// How often it is looked whether topics have changed: `metadata.max.age.ms`.
    pub fn metadata_max_age(&self) -> Duration {
        let settings = self.client_settings.of(ClientScope::Admin);
        let given = settings.iter().find(|(name, _)| name == "metadata.max.age.ms");
        // What is no number, librdkafka refuses.
        let millis = given.and_then(|(_, value)| value.parse().ok());
        Duration::from_millis(millis.unwrap_or(300_000))
    }

    /// How long a rebalance waits for a member.
    pub fn rebalance_timeout(&self) -> Duration {
        self.max_poll_interval
    }
}

/// Without secrets, handlers and the client.
impl fmt::Debug for ResolvedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedConfig")
            .field("application_id", &self.application_id)
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("num_stream_threads", &self.num_stream_threads)
            .field("processing_guarantee", &self.processing_guarantee)
            .field("commit_interval", &self.commit_interval)
            .field("state_dir", &self.state_dir)
            .field("memory_budget_bytes", &self.memory_budget_bytes)
            .field("group_protocol", &self.group_protocol)
            .field("client_settings", &self.client_settings)
            .finish_non_exhaustive()
    }
}

/// What a commit covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessingGuarantee {
    /// Input may be processed again after a failure.
    #[default]
    AtLeastOnce,
    /// Input positions, state and output are one transaction.
    ExactlyOnceV2,
}

/// Which rewrites the DSL's builder may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopologyOptimization {
    /// A table's source topic serves as its changelog.
    pub reuse_ktable_source_topics: bool,
    /// Repartition topics of one stream become one.
    pub merge_repartition_topics: bool,
    /// A stream joined with itself has one store.
    pub single_store_self_join: bool,
}

/// Where stores lie that do not say it themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DslStore {
    /// On disk.
    #[default]
    RocksDb,
    /// In memory.
    InMemory,
}

/// Which engines keep the rows of persistent stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engines {
    /// Of stores of which nothing else is said.
    pub of_all: EngineKind,
    /// Of stores by name.
    pub of_store: BTreeMap<String, EngineKind>,
}

/// Who assigns tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// A member of the group.
    #[default]
    Classic,
    /// The broker (KIP-1071).
    Streams,
}

/// Whether tasks are assigned so that less is read across racks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RackAwareStrategy {
    /// Racks do not matter.
    #[default]
    None,
    /// As little as possible is read across racks.
    MinTraffic,
    /// The same, with the tasks of each sub-topology spread.
    BalanceSubtopology,
}

/// Which metrics are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordingLevel {
    /// Those that cost nothing.
    #[default]
    Info,
    /// Those of tasks, nodes and stores too.
    Debug,
    /// All.
    Trace,
}

/// Where an instance is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostInfo {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for HostInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
