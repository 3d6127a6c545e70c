//! An engine with the inventory of what lies in it, and the upkeep of both: flushes, purges.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crate::engine::{Engine, Instance, InstanceId};
use crate::inventory::{INVENTORY_FAMILY, Incarnation, Inventory};
use crate::sync::lock;
use crate::{Segments, StateError, StoreMetadata, StoreSpec, TaskKey};

/// One database of a process.
pub(crate) struct Database {
    engine: Box<dyn Engine>,
    inventory: Mutex<Inventory>,
    upkeep: Mutex<Upkeep>,
    /// The oldest live segments, by family.
    oldest_live: Mutex<BTreeMap<String, BTreeMap<InstanceId, u64>>>,
}

/// When a family is to be flushed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlushPolicy {
    pub(crate) rows_max: u64,
    pub(crate) age_ms_max: i64,
}

/// Something to be done to a database off the threads that process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Upkept {
    /// Make a family durable.
    Flush(String),
    /// Remove the rows of an incarnation that was given up.
    Purge(InstanceId, String),
    /// Remove rows whose incarnation was forgotten in a crash.
    Sweep,
}

#[derive(Default)]
struct Upkeep {
    /// When unflushed rows were first seen, by family.
    unflushed_since_ms: BTreeMap<String, i64>,
    /// What was handed out and has not ended.
    running: BTreeSet<Upkept>,
    /// Whether rows without owner have been looked for since the database was opened.
    swept: bool,
}

impl Upkeep {
    fn of(inventory: &Inventory) -> Self {
        Self { swept: !inventory.may_have_orphans(), ..Self::default() }
    }
}

impl Database {
    pub(crate) fn new(engine: Box<dyn Engine>) -> Result<Self, StateError> {
        let inventory = Inventory::load(&*engine)?;
        let upkeep = Upkeep::of(&inventory);
        Ok(Self {
            engine,
            inventory: Mutex::new(inventory),
            upkeep: Mutex::new(upkeep),
            oldest_live: Mutex::default(),
        })
    }

    pub(crate) fn instance(&self, of: &Incarnation) -> Result<Arc<dyn Instance>, StateError> {
        self.engine.instance(&of.family, of.id)
    }

    pub(crate) fn find(&self, task: TaskKey, store: &str) -> Option<Incarnation> {
        lock(&self.inventory).find(task, store).cloned()
    }

    /// The store's incarnation, or its first one.
    pub(crate) fn find_or_allocate(
        &self,
        task: TaskKey,
        spec: &StoreSpec,
    ) -> Result<Incarnation, StateError> {
        let mut inventory = lock(&self.inventory);
        match inventory.find(task, &spec.name) {
            Some(found) => Ok(found.clone()),
            None => inventory.allocate(&*self.engine, task, spec),
        }
    }

    /// A new and empty incarnation of the store, durable when this returns. The rows of the one
    /// before are purged in the background.
    pub(crate) fn reincarnate(
        &self,
        task: TaskKey,
        spec: &StoreSpec,
    ) -> Result<Incarnation, StateError> {
        let mut inventory = lock(&self.inventory);
        let new = inventory.allocate(&*self.engine, task, spec)?;
        inventory.flush(&*self.engine)?;
        Ok(new)
    }

    /// Gives up all stores of `task`, durably.
    pub(crate) fn remove_task(&self, task: TaskKey) -> Result<(), StateError> {
        let mut inventory = lock(&self.inventory);
        inventory.remove_task(task)?;
        inventory.flush(&*self.engine)
    }

    /// The stores known, with their tasks.
    pub(crate) fn stores(&self) -> Vec<(TaskKey, String, Incarnation)> {
        let inventory = lock(&self.inventory);
        let stores = inventory.stores();
        stores.map(|(task, store, found)| (task, store.to_owned(), found.clone())).collect()
    }

    /// The metadata row of an incarnation; `None` also if it cannot be read by this version.
    pub(crate) fn metadata(&self, of: &Incarnation) -> Result<Option<StoreMetadata>, StateError> {
        let row = self.instance(of)?.metadata()?;
        Ok(row.and_then(|row| StoreMetadata::decode(&row).ok()).map(|(metadata, _)| metadata))
    }

    /// Removes the rows of a segmented store that have expired by its committed stream time, and
    /// those of its neighbours. Blocks for as long as the engine takes.
    pub(crate) fn expire(
        &self,
        family: &str,
        id: InstanceId,
        segments: Segments,
        stream_time_ms: i64,
    ) -> Result<(), StateError> {
        let new = segments.oldest_live(stream_time_ms);
        let ids = lock(&self.inventory).ids_of(family);
        let mut families = lock(&self.oldest_live);
        let known = families.entry(family.to_owned()).or_default();
        if known.get(&id).is_some_and(|old| *old >= new) {
            return Ok(());
        }
        known.insert(id, new);
        known.retain(|known, _| ids.contains(known));
        for other in ids {
            // A task that is not open holds files back as far as it had come.
            if let Entry::Vacant(unknown) = known.entry(other) {
                let row = self.engine.instance(family, other)?.metadata()?;
                let found = row.and_then(|row| StoreMetadata::decode(&row).ok());
                let stream_time_ms = found.map_or(-1, |(found, _)| found.stream_time_ms);
                unknown.insert(segments.oldest_live(stream_time_ms));
            }
        }
        self.engine.expire(family, known)
    }

    /// Makes durable what was written to `family`, and before it what says to whom the rows
    /// belong.
    pub(crate) fn flush(&self, family: &str) -> Result<(), StateError> {
        lock(&self.inventory).flush(&*self.engine)?;
        self.engine.flush(family)
    }

    /// Makes durable what was written to `family` and nothing else: what RocksDB does by itself.
    pub(crate) fn flush_alone(&self, family: &str) -> Result<(), StateError> {
        self.engine.flush(family)
    }

    /// Makes everything durable.
    pub(crate) fn flush_all(&self) -> Result<(), StateError> {
        self.engine
            .families()
            .into_iter()
            .filter(|family| self.engine.unflushed_rows(family) > 0)
            .try_for_each(|family| self.flush(&family))
    }

    /// What is to be done now; each is handed out once until [`Database::ended`].
    pub(crate) fn due(&self, policy: FlushPolicy, now_ms: i64) -> Vec<Upkept> {
        let mut upkeep = lock(&self.upkeep);
        let mut due = Vec::new();
        for family in self.engine.families() {
            let rows = self.engine.unflushed_rows(&family);
            if rows == 0 {
                upkeep.unflushed_since_ms.remove(&family);
                continue;
            }
            let since_ms = *upkeep.unflushed_since_ms.entry(family.clone()).or_insert(now_ms);
            // Without the inventory the other families are worth nothing.
            if family == INVENTORY_FAMILY
                || rows >= policy.rows_max
                || now_ms.saturating_sub(since_ms) >= policy.age_ms_max
            {
                due.push(Upkept::Flush(family));
            }
        }
        for (id, family) in lock(&self.inventory).retired() {
            due.push(Upkept::Purge(id, family.to_owned()));
        }
        if !std::mem::replace(&mut upkeep.swept, true) {
            due.push(Upkept::Sweep);
        }
        due.retain(|work| upkeep.running.insert(work.clone()));
        due
    }

    /// Does what [`Database::due`] handed out.
    pub(crate) fn run(&self, work: &Upkept) -> Result<(), StateError> {
        match work {
            Upkept::Flush(family) => {
                // Rows that come while the flush runs are younger than this one.
                lock(&self.upkeep).unflushed_since_ms.remove(family);
                self.flush(family)
            }
            Upkept::Purge(id, family) => {
                self.engine.purge(family, *id)?;
                self.flush(family)?;
                lock(&self.inventory).purged(*id)
            }
            Upkept::Sweep => self.sweep(),
        }
    }

    /// Takes note that `work` was done or given up.
    pub(crate) fn ended(&self, work: &Upkept) {
        lock(&self.upkeep).running.remove(work);
    }

    /// Forgets what was not flushed.
    pub(crate) fn crash(&self) -> Result<(), StateError> {
        let mut upkeep = lock(&self.upkeep);
        let mut inventory = lock(&self.inventory);
        self.engine.crash()?;
        *inventory = Inventory::load(&*self.engine)?;
        *upkeep = Upkeep::of(&inventory);
        lock(&self.oldest_live).clear();
        Ok(())
    }

    fn sweep(&self) -> Result<(), StateError> {
        for family in self.engine.families() {
            if family == INVENTORY_FAMILY {
                continue;
            }
            for id in self.engine.instances(&family)? {
                // Under the lock: an id without owner can get none, ids are given out once.
                let inventory = lock(&self.inventory);
                if inventory.is_allocated(id) && !inventory.live_ids().contains(&id) {
                    drop(inventory);
                    tracing::info!(%family, instance = %id, "purging state without owner");
                    self.engine.purge(&family, id)?;
                }
            }
        }
        Ok(())
    }
}
