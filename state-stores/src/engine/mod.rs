//! What is below the layers: families of instances, each instance an ordered map of bytes with a
//! metadata row.
//!
//! A *family* holds one store name for all tasks, and is the unit of flushing: after a crash each
//! family is at one of its own past states. An *instance* is one incarnation of one task's store
//! in it.

mod custom;
mod key;
mod memory;
mod rocks;
mod storage;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

pub(crate) use custom::custom_open;
pub(crate) use memory::MemoryEngine;
pub(crate) use rocks::{RocksOptions, rocks_exists, rocks_open};
pub use storage::{Batch, EngineError, EngineSupplier, StorageEngine};

use crate::layer::LayerRow;
use crate::{Direction, KeyRange, StateError, StoreKind};

/// The number of an incarnation. It is never used twice in one database, so what an earlier
/// incarnation left behind can never be seen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InstanceId(pub(crate) u32);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether the keys of a family's rows begin with a segment.
pub(crate) fn is_segmented(family: &str) -> bool {
    family.starts_with(StoreKind::Segmented.family_prefix())
}

/// A database of families.
pub(crate) trait Engine: Send + Sync {
    /// The instance `id` of `family`; empty if nothing was written to it.
    fn instance(&self, family: &str, id: InstanceId) -> Result<Arc<dyn Instance>, StateError>;

    /// The families that exist.
    fn families(&self) -> Vec<String>;

    /// Makes durable what was written to `family` before the call.
    fn flush(&self, family: &str) -> Result<(), StateError>;

    /// How many writes to `family` a crash would lose, roughly.
    fn unflushed_rows(&self, family: &str) -> u64;

    /// Removes all rows of an instance that is not used any more.
    fn purge(&self, family: &str, id: InstanceId) -> Result<(), StateError>;

    /// Says which segments of a segmented family's instances are the oldest that live, and removes
    /// what is older, at once or bit by bit.
    fn expire(
        &self,
        family: &str,
        oldest_live: &BTreeMap<InstanceId, u64>,
    ) -> Result<(), StateError>;

    /// The instances that have rows in `family`.
    fn instances(&self, family: &str) -> Result<Vec<InstanceId>, StateError>;

    /// Forgets what was not flushed, and cuts off all instances handed out so far.
    fn crash(&self) -> Result<(), StateError>;
}

/// The rows of one incarnation of a store.
pub(crate) trait Instance: Send + Sync {
    /// Calls `found` once with the value of `key`.
    fn get(&self, key: &[u8], found: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StateError>;

    /// The metadata row.
    fn metadata(&self) -> Result<Option<Vec<u8>>, StateError>;

    /// Visits the rows of `range` until `visit` breaks.
    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StateError>;

    /// Writes rows and metadata, all or nothing.
    fn write(&self, write: SortedWrite<'_>) -> Result<(), StateError>;

    /// How many rows there are, roughly.
    fn approximate_len(&self) -> u64;
}

/// Rows in ascending order of distinct keys, and the metadata row that goes with them.
pub(crate) struct SortedWrite<'a> {
    pub(crate) rows: Box<dyn Iterator<Item = LayerRow<'a>> + 'a>,
    /// How many rows `rows` yields.
    pub(crate) row_count: usize,
    /// The bytes of all keys and values, roughly.
    pub(crate) bytes: usize,
    pub(crate) metadata: Option<&'a [u8]>,
    /// Whether the instance has no rows yet.
    pub(crate) into_empty: bool,
}
