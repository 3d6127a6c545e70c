//! The state directory: everything a process keeps, and who of it may use what.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::flush_job::FlushJob;
use super::identity::Identity;
use super::lease::TaskStorage;
use super::lock_file::DirectoryLock;
use super::persistent::{EngineKind, Persistent};
use super::text_file::{read_if_exists, write_durably};
use crate::database::{Database, FlushPolicy};
use crate::engine::MemoryEngine;
use crate::sync::lock;
use crate::{StateError, StoreMetadata, StoreSpec, TaskKey};

const TOPOLOGY_FILE: &str = "topology";

/// How a state directory is opened.
#[derive(Clone, Debug)]
pub struct StateDirectoryOptions {
    /// The directory; one application instance each. It is made if it does not exist.
    pub path: PathBuf,
    /// Where persistent stores keep their rows.
    pub engine: EngineKind,
    /// Where those of these names do instead.
    pub engine_of_store: BTreeMap<String, EngineKind>,
    /// What the engine may use for its block cache, in bytes. Write buffers come on top: up to
    /// 16 MB for each store name that is written to.
    pub memory_budget_bytes: u64,
    /// A store's family is flushed when it has this many unflushed rows. What is not flushed is
    /// replayed after a kill.
    pub flush_rows_max: u64,
    /// A store's family is flushed when its oldest unflushed row is this old, in milliseconds.
    pub flush_age_ms_max: i64,
}

impl StateDirectoryOptions {
    /// RocksDB in `path`, with 64 MB, flushing after 1 M rows or a minute.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            engine: EngineKind::RocksDb,
            engine_of_store: BTreeMap::new(),
            memory_budget_bytes: 64 << 20,
            flush_rows_max: 1_000_000,
            flush_age_ms_max: 60_000,
        }
    }
}

/// Owns the storage of a process: its lock, its ids, its databases, and the leases of its tasks.
pub struct StateDirectory {
    // Databases are closed before the lock is released.
    persistent: Persistent,
    /// Stores that do not outlive the process.
    volatile: Arc<Database>,
    flush_policy: FlushPolicy,
    leases: Mutex<Leases>,
    identity: Mutex<Identity>,
    /// The topology that wrote the stores; only of a directory without disk.
    topology: Mutex<Option<String>>,
    path: Option<PathBuf>,
    _lock: Option<DirectoryLock>,
}

#[derive(Default)]
struct Leases {
    next_token: u64,
    held: BTreeMap<TaskKey, u64>,
}

impl StateDirectory {
    /// Opens and locks the directory. Engines are opened when they are needed.
    ///
    /// # Errors
    /// [`StateError::Locked`] if another process uses the directory, [`StateError::Io`] if it
    /// cannot be made or written, [`StateError::EngineName`] if two engines have one name.
    pub fn open(options: StateDirectoryOptions) -> Result<Arc<Self>, StateError> {
        let path = &options.path;
        fs::create_dir_all(path).map_err(StateError::io("create the state directory", path))?;
        let directory_lock = DirectoryLock::acquire(path)?;
        let identity = Identity::load(path, &directory_lock)?;
        let ingest = empty_ingest_directory(path)?;
        let persistent = Persistent::new(&options, &ingest)?;
        Ok(Arc::new(Self {
            persistent,
            volatile: new_volatile()?,
            flush_policy: FlushPolicy {
                rows_max: options.flush_rows_max,
                age_ms_max: options.flush_age_ms_max,
            },
            leases: Mutex::default(),
            identity: Mutex::new(identity),
            topology: Mutex::default(),
            path: Some(options.path),
            _lock: Some(directory_lock),
        }))
    }

    /// A directory without disk, for tests. Its process id tells it from other ones of this
    /// process; where runs must be reproducible, use [`StateDirectory::in_memory_as`].
    pub fn in_memory() -> Arc<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        Self::in_memory_as(Uuid::from_u128(COUNT.fetch_add(1, Ordering::Relaxed).into()))
    }

    /// A directory without disk under a given process id, for simulations. Persistent stores
    /// survive a [`crash`](Self::crash) as far as they were flushed.
    pub fn in_memory_as(process_id: Uuid) -> Arc<Self> {
        let options = StateDirectoryOptions::new("");
        Arc::new(Self {
            persistent: Persistent::simulated_disk(),
            volatile: new_volatile().expect("an empty map can be read"),
            flush_policy: FlushPolicy {
                rows_max: options.flush_rows_max,
                age_ms_max: options.flush_age_ms_max,
            },
            leases: Mutex::default(),
            identity: Mutex::new(Identity::in_memory(process_id)),
            topology: Mutex::default(),
            path: None,
            _lock: None,
        })
    }

    /// The id of this process in its group. It stays the same for as long as the directory does.
    pub fn process_id(&self) -> Uuid {
        lock(&self.identity).process_id()
    }

    /// The group member that stream thread `thread` was, if it was one.
    pub fn member_id(&self, thread: usize) -> Option<String> {
        lock(&self.identity).member_id(thread).map(str::to_owned)
    }

    /// Keeps the member id of a thread; durable when this returns.
    ///
    /// # Errors
    /// [`StateError::Io`] if it cannot be written.
    pub fn set_member_id(&self, thread: usize, id: &str) -> Result<(), StateError> {
        lock(&self.identity).set_member_id(thread, id)
    }

    /// What [`set_topology`](Self::set_topology) was told last, here or by an earlier process.
    ///
    /// # Errors
    /// [`StateError::Io`] if it cannot be read.
    pub fn topology(&self) -> Result<Option<String>, StateError> {
        match &self.path {
            Some(path) => read_if_exists(&path.join(TOPOLOGY_FILE)),
            None => Ok(lock(&self.topology).clone()),
        }
    }

    /// Keeps a text that says which topology wrote the stores; durable when this returns.
    ///
    /// # Errors
    /// [`StateError::Io`] if it cannot be written.
    pub fn set_topology(&self, text: &str) -> Result<(), StateError> {
        match &self.path {
            Some(path) => write_durably(path, TOPOLOGY_FILE, text),
            None => {
                *lock(&self.topology) = Some(text.to_owned());
                Ok(())
            }
        }
    }

    /// Takes the state of `task`, until the [`TaskStorage`] and all that came from it is dropped.
    ///
    /// # Errors
    /// [`StateError::Leased`] while a previous owner still has it: try again.
    pub fn lease(self: &Arc<Self>, task: TaskKey) -> Result<TaskStorage, StateError> {
        let mut leases = lock(&self.leases);
        if leases.held.contains_key(&task) {
            return Err(StateError::Leased { task });
        }
        let token = leases.next_token;
        leases.next_token += 1;
        leases.held.insert(task, token);
        Ok(TaskStorage::new(Arc::clone(self), task, token))
    }

    /// The tasks that have state here, leased or not, in order; without
    /// [`TaskKey::GLOBAL`], which is none.
    pub fn tasks(&self) -> Vec<TaskKey> {
        let mut tasks = BTreeSet::new();
        for database in self.databases() {
            for (task, store, incarnation) in database.stores() {
                if !tasks.contains(&task)
                    && self.holds(&database, &store)
                    && has_rows(&database, &incarnation)
                {
                    tasks.insert(task);
                }
            }
        }
        tasks.remove(&TaskKey::GLOBAL);
        tasks.into_iter().collect()
    }

    /// The names of the stores that have state of `task`.
    pub(crate) fn stores(&self, task: TaskKey) -> Vec<String> {
        let mut names = BTreeSet::new();
        for database in self.databases() {
            for (of, store, incarnation) in database.stores() {
                if of == task && self.holds(&database, &store) && has_rows(&database, &incarnation)
                {
                    names.insert(store);
                }
            }
        }
        names.into_iter().collect()
    }

    /// What the engine has of a store, without a lease. `None` if there is nothing, or nothing
    /// that this version understands.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn store_metadata(
        &self,
        task: TaskKey,
        store: &str,
    ) -> Result<Option<StoreMetadata>, StateError> {
        for database in self.databases() {
            if self.holds(&database, store)
                && let Some(incarnation) = database.find(task, store)
                && let Some(metadata) = database.metadata(&incarnation)?
            {
                return Ok(Some(metadata));
            }
        }
        Ok(None)
    }

    /// Gives up all state of a task that is not leased; durable when this returns.
    ///
    /// # Errors
    /// [`StateError::Leased`] while the task has an owner; what the engine reports.
    pub fn remove_task(self: &Arc<Self>, task: TaskKey) -> Result<(), StateError> {
        let _lease = self.lease(task)?;
        self.databases().iter().try_for_each(|database| database.remove_task(task))
    }

    /// Flushes and removals that are due at `now_ms` (of any clock, always the same), to be run on
    /// a worker. Call it about once a second.
    pub fn flush_due(self: &Arc<Self>, now_ms: i64) -> Vec<FlushJob> {
        let mut jobs = Vec::new();
        for database in self.open_databases() {
            for work in database.due(self.flush_policy, now_ms) {
                jobs.push(FlushJob::new(self, &database, work));
            }
        }
        jobs
    }

    /// Flushes everything that was applied: the last step of a clean stop.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn flush_all(&self) -> Result<(), StateError> {
        self.open_databases().iter().try_for_each(|database| database.flush_all())
    }

    /// Flushes one store of all tasks and nothing else, as RocksDB does by itself when a write
    /// buffer is full. For simulations: after a crash each store is at one of its own flushes.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn flush_store(&self, spec: &StoreSpec) -> Result<(), StateError> {
        self.database_for(spec)?.flush_alone(&spec.family())
    }

    /// Kills the process that used this directory, for tests: what was not flushed is forgotten,
    /// leases end, and what is left of the old owners gets [`StateError::Crashed`].
    ///
    /// # Errors
    /// [`StateError::CrashUnsupported`] if the directory is not in memory.
    pub fn crash(&self) -> Result<(), StateError> {
        let persistent = self.persistent.all_in_memory().ok_or(StateError::CrashUnsupported)?;
        persistent.iter().try_for_each(|database| database.crash())?;
        self.volatile.crash()?;
        lock(&self.leases).held.clear();
        Ok(())
    }

    pub(crate) fn end_lease(&self, task: TaskKey, token: u64) {
        let mut leases = lock(&self.leases);
        if leases.held.get(&task) == Some(&token) {
            leases.held.remove(&task);
        }
    }

    /// The database for a store like `spec`.
    pub(crate) fn database_for(&self, spec: &StoreSpec) -> Result<Arc<Database>, StateError> {
        if !spec.persistent {
            return Ok(Arc::clone(&self.volatile));
        }
        self.persistent.database_of(&spec.name)
    }

    /// All databases; those on disk are opened if they exist and can be.
    fn databases(&self) -> Vec<Arc<Database>> {
        let persistent = self.persistent.existing();
        [Arc::clone(&self.volatile)].into_iter().chain(persistent).collect()
    }

    fn open_databases(&self) -> Vec<Arc<Database>> {
        let persistent = self.persistent.open();
        [Arc::clone(&self.volatile)].into_iter().chain(persistent).collect()
    }

    fn holds(&self, database: &Arc<Database>, store: &str) -> bool {
        Arc::ptr_eq(database, &self.volatile) || self.persistent.holds(database, store)
    }
}

fn has_rows(database: &Database, incarnation: &crate::inventory::Incarnation) -> bool {
    database.instance(incarnation).is_ok_and(|instance| matches!(instance.metadata(), Ok(Some(_))))
}

fn new_volatile() -> Result<Arc<Database>, StateError> {
    Ok(Arc::new(Database::new(Box::new(MemoryEngine::volatile()))?))
}

/// Files of loads that a kill interrupted: nobody else removes them.
fn empty_ingest_directory(path: &Path) -> Result<PathBuf, StateError> {
    let ingest = path.join("ingest");
    if ingest.exists() {
        fs::remove_dir_all(&ingest).map_err(StateError::io("empty", &ingest))?;
    }
    fs::create_dir(&ingest).map_err(StateError::io("create", &ingest))?;
    Ok(ingest)
}
