//! `KTable::materialize`, and tables as read-only stores of processors.

use std::sync::Arc;

use streams_core::Data;
use streams_core::stores::{
    HandleMaker, KeyValueStore, ReadOnly, StoreConnections, StoreHandle, StoreSet, VersionedStore,
};

use super::{KTable, Stored, refuse_impossible_versions};
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
        let versions = options.settings.versions;
        refuse_impossible_versions(&self.graph, call, &options.settings);
        self.graph.give_serdes(self.node, &key, &value);
        let stored = Stored { key, value, settings: options.settings };
        self.graph.materialize(call, self.node, options.name.as_deref(), Arc::new(stored));
        self.graph.set_history(self.node, versions);
        self.clone()
    }

    /// A [versioned](Materialized::versioned) table as what it is: a processor that is given this in
    /// place of the table asks for values as they were.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// # let history = Materialized::from("prices").versioned(Duration::from_secs(3600));
    /// let prices = builder.table::<String, i64>("prices", history);
    /// builder
    ///     .stream::<String, i64>("orders")
    ///     .process_values_fn(prices.versions(), |prices, item, pieces, ctx| {
    ///         let an_hour_ago = ctx.timestamp() - Duration::from_secs(3600);
    ///         let then = ctx.store(prices).get_as_of(&item, an_hour_ago)?;
    ///         ctx.forward(item, then.map_or(0, |then| then.value * pieces))
    ///     })
    ///     .to("amounts");
    /// ```
    pub fn versions(&self) -> TableVersions<K, V> {
        TableVersions(self.clone())
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

/// The store of a versioned table, for processors: [`KTable::versions`].
pub struct TableVersions<K, V>(KTable<K, V>);

impl<K: Data, V: Data> StoreSet for TableVersions<K, V> {
    type Handles = StoreHandle<ReadOnly<VersionedStore<K, V>>>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Self::Handles> {
        let (graph, node) = (self.0.graph, self.0.node);
        let place =
            connections.named::<ReadOnly<VersionedStore<K, V>>>(move || graph.store_of(node));
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
