//! How the parts of one running application are put together, without a driver.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use state_stores::{StateDirectory, StateDirectoryOptions, StateError, TaskKey};

use super::engines::check_engines;
use super::global_part::GlobalPart;
use super::mailbox::Postbox;
use super::restorer::Restorer;
use super::state::StateCell;
use super::store_worker::{StoreWorker, WorkerRequest};
use super::stream_thread::{RestorePostboxes, StreamThread, ThreadParts};
use super::transactions::ProducerSupply;
use super::troubled_tasks::TroubledTasks;
use crate::client::{
    ClientError, ClientSupplier, FetchRole, FetcherOptions, ProducerOptions, WakeRef,
};
use crate::config::{ResolvedConfig, State, StreamsEvent};
use crate::error::StreamsError;
use crate::membership::{Member, MemberError, MemberErrorKind, MembershipConfig, TaskState};
use crate::stores::GlobalStores;
use crate::task_id::TaskId;
use crate::time::ClockRef;
use crate::topology::{Fingerprint, InternalTopicSettings, Topology};

/// The share of the memory budget that dirty rows of all threads may take before they are
/// committed early; the rest is for clean rows and the engine's block cache.
const DIRTY_SHARE: u64 = 4;
/// The share of the memory budget for cached rows.
const CACHE_SHARE: u64 = 2;

/// What all parts of an application share.
pub struct InstanceShared {
    pub(crate) config: ResolvedConfig,
    pub(crate) topology: Topology,
    pub(crate) clock: ClockRef,
    /// Closed when every part has ended: then another instance may open it.
    directory: Mutex<Option<Arc<StateDirectory>>>,
    pub(crate) states: StateCell,
    pub(crate) globals: GlobalStores,
    /// Of each thread: over it, a commit is due.
    pub(crate) dirty_bytes_max: usize,
    /// Of each thread, dirty or not: over it, clean rows are evicted.
    pub(crate) cache_bytes_max: usize,
    pub(crate) apply_policy: ApplyPolicy,
    pub(crate) troubled: TroubledTasks,
}

/// When a committed layer is written into the engine.
#[derive(Clone, Copy, Debug)]
pub struct ApplyPolicy {
    /// A layer this large is applied at once.
    pub(crate) bytes_max: usize,
    /// A layer this old is applied: with the engine's own flush, it bounds what a crash replays.
    pub(crate) age_max: Duration,
}

/// The parts of one application: a driver takes them apart and steps each.
pub struct Instance {
    /// What they share.
    pub shared: Arc<InstanceShared>,
    /// The stream threads.
    pub threads: Vec<StreamThread>,
    /// Their memberships, in the same order.
    pub members: Vec<Member>,
    /// Reads changelogs.
    pub restorer: Restorer,
    /// Writes layers.
    pub worker: StoreWorker,
    /// Feeds the global stores, if there are any.
    pub global: Option<GlobalPart>,
}

/// Who is woken when a part has something to do.
pub struct InstanceWakes {
    /// Of each stream thread.
    pub threads: Vec<WakeRef>,
    /// Of the member of each stream thread; several may be one.
    pub members: Vec<WakeRef>,
    /// Of the restorer.
    pub restorer: WakeRef,
    /// Of the store worker.
    pub worker: WakeRef,
    /// Of what feeds the global stores.
    pub global: WakeRef,
}

impl InstanceShared {
    /// Opens the state directory and shares out the budget.
    ///
    /// # Errors
    /// [`StreamsError::State`] if the directory cannot be used.
    pub fn new(
        topology: Topology,
        config: ResolvedConfig,
        clock: ClockRef,
        directory: Option<Arc<StateDirectory>>,
    ) -> Result<Arc<Self>, StreamsError> {
        let directory = match directory {
            Some(directory) => directory,
            None => open_directory(&topology, &config)?,
        };
        check_names(&topology, &config, &directory)?;
        let threads = config.num_stream_threads.max(1);
        let share = |of: u64| {
            usize::try_from(config.memory_budget_bytes / of).unwrap_or(usize::MAX) / threads
        };
        let waits = topology.global_subtopologies().next().is_some();
        let states = StateCell::new(
            thread_count(&topology, &config),
            waits,
            config.handlers.on_state.clone(),
        );
        Ok(Arc::new(Self {
            dirty_bytes_max: share(DIRTY_SHARE),
            cache_bytes_max: share(CACHE_SHARE),
            apply_policy: ApplyPolicy {
                bytes_max: share(DIRTY_SHARE * 2).max(1 << 20),
                age_max: config.state_flush_interval,
            },
            config,
            topology,
            clock,
            directory: Mutex::new(Some(directory)),
            states,
            globals: GlobalStores::default(),
            troubled: TroubledTasks::default(),
        }))
    }

    /// The application's state.
    pub fn state(&self) -> State {
        self.states.get()
    }

    /// Lets go of the global stores, for whoever looks at the state directory after all parts have
    /// ended.
    pub fn release_globals(&self) {
        self.globals.clear();
    }

    /// Tells the listener, if there is one.
    pub(crate) fn tell(&self, event: &StreamsEvent) {
        if let Some(listener) = &self.config.handlers.on_event {
            listener(event);
        }
    }

    /// Says that what is on disk of a store is not used.
    pub(crate) fn tell_rebuilt(&self, task: TaskId, store: &str, reason: &str) {
        tracing::warn!(%task, store, reason, "this store alone is rebuilt from its topic");
        let (store, reason) = (store.to_owned(), reason.to_owned());
        self.tell(&StreamsEvent::StoreRebuilt { task, store, reason });
    }

    /// The state directory, while any part lives.
    pub(crate) fn directory(&self) -> Arc<StateDirectory> {
        let directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        directory.clone().expect("the state directory is open as long as a part lives")
    }

    /// How many stream threads there are: none if there are only global stores.
    pub fn thread_count(&self) -> usize {
        thread_count(&self.topology, &self.config)
    }

    /// Closes the state directory: the last thing that happens.
    pub(crate) fn close_directory(&self) {
        self.globals.clear();
        let directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(directory) = directory else { return };
        if let Err(error) = directory.flush_all() {
            tracing::error!(%error, "cannot flush the stores; the next start replays more");
        }
    }

    /// The tasks that have state here, each with the sum of its stores' changelog offsets: whoever
    /// assigns prefers where the least is to be restored.
    pub(crate) fn tasks_on_disk(&self) -> Vec<TaskState> {
        let directory = self.directory();
        let state_of = |key: TaskKey| {
            let stores = self.topology.stores(key.subtopology);
            let offsets = stores.iter().filter_map(|store| {
                directory.store_metadata(key, store.name()).ok().flatten().map(|m| m.next_offset)
            });
            let task = TaskId::new(key.subtopology, key.partition);
            TaskState { task, offset_sum: offsets.sum() }
        };
        directory.tasks().into_iter().map(state_of).collect()
    }

    /// All topics that tasks read, as the broker knows them.
    pub(crate) fn source_topics(&self) -> Vec<Arc<str>> {
        let topics = |number| self.topology.source_topics(number, &self.config.application_id);
        self.topology.subtopologies().flat_map(topics).collect()
    }

    /// `<client id>-StreamThread-<n>`, from 1.
    pub fn thread_name(&self, index: usize) -> String {
        format!("{}-StreamThread-{}", self.config.client_id, index + 1)
    }

    /// `<application id>-<process id>-<n>`, from 1; `None` under at-least-once. The same after a
    /// restart, so that what a killed process has left open is ended at once.
    fn transactional_id(&self, index: usize) -> Option<String> {
        let process = self.directory().process_id();
        let exactly_once = self.config.exactly_once();
        exactly_once.then(|| format!("{}-{process}-{}", self.config.application_id, index + 1))
    }

    pub(crate) fn member_error(&self, error: MemberError) -> StreamsError {
        let MemberError { kind, message } = error;
        match kind {
            MemberErrorKind::PartitionCounts => StreamsError::Partitions { message },
            MemberErrorKind::Shutdown => StreamsError::ShutdownRequested,
            MemberErrorKind::Authentication => {
                StreamsError::Authentication(ClientError::retriable(message))
            }
            MemberErrorKind::Authorization => {
                StreamsError::Authorization(ClientError::retriable(message))
            }
            MemberErrorKind::MissingSourceTopics
            | MemberErrorKind::InternalTopics
            | MemberErrorKind::Configuration => StreamsError::Topology(message.into()),
            _ => StreamsError::fatal(message),
        }
    }
}

impl Instance {
    /// Makes the clients and the parts.
    ///
    /// # Errors
    /// What the clients say of the configuration.
    pub fn new(
        shared: Arc<InstanceShared>,
        clients: &Arc<dyn ClientSupplier>,
        wakes: &InstanceWakes,
    ) -> Result<Self, StreamsError> {
        let restorer = Restorer::new(
            fetcher(&shared, &**clients, FetchRole::Restore, &wakes.restorer)?,
            &wakes.restorer,
            shared.clock.clone(),
            shared.config.handlers.on_restore.clone(),
        );
        let directory = shared.directory();
        let steps = shared.config.handlers.commit_steps.clone();
        let worker = StoreWorker::new(&wakes.worker, shared.clock.clone(), steps, move |now_ms| {
            directory.flush_due(now_ms)
        });
        let mut threads = Vec::new();
        let mut members = Vec::new();
        for (index, (wake, member_wake)) in wakes.threads.iter().zip(&wakes.members).enumerate() {
            let restores = RestorePostboxes { jobs: restorer.jobs(), cancels: restorer.cancels() };
            let (thread, member) = stream_thread(
                &shared,
                clients,
                index,
                (wake, member_wake),
                (restores, worker.requests()),
            )?;
            threads.push(thread);
            members.push(member);
        }
        let global = global_part(&shared, &**clients, &wakes.global)?;
        Ok(Self { shared, threads, members, restorer, worker, global })
    }
}

/// One stream thread with its membership.
pub fn stream_thread(
    shared: &Arc<InstanceShared>,
    clients: &Arc<dyn ClientSupplier>,
    index: usize,
    (wake, member_wake): (&WakeRef, &WakeRef),
    (restores, worker): (RestorePostboxes, Postbox<WorkerRequest>),
) -> Result<(StreamThread, Member), StreamsError> {
    let error = |doing: &'static str| {
        let servers = shared.config.bootstrap_servers.clone();
        move |error| StreamsError::from_client(error, doing, &servers)
    };
    let group = &shared.config.application_id;
    let transport = clients.group_transport(group, member_wake.clone());
    let transport = transport.map_err(error("reach the group"))?;
    let member_admin = clients.admin(member_wake.clone()).map_err(error("make a client"))?;
    let (member, handle) = Member::new(
        membership_config(shared, index),
        transport,
        member_admin,
        member_wake.clone(),
        wake.clone(),
    );
    let producers = ProducerSupply {
        clients: clients.clone(),
        options: ProducerOptions {
            transactional_id: shared.transactional_id(index),
            delivery_timeout: shared.config.delivery_timeout(),
        },
        wake: wake.clone(),
    };
    let thread = StreamThread::new(ThreadParts {
        index,
        shared: shared.clone(),
        member: handle,
        fetcher: fetcher(shared, &**clients, FetchRole::Main, wake)?,
        admin: clients.admin(wake.clone()).map_err(error("make a client"))?,
        collector: producers.collector().map_err(error("make a producer"))?,
        producers,
        restores,
        worker,
        wake: wake.clone(),
    });
    Ok((thread, member))
}

fn global_part(
    shared: &Arc<InstanceShared>,
    clients: &dyn ClientSupplier,
    wake: &WakeRef,
) -> Result<Option<GlobalPart>, StreamsError> {
    if shared.topology.global_subtopologies().next().is_none() {
        return Ok(None);
    }
    let fetcher = fetcher(shared, clients, FetchRole::Global, wake)?;
    let admin = clients.admin(wake.clone()).map_err(|error| {
        StreamsError::from_client(error, "make a client", &shared.config.bootstrap_servers)
    })?;
    Ok(Some(GlobalPart::new(shared.clone(), fetcher, admin, wake)))
}

fn thread_count(topology: &Topology, config: &ResolvedConfig) -> usize {
    match topology.subtopologies().next() {
        Some(_) => config.num_stream_threads,
        None => 0,
    }
}

fn fetcher(
    shared: &InstanceShared,
    clients: &dyn ClientSupplier,
    role: FetchRole,
    wake: &WakeRef,
) -> Result<Box<dyn crate::client::Fetcher>, StreamsError> {
    let name = match role {
        FetchRole::Main => "consumer",
        FetchRole::Restore => "restore-consumer",
        FetchRole::Global => "global-consumer",
    };
    let options = FetcherOptions {
        client_id: format!("{}-{name}", shared.config.client_id),
        role,
        isolation: shared.config.isolation(),
        buffer_bytes_per_partition: 1 << 20,
    };
    clients.fetcher(options, wake.clone()).map_err(|error| {
        StreamsError::from_client(error, "make a consumer", &shared.config.bootstrap_servers)
    })
}

fn membership_config(shared: &InstanceShared, index: usize) -> MembershipConfig {
    let config = &shared.config;
    let settings = InternalTopicSettings {
        configs: config.topic_configs.clone(),
        replication_factor: config.replication_factor,
        windowed_additional_retention: config.windowstore_changelog_additional_retention,
    };
    let topology = shared.topology.group_topology(&config.application_id, &settings);
    let mut membership = MembershipConfig::new(
        config.application_id.clone(),
        shared.directory().process_id(),
        Arc::new(topology),
    );
    membership.member_id = shared.directory().member_id(index).map(Arc::from);
    membership.on_disk = shared.tasks_on_disk();
    membership.topic_refresh_interval = config.metadata_max_age();
    membership.instance_id =
        config.group_instance_id.as_ref().map(|id| format!("{id}-{}", index + 1));
    membership.session_timeout = config.session_timeout;
    membership.heartbeat_interval = config.heartbeat_interval;
    membership.max_poll_interval = config.max_poll_interval;
    membership.standby_replicas = config.num_standby_replicas;
    membership.user_endpoint = config.application_server.as_ref().map(ToString::to_string);
    membership
}

/// State lies under names: if generated ones moved, it would be another's.
fn check_names(
    topology: &Topology,
    config: &ResolvedConfig,
    directory: &StateDirectory,
) -> Result<(), StreamsError> {
    let path = || config.state_dir.join(&*config.application_id);
    let error =
        |source: StateError| StreamsError::State { directory: path(), source: source.into() };
    let kept = directory.topology().map_err(error)?;
    let now = topology.fingerprint();
    let before = kept.as_deref().and_then(Fingerprint::parse);
    let moved = before.as_ref().map(|before| now.moved_since(before)).unwrap_or_default();
    if !moved.is_empty() {
        let moved = moved.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if !config.accept_changed_topology {
            return Err(StreamsError::MovedNames { directory: path(), moved });
        }
        tracing::warn!(%moved, "generated names have moved; state under the old ones is left behind");
    }
    if before.as_ref() != Some(&now) {
        directory.set_topology(&now.to_string()).map_err(error)?;
    }
    Ok(())
}

fn open_directory(
    topology: &Topology,
    config: &ResolvedConfig,
) -> Result<Arc<StateDirectory>, StreamsError> {
    check_engines(topology, config)?;
    if !topology.all_stores().any(|store| store.spec().persistent) {
        return Ok(StateDirectory::in_memory());
    }
    let path = config.state_dir.join(&*config.application_id);
    let mut options = StateDirectoryOptions::new(&path);
    options.engine = config.engines.of_all.clone();
    options.engine_of_store = config.engines.of_store.clone();
    options.memory_budget_bytes = config.memory_budget_bytes / 4;
    options.flush_age_ms_max =
        i64::try_from(config.state_flush_interval.as_millis()).unwrap_or(i64::MAX);
    StateDirectory::open(options)
        .map_err(|source| StreamsError::State { directory: path, source: source.into() })
}
