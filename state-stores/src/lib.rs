//! Bytes in, bytes out: the state of tasks. No Kafka, no async runtime, no types of records.
//!
//! A [`StateDirectory`] owns all storage of one process and leases it by task ([`TaskStorage`]).
//! A [`LayeredStore`] is one store of one task: *sealed* layers (each tied to one commit attempt)
//! over a *committed* layer over an *engine* (RocksDB or memory). Only what was committed reaches
//! an engine, and always in one batch with the [`StoreMetadata`] that says how far it goes, so
//! that a crash at any instruction leaves data and metadata in agreement.
//!
//! # Layout
//! - [`directory`](StateDirectory): lock, process id, member ids, leases, flush policy.
//! - `database`: an engine with the inventory of the stores in it.
//! - `engine`: what RocksDB and the memory engine have in common, and both of them; and what an
//!   application's own is ([`StorageEngine`], judged by [`conformance`]).
//! - `segments`: how rows of windowed stores are cut by time.
//! - `layered_store`, `layer`, `merge`, `cursor`: layers and reads over them.
//! - `apply`, `bulk_load`: the two ways into an engine.

mod apply;
mod bulk_load;
pub mod conformance;
mod cursor;
mod database;
mod directory;
mod engine;
mod error;
mod inventory;
mod key_range;
mod layer;
mod layered_store;
mod merge;
mod metadata;
mod segments;
mod store_spec;
mod sync;
mod task_key;

pub use apply::{Applied, ApplyJob};
pub use bulk_load::{BulkLoad, Loaded};
pub use cursor::Cursor;
pub use directory::{EngineKind, FlushJob, StateDirectory, StateDirectoryOptions, TaskStorage};
pub use engine::{Batch, EngineError, EngineSupplier, StorageEngine};
pub use error::StateError;
pub use key_range::{Direction, KeyRange, ScanEnd};
pub use layered_store::{Attempt, LayeredStore};
pub use metadata::{FORMAT_VERSION, StoreMetadata, StoreNotes};
pub use segments::Segments;
pub use store_spec::{StoreKind, StoreSpec};
pub use task_key::TaskKey;

/// A key or value that a layer or a batch owns.
pub type Bytes = Box<[u8]>;

/// One write: a key with its new value, or with `None` for a delete.
pub type Write = (Bytes, Option<Bytes>);

/// One row read: a key with its value.
pub type Row = (Bytes, Bytes);
