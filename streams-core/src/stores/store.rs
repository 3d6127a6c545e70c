//! What a kind of store is, and what a processor holds of one.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use state_stores::{Attempt, LayeredStore};

use super::changelog::ChangelogWriter;
use super::cursor::Walk;
use crate::error::BoxError;
use crate::record::{RecordContext, Timestamp};

/// A kind of store, as a type without values: [`KeyValueStore`](super::KeyValueStore) and others.
///
/// New kinds implement it with an instance of their own; the task knows instances only as
/// [`StoreInstance`].
pub trait Store: Sized + 'static {
    /// What lies in the task's slot.
    type Instance: StoreInstance;
    /// What a processor reads and writes through; borrowed from its context.
    type Access<'a>;
    /// What a cursor yields.
    type Row: Send + 'static;
    /// Which rows a cursor yields, and where it is.
    type Walk: Walk;

    /// Opens the instance for one use.
    fn access<'a>(instance: &'a mut Self::Instance, cx: AccessContext<'a>) -> Self::Access<'a>;

    /// Appends the next rows of `walk` to `rows`; nothing if there are none left.
    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut Self::Walk,
        rows: &mut VecDeque<Self::Row>,
    ) -> Result<(), BoxError>;
}

/// What an access knows beside its store.
#[derive(Clone, Copy)]
pub struct AccessContext<'a> {
    /// The record in hand.
    pub record: &'a RecordContext,
    /// The largest record time that the task has seen.
    pub stream_time: Timestamp,
}

/// A store of one task, whatever its types: what the task needs for commits.
pub trait StoreInstance: Any + Send {
    /// Whether something was written since the last seal.
    fn is_dirty(&self) -> bool;

    /// Memory held by what was written since the last seal, roughly.
    fn dirty_bytes(&self) -> usize;

    /// Memory held by cached rows, written ones included, roughly.
    fn cached_bytes(&self) -> usize;

    /// Drops cached rows that were not used lately and are not dirty, until at most `bytes_max`
    /// are held or only dirty rows are left. Never forwards.
    fn evict(&mut self, bytes_max: usize);

    /// Drops what is cached of one key, given as it is serialised, unless it was written since the
    /// last seal: somebody else has written it in the layers below.
    fn forget(&mut self, _key: &[u8]) {
        self.evict(0);
    }

    /// Whether a change was put aside until the commit and not forwarded yet.
    fn has_emissions(&self) -> bool {
        false
    }

    /// Hands everything written since the last seal to the layer of `attempt` below, and the same
    /// to the changelog, in a reproducible order.
    fn seal(
        &mut self,
        attempt: Attempt,
        changelog: Option<&mut ChangelogWriter<'_>>,
    ) -> Result<(), BoxError>;

    /// The layers below.
    fn layers(&self) -> &LayeredStore;

    /// The layers below.
    fn layers_mut(&mut self) -> &mut LayeredStore;

    /// Drops the cache, keeps the layers.
    fn into_layers(self: Box<Self>) -> LayeredStore;
}

/// What an instance is made of.
pub struct StoreParts {
    /// The store's name.
    pub name: Arc<str>,
    /// What serdes are told: the changelog topic, as the broker knows it.
    pub topic: Arc<str>,
    /// The layers below.
    pub layers: LayeredStore,
    /// Whether an index by time was asked for.
    pub time_ordered: bool,
    /// How long a row lives, if it does not live for ever.
    pub time_to_live: Option<Duration>,
}

/// A store that another part of the topology writes: read-only by type.
pub struct ReadOnly<S>(PhantomData<fn() -> S>);

/// A slot of the task's state: an index and a type. `Copy`, so a processor's field.
pub struct StoreHandle<S> {
    slot: u32,
    store: PhantomData<fn() -> S>,
}

impl<S> StoreHandle<S> {
    pub(crate) fn new(slot: u32) -> Self {
        Self { slot, store: PhantomData }
    }

    #[inline]
    pub(crate) fn slot(&self) -> usize {
        self.slot as usize
    }

    /// The same store, for reading only.
    pub fn read_only(&self) -> StoreHandle<ReadOnly<S>> {
        StoreHandle::new(self.slot)
    }
}

impl<S> Clone for StoreHandle<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for StoreHandle<S> {}

impl<S> fmt::Debug for StoreHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreHandle({})", self.slot)
    }
}

/// A store's name with its type, written once:
/// `const COUNTS: StoreName<KeyValueStore<String, i64>> = StoreName::new("counts");`
pub struct StoreName<S> {
    name: &'static str,
    store: PhantomData<fn() -> S>,
}

impl<S> StoreName<S> {
    /// The store of that name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, store: PhantomData }
    }

    /// The name.
    pub const fn as_str(&self) -> &'static str {
        self.name
    }
}

impl<S> Clone for StoreName<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for StoreName<S> {}
