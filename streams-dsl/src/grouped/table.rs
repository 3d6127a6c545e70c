//! `KGroupedTable`: aggregates of a table's rows.

use std::marker::PhantomData;
use std::sync::Arc;

use streams_core::stores::{Change, Held};
use streams_core::topology::{Consumed, Produced};
use streams_core::{BoxError, Data, SerdeRef};

use super::aggregate::Aggregate;
use super::change_serde::ChangeSerde;
use crate::graph::{
    Call, Graph, Kind, Naming, NewNode, NodeId, Origin, Repartition, RepartitionBase, StoreName,
};
use crate::options::{KeyValueKind, Materialized};
use crate::table::{KTable, NewTable, stored};

/// A table grouped by a new key: an update subtracts the old value and adds the new one.
///
/// Two aggregations of one group share its repartition topic, if that has a name.
#[must_use = "a group without an aggregation does nothing"]
pub struct KGroupedTable<K, V> {
    graph: Graph,
    /// A node of the kind `Grouping`.
    node: NodeId,
    rows: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KGroupedTable<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.graph.clone(), self.node)
    }
}

impl<K, V> KGroupedTable<K, V> {
    pub(crate) fn new(graph: Graph, node: NodeId) -> Self {
        Self { graph, node, rows: PhantomData }
    }
}

/// How one change of a row changes the aggregate of its group.
type Step<K, V, A> =
    dyn Fn(&K, Change<V>, &mut Option<Held<A>>) -> Result<(), BoxError> + Send + Sync;

impl<K: Data, V: Data> KGroupedTable<K, V> {
    /// How many rows each group has.
    #[track_caller]
    pub fn count(&self, store: impl Into<Materialized<K, i64, KeyValueKind>>) -> KTable<K, i64> {
        let step = |_: &K, change: Change<V>, count: &mut Option<Held<i64>>| {
            let more = i64::from(change.new.is_some());
            match count {
                Some(count) => {
                    let fewer = i64::from(change.old.is_some());
                    *count = Held::new(count.saturating_sub(fewer).saturating_add(more));
                }
                None if change.new.is_some() => *count = Some(Held::new(more)),
                None => {}
            }
            Ok(())
        };
        self.aggregate_in(
            Call::new("count"),
            "KTABLE-AGGREGATE-",
            None,
            store.into(),
            Arc::new(step),
        )
    }

    /// Combines the values of each group: `add(reduced, value)`, and `subtract(reduced, value)`,
    /// its inverse. The first value is the first result.
    #[track_caller]
    pub fn reduce(
        &self,
        add: impl Fn(V, V) -> V + Send + Sync + 'static,
        subtract: impl Fn(V, V) -> V + Send + Sync + 'static,
        store: impl Into<Materialized<K, V, KeyValueKind>>,
    ) -> KTable<K, V> {
        let step = move |_: &K, change: Change<V>, reduced: &mut Option<Held<V>>| {
            if let Some(old) = change.old
                && let Some(before) = reduced.take()
            {
                *reduced = Some(Held::new(subtract(before.into_inner(), old.into_inner())));
            }
            if let Some(new) = change.new {
                *reduced = Some(match reduced.take() {
                    Some(before) => Held::new(add(before.into_inner(), new.into_inner())),
                    None => new,
                });
            }
            Ok(())
        };
        let inherited = self.graph.value_serde(self.node);
        self.aggregate_in(
            Call::new("reduce"),
            "KTABLE-REDUCE-",
            inherited,
            store.into(),
            Arc::new(step),
        )
    }

    /// Adds each row to the aggregate of its group, which begins as `init` makes it, and subtracts
    /// what it was before.
    #[track_caller]
    pub fn aggregate<A: Data>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, V, &mut A) + Send + Sync + 'static,
        subtract: impl Fn(&K, V, &mut A) + Send + Sync + 'static,
        store: impl Into<Materialized<K, A, KeyValueKind>>,
    ) -> KTable<K, A> {
        let step = move |key: &K, change: Change<V>, aggregate: &mut Option<Held<A>>| {
            if let (Some(old), Some(aggregate)) = (change.old, aggregate.as_mut()) {
                subtract(key, old.into_inner(), aggregate.make_mut());
            }
            if let Some(new) = change.new {
                let aggregate = aggregate.get_or_insert_with(|| Held::new(init()));
                add(key, new.into_inner(), aggregate.make_mut());
            }
            Ok(())
        };
        self.aggregate_in(
            Call::new("aggregate"),
            "KTABLE-AGGREGATE-",
            None,
            store.into(),
            Arc::new(step),
        )
    }

    /// As [`aggregate`](Self::aggregate), where `None` is "no aggregate": set it to delete the
    /// group.
    #[track_caller]
    pub fn aggregate_option<A: Data>(
        &self,
        add: impl Fn(&K, V, &mut Option<A>) + Send + Sync + 'static,
        subtract: impl Fn(&K, V, &mut Option<A>) + Send + Sync + 'static,
        store: impl Into<Materialized<K, A, KeyValueKind>>,
    ) -> KTable<K, A> {
        let step = move |key: &K, change: Change<V>, aggregate: &mut Option<Held<A>>| {
            let mut own = aggregate.take().map(Held::into_inner);
            if let Some(old) = change.old
                && own.is_some()
            {
                subtract(key, old.into_inner(), &mut own);
            }
            if let Some(new) = change.new {
                add(key, new.into_inner(), &mut own);
            }
            *aggregate = own.map(Held::new);
            Ok(())
        };
        let call = Call::new("aggregate_option");
        self.aggregate_in(call, "KTABLE-AGGREGATE-", None, store.into(), Arc::new(step))
    }

    /// The common shape: a store name, the repartition topic's sink and source, then the operator.
    #[track_caller]
    fn aggregate_in<A: Data>(
        &self,
        call: Call,
        prefix: &'static str,
        inherited: Option<SerdeRef<A>>,
        options: Materialized<K, A, KeyValueKind>,
        step: Arc<Step<K, V, A>>,
    ) -> KTable<K, A> {
        // Of a reduction too, as in the JVM.
        let store = self.graph.store_name(options.name.as_deref(), "KTABLE-AGGREGATE-");
        let key = options.key.resolve(self.graph.key_serde(self.node).as_ref());
        let value = options.value.resolve(inherited.as_ref());
        let stored = stored(&self.graph, call, key, value, options.settings);
        let (parent, is_first) = self.repartition(&store);
        let name = self.graph.name(None, &[(prefix, "")]);
        let table = NewTable {
            node: NewNode::new(call, name, &[parent], Kind::Table),
            origin: Origin::Own,
            store: stored.map(|stored| (store, stored)),
            store_asked: true,
        };
        let table = table.lower(move |lowering| {
            let parts = lowering.table_parts::<K, A>();
            lowering.set_getter(parts.getter());
            let Some(store) = parts.store.clone() else {
                return lowering.bug("an aggregate without a store was not refused");
            };
            lowering.processor::<K, Change<V>, _, _>(store, move |store, _| {
                Aggregate::new(parts.table_store(store), step.clone())
            });
        });
        let table = table.add(&self.graph);
        if is_first {
            self.graph.name_together(table.node, parent);
        }
        table
    }

    /// The repartition topic of the group, and whether it was made here.
    #[track_caller]
    fn repartition(&self, store: &StoreName) -> (NodeId, bool) {
        let (call, select, naming, shared) = self.graph.grouping(self.node);
        let parts = [("KSTREAM-SINK-", "-sink"), ("KSTREAM-SOURCE-", "-source")];
        let name = self.graph.name(None, &parts);
        if let Some(shared) = shared {
            self.graph.share_again(shared);
            return (shared, false);
        }
        let base = match &naming {
            Naming::Given(name) => RepartitionBase::Given(name.clone()),
            Naming::Auto | Naming::Absent => RepartitionBase::Store(store.clone()),
        };
        let key = self.graph.key_serde::<K>(self.node);
        let value = self.graph.value_serde::<V>(self.node);
        let serdes = key.zip(value);
        let kind = Kind::Repartition(Repartition {
            automatic: false,
            moved: false,
            base,
            partitions: None,
        });
        let node = NewNode::new(call, name, &[select], kind).lower(move |lowering| {
            let Some((key, value)) = serdes else {
                return lowering.bug("a grouping without serdes was not refused");
            };
            let topic = lowering.declare_repartition_topic(None);
            let produced = Produced::with(&topic, key.clone(), ChangeSerde(value.clone()))
                .partition_by_window();
            lowering.sink::<K, Change<V>>(produced);
            let consumed = Consumed::with(topic, key, ChangeSerde(value));
            let source = lowering.source::<K, Change<V>>(1, consumed);
            lowering.output(source);
        });
        let node = self.graph.add(node);
        if let Naming::Given(_) = naming {
            self.graph.share_repartition(self.node, node);
        }
        (node, true)
    }
}
