//! `KGroupedStream`: aggregations without windows.

use std::marker::PhantomData;
use std::sync::Arc;

use streams_core::stores::Held;
use streams_core::topology::Choice;
use streams_core::{BoxError, Data, SerdeRef};

use super::aggregate::Aggregate;
use crate::graph::{
    Call, Graph, Kind, Naming, NewNode, NodeId, Origin, RepartitionBase, StoreName,
};
use crate::options::{KeyValueKind, Materialized};
use crate::stream::KStream;
use crate::table::{KTable, NewTable, stored};

/// A stream grouped by its key.
///
/// Two aggregations of one group share its repartition topic, if that has a name.
#[must_use = "a group without an aggregation does nothing"]
pub struct KGroupedStream<K, V> {
    pub(crate) graph: Graph,
    /// A node of the kind `Grouping`.
    pub(crate) node: NodeId,
    records: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KGroupedStream<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.graph.clone(), self.node)
    }
}

impl<K, V> KGroupedStream<K, V> {
    pub(crate) fn new(graph: Graph, node: NodeId) -> Self {
        Self { graph, node, records: PhantomData }
    }
}

/// How one record changes the aggregate of its key: the value that is stored, `None` if there is
/// none.
pub(crate) type Step<K, V, A> =
    dyn Fn(&K, V, &mut Option<Held<A>>) -> Result<(), BoxError> + Send + Sync;

impl<K: Data, V: Data> KGroupedStream<K, V> {
    /// How many records each key had.
    #[track_caller]
    pub fn count(&self, store: impl Into<Materialized<K, i64, KeyValueKind>>) -> KTable<K, i64> {
        let step = |_: &K, _: V, count: &mut Option<Held<i64>>| {
            *count = Some(Held::new(count.as_deref().copied().unwrap_or(0).saturating_add(1)));
            Ok(())
        };
        self.aggregate_in(
            Call::new("count"),
            "KSTREAM-AGGREGATE-",
            None,
            store.into(),
            Arc::new(step),
        )
    }

    /// Combines the values of each key. The first value is the first aggregate.
    #[track_caller]
    pub fn reduce(
        &self,
        f: impl Fn(V, V) -> V + Send + Sync + 'static,
        store: impl Into<Materialized<K, V, KeyValueKind>>,
    ) -> KTable<K, V> {
        let step = move |_: &K, value: V, reduced: &mut Option<Held<V>>| {
            *reduced = Some(Held::new(match reduced.take() {
                Some(before) => f(before.into_inner(), value),
                None => value,
            }));
            Ok(())
        };
        let inherited = self.graph.value_serde(self.node);
        self.aggregate_in(
            Call::new("reduce"),
            "KSTREAM-REDUCE-",
            inherited,
            store.into(),
            Arc::new(step),
        )
    }

    /// Adds each record to the aggregate of its key, which begins as `init` makes it.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let totals = builder
    ///     .stream::<String, i64>("amounts")
    ///     .group_by_key()
    ///     .aggregate(|| 0, |_, amount, total: &mut i64| *total += amount, "totals");
    /// # totals.to("totals");
    /// ```
    #[track_caller]
    pub fn aggregate<A: Data>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        f: impl Fn(&K, V, &mut A) + Send + Sync + 'static,
        store: impl Into<Materialized<K, A, KeyValueKind>>,
    ) -> KTable<K, A> {
        let step = move |key: &K, value: V, aggregate: &mut Option<Held<A>>| {
            f(key, value, aggregate.get_or_insert_with(|| Held::new(init())).make_mut());
            Ok(())
        };
        self.aggregate_in(
            Call::new("aggregate"),
            "KSTREAM-AGGREGATE-",
            None,
            store.into(),
            Arc::new(step),
        )
    }

    /// As [`aggregate`](Self::aggregate), where `None` is "no aggregate": set it to delete the key.
    #[track_caller]
    pub fn aggregate_option<A: Data>(
        &self,
        f: impl Fn(&K, V, &mut Option<A>) + Send + Sync + 'static,
        store: impl Into<Materialized<K, A, KeyValueKind>>,
    ) -> KTable<K, A> {
        let step = move |key: &K, value: V, aggregate: &mut Option<Held<A>>| {
            let mut own = aggregate.take().map(Held::into_inner);
            f(key, value, &mut own);
            *aggregate = own.map(Held::new);
            Ok(())
        };
        let call = Call::new("aggregate_option");
        self.aggregate_in(call, "KSTREAM-AGGREGATE-", None, store.into(), Arc::new(step))
    }

    /// As [`aggregate`](Self::aggregate), for closures that can fail: then the aggregate is as
    /// before the call.
    #[track_caller]
    pub fn try_aggregate<A: Data>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        f: impl Fn(&K, V, &mut A) -> Result<(), BoxError> + Send + Sync + 'static,
        store: impl Into<Materialized<K, A, KeyValueKind>>,
    ) -> KTable<K, A> {
        let step = move |key: &K, value: V, aggregate: &mut Option<Held<A>>| {
            // A copy, so that half a change does not stay.
            let mut changed = aggregate.clone().unwrap_or_else(|| Held::new(init()));
            f(key, value, changed.make_mut())?;
            *aggregate = Some(changed);
            Ok(())
        };
        let call = Call::new("try_aggregate");
        self.aggregate_in(call, "KSTREAM-AGGREGATE-", None, store.into(), Arc::new(step))
    }

    /// The common shape: a store name, the operator's name, then the repartition topic's, as in the
    /// JVM.
    #[track_caller]
    fn aggregate_in<A: Data>(
        &self,
        call: Call,
        prefix: &'static str,
        inherited: Option<SerdeRef<A>>,
        options: Materialized<K, A, KeyValueKind>,
        step: Arc<Step<K, V, A>>,
    ) -> KTable<K, A> {
        let store = self.graph.store_name(options.name.as_deref(), prefix);
        let name = self.graph.name(None, &[(prefix, "")]);
        let key = options.key.resolve(self.graph.key_serde(self.node).as_ref());
        let value = options.value.resolve(inherited.as_ref());
        let stored = stored(&self.graph, call, key, value, options.settings);
        let parent = self.keyed(&store);
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
            lowering.processor::<K, V, _, _>(store, move |store, _| {
                Aggregate::new(parts.table_store(store), step.clone())
            });
        });
        table.add(&self.graph)
    }

    /// What an aggregation reads: the stream, or the repartition topic of the group.
    #[track_caller]
    pub(crate) fn keyed(&self, store: &StoreName) -> NodeId {
        let (call, stream, naming, shared) = self.graph.grouping(self.node);
        if self.graph.key_changed(stream).is_none() {
            return stream;
        }
        if let Some(shared) = shared {
            self.burn_names_of_topic();
            self.graph.share_again(shared);
            return shared;
        }
        let key = self.graph.key_serde(self.node).map_or(Choice::Inherited, Choice::Given);
        let value = self.graph.value_serde(self.node).map_or(Choice::Inherited, Choice::Given);
        let stream = KStream::<K, V>::new(self.graph.clone(), stream);
        let auto = RepartitionBase::Store(store.clone());
        let advice = "use group_by_key_with(\"name\")";
        let topic = stream.keyed(call, &naming, auto, (&key, &value), advice);
        if let Naming::Given(_) = naming {
            self.graph.share_repartition(self.node, topic);
        }
        topic
    }

    /// As [`keyed`](Self::keyed), of a further aggregation that reads what the first one does.
    pub(crate) fn keyed_again(&self, first: NodeId) -> NodeId {
        let (_, stream, ..) = self.graph.grouping(self.node);
        if stream != first {
            self.burn_names_of_topic();
        }
        first
    }

    /// The JVM takes numbers for a repartition topic even where one is there already.
    fn burn_names_of_topic(&self) {
        for prefix in ["KSTREAM-SINK-", "KSTREAM-FILTER-", "KSTREAM-SOURCE-"] {
            self.graph.burn(prefix);
        }
    }
}
