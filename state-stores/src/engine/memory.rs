//! The engine in memory. With crash semantics it loses, as RocksDB without a log would, what was
//! written to a family since the last flush of that family.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, RwLock};

use super::{Engine, Instance, InstanceId, SortedWrite};
use crate::layer::LayerRow;
use crate::sync::{lock, read, write};
use crate::{Bytes, Direction, KeyRange, StateError};

type Rows = BTreeMap<Bytes, Bytes>;

/// Families of ordered maps.
pub(crate) struct MemoryEngine {
    families: Mutex<BTreeMap<String, BTreeMap<InstanceId, Arc<MemoryInstance>>>>,
    /// Whether a crash keeps what was flushed.
    flushed_survives: bool,
}

impl MemoryEngine {
    /// An engine whose flushed rows survive a [`crash`](Engine::crash): a simulated disk.
    pub(crate) fn simulated_disk() -> Self {
        Self { families: Mutex::default(), flushed_survives: true }
    }

    /// An engine that is empty after a crash.
    pub(crate) fn volatile() -> Self {
        Self { families: Mutex::default(), flushed_survives: false }
    }
}

impl Engine for MemoryEngine {
    fn instance(&self, family: &str, id: InstanceId) -> Result<Arc<dyn Instance>, StateError> {
        let mut families = lock(&self.families);
        if !families.contains_key(family) {
            families.insert(family.to_owned(), BTreeMap::new());
        }
        let instances = families.get_mut(family).expect("was inserted");
        let instance = instances
            .entry(id)
            .or_insert_with(|| Arc::new(MemoryInstance::new(Contents::new(self.flushed_survives))));
        Ok(Arc::clone(instance) as Arc<dyn Instance>)
    }

    fn families(&self) -> Vec<String> {
        lock(&self.families).keys().cloned().collect()
    }

    fn flush(&self, family: &str) -> Result<(), StateError> {
        // Writers wait for the lock of their instance only; that a family is flushed instance by
        // instance is not seen, because no batch spans two instances.
        if let Some(instances) = lock(&self.families).get_mut(family) {
            instances.retain(|_, instance| write(&instance.contents).flush());
        }
        Ok(())
    }

    fn unflushed_rows(&self, family: &str) -> u64 {
        let families = lock(&self.families);
        let instances = families.get(family).into_iter().flatten();
        instances.map(|(_, instance)| read(&instance.contents).unflushed_rows()).sum()
    }

    fn purge(&self, family: &str, id: InstanceId) -> Result<(), StateError> {
        let instance = lock(&self.families).get(family).and_then(|all| all.get(&id).cloned());
        if let Some(instance) = instance {
            write(&instance.contents).purge();
        }
        Ok(())
    }

    fn expire(
        &self,
        family: &str,
        oldest_live: &BTreeMap<InstanceId, u64>,
    ) -> Result<(), StateError> {
        let families = lock(&self.families);
        let Some(instances) = families.get(family) else { return Ok(()) };
        for (id, segment) in oldest_live {
            if let Some(instance) = instances.get(id) {
                write(&instance.contents).remove_below(&segment.to_be_bytes());
            }
        }
        Ok(())
    }

    fn instances(&self, family: &str) -> Result<Vec<InstanceId>, StateError> {
        let families = lock(&self.families);
        let instances = families.get(family).into_iter().flatten();
        Ok(instances
            .filter(|(_, instance)| !read(&instance.contents).is_empty())
            .map(|(id, _)| *id)
            .collect())
    }

    fn crash(&self) -> Result<(), StateError> {
        let mut families = lock(&self.families);
        for instances in families.values_mut() {
            for instance in instances.values_mut() {
                let contents = write(&instance.contents).crash();
                *instance = Arc::new(MemoryInstance::new(contents));
            }
        }
        if !self.flushed_survives {
            families.clear();
        }
        Ok(())
    }
}

struct MemoryInstance {
    contents: RwLock<Contents>,
}

impl MemoryInstance {
    fn new(contents: Contents) -> Self {
        Self { contents: RwLock::new(contents) }
    }
}

impl Instance for MemoryInstance {
    fn get(&self, key: &[u8], found: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StateError> {
        found(read(&self.contents).alive()?.rows.get(key).map(|value| &**value));
        Ok(())
    }

    fn metadata(&self) -> Result<Option<Vec<u8>>, StateError> {
        Ok(read(&self.contents).alive()?.metadata.clone())
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        let contents = read(&self.contents);
        let rows = &contents.alive()?.rows;
        if range.is_empty() {
            return Ok(());
        }
        let rows = rows.range::<[u8], _>(range.bounds());
        let mut visit = |(key, value): (&Bytes, &Bytes)| visit(key, value);
        let _ = match direction {
            Direction::Forward => rows.into_iter().try_for_each(&mut visit),
            Direction::Backward => rows.rev().try_for_each(&mut visit),
        };
        Ok(())
    }

    fn write(&self, sorted: SortedWrite<'_>) -> Result<(), StateError> {
        let mut contents = write(&self.contents);
        contents.alive()?;
        for row in sorted.rows {
            contents.put(row);
        }
        if let Some(metadata) = sorted.metadata {
            contents.put_metadata(metadata);
        }
        Ok(())
    }

    fn approximate_len(&self) -> u64 {
        read(&self.contents).rows.len() as u64
    }
}

#[derive(Default)]
struct Contents {
    rows: Rows,
    metadata: Option<Vec<u8>>,
    /// What a crash brings back; none if nothing survives one.
    undo: Option<Undo>,
    /// The process that used this instance was crashed.
    crashed: bool,
    /// No incarnation uses this instance any more.
    purged: bool,
}

/// The state at the last flush of what was changed since.
#[derive(Default)]
struct Undo {
    rows: BTreeMap<Bytes, Option<Bytes>>,
    metadata: Option<Option<Vec<u8>>>,
}

impl Contents {
    fn new(flushed_survives: bool) -> Self {
        Self { undo: flushed_survives.then(Undo::default), ..Self::default() }
    }

    fn alive(&self) -> Result<&Self, StateError> {
        if self.crashed { Err(StateError::Crashed) } else { Ok(self) }
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.metadata.is_none()
    }

    fn unflushed_rows(&self) -> u64 {
        self.undo
            .as_ref()
            .map_or(0, |undo| undo.rows.len() as u64 + u64::from(undo.metadata.is_some()))
    }

    fn put(&mut self, (key, value): LayerRow<'_>) {
        let old = match value {
            // Keys that exist keep their allocation.
            Some(value) => match self.rows.get_mut(key) {
                Some(slot) => Some(std::mem::replace(slot, value.into())),
                None => self.rows.insert(key.into(), value.into()),
            },
            None => self.rows.remove(key),
        };
        if let Some(undo) = &mut self.undo
            && !undo.rows.contains_key(key)
        {
            undo.rows.insert(key.into(), old);
        }
    }

    fn put_metadata(&mut self, metadata: &[u8]) {
        let old = self.metadata.replace(metadata.to_vec());
        if let Some(undo) = &mut self.undo {
            undo.metadata.get_or_insert(old);
        }
    }

    fn remove_below(&mut self, key: &[u8]) {
        let rest = self.rows.split_off(key);
        let removed = std::mem::replace(&mut self.rows, rest);
        if let Some(undo) = &mut self.undo {
            for (key, value) in removed {
                undo.rows.entry(key).or_insert(Some(value));
            }
        }
    }

    fn purge(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let metadata = self.metadata.take();
        if let Some(undo) = &mut self.undo {
            for (key, value) in rows {
                undo.rows.entry(key).or_insert(Some(value));
            }
            undo.metadata.get_or_insert(metadata);
        }
        self.purged = true;
    }

    /// Makes everything durable; `false` if the instance need not be kept.
    fn flush(&mut self) -> bool {
        if let Some(undo) = &mut self.undo {
            *undo = Undo::default();
        }
        !self.purged
    }

    /// What survives; `self` is cut off.
    fn crash(&mut self) -> Self {
        let Self { mut rows, mut metadata, undo, .. } = std::mem::take(self);
        self.crashed = true;
        let Some(undo) = undo else { return Self::new(false) };
        for (key, value) in undo.rows {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        if let Some(flushed) = undo.metadata {
            metadata = flushed;
        }
        Self { rows, metadata, ..Self::new(true) }
    }
}
