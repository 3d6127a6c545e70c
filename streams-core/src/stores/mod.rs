//! Typed stores: how they are declared ([`Stores`], [`StoreBuilder`]), what a processor holds
//! ([`StoreHandle`], an index), what it touches ([`KeyValueAccess`], borrowed from the context),
//! and how it iterates ([`Cursor`], which borrows nothing).
//!
//! A store is a typed cache over the sealed, committed and applied layers of `state-stores`: the
//! cache keeps this commit interval's writes and what was read, keyed by serialised key bytes,
//! with typed values; bytes are made once per commit.
//!
//! Reading order: [`Store`], [`StoreBuilder`], [`StoreSet`], [`KeyValueStore`], then the private
//! `typed_cache` and `key_value_instance`. Values are shared as [`Held`], table edges carry a
//! [`Change`].

mod builder;
mod change;
mod changelog;
mod cursor;
mod held;
mod key_value;
mod key_value_instance;
mod key_value_walk;
mod set;
mod store;
mod typed_cache;

pub use self::builder::{ChangelogKind, StoreBuilder, StoreDeclaration, Stores};
pub use self::change::Change;
pub(crate) use self::changelog::stored_row;
pub use self::changelog::{ChangelogRecord, ChangelogWriter};
pub use self::cursor::{Cursor, Walk};
pub use self::held::Held;
pub use self::key_value::{
    Emission, KeyValueAccess, KeyValueHandle, KeyValueStore, ReadAccess, ReadOnlyHandle,
};
pub use self::key_value_instance::KeyValueInstance;
pub use self::key_value_walk::KeyValueWalk;
pub(crate) use self::set::Connection;
pub use self::set::{ConnectedStores, HandleMaker, StoreConnections, StoreSet, WiredStores};
pub use self::store::{
    AccessContext, ReadOnly, Store, StoreHandle, StoreInstance, StoreName, StoreParts,
};
