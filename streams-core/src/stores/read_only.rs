//! What processors are connected to that only read a store which another one writes.

use std::marker::PhantomData;
use std::sync::Arc;

use super::set::{HandleMaker, StoreConnections, StoreSet};
use super::store::{ReadOnly, Store, StoreHandle};

/// A store that one processor of the topology writes, from a topic, and that all others may read:
/// give it to them as one of their stores.
pub struct ReadOnlyStore<S> {
    name: Arc<str>,
    store: PhantomData<fn() -> S>,
}

impl<S> ReadOnlyStore<S> {
    /// The store of that name, wherever the topology declares it; if it does not, or with other
    /// types, `build()` says so.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), store: PhantomData }
    }

    /// The store's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl<S> Clone for ReadOnlyStore<S> {
    fn clone(&self) -> Self {
        Self::named(self.name.clone())
    }
}

impl<S: Store> StoreSet for &ReadOnlyStore<S>
where
    ReadOnly<S>: Store,
{
    type Handles = StoreHandle<ReadOnly<S>>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Self::Handles> {
        let name = self.name.clone();
        let place = connections.named::<ReadOnly<S>>(move || name.clone());
        Arc::new(move |stores| stores.handle(place))
    }
}

impl<S: Store> StoreSet for ReadOnlyStore<S>
where
    ReadOnly<S>: Store,
{
    type Handles = StoreHandle<ReadOnly<S>>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Self::Handles> {
        (&self).connect(connections)
    }
}
