//! `TimeWindowedKStream`.

use std::sync::Arc;

use streams_core::processor::ProcessorInit;
use streams_core::serdes::TimeWindowedKey;
use streams_core::stores::{Change, Held, StoreHandle, WindowStore};
use streams_core::topology::Node;
use streams_core::{BoxError, Data, SerdeRef, Windowed};

use super::store::window_getter;
use super::time_aggregate::Which;
use super::{
    AnyTimeWindows, Declared, SlidingAggregate, Steps, TimeAggregate, check_retention,
    stored_windows,
};
use crate::graph::{Call, Kind, Lowering, NewNode};
use crate::grouped::KGroupedStream;
use crate::grouped::stream::Step;
use crate::options::{Materialized, WindowKind};
use crate::table::{KTable, add_windowed_table};
use crate::windows::EmitStrategy;

/// A grouped stream, cut into windows of a known size: made by
/// [`windowed_by`](KGroupedStream::windowed_by).
///
/// Records that come after their window has closed are dropped and counted.
#[must_use = "a windowed stream without an aggregation does nothing"]
pub struct TimeWindowedKStream<K, V> {
    group: KGroupedStream<K, V>,
    windows: AnyTimeWindows,
    emit: EmitStrategy,
}

impl<K, V> Clone for TimeWindowedKStream<K, V> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone(), windows: self.windows.clone(), emit: self.emit }
    }
}

impl<K: Data, V: Data> TimeWindowedKStream<K, V> {
    pub(crate) fn new(group: KGroupedStream<K, V>, windows: AnyTimeWindows) -> Self {
        Self { group, windows, emit: EmitStrategy::default() }
    }

    /// When results are forwarded: at each update, unless this says otherwise.
    pub fn emit(mut self, strategy: EmitStrategy) -> Self {
        self.emit = strategy;
        self
    }

    /// How many records each window of a key had.
    #[track_caller]
    pub fn count(
        &self,
        store: impl Into<Materialized<K, i64, WindowKind>>,
    ) -> KTable<Windowed<K>, i64> {
        let steps = Steps { step: super::count_step(), merge: Some(super::merge_counts()) };
        self.aggregate_in(Call::new("count"), "KSTREAM-AGGREGATE-", None, store.into(), steps)
    }

    /// Combines the values of each window of a key. The first value is the first aggregate.
    #[track_caller]
    pub fn reduce(
        &self,
        f: impl Fn(V, V) -> V + Send + Sync + 'static,
        store: impl Into<Materialized<K, V, WindowKind>>,
    ) -> KTable<Windowed<K>, V> {
        let step = super::reduce_step(Arc::new(f));
        let inherited = self.group.graph.value_serde(self.group.node);
        self.aggregate_in(Call::new("reduce"), "KSTREAM-REDUCE-", inherited, store.into(), step)
    }

    /// Adds each record to the aggregate of its window, which begins as `init` makes it.
    #[track_caller]
    pub fn aggregate<A: Data>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        f: impl Fn(&K, V, &mut A) + Send + Sync + 'static,
        store: impl Into<Materialized<K, A, WindowKind>>,
    ) -> KTable<Windowed<K>, A> {
        let step = super::aggregate_step(Arc::new(init), f);
        self.aggregate_in(Call::new("aggregate"), "KSTREAM-AGGREGATE-", None, store.into(), step)
    }

    /// As [`aggregate`](Self::aggregate), where `None` is "no aggregate": set it to delete the
    /// window of the key.
    #[track_caller]
    pub fn aggregate_option<A: Data>(
        &self,
        f: impl Fn(&K, V, &mut Option<A>) + Send + Sync + 'static,
        store: impl Into<Materialized<K, A, WindowKind>>,
    ) -> KTable<Windowed<K>, A> {
        let step = move |key: &K, value: V, aggregate: &mut Option<Held<A>>| {
            let mut own = aggregate.take().map(Held::into_inner);
            f(key, value, &mut own);
            *aggregate = own.map(Held::new);
            Ok::<_, BoxError>(())
        };
        let (call, step) = (Call::new("aggregate_option"), Arc::new(step) as Arc<Step<K, V, A>>);
        self.aggregate_in(call, "KSTREAM-AGGREGATE-", None, store.into(), step)
    }

    /// The common shape: a store name, the operator's name, then the repartition topic's, as in the
    /// JVM.
    #[track_caller]
    fn aggregate_in<A: Data>(
        &self,
        call: Call,
        prefix: &'static str,
        inherited: Option<SerdeRef<A>>,
        options: Materialized<K, A, WindowKind>,
        steps: impl Into<Steps<K, V, A>>,
    ) -> KTable<Windowed<K>, A> {
        let (graph, steps) = (&self.group.graph, steps.into());
        let store = graph.store_name(options.name.as_deref(), prefix);
        let name = graph.name(None, &[(prefix, "")]);
        let on_close = self.emit == EmitStrategy::OnWindowClose;
        check_windows(graph, call, &self.windows, on_close);
        check_retention(graph, call, &options.settings, self.windows.retention());
        let inherited = (graph.key_serde(self.group.node), inherited);
        let kept = (self.windows.retention().0, self.windows.size(), on_close);
        let stored = stored_windows(graph, call, options, inherited, kept);
        let parent = self.group.keyed(&store);
        let windows = self.windows.clone();
        let node = NewNode::new(call, name, &[parent], Kind::Table).lower(move |lowering| {
            let Some(parts) = lowering.windowed_parts::<K, A>() else {
                return lowering.bug("an aggregate without a store was not refused");
            };
            let store = parts.window_store();
            lowering.set_getter(Some(window_getter(store.clone())));
            let node =
                lower_time_windows(lowering, 0, windows, (store, Arc::new(parts)), steps.clone());
            lowering.output(node);
        });
        let serdes = stored.as_ref().map(|stored| {
            let (inner, size) = (stored.key.clone(), stored.size);
            (SerdeRef::new(TimeWindowedKey { inner, size }), stored.value.clone())
        });
        add_windowed_table(graph, node, serdes, (store, stored), self.windows.closes_after())
    }
}

/// Tells of windows that are wrong.
pub(crate) fn check_windows(
    graph: &crate::graph::Graph,
    call: Call,
    windows: &AnyTimeWindows,
    on_close: bool,
) {
    if let Err((call, message)) = windows.check() {
        graph.mistake(call, message);
    }
    if on_close && matches!(windows, AnyTimeWindows::Unlimited(_)) {
        let message = format!("{call} waits for windows to close that never end: UnlimitedWindows");
        graph.mistake(call, message);
    }
}

/// Adds the aggregation of one stream, the `part`-th processor below the parent of that number.
pub(crate) fn lower_time_windows<K: Data, V: Data, A: Data>(
    lowering: &mut Lowering<'_>,
    part: usize,
    windows: AnyTimeWindows,
    (store, parts): Declared<WindowStore<K, A>, K, A>,
    steps: impl Into<Steps<K, V, A>>,
) -> Node<Windowed<K>, Change<A>> {
    let (name, grace, steps) = (lowering.name(part), windows.grace(), steps.into());
    let which = match windows {
        AnyTimeWindows::Time(windows) => Which::Aligned(windows.spans()),
        AnyTimeWindows::Unlimited(windows) => Which::From(windows.start()),
        AnyTimeWindows::Sliding(windows) => {
            let spans = windows.spans();
            let supplier =
                move |store: StoreHandle<WindowStore<K, A>>,
                      init: &mut ProcessorInit<'_, SlidingAggregate<K, V, A>>| {
                    SlidingAggregate::new(
                        init,
                        store,
                        &parts,
                        (spans, grace),
                        (steps.step.clone(), &name),
                    )
                };
            return lowering.side::<K, V, _, _>(part, part, store, supplier);
        }
    };
    lowering.side::<K, V, _, _>(part, part, store, move |store, init| {
        TimeAggregate::new(init, store, &parts, (which, grace), (steps.clone(), &name))
    })
}
