//! `KTable::materialize`, and tables as read-only stores of processors.

use std::sync::Arc;

use streams_core::Data;
use streams_core::stores::{
    HandleMaker, KeyValueStore, ReadOnly, StoreConnections, StoreHandle, StoreSet,
};

use super::{KTable, Stored};
use crate::graph::{Call, ErasedStored};
use crate::options::{KeyValueKind, Materialized, StoreSettings};

impl<K: Data, V: Data> KTable<K, V> {
    /// Gives the table a store of its own, to be queried, or to compute its values once only: the
    /// `Materialized` that Kafka Streams takes in `filter`, `mapValues` and `join`. Returns the
    /// same table.
    #[track_caller]
    pub fn materialize(&self, store: impl Into<Materialized<K, V, KeyValueKind>>) -> KTable<K, V> {
        let call = Call::new("materialize");
        let options = store.into();
        let key = options.key.resolve(self.key_serde().as_ref());
        let value = options.value.resolve(self.value_serde().as_ref());
        let (Some(key), Some(value)) = (key, value) else {
            let message =
                format!("{call} inherits serdes, but there are none above: use Materialized::with");
            self.graph.mistake(call, message);
            return self.clone();
        };
        let stored = Stored { key, value, settings: options.settings };
        self.graph.materialize(call, self.node, options.name.as_deref(), Arc::new(stored));
        self.clone()
    }

    /// Makes sure that the table has a store, for a processor that looks things up in it.
    fn ensure_store(&self) {
        let stored = || -> Option<ErasedStored> {
            let (key, value) = (self.key_serde()?, self.value_serde()?);
            Some(Arc::new(Stored { key, value, settings: StoreSettings::default() }))
        };
        self.graph.ensure_store(self.node, stored());
    }
}

/// A table as a store that a processor may read.
impl<K: Data, V: Data> StoreSet for &KTable<K, V> {
    type Handles = StoreHandle<ReadOnly<KeyValueStore<K, V>>>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Self::Handles> {
        self.ensure_store();
        let (graph, node) = (self.graph.clone(), self.node);
        let place =
            connections.named::<ReadOnly<KeyValueStore<K, V>>>(move || graph.store_of(node));
        Arc::new(move |stores| stores.handle(place))
    }
}

/// As for `&KTable`.
impl<K: Data, V: Data> StoreSet for KTable<K, V> {
    type Handles = StoreHandle<ReadOnly<KeyValueStore<K, V>>>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Self::Handles> {
        (&self).connect(connections)
    }
}
