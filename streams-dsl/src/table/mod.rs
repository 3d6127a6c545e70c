//! `KTable`: the latest value per key. Its values stay, so closures get references.

mod emit;
mod filter;
mod foreign_key;
mod getter;
mod global;
mod group;
mod join;
mod map_values;
mod materialize;
mod source;
mod store;
mod suppress;
mod suppress_queue;
mod to_stream;
mod transform_values;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use streams_core::stores::{StoreBuilder, Stores};
use streams_core::task::DropReason;
use streams_core::{Data, SerdeRef};

use crate::graph::{
    BuildOptions, Call, ErasedStored, Graph, Keeps, Kind, Lowering, NewNode, NodeId, NodeName,
    Origin, StoreName,
};
use crate::options::{StoreSettings, Versions};
pub(crate) use emit::{TableOutput, TableParts};
pub(crate) use getter::{Getter, ValueGetter};
pub use global::GlobalKTable;
pub use materialize::TableVersions;
pub(crate) use source::TableSource;
pub(crate) use store::{TableHandle, TableStore, TableStoreBuilder};
pub(crate) use to_stream::nullable;

use crate::windows::millis;

/// A table: the latest value of each key. A typed handle to one operator of the topology.
///
/// Every update is forwarded at once, deletions too. The counterpart of Kafka Streams' `KTable`.
#[must_use = "a table that nothing reads is not kept"]
pub struct KTable<K, V> {
    pub(crate) graph: Graph,
    pub(crate) node: NodeId,
    rows: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.graph.clone(), self.node)
    }
}

impl<K, V> KTable<K, V> {
    pub(crate) fn new(graph: Graph, node: NodeId) -> Self {
        Self { graph, node, rows: PhantomData }
    }

    /// Names the operator that made this table. Numbers of other operators do not move.
    pub fn named(self, name: &str) -> Self {
        self.graph.rename(self.node, name);
        self
    }
}

impl<K: 'static, V: 'static> KTable<K, V> {
    pub(crate) fn key_serde(&self) -> Option<SerdeRef<K>> {
        self.graph.key_serde(self.node)
    }

    pub(crate) fn value_serde(&self) -> Option<SerdeRef<V>> {
        self.graph.value_serde(self.node)
    }
}

/// Why joins drop what changes the past of a versioned table.
const OUT_OF_ORDER: DropReason = DropReason::Other("out-of-order");

/// How the store of a table is made, if it gets one: what the graph keeps without knowing the
/// types.
pub(crate) struct Stored<K, V> {
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
    pub(crate) settings: StoreSettings,
}

impl<K, V> Clone for Stored<K, V> {
    fn clone(&self) -> Self {
        let settings = self.settings.clone();
        Self { key: self.key.clone(), value: self.value.clone(), settings }
    }
}

/// Serdes and settings of a store; without a serde a mistake.
pub(crate) fn stored<K, V>(
    graph: &Graph,
    call: Call,
    key: Option<SerdeRef<K>>,
    value: Option<SerdeRef<V>>,
    settings: StoreSettings,
) -> Option<Stored<K, V>> {
    let (key, value) = match (key, value) {
        (Some(key), Some(value)) => (key, value),
        (key, _) => {
            let missing = if key.is_none() { "keys" } else { "values" };
            let message = format!(
                "{call} needs a serde of the {missing} for its store, and there is none above to \
                 inherit: use Materialized::with"
            );
            graph.mistake(call, message);
            return None;
        }
    };
    refuse_impossible_versions(graph, call, &settings);
    Some(Stored { key, value, settings })
}

fn refuse_impossible_versions(graph: &Graph, call: Call, settings: &StoreSettings) {
    let Some(versions) = settings.versions else { return };
    if settings.emit_on_commit == Some(true) {
        let message = format!(
            "{call} has emit_on_commit(true), but a versioned table forwards every update: none \
             replaces another"
        );
        graph.mistake(call, message);
    }
    if versions.segment_interval.is_some_and(|interval| millis(interval) == 0) {
        let message = format!("{call} has versioned segments of less than a millisecond");
        graph.mistake(call, message);
    }
}

impl<K: Data, V: Data> Stored<K, V> {
    /// The declaration of the store. `source_topic` is there if that serves as the changelog.
    pub(crate) fn builder(
        &self,
        name: &str,
        options: BuildOptions,
        source_topic: Option<&str>,
    ) -> TableStoreBuilder<K, V> {
        let (key, value) = (self.key.clone(), self.value.clone());
        match self.settings.versions {
            None => {
                let store = Stores::key_value_with(name, key, value);
                TableStoreBuilder::Latest(self.with_settings(store, options, source_topic))
            }
            Some(Versions { history_retention, segment_interval }) => {
                let mut store = Stores::versioned_with(name, history_retention, key, value);
                if let Some(interval) = segment_interval {
                    store = store.segment_interval(interval);
                }
                TableStoreBuilder::Versioned(self.with_settings(store, options, source_topic))
            }
        }
    }

    fn with_settings<S>(
        &self,
        mut store: StoreBuilder<S>,
        options: BuildOptions,
        source_topic: Option<&str>,
    ) -> StoreBuilder<S> {
        if self.settings.in_memory || options.in_memory {
            store = store.in_memory();
        }
        if self.settings.logging_disabled {
            store = store.logging_disabled();
        }
        for (key, value) in &self.settings.changelog {
            store = store.changelog_config(key, value);
        }
        match source_topic {
            Some(topic) => store.source_topic_changelog(topic),
            None => store,
        }
    }
}

/// What an operator says that makes a table.
pub(crate) struct NewTable<K, V> {
    pub(crate) node: NewNode,
    pub(crate) origin: Origin,
    /// The store it has or can have.
    pub(crate) store: Option<(StoreName, Stored<K, V>)>,
    /// Whether it has that store in any case.
    pub(crate) store_asked: bool,
}

impl<K: 'static, V: 'static> NewTable<K, V> {
    /// A table that is computed from the tables above it, with the key serde of the first.
    pub(crate) fn derived(call: Call, name: NodeName, parents: &[NodeId], keeps: Keeps) -> Self {
        let node = NewNode::new(call, name, parents, Kind::Table).keeps(keeps);
        Self { node, origin: Origin::Parents, store: None, store_asked: false }
    }

    pub(crate) fn lower(mut self, lower: impl FnOnce(&mut Lowering<'_>) + Send + 'static) -> Self {
        self.node = self.node.lower(lower);
        self
    }

    #[track_caller]
    pub(crate) fn add(self, graph: &Graph) -> KTable<K, V> {
        let call = self.node.call;
        refuse_null_values::<V>(graph, call);
        let mut new = self.node;
        let (name, stored) = self.store.unzip();
        if let Some(stored) = &stored {
            new = new.serdes(Some(stored.key.clone()), Some(stored.value.clone()));
        }
        let node = graph.add(new);
        let versions = stored.as_ref().and_then(|stored| stored.settings.versions);
        let stored = stored.map(|stored| Arc::new(stored) as ErasedStored);
        // Dropping what is too old is a part of what such a table is.
        let store_asked = self.store_asked || versions.is_some();
        graph.add_table(node, self.origin, name, stored, store_asked);
        graph.set_history(node, versions);
        KTable::new(graph.clone(), node)
    }
}

/// Adds a table whose keys have a window. `serdes` and the second part of `store` are missing if a
/// mistake was found. A window takes records for `grace` after its end; without one it never ends.
#[track_caller]
pub(crate) fn add_windowed_table<K: 'static, V: 'static, S: Send + Sync + 'static>(
    graph: &Graph,
    node: NewNode,
    serdes: Option<(SerdeRef<K>, SerdeRef<V>)>,
    store: (StoreName, Option<S>),
    grace: Option<Duration>,
) -> KTable<K, V> {
    refuse_null_values::<V>(graph, node.call);
    let (key, value) = serdes.unzip();
    let node = graph.add(node.serdes(key, value));
    graph.set_window_grace(node, grace);
    let stored = store.1.map(|stored| Arc::new(stored) as ErasedStored);
    graph.add_table(node, Origin::Own, Some(store.0), stored, true);
    KTable::new(graph.clone(), node)
}

/// In a table null means "deleted", so a value cannot be null.
fn refuse_null_values<V>(graph: &Graph, call: Call) {
    let value = std::any::type_name::<V>();
    if value.starts_with("core::option::Option<") {
        graph.mistake(
            call,
            format!(
                "{call} makes a table of {value}: in a table null deletes the key. Use \
                 drop_null_values() or to_table_from_updates() of the stream, or a value type \
                 without null"
            ),
        );
    }
}
