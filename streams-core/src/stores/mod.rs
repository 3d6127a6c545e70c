//! Typed stores: how they are declared ([`Stores`], [`StoreBuilder`]), what a processor holds
//! ([`StoreHandle`], an index), what it touches ([`KeyValueAccess`], borrowed from the context),
//! and how it iterates ([`Cursor`], which borrows nothing).
//!
//! A store is a typed cache over the sealed, committed and applied layers of `state-stores`: the
//! cache keeps this commit interval's writes and what was read, keyed by serialised key bytes,
//! with typed values; bytes are made once per commit.
//!
//! Stores with a retention ([`WindowStore`], [`SessionStore`], [`JoinStore`]) are in `segmented`.
//!
//! Reading order: [`Store`], [`StoreBuilder`], [`StoreSet`], [`KeyValueStore`], then the private
//! `typed_cache` and `key_value_instance`. Values are shared as [`Held`], table edges carry a
//! [`Change`].

mod buffered;
mod builder;
mod change;
mod changelog;
mod cursor;
pub mod engine;
mod global;
mod held;
mod key_value;
mod key_value_instance;
mod key_value_walk;
mod lru;
mod outer_join;
mod overlay;
mod read_only;
mod readable;
mod restored_rows;
mod segmented;
mod set;
mod store;
mod time_to_live;
mod typed_cache;
mod value_sizes;
mod versioned;
mod waiting;

pub use self::buffered::{BufferHandle, BufferStore, Buffered, BufferedSerde};
pub use self::builder::{ChangelogKind, StoreBuilder, StoreDeclaration, Stores};
pub use self::change::Change;
pub use self::changelog::{ChangelogRecord, ChangelogWriter};
pub use self::cursor::{Cursor, Walk};
pub(crate) use self::global::GlobalStoreReader;
pub use self::global::{GlobalStoreWriter, GlobalStores};
pub use self::held::Held;
pub use self::key_value::{
    Emission, KeyValueAccess, KeyValueHandle, KeyValueStore, ReadAccess, ReadOnlyHandle,
};
pub use self::key_value_instance::KeyValueInstance;
pub use self::key_value_walk::KeyValueWalk;
pub use self::lru::{LruAccess, LruHandle, LruInstance, LruStore};
pub use self::outer_join::{JoinSide, LeftOrRight, OuterJoinHandle, OuterJoinKey, OuterJoinStore};
pub use self::read_only::ReadOnlyStore;
pub(crate) use self::readable::Readable;
pub use self::restored_rows::ChangelogFormat;
pub(crate) use self::restored_rows::RestoredRows;
pub use self::segmented::join::{JoinAccess, JoinHandle, JoinRow, JoinStore};
pub use self::segmented::session::{
    FoundSession, SessionAccess, SessionHandle, SessionReadAccess, SessionRow, SessionStore,
};
pub use self::segmented::window::{
    FoundWindow, WindowAccess, WindowHandle, WindowReadAccess, WindowRow, WindowStore,
};
pub use self::segmented::{SegmentedInstance, SegmentedWalk, Shape, Written};
pub(crate) use self::set::Connection;
pub use self::set::{ConnectedStores, HandleMaker, StoreConnections, StoreSet, WiredStores};
pub use self::store::{
    AccessContext, ReadOnly, Store, StoreHandle, StoreInstance, StoreName, StoreParts,
};
pub(crate) use self::versioned::VersionedRows;
pub use self::versioned::{
    VersionedAccess, VersionedHandle, VersionedInstance, VersionedReadAccess, VersionedRecord,
    VersionedRow, VersionedStore, VersionedWalk,
};
pub use self::waiting::{WaitingHandle, WaitingKey, WaitingStore};
