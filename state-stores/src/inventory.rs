//! Which incarnation of which store lies under which instance id: rows in a family of their own.
//!
//! An allocation need not be durable: if its row is lost in a crash, the store is restored under
//! a new id. That ids are never used twice must be: they are taken from blocks that are reserved
//! durably before the first id of the block is used.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::engine::{Engine, Instance, InstanceId, SortedWrite};
use crate::layer::Layer;
use crate::metadata::FORMAT_VERSION;
use crate::{Bytes, Direction, KeyRange, StateError, StoreKind, StoreSpec, TaskKey, Write};

/// The family of the inventory; RocksDB always has it.
pub(crate) const INVENTORY_FAMILY: &str = "default";
const INVENTORY_INSTANCE: InstanceId = InstanceId(0);
/// How many ids one durable write reserves.
const ID_BLOCK: u32 = 4096;

const NEXT_ID_ROW: u8 = b'n';
const RETIRED_ROW: u8 = b'r';
const STORE_ROW: u8 = b's';

/// One store of one task since it was last wiped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation {
    pub(crate) id: InstanceId,
    pub(crate) family: String,
    /// The code of the layout, which may be one that this version does not know.
    pub(crate) kind_code: u8,
    pub(crate) format_version: u16,
}

impl Incarnation {
    /// What does not fit `spec`, in words.
    pub(crate) fn misfit(&self, spec: &StoreSpec) -> Option<String> {
        if self.format_version != FORMAT_VERSION {
            return Some(format!("format version {}", self.format_version));
        }
        (self.kind_code != spec.kind.code()).then(|| match StoreKind::from_code(self.kind_code) {
            Some(kind) => format!("the layout {kind:?}"),
            None => format!("an unknown layout {}", self.kind_code),
        })
    }
}

/// The inventory of one database.
pub(crate) struct Inventory {
    rows: Arc<dyn Instance>,
    stores: BTreeMap<(TaskKey, String), Incarnation>,
    /// Incarnations that were given up and whose rows may still be there.
    retired: BTreeMap<InstanceId, String>,
    next_id: u32,
    reserved_to: u32,
    /// Whether rows were written since the last flush.
    dirty: bool,
    /// Whether rows were found that this version cannot read.
    has_unreadable: bool,
}

impl Inventory {
    /// Reads the inventory of `engine`. Rows that make no sense are skipped: their stores are
    /// restored.
    pub(crate) fn load(engine: &dyn Engine) -> Result<Self, StateError> {
        let rows = engine.instance(INVENTORY_FAMILY, INVENTORY_INSTANCE)?;
        let mut inventory = Self {
            rows: Arc::clone(&rows),
            stores: BTreeMap::new(),
            retired: BTreeMap::new(),
            next_id: 1,
            reserved_to: 1,
            dirty: false,
            has_unreadable: false,
        };
        rows.scan(&KeyRange::all(), Direction::Forward, &mut |key, value| {
            if inventory.load_row(key, value).is_none() {
                tracing::warn!(?key, ?value, "a row of the state inventory cannot be read");
                inventory.has_unreadable = true;
            }
            ControlFlow::Continue(())
        })?;
        inventory.never_reuse_known_ids();
        Ok(inventory)
    }

    /// Whether rows may exist that no store owns, and it is certain which they are.
    pub(crate) fn may_have_orphans(&self) -> bool {
        self.next_id > 1 && !self.has_unreadable
    }

    pub(crate) fn find(&self, task: TaskKey, store: &str) -> Option<&Incarnation> {
        self.stores.get(&(task, store.to_owned()))
    }

    pub(crate) fn stores(&self) -> impl Iterator<Item = (TaskKey, &str, &Incarnation)> {
        self.stores.iter().map(|((task, store), found)| (*task, store.as_str(), found))
    }

    pub(crate) fn retired(&self) -> impl Iterator<Item = (InstanceId, &str)> {
        self.retired.iter().map(|(id, family)| (*id, family.as_str()))
    }

    /// The ids that may have rows, without those that are waiting to be purged.
    pub(crate) fn live_ids(&self) -> BTreeSet<InstanceId> {
        self.stores.values().map(|found| found.id).collect()
    }

    /// The incarnations in `family`, without those that are waiting to be purged.
    pub(crate) fn ids_of(&self, family: &str) -> BTreeSet<InstanceId> {
        let stores = self.stores.values();
        stores.filter(|found| found.family == family).map(|found| found.id).collect()
    }

    /// Whether `id` has been given out; others belong to nobody.
    pub(crate) fn is_allocated(&self, id: InstanceId) -> bool {
        id.0 < self.next_id
    }

    /// A new, empty incarnation of the store; the one before, if any, is retired.
    pub(crate) fn allocate(
        &mut self,
        engine: &dyn Engine,
        task: TaskKey,
        spec: &StoreSpec,
    ) -> Result<Incarnation, StateError> {
        let id = self.next_id(engine)?;
        let new = Incarnation {
            id,
            family: spec.family(),
            kind_code: spec.kind.code(),
            format_version: FORMAT_VERSION,
        };
        let mut writes = vec![(store_key(task, &spec.name), Some(encode_store(&new)))];
        let old = self.find(task, &spec.name).cloned();
        if let Some(old) = &old {
            writes.push((retired_key(old.id), Some(old.family.as_bytes().into())));
        }
        self.write(writes)?;
        if let Some(old) = old {
            self.retired.insert(old.id, old.family);
        }
        self.stores.insert((task, spec.name.clone()), new.clone());
        Ok(new)
    }

    /// Retires all incarnations of `task`.
    pub(crate) fn remove_task(&mut self, task: TaskKey) -> Result<(), StateError> {
        let mut writes = Vec::new();
        let mut gone = Vec::new();
        for (of, store, found) in self.stores().filter(|(of, ..)| *of == task) {
            writes.push((store_key(of, store), None));
            writes.push((retired_key(found.id), Some(found.family.as_bytes().into())));
            gone.push((of, store.to_owned()));
        }
        self.write(writes)?;
        for key in gone {
            if let Some(found) = self.stores.remove(&key) {
                self.retired.insert(found.id, found.family);
            }
        }
        Ok(())
    }

    /// Forgets a retired incarnation whose rows are durably gone.
    pub(crate) fn purged(&mut self, id: InstanceId) -> Result<(), StateError> {
        self.write(vec![(retired_key(id), None)])?;
        self.retired.remove(&id);
        Ok(())
    }

    /// Makes the inventory durable, if it is not.
    pub(crate) fn flush(&mut self, engine: &dyn Engine) -> Result<(), StateError> {
        if self.dirty {
            engine.flush(INVENTORY_FAMILY)?;
            self.dirty = false;
        }
        Ok(())
    }

    fn next_id(&mut self, engine: &dyn Engine) -> Result<InstanceId, StateError> {
        if self.next_id == self.reserved_to {
            let reserve_to =
                self.reserved_to.checked_add(ID_BLOCK).ok_or_else(|| StateError::Engine {
                    action: "allocate an instance",
                    place: INVENTORY_FAMILY.to_owned(),
                    message: "all ids are used; remove the state directory".to_owned(),
                })?;
            self.write(vec![([NEXT_ID_ROW].into(), Some(reserve_to.to_be_bytes().into()))])?;
            self.flush(engine)?;
            self.reserved_to = reserve_to;
        }
        let id = InstanceId(self.next_id);
        self.next_id += 1;
        Ok(id)
    }

    fn write(&mut self, writes: Vec<Write>) -> Result<(), StateError> {
        let layer = Layer::from_writes(writes);
        self.dirty = true;
        self.rows.write(SortedWrite {
            row_count: layer.len(),
            bytes: layer.payload_bytes(),
            rows: Box::new(layer.sorted_rows()),
            metadata: None,
            into_empty: false,
        })
    }

    fn never_reuse_known_ids(&mut self) {
        let stores = self.stores.values().map(|found| found.id);
        if let Some(last) = stores.chain(self.retired.keys().copied()).max()
            && last.0 >= self.next_id
        {
            self.next_id = last.0 + 1;
            self.reserved_to = self.next_id;
        }
    }

    fn load_row(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (&tag, key) = key.split_first()?;
        match tag {
            NEXT_ID_ROW => {
                // Ids of the block may have been used by the process before.
                self.next_id = u32::from_be_bytes(value.try_into().ok()?);
                self.reserved_to = self.next_id;
            }
            RETIRED_ROW => {
                let id = InstanceId(u32::from_be_bytes(key.try_into().ok()?));
                self.retired.insert(id, str::from_utf8(value).ok()?.to_owned());
            }
            STORE_ROW => {
                let (subtopology, key) = key.split_first_chunk()?;
                let (partition, name) = key.split_first_chunk()?;
                let task = TaskKey {
                    subtopology: u32::from_be_bytes(*subtopology),
                    partition: i32::from_be_bytes(*partition),
                };
                let name = str::from_utf8(name).ok()?.to_owned();
                self.stores.insert((task, name), decode_store(value)?);
            }
            _ => return None,
        }
        Some(())
    }
}

fn store_key(task: TaskKey, store: &str) -> Bytes {
    let mut key = vec![STORE_ROW];
    key.extend_from_slice(&task.subtopology.to_be_bytes());
    key.extend_from_slice(&task.partition.to_be_bytes());
    key.extend_from_slice(store.as_bytes());
    key.into()
}

fn retired_key(id: InstanceId) -> Bytes {
    let mut key = vec![RETIRED_ROW];
    key.extend_from_slice(&id.0.to_be_bytes());
    key.into()
}

fn encode_store(incarnation: &Incarnation) -> Bytes {
    let mut value = incarnation.id.0.to_be_bytes().to_vec();
    value.extend_from_slice(&incarnation.format_version.to_be_bytes());
    value.push(incarnation.kind_code);
    value.extend_from_slice(incarnation.family.as_bytes());
    value.into()
}

fn decode_store(value: &[u8]) -> Option<Incarnation> {
    let (id, value) = value.split_first_chunk()?;
    let (format_version, value) = value.split_first_chunk()?;
    let (&kind_code, family) = value.split_first()?;
    Some(Incarnation {
        id: InstanceId(u32::from_be_bytes(*id)),
        family: str::from_utf8(family).ok()?.to_owned(),
        kind_code,
        format_version: u16::from_be_bytes(*format_version),
    })
}
