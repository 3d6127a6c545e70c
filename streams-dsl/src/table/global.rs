//! `GlobalKTable`: a table of which each instance has all rows.

use std::marker::PhantomData;
use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{
    HandleMaker, KeyValueHandle, KeyValueStore, ReadOnlyHandle, ReadOnlyStore, StoreConnections,
    StoreSet,
};
use streams_core::topology::Consumed;
use streams_core::{BoxError, Data};

use super::{TableStoreBuilder, refuse_null_values, stored};
use crate::builder::{source_serdes, source_topics};
use crate::graph::{Call, Graph, Kind, NewNode, NodeId};
use crate::options::{KeyValueKind, Materialized};

/// A table of which each instance of the application has all rows. Streams join it
/// ([`join_global`](crate::KStream::join_global)), and processors may have it as one of their
/// stores. The counterpart of Kafka Streams' `GlobalKTable`.
pub struct GlobalKTable<K, V> {
    pub(crate) graph: Graph,
    pub(crate) node: NodeId,
    store: Arc<str>,
    rows: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for GlobalKTable<K, V> {
    fn clone(&self) -> Self {
        let (graph, store) = (self.graph.clone(), self.store.clone());
        Self { graph, node: self.node, store, rows: PhantomData }
    }
}

impl<K: Data, V: Data> GlobalKTable<K, V> {
    #[track_caller]
    pub(crate) fn read(
        graph: &Graph,
        call: Call,
        consumed: Consumed<K, V>,
        options: Materialized<K, V, KeyValueKind>,
    ) -> Self {
        let topics = source_topics(&consumed, true);
        let topic = topics.topics.first().cloned().unwrap_or_default();
        let prefix = format!("{topic}-");
        let name = graph.store_name(options.name.as_deref(), &prefix).to_string();
        let parts = [("KSTREAM-SOURCE-", "-source"), ("KTABLE-SOURCE-", "")];
        let operator = graph.name(consumed.name(), &parts);
        let (key, value) = source_serdes(graph, call, &consumed);
        let rows = options.value.resolve(value.as_ref());
        let keys = options.key.resolve(key.as_ref());
        refuse_null_values::<V>(graph, call);
        if options.settings.versions.is_some() {
            let message = format!("{call} cannot be versioned: a global table has the latest rows");
            graph.mistake(call, message);
        }
        let stored = stored(graph, call, keys, rows, options.settings);
        let node = NewNode::new(call, operator, &[], Kind::Source(topics));
        let store: Arc<str> = name.as_str().into();
        let node = graph.add(node.lower(move |lowering| {
            let (Some(stored), Some(rows)) = (stored, consumed.for_table()) else {
                return lowering.bug("a global table without serdes was not refused");
            };
            let TableStoreBuilder::Latest(store) = stored.builder(&name, lowering.options(), None)
            else {
                return lowering.bug("a versioned global table was not refused");
            };
            let store = store.source_topic_changelog(&topic);
            lowering.global_store(rows, store, |store, _| Rows { store });
        }));
        Self { graph: graph.clone(), node, store, rows: PhantomData }
    }
}

/// A global table as a store that a processor may read.
impl<K: Data, V: Data> StoreSet for &GlobalKTable<K, V> {
    type Handles = ReadOnlyHandle<K, V>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Self::Handles> {
        ReadOnlyStore::<KeyValueStore<K, V>>::named(self.store.clone()).connect(connections)
    }
}

/// As for `&GlobalKTable`.
impl<K: Data, V: Data> StoreSet for GlobalKTable<K, V> {
    type Handles = ReadOnlyHandle<K, V>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Self::Handles> {
        (&self).connect(connections)
    }
}

/// Writes the rows of a global table.
struct Rows<K, V> {
    store: KeyValueHandle<K, V>,
}

impl<K: Data, V: Data> Processor for Rows<K, V> {
    type KIn = K;
    type VIn = Option<V>;
    type KOut = ();
    type VOut = ();

    fn process(
        &mut self,
        key: K,
        value: Option<V>,
        ctx: &mut ProcessorContext<'_, (), ()>,
    ) -> Result<(), BoxError> {
        let now = ctx.timestamp();
        match value {
            Some(value) => ctx.store(&self.store).put_at(&key, value, now),
            None => ctx.store(&self.store).delete_at(&key, now),
        }
    }
}
