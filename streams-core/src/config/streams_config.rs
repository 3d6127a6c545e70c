//! What the application says.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use state_stores::EngineKind;

use super::environment::{self, Variable};
use super::error::{ConfigError, ConfigMistake};
use super::handlers::{
    ErrorHandler, EventListener, RestoreListener, RestoreProgress, State, StateListener,
    StreamsEvent, ThreadErrorHandler,
};
use super::names::{Meaning, meaning};
use super::properties;
use super::redact::shown;
use super::resolve::resolve;
use super::resolved::{Engines, OffsetReset, ResolvedConfig};
use crate::client::ClientSupplier;
use crate::error::{BoxError, StreamsError};
use crate::reaction::{ErrorContext, Reaction, ThreadReaction};
use crate::runtime::{CommitStep, CommitSteps};

/// Settings by method, or by Kafka Streams' and librdkafka's names with [`set`](Self::set). What
/// is said later goes before what was said earlier.
///
/// ```
/// use std::time::Duration;
/// use streams_core::config::StreamsConfig;
///
/// let config = StreamsConfig::new("word-count", "localhost:9092")
///     .exactly_once()
///     .threads(4)
///     .commit_interval(Duration::from_millis(50))
///     .set("compression.type", "zstd");
/// let checked = config.validate()?;
/// assert_eq!(checked.num_stream_threads, 4);
/// # Ok::<(), streams_core::config::ConfigError>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct StreamsConfig {
    pub(super) settings: Vec<Setting>,
    pub(super) given: GivenHandlers,
    pub(super) client: Option<Arc<dyn ClientSupplier>>,
    pub(super) engines: Engines,
}

/// One thing that was said.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// Where it was said.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A method, or `set`.
    Code,
    /// A file and the line in it.
    File(String),
    /// The environment variable of that name.
    Variable(String),
    /// An environment variable that is no setting; this one was meant.
    MisspeltVariable(String),
}

/// Handlers that were given; what is not follows from settings.
#[derive(Clone, Default)]
pub(super) struct GivenHandlers {
    pub(super) deserialization: Option<ErrorHandler>,
    pub(super) processing: Option<ErrorHandler>,
    pub(super) production: Option<ErrorHandler>,
    pub(super) thread: Option<ThreadErrorHandler>,
    pub(super) on_restore: Option<RestoreListener>,
    pub(super) on_event: Option<EventListener>,
    pub(super) on_state: Option<StateListener>,
    pub(super) commit_steps: CommitSteps,
}

impl StreamsConfig {
    /// An application and its brokers (`host:port,host:port`).
    pub fn new(application_id: impl Into<String>, bootstrap_servers: impl Into<String>) -> Self {
        Self::default()
            .set("application.id", application_id.into())
            .set("bootstrap.servers", bootstrap_servers.into())
    }

    /// From environment variables: `STREAMS_APPLICATION_ID`, `STREAMS_BOOTSTRAP_SERVERS`,
    /// `STREAMS_NUM_STREAM_THREADS`, and so on for every name.
    ///
    /// # Errors
    /// A variable that begins with `STREAMS_` is not UTF-8.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::default().with_env()
    }

    /// From a file as `java.util.Properties` has it, such as one of a Kafka Streams application.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn from_properties_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::default().with_properties_file(path)
    }

    /// What environment variables say goes before what was said so far.
    ///
    /// # Errors
    /// A variable that begins with `STREAMS_` is not UTF-8.
    pub fn with_env(self) -> Result<Self, ConfigError> {
        let mut vars = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with(environment::PREFIX))
            else {
                continue;
            };
            let value = value.into_string().map_err(|_| {
                one_mistake(name, "the environment variable is not UTF-8".to_owned())
            })?;
            vars.push((name.to_owned(), value));
        }
        // The environment has no order of its own; later settings win, so give it one.
        vars.sort_unstable();
        Ok(self.with_vars(vars))
    }

    /// As [`with_env`](Self::with_env), from these variables. Others than `STREAMS_..` are
    /// ignored.
    pub fn with_vars<N: AsRef<str>, V: Into<String>>(
        mut self,
        vars: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        for (variable, value) in vars {
            let (variable, value) = (variable.as_ref().to_owned(), value.into());
            let (name, origin) = match environment::setting_of(&variable) {
                Some(Variable::Setting(name)) => (name, Origin::Variable(variable)),
                Some(Variable::Misspelt(meant)) => (variable, Origin::MisspeltVariable(meant)),
                Some(Variable::Unrelated) | None => continue,
            };
            self.settings.push(Setting { name, value, origin });
        }
        self
    }

    /// What the file says goes before what was said so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn with_properties_file(mut self, path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let (path, shown) = (path.as_ref(), path.as_ref().display());
        let text = std::fs::read_to_string(path).map_err(|error| {
            one_mistake(&shown.to_string(), format!("the properties file cannot be read: {error}"))
        })?;
        for property in properties::parse(&text) {
            let origin = Origin::File(format!("{shown}, line {}", property.line));
            self.settings.push(Setting { name: property.name, value: property.value, origin });
        }
        Ok(self)
    }

    /// A setting by its name. An unknown name is an error of [`validate`](Self::validate).
    pub fn set(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        let (name, value) = (name.into(), value.to_string());
        self.settings.push(Setting { name, value, origin: Origin::Code });
        self
    }

    /// All mistakes, or the settings as the runtime reads them.
    ///
    /// # Errors
    /// Unknown names (with the nearest known one), values that do not fit, what is missing, and
    /// settings that contradict one another: all of them.
    pub fn validate(&self) -> Result<ResolvedConfig, ConfigError> {
        resolve(self)
    }

    /// Threads that process records: `num.stream.threads`.
    pub fn threads(self, threads: usize) -> Self {
        self.set("num.stream.threads", threads)
    }

    /// Input positions, state and output in one transaction: `processing.guarantee`.
    pub fn exactly_once(self) -> Self {
        self.set("processing.guarantee", "exactly_once_v2")
    }

    /// Input may be processed again after a failure: `processing.guarantee`. The default.
    pub fn at_least_once(self) -> Self {
        self.set("processing.guarantee", "at_least_once")
    }

    /// How often progress is committed: `commit.interval.ms`.
    pub fn commit_interval(self, interval: Duration) -> Self {
        self.set("commit.interval.ms", interval.as_millis())
    }

    /// Where state is kept: `state.dir`.
    pub fn state_dir(self, directory: impl Into<PathBuf>) -> Self {
        self.set("state.dir", directory.into().display())
    }

    /// Copies of each task's state on other instances: `num.standby.replicas`.
    pub fn standbys(self, replicas: usize) -> Self {
        self.set("num.standby.replicas", replicas)
    }

    /// Memory for the state of this process: `memory.budget.bytes`.
    pub fn memory_budget(self, bytes: u64) -> Self {
        self.set("memory.budget.bytes", bytes)
    }

    /// Whether tables forward one change per key and commit, in place of every update:
    /// `emit.on.commit`.
    pub fn emit_on_commit(self, on_commit: bool) -> Self {
        self.set("emit.on.commit", on_commit)
    }

    /// How long a task waits for its empty input partitions: `max.task.idle.ms`.
    pub fn max_task_idle(self, idle: Duration) -> Self {
        self.set("max.task.idle.ms", idle.as_millis())
    }

    /// How long a task may make no progress: `task.timeout.ms`.
    pub fn task_timeout(self, timeout: Duration) -> Self {
        self.set("task.timeout.ms", timeout.as_millis())
    }

    /// After which silence an instance counts as dead: `session.timeout.ms`.
    pub fn session_timeout(self, timeout: Duration) -> Self {
        self.set("session.timeout.ms", timeout.as_millis())
    }

    /// Where to begin without a committed position: `auto.offset.reset`.
    pub fn offset_reset(self, reset: OffsetReset) -> Self {
        let reset = match reset {
            OffsetReset::Earliest => "earliest".to_owned(),
            OffsetReset::Latest => "latest".to_owned(),
            OffsetReset::None => "none".to_owned(),
            OffsetReset::ByDuration(ago) => format!("by_duration:{}ms", ago.as_millis()),
        };
        self.set("auto.offset.reset", reset)
    }

    /// Of internal topics: `replication.factor`.
    pub fn replication_factor(self, replicas: i16) -> Self {
        self.set("replication.factor", replicas)
    }

    /// Prefix of the clients' names: `client.id`.
    pub fn client_id(self, id: impl Into<String>) -> Self {
        self.set("client.id", id.into())
    }

    /// Static membership: `group.instance.id`.
    pub fn group_instance_id(self, id: impl Into<String>) -> Self {
        self.set("group.instance.id", id.into())
    }

    /// All rewrites that make a topology cheaper: `topology.optimization=all`.
    pub fn optimize(self) -> Self {
        self.set("topology.optimization", "all")
    }

    /// `host:port` under which other instances reach this one's stores: `application.server`.
    pub fn application_server(self, address: impl Into<String>) -> Self {
        self.set("application.server", address.into())
    }

    /// Another client than the one for Kafka, such as the embedded cluster of `streams-test`.
    pub fn client(mut self, client: Arc<dyn ClientSupplier>) -> Self {
        self.client = Some(client);
        self
    }

    /// Where persistent stores keep their rows, in place of RocksDB: an engine of the application's
    /// own ([`StorageEngine`]), or memory. `default.dsl.store` and the stores themselves say which
    /// are persistent; those in memory are not asked. What another engine has of them is not
    /// moved: they are restored. The counterpart of `dsl.store.suppliers.class`.
    ///
    /// The driver for tests and the simulator of `streams-test` keep all state in memory, whatever
    /// is said here.
    ///
    /// [`StorageEngine`]: crate::stores::engine::StorageEngine
    pub fn engine(mut self, engine: impl Into<EngineKind>) -> Self {
        self.engines.of_all = engine.into();
        self
    }

    /// As [`engine`](Self::engine), for one store by its name: the counterpart of a store supplier
    /// given to `Materialized`. A topology without such a store does not start.
    pub fn engine_of(mut self, store: impl Into<String>, engine: impl Into<EngineKind>) -> Self {
        self.engines.of_store.insert(store.into(), engine.into());
        self
    }

    /// What to do about a record that cannot be read. By default the task fails.
    pub fn on_deserialization_error(
        mut self,
        handler: impl Fn(&ErrorContext<'_>, &BoxError) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        self.given.deserialization = Some(Arc::new(handler));
        self
    }

    /// What to do about a record on which the application's code fails. By default the task
    /// fails.
    pub fn on_processing_error(
        mut self,
        handler: impl Fn(&ErrorContext<'_>, &BoxError) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        self.given.processing = Some(Arc::new(handler));
        self
    }

    /// What to do about a record that cannot be written. By default the task fails.
    pub fn on_production_error(
        mut self,
        handler: impl Fn(&ErrorContext<'_>, &BoxError) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        self.given.production = Some(Arc::new(handler));
        self
    }

    /// A stream thread has died. By default the instance closes, and `run` returns the error.
    pub fn on_thread_error(
        mut self,
        handler: impl Fn(&StreamsError) -> ThreadReaction + Send + Sync + 'static,
    ) -> Self {
        self.given.thread = Some(Arc::new(handler));
        self
    }

    /// How restoration goes: at its beginning and end, and after each batch.
    pub fn on_restore(
        mut self,
        listener: impl Fn(&RestoreProgress) + Send + Sync + 'static,
    ) -> Self {
        self.given.on_restore = Some(Arc::new(listener));
        self
    }

    /// What the application gets over by itself: a store that is rebuilt because its local copy
    /// cannot be trusted, a task that fails again and again. Called on stream threads: it must
    /// not block.
    pub fn on_event(mut self, listener: impl Fn(&StreamsEvent) + Send + Sync + 'static) -> Self {
        self.given.on_event = Some(Arc::new(listener));
        self
    }

    /// Each change of the application's state: the old one, then the new one.
    pub fn on_state_change(
        mut self,
        listener: impl Fn(State, State) + Send + Sync + 'static,
    ) -> Self {
        self.given.on_state = Some(Arc::new(listener));
        self
    }

    /// Each step of each commit, for tests that let the process die between two of them.
    #[doc(hidden)]
    pub fn on_commit_step(mut self, listener: impl Fn(CommitStep) + Send + Sync + 'static) -> Self {
        self.given.commit_steps = CommitSteps::told_to(listener);
        self
    }
}

impl Origin {
    /// As it stands behind the setting's name; empty for code.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Code | Self::MisspeltVariable(_) => String::new(),
            Self::File(place) => place.clone(),
            Self::Variable(name) => format!("environment variable {name}"),
        }
    }
}

/// The settings, without secrets.
impl fmt::Debug for StreamsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A misspelt name may hide a secret.
        let settings = self.settings.iter().map(|setting| match meaning(&setting.name) {
            Meaning::Unknown(_) => (&setting.name, "[hidden]"),
            _ => (&setting.name, shown(&setting.name, &setting.value)),
        });
        f.debug_map().entries(settings).finish()
    }
}

fn one_mistake(key: &str, message: String) -> ConfigError {
    let (key, origin) = (key.to_owned(), String::new());
    ConfigError::new(vec![ConfigMistake { key, origin, message }])
}
