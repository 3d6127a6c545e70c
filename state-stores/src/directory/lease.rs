//! Who may use the state of a task: one owner at a time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::sync::lock;
use crate::{LayeredStore, StateDirectory, StateError, StoreSpec, TaskKey};

/// The state of one task, leased. The lease ends when this, all stores opened by it and all their
/// jobs are dropped: only then can nothing of the old owner reach the engine any more.
pub struct TaskStorage {
    lease: Arc<Lease>,
}

impl TaskStorage {
    pub(crate) fn new(directory: Arc<StateDirectory>, task: TaskKey, token: u64) -> Self {
        let open_stores = Mutex::default();
        Self { lease: Arc::new(Lease { directory, task, token, open_stores }) }
    }

    /// The task.
    pub fn task(&self) -> TaskKey {
        self.lease.task
    }

    /// Opens a store, which is made if it does not exist.
    ///
    /// # Errors
    /// [`StateError::Incompatible`] if what is there was written by another version or by a store
    /// of another type; [`StateError::StoreOpen`] if it is open; what the engine reports.
    pub fn open_store(&self, spec: &StoreSpec) -> Result<LayeredStore, StateError> {
        let guard = self.guard(spec)?;
        let database = self.lease.directory.database_for(spec)?;
        LayeredStore::open(guard, database)
    }

    /// Empties a store that is not open, whatever it contains. Durable when this returns.
    ///
    /// # Errors
    /// [`StateError::StoreOpen`] if it is open; what the engine reports.
    pub fn wipe_store(&self, spec: &StoreSpec) -> Result<(), StateError> {
        let guard = self.guard(spec)?;
        self.lease.directory.database_for(spec)?.reincarnate(guard.task(), spec)?;
        Ok(())
    }

    /// The names of the stores that have state here.
    pub fn stores(&self) -> Vec<String> {
        self.lease.directory.stores(self.lease.task)
    }

    /// Ends the lease, as dropping does.
    pub fn release(self) {}

    fn guard(&self, spec: &StoreSpec) -> Result<Arc<StoreGuard>, StateError> {
        spec.validate()?;
        if !lock(&self.lease.open_stores).insert(spec.name.clone()) {
            let store = spec.name.clone();
            return Err(StateError::StoreOpen { task: self.lease.task, store });
        }
        Ok(Arc::new(StoreGuard { spec: spec.clone(), lease: Arc::clone(&self.lease) }))
    }
}

struct Lease {
    directory: Arc<StateDirectory>,
    task: TaskKey,
    /// Tells this lease from later ones of the same task, after a crash.
    token: u64,
    open_stores: Mutex<BTreeSet<String>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.directory.end_lease(self.task, self.token);
    }
}

/// Held by a store and by its jobs: the store can be opened again when all of them are gone.
pub(crate) struct StoreGuard {
    pub(crate) spec: StoreSpec,
    lease: Arc<Lease>,
}

impl StoreGuard {
    pub(crate) fn task(&self) -> TaskKey {
        self.lease.task
    }
}

impl Drop for StoreGuard {
    fn drop(&mut self) {
        lock(&self.lease.open_stores).remove(&self.spec.name);
    }
}
