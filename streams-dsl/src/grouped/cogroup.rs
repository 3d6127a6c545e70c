//! `CogroupedKStream`: several grouped streams, one aggregate.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{Change, Held, SessionStore, WindowStore};
use streams_core::topology::Node;
use streams_core::{BoxError, Data, SessionWindowed, Windowed};

use super::aggregate::Aggregate;
use super::stream::{KGroupedStream, Step};
use super::windowed::{AnyTimeWindows, Declared, Merge, lower_sessions, lower_time_windows};
use crate::graph::{Call, Graph, Kind, Lowering, NewNode, NodeId, NodeName, Origin, StoreName};
use crate::options::{KeyValueKind, Materialized};
use crate::table::{KTable, NewTable, TableParts, TableStoreBuilder, stored};
use crate::windows::SessionWindows;

/// Grouped streams whose records change one aggregate: made by [`KGroupedStream::cogroup`].
///
/// All of them must have equally many partitions. The counterpart of Kafka Streams'
/// `CogroupedKStream`.
#[must_use = "a co-group without an aggregation does nothing"]
pub struct CogroupedKStream<K, A> {
    pub(crate) graph: Graph,
    pub(crate) init: Arc<dyn Fn() -> A + Send + Sync>,
    pub(crate) inputs: Vec<Arc<dyn CogroupInput<K, A>>>,
}

impl<K, A> Clone for CogroupedKStream<K, A> {
    fn clone(&self) -> Self {
        Self { graph: self.graph.clone(), init: self.init.clone(), inputs: self.inputs.clone() }
    }
}

impl<K: Data, V: Data> KGroupedStream<K, V> {
    /// Begins a common aggregate of several grouped streams: `init` makes it, `f` adds a record of
    /// this one to it.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let paid = builder.stream::<String, i64>("payments").group_by_key();
    /// let spent = builder.stream::<String, i64>("orders").group_by_key();
    /// paid.cogroup(|| 0, |_, amount, balance: &mut i64| *balance += amount)
    ///     .cogroup(&spent, |_, amount, balance| *balance -= amount)
    ///     .aggregate("balances")
    ///     .to("balances");
    /// ```
    #[track_caller]
    pub fn cogroup<A: Data>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        f: impl Fn(&K, V, &mut A) + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        let (graph, init) = (self.graph.clone(), Arc::new(init));
        CogroupedKStream { graph, init, inputs: Vec::new() }.and(Call::new("cogroup"), self, f)
    }
}

impl<K: Data, A: Data> CogroupedKStream<K, A> {
    /// Records of `group` change the aggregate too, as `f` says.
    #[track_caller]
    pub fn cogroup<V: Data>(
        self,
        group: &KGroupedStream<K, V>,
        f: impl Fn(&K, V, &mut A) + Send + Sync + 'static,
    ) -> Self {
        self.and(Call::new("cogroup"), group, f)
    }

    fn and<V: Data>(
        mut self,
        call: Call,
        group: &KGroupedStream<K, V>,
        f: impl Fn(&K, V, &mut A) + Send + Sync + 'static,
    ) -> Self {
        if !self.graph.is_same(&group.graph) {
            self.graph.mistake(call, "the two handles come from different builders");
            return self;
        }
        if self.inputs.iter().any(|input| input.grouping() == group.node) {
            let message = format!(
                "{call} takes a group in that is there already: only one of the two closures \
                 could be called"
            );
            self.graph.mistake(call, message);
            return self;
        }
        let init = self.init.clone();
        let step = move |key: &K, value: V, aggregate: &mut Option<Held<A>>| {
            f(key, value, aggregate.get_or_insert_with(|| Held::new(init())).make_mut());
            Ok(())
        };
        let (group, step) = (group.clone(), Arc::new(step));
        self.inputs.push(Arc::new(InputOf { group, step, reads: OnceLock::new() }));
        self
    }

    /// Keeps the aggregate of each key.
    #[track_caller]
    pub fn aggregate(&self, store: impl Into<Materialized<K, A, KeyValueKind>>) -> KTable<K, A> {
        self.aggregate_in(Call::new("aggregate"), store.into())
    }

    #[track_caller]
    fn aggregate_in(&self, call: Call, options: Materialized<K, A, KeyValueKind>) -> KTable<K, A> {
        let store = self.graph.store_name(options.name.as_deref(), "COGROUPKSTREAM-AGGREGATE-");
        let key = options.key.resolve(self.key_serde().as_ref());
        let stored = stored(&self.graph, call, key, options.value.resolve(None), options.settings);
        let (parents, name) = self.place(call, &store);
        let table = NewTable {
            node: NewNode::new(call, name, &parents, Kind::Table),
            origin: Origin::Own,
            store: stored.map(|stored| (store, stored)),
            store_asked: true,
        };
        let inputs = self.inputs.clone();
        let table = table.lower(move |lowering| {
            let parts = Arc::new(lowering.table_parts::<K, A>());
            lowering.set_getter(parts.getter());
            let Some(store) = parts.store.clone() else {
                return lowering.bug("an aggregate without a store was not refused");
            };
            let add = |(at, input): (usize, &Arc<dyn CogroupInput<K, A>>)| {
                input.lower(lowering, at, &store, &parts)
            };
            let sides: Vec<_> = inputs.iter().enumerate().map(add).collect();
            lower_merge(lowering, &sides);
        });
        table.add(&self.graph)
    }

    /// The serde of the first input's keys.
    pub(crate) fn key_serde(&self) -> Option<streams_core::SerdeRef<K>> {
        self.graph.key_serde(self.inputs.first()?.grouping())
    }

    /// What the aggregation reads, one node for each input; and the names of its processors, in the
    /// JVM's order: repartition topics, an aggregation for each input, and where they meet.
    #[track_caller]
    pub(crate) fn place(&self, call: Call, store: &StoreName) -> (Vec<NodeId>, NodeName) {
        let parents: Vec<_> = self.inputs.iter().map(|input| input.keyed(store)).collect();
        for other in &parents[1..] {
            self.graph.copartition(call, parents[0], *other);
        }
        let part = |at| ("COGROUPKSTREAM-AGGREGATE-", Cow::Owned(format!("-cogroup-agg-{at}")));
        let merge = ("COGROUPKSTREAM-MERGE-", Cow::Borrowed("-cogroup-merge"));
        let parts = (0..parents.len()).map(part).chain([merge]);
        (parents, self.graph.name_parts(parts))
    }
}

/// One of the grouped streams, whatever its values.
pub(crate) trait CogroupInput<K, A>: Send + Sync {
    /// The node of the grouping.
    fn grouping(&self) -> NodeId;

    /// The stream, or the repartition topic of the group.
    #[track_caller]
    fn keyed(&self, store: &StoreName) -> NodeId;

    /// Adds its aggregation in windows, the `at`-th of all.
    fn lower_time(
        &self,
        lowering: &mut Lowering<'_>,
        at: usize,
        windows: AnyTimeWindows,
        parts: &Declared<WindowStore<K, A>, K, A>,
    ) -> Node<Windowed<K>, Change<A>>;

    /// Adds its aggregation in sessions, the `at`-th of all.
    fn lower_sessions(
        &self,
        lowering: &mut Lowering<'_>,
        at: usize,
        windows: (&SessionWindows, &Arc<Merge<K, A>>),
        parts: &Declared<SessionStore<K, A>, K, A>,
    ) -> Node<SessionWindowed<K>, Change<A>>;

    /// Adds its aggregation without windows, the `at`-th of all.
    fn lower(
        &self,
        lowering: &mut Lowering<'_>,
        at: usize,
        store: &TableStoreBuilder<K, A>,
        parts: &Arc<TableParts<K, A>>,
    ) -> Node<K, Change<A>>;
}

struct InputOf<K, V, A> {
    group: KGroupedStream<K, V>,
    step: Arc<Step<K, V, A>>,
    /// What the first aggregation of the co-group reads, and so do all others.
    reads: OnceLock<NodeId>,
}

impl<K: Data, V: Data, A: Data> CogroupInput<K, A> for InputOf<K, V, A> {
    fn grouping(&self) -> NodeId {
        self.group.node
    }

    #[track_caller]
    fn keyed(&self, store: &StoreName) -> NodeId {
        match self.reads.get() {
            Some(first) => self.group.keyed_again(*first),
            None => *self.reads.get_or_init(|| self.group.keyed(store)),
        }
    }

    fn lower_time(
        &self,
        lowering: &mut Lowering<'_>,
        at: usize,
        windows: AnyTimeWindows,
        parts: &Declared<WindowStore<K, A>, K, A>,
    ) -> Node<Windowed<K>, Change<A>> {
        lower_time_windows(lowering, at, windows, parts.clone(), self.step.clone())
    }

    fn lower_sessions(
        &self,
        lowering: &mut Lowering<'_>,
        at: usize,
        (windows, merge): (&SessionWindows, &Arc<Merge<K, A>>),
        parts: &Declared<SessionStore<K, A>, K, A>,
    ) -> Node<SessionWindowed<K>, Change<A>> {
        lower_sessions(lowering, at, windows, parts.clone(), (self.step.clone(), merge.clone()))
    }

    fn lower(
        &self,
        lowering: &mut Lowering<'_>,
        at: usize,
        store: &TableStoreBuilder<K, A>,
        parts: &Arc<TableParts<K, A>>,
    ) -> Node<K, Change<A>> {
        let (parts, step) = (parts.clone(), self.step.clone());
        lowering.side::<K, V, _, _>(at, at, store.clone(), move |store, _| {
            Aggregate::new(parts.table_store(store), step.clone())
        })
    }
}

/// Adds the processor where the aggregations of all inputs meet.
pub(crate) fn lower_merge<K: Data, A: Data>(
    lowering: &mut Lowering<'_>,
    sides: &[Node<K, Change<A>>],
) {
    let merged = lowering.add_below(sides.len(), sides, (), |(), _| PassThrough {
        changes: std::marker::PhantomData,
    });
    lowering.output(merged);
}

/// Forwards what comes in.
struct PassThrough<K, A> {
    changes: std::marker::PhantomData<fn(K, A)>,
}

impl<K: Data, A: Data> Processor for PassThrough<K, A> {
    type KIn = K;
    type VIn = Change<A>;
    type KOut = K;
    type VOut = Change<A>;

    fn process(
        &mut self,
        key: K,
        change: Change<A>,
        ctx: &mut ProcessorContext<'_, K, Change<A>>,
    ) -> Result<(), BoxError> {
        ctx.forward(key, change)
    }
}
