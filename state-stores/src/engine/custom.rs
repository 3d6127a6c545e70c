//! An engine of the application under the families and instances of the library.
//!
//! All instances lie in its one map, as in a keyed family of RocksDB: `instance id | 1 | key`, and
//! `instance id | 0` for the metadata row. Ids are unique among all families, so the map needs no
//! names of families; it is flushed as a whole.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::key::{self, Layout};
use super::storage::{Batch, EngineError, EngineSupplier, StorageEngine};
use super::{Engine, Instance, InstanceId, SortedWrite};
use crate::inventory::INVENTORY_FAMILY;
use crate::sync::lock;
use crate::{Bytes, Direction, KeyRange, StateError};

/// Stands for all families but the inventory's.
const ROWS_FAMILY: &str = "rows";

/// Opens the application's engine in `path`, which is made if it does not exist.
pub(crate) fn custom_open(
    supplier: &EngineSupplier,
    path: &Path,
) -> Result<Box<dyn Engine>, StateError> {
    std::fs::create_dir_all(path).map_err(StateError::io("create the directory", path))?;
    let storage = supplier.open(path).map_err(|error| StateError::Engine {
        action: "open",
        place: format!("{} in {}", supplier.name(), path.display()),
        message: format!("{error}; if it cannot be mended, remove that directory: all is restored"),
    })?;
    Ok(Box::new(CustomEngine { shared: Arc::new(Shared::new(supplier.name(), storage)) }))
}

struct CustomEngine {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    storage: Box<dyn StorageEngine>,
    /// Rows written since the last flush, of the inventory and of others.
    unflushed_inventory: AtomicU64,
    unflushed_rows: AtomicU64,
    /// Held by a flush: whoever finds nothing to flush knows that it is durable.
    flushing: Mutex<()>,
    /// Up to where rows of expired segments were removed.
    expired: Mutex<BTreeMap<InstanceId, u64>>,
}

impl Shared {
    fn new(name: &str, storage: Box<dyn StorageEngine>) -> Self {
        Self {
            name: name.to_owned(),
            storage,
            unflushed_inventory: AtomicU64::new(0),
            unflushed_rows: AtomicU64::new(0),
            flushing: Mutex::new(()),
            expired: Mutex::default(),
        }
    }

    fn unflushed(&self, inventory: bool) -> &AtomicU64 {
        if inventory { &self.unflushed_inventory } else { &self.unflushed_rows }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(EngineError) -> StateError {
        let place = self.name.clone();
        move |error| StateError::Engine { action, place, message: error.to_string() }
    }

    fn remove(&self, from: Vec<u8>, to: Vec<u8>) -> Result<(), StateError> {
        let range = KeyRange::new(from, to);
        self.storage.remove(&range).map_err(self.failed("remove rows"))?;
        // How many is not known; what is not durable must not seem to be.
        self.unflushed_rows.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl Engine for CustomEngine {
    fn instance(&self, family: &str, id: InstanceId) -> Result<Arc<dyn Instance>, StateError> {
        let inventory = family == INVENTORY_FAMILY;
        Ok(Arc::new(CustomInstance { shared: Arc::clone(&self.shared), id, inventory }))
    }

    fn families(&self) -> Vec<String> {
        vec![INVENTORY_FAMILY.to_owned(), ROWS_FAMILY.to_owned()]
    }

    fn flush(&self, _family: &str) -> Result<(), StateError> {
        let shared = &self.shared;
        let _flushing = lock(&shared.flushing);
        // Rows that come from now on may be left out.
        let inventory = shared.unflushed_inventory.swap(0, Ordering::SeqCst);
        let rows = shared.unflushed_rows.swap(0, Ordering::SeqCst);
        if inventory == 0 && rows == 0 {
            return Ok(());
        }
        shared.storage.flush().map_err(|error| {
            shared.unflushed_inventory.fetch_add(inventory, Ordering::SeqCst);
            shared.unflushed_rows.fetch_add(rows, Ordering::SeqCst);
            shared.failed("flush")(error)
        })
    }

    fn unflushed_rows(&self, family: &str) -> u64 {
        self.shared.unflushed(family == INVENTORY_FAMILY).load(Ordering::SeqCst)
    }

    fn purge(&self, _family: &str, id: InstanceId) -> Result<(), StateError> {
        lock(&self.shared.expired).remove(&id);
        let (from, to) = key::instance_bounds(id);
        self.shared.remove(from, to)
    }

    fn expire(
        &self,
        _family: &str,
        oldest_live: &BTreeMap<InstanceId, u64>,
    ) -> Result<(), StateError> {
        for (&id, &segment) in oldest_live {
            let done = lock(&self.shared.expired).get(&id).copied().unwrap_or(0);
            if segment <= done {
                continue;
            }
            let expired = KeyRange::new(Bytes::default(), segment.to_be_bytes());
            let (from, to) = Layout::Keyed.data_bounds(id, &expired);
            self.shared.remove(from, to)?;
            lock(&self.shared.expired).insert(id, segment);
        }
        Ok(())
    }

    fn instances(&self, _family: &str) -> Result<Vec<InstanceId>, StateError> {
        let mut found = Vec::new();
        let mut from = key::instance_bounds(InstanceId(1)).0;
        loop {
            let mut next = None;
            let first = &mut |key: &[u8], _: &[u8]| {
                next = key::instance_of(key);
                ControlFlow::Break(())
            };
            let rest = KeyRange::from(from);
            self.shared
                .storage
                .scan(&rest, Direction::Forward, first)
                .map_err(self.shared.failed("scan rows"))?;
            let Some(id) = next else { return Ok(found) };
            found.push(id);
            // One scan an instance.
            from = key::instance_bounds(id).1;
        }
    }

    fn crash(&self) -> Result<(), StateError> {
        Err(StateError::CrashUnsupported)
    }
}

struct CustomInstance {
    shared: Arc<Shared>,
    id: InstanceId,
    inventory: bool,
}

impl CustomInstance {
    fn range(&self, range: &KeyRange) -> KeyRange {
        let (lower, upper) = Layout::Keyed.data_bounds(self.id, range);
        KeyRange::new(lower, upper)
    }

    /// A row that does not belong to us would be taken for another one.
    fn foreign(&self, key: &[u8]) -> StateError {
        StateError::Engine {
            action: "scan rows",
            place: self.shared.name.clone(),
            message: format!("it gave the key {key:02x?}, which is not in the range"),
        }
    }
}

impl Instance for CustomInstance {
    fn get(&self, key: &[u8], found: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StateError> {
        let value = Layout::Keyed
            .with_data_key(self.id, key, |key| self.shared.storage.get(key))
            .map_err(self.shared.failed("get a row"))?;
        found(value.as_deref());
        Ok(())
    }

    fn metadata(&self) -> Result<Option<Vec<u8>>, StateError> {
        let key = Layout::Keyed.metadata_key(self.id);
        self.shared.storage.get(&key).map_err(self.shared.failed("get the metadata row"))
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        if range.is_empty() {
            return Ok(());
        }
        let range = self.range(range);
        let mut foreign = None;
        let visit = &mut |key: &[u8], value: &[u8]| {
            let mut unused = Vec::new();
            match Layout::Keyed.own_key(self.id, key, &mut unused) {
                Some(own) if range.contains(key) => visit(own, value),
                _ => {
                    foreign = Some(self.foreign(key));
                    ControlFlow::Break(())
                }
            }
        };
        let storage = &self.shared.storage;
        storage.scan(&range, direction, visit).map_err(self.shared.failed("scan rows"))?;
        foreign.map_or(Ok(()), Err)
    }

    fn write(&self, write: SortedWrite<'_>) -> Result<(), StateError> {
        let batch = Batch::of_instance(self.id, write);
        if batch.is_empty() {
            return Ok(());
        }
        let rows = batch.len() as u64;
        self.shared.storage.write(batch).map_err(self.shared.failed("write a batch"))?;
        self.shared.unflushed(self.inventory).fetch_add(rows, Ordering::SeqCst);
        Ok(())
    }

    fn approximate_len(&self) -> u64 {
        let rows = self.shared.storage.approximate_len(&self.range(&KeyRange::all()));
        rows.unwrap_or_else(|error| {
            tracing::warn!(engine = %self.shared.name, %error, "cannot count the rows of a store");
            0
        })
    }
}
