//! Global stores: an instance has one of each, which one part writes and the tasks of all threads
//! read.
//!
//! A task reads what is in the engine, and caches it as it does its own rows. The writer tells
//! which keys it wrote; a task forgets these before it goes on, and looks at one atomic number to
//! see whether there are any. So a lookup costs what one in a task's own store does, without a
//! lock, and a change is seen with the next batch of records.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use state_stores::LayeredStore;

use super::store::StoreInstance;
use crate::serdes::Bytes;

/// Changed keys that are kept for readers; who is further behind forgets everything.
const KEPT_KEYS_MAX: usize = 10_000;

/// The global stores of one instance, by name. A clone is the same.
#[derive(Clone, Default)]
pub struct GlobalStores(Arc<Mutex<BTreeMap<Arc<str>, Published>>>);

struct Published {
    /// Only to make others of.
    reader: LayeredStore,
    changes: Arc<Changes>,
}

/// The writer's end of a global store.
pub struct GlobalStoreWriter {
    changes: Arc<Changes>,
}

/// A task's end of a global store.
pub(crate) struct GlobalStoreReader {
    changes: Arc<Changes>,
    seen: u64,
}

#[derive(Default)]
struct Changes {
    version: AtomicU64,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    /// The keys that each version wrote, oldest first; the last one is that of the version now.
    versions: VecDeque<Vec<Bytes>>,
    keys: usize,
}

impl GlobalStores {
    /// Lets tasks read a store that is complete.
    pub fn publish(&self, name: &Arc<str>, store: &LayeredStore) -> GlobalStoreWriter {
        let changes = Arc::<Changes>::default();
        let published = Published { reader: store.reader(), changes: changes.clone() };
        self.lock().insert(name.clone(), published);
        GlobalStoreWriter { changes }
    }

    /// Lets no further tasks read: the stores are closed when the last task has ended.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// What a task reads a store through; `None` if it was not published.
    pub(crate) fn reader(&self, name: &str) -> Option<(LayeredStore, GlobalStoreReader)> {
        let stores = self.lock();
        let published = stores.get(name)?;
        let changes = published.changes.clone();
        let seen = changes.version.load(Ordering::Acquire);
        Some((published.reader.reader(), GlobalStoreReader { changes, seen }))
    }

    // No foreign code runs under this lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Published>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GlobalStoreWriter {
    /// These keys are in the engine with other values than before.
    pub fn changed(&self, keys: Vec<Bytes>) {
        if keys.is_empty() {
            return;
        }
        let mut recent = self.changes.lock();
        recent.keys += keys.len();
        recent.versions.push_back(keys);
        while recent.keys > KEPT_KEYS_MAX
            && let Some(oldest) = recent.versions.pop_front()
        {
            recent.keys -= oldest.len();
        }
        self.changes.version.fetch_add(1, Ordering::Release);
    }
}

impl GlobalStoreReader {
    /// Makes `instance` forget what was changed since this was last asked.
    #[inline]
    pub(crate) fn refresh(&mut self, instance: &mut dyn StoreInstance) {
        if self.changes.version.load(Ordering::Acquire) != self.seen {
            self.forget(instance);
        }
    }

    #[cold]
    fn forget(&mut self, instance: &mut dyn StoreInstance) {
        let recent = self.changes.lock();
        let version = self.changes.version.load(Ordering::Acquire);
        let missed = usize::try_from(version - self.seen).unwrap_or(usize::MAX);
        self.seen = version;
        match recent.versions.len().checked_sub(missed) {
            Some(seen) => {
                let missed = recent.versions.iter().skip(seen);
                missed.flatten().for_each(|key| instance.forget(key));
            }
            None => instance.evict(0),
        }
    }
}

impl Changes {
    // No foreign code runs under this lock but a cache's own.
    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
