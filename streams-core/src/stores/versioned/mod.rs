//! Stores that know what a key's value was at a time in the past.
//!
//! `rows` keeps versions as bytes, for the store and for its restore; `store` is what processors
//! see; `builder` declares.

mod builder;
pub(super) mod rows;
mod store;

pub(crate) use self::rows::VersionedRows;
pub use self::store::{
    VersionedAccess, VersionedHandle, VersionedInstance, VersionedReadAccess, VersionedRecord,
    VersionedRow, VersionedStore, VersionedWalk,
};
