//! `SessionWindowedKStream`.

use std::sync::Arc;

use streams_core::serdes::SessionWindowedKey;
use streams_core::stores::{Change, Held, SessionStore};
use streams_core::topology::Node;
use streams_core::{Data, SerdeRef, SessionWindowed};

use super::store::session_getter;
use super::{Declared, Merge, SessionAggregate, check_retention, stored_windows};
use crate::graph::{Call, Kind, Lowering, NewNode};
use crate::grouped::KGroupedStream;
use crate::grouped::stream::Step;
use crate::options::{Materialized, WindowKind};
use crate::table::{KTable, add_windowed_table};
use crate::windows::{EmitStrategy, SessionWindows};

/// A grouped stream, cut into sessions: made by [`windowed_by`](KGroupedStream::windowed_by).
///
/// When a record extends or merges sessions, those are deleted from the table, and the new one is
/// added. Records that come after their session has closed are dropped and counted.
#[must_use = "a windowed stream without an aggregation does nothing"]
pub struct SessionWindowedKStream<K, V> {
    group: KGroupedStream<K, V>,
    windows: SessionWindows,
    emit: EmitStrategy,
}

impl<K, V> Clone for SessionWindowedKStream<K, V> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone(), windows: self.windows.clone(), emit: self.emit }
    }
}

impl<K: Data, V: Data> SessionWindowedKStream<K, V> {
    pub(crate) fn new(group: KGroupedStream<K, V>, windows: SessionWindows) -> Self {
        Self { group, windows, emit: EmitStrategy::default() }
    }

    /// When results are forwarded: at each update, unless this says otherwise.
    pub fn emit(mut self, strategy: EmitStrategy) -> Self {
        self.emit = strategy;
        self
    }

    /// How many records each session had.
    #[track_caller]
    pub fn count(
        &self,
        store: impl Into<Materialized<K, i64, WindowKind>>,
    ) -> KTable<SessionWindowed<K>, i64> {
        let merge = |_: &K, one: Option<Held<i64>>, other: Held<i64>| {
            Some(Held::new(one.map_or(0, |one| *one).saturating_add(*other)))
        };
        let how = (super::count_step(), Arc::new(merge) as Arc<Merge<K, i64>>);
        self.aggregate_in(Call::new("count"), "KSTREAM-AGGREGATE-", None, store.into(), how)
    }

    /// Combines the values of each session, and the results of sessions that merge.
    #[track_caller]
    pub fn reduce(
        &self,
        f: impl Fn(V, V) -> V + Send + Sync + 'static,
        store: impl Into<Materialized<K, V, WindowKind>>,
    ) -> KTable<SessionWindowed<K>, V> {
        let f = Arc::new(f);
        let of_two = f.clone();
        let merge = move |_: &K, one: Option<Held<V>>, other: Held<V>| {
            Some(match one {
                Some(one) => Held::new(of_two(one.into_inner(), other.into_inner())),
                None => other,
            })
        };
        let inherited = self.group.graph.value_serde(self.group.node);
        let how = (super::reduce_step(f), Arc::new(merge) as Arc<Merge<K, V>>);
        self.aggregate_in(Call::new("reduce"), "KSTREAM-REDUCE-", inherited, store.into(), how)
    }

    /// Adds each record to the aggregate of its session, which begins as `init` makes it; `merge`
    /// makes one aggregate of those of two sessions, the earlier one first. What `init` makes is
    /// merged too.
    #[track_caller]
    pub fn aggregate<A: Data>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        f: impl Fn(&K, V, &mut A) + Send + Sync + 'static,
        merge: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        store: impl Into<Materialized<K, A, WindowKind>>,
    ) -> KTable<SessionWindowed<K>, A> {
        let init: Arc<dyn Fn() -> A + Send + Sync> = Arc::new(init);
        let how = (super::aggregate_step(init.clone(), f), merge_with(init, merge));
        self.aggregate_in(Call::new("aggregate"), "KSTREAM-AGGREGATE-", None, store.into(), how)
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
        (step, merge): (Arc<Step<K, V, A>>, Arc<Merge<K, A>>),
    ) -> KTable<SessionWindowed<K>, A> {
        let graph = &self.group.graph;
        let store = graph.store_name(options.name.as_deref(), prefix);
        let name = graph.name(None, &[(prefix, "")]);
        check_sessions(graph, call, &self.windows, &options);
        let on_close = self.emit == EmitStrategy::OnWindowClose;
        let inherited = (graph.key_serde(self.group.node), inherited);
        let kept = (self.windows.retention(), std::time::Duration::ZERO, on_close);
        let stored = stored_windows(graph, call, options, inherited, kept);
        let parent = self.group.keyed(&store);
        let windows = self.windows.clone();
        let node = NewNode::new(call, name, &[parent], Kind::Table).lower(move |lowering| {
            let Some(parts) = lowering.windowed_parts::<K, A>() else {
                return lowering.bug("an aggregate without a store was not refused");
            };
            let store = parts.session_store();
            lowering.set_getter(Some(session_getter(store.clone())));
            let parts = (store, Arc::new(parts));
            let node = lower_sessions(lowering, 0, &windows, parts, (step, merge));
            lowering.output(node);
        });
        let serdes = stored.as_ref().map(|stored| {
            (SerdeRef::new(SessionWindowedKey(stored.key.clone())), stored.value.clone())
        });
        add_windowed_table(graph, node, serdes, (store, stored), Some(self.windows.retention()))
    }
}

/// Tells of sessions that are wrong.
pub(crate) fn check_sessions<K, A>(
    graph: &crate::graph::Graph,
    call: Call,
    windows: &SessionWindows,
    options: &Materialized<K, A, WindowKind>,
) {
    if let Err((call, message)) = windows.check() {
        graph.mistake(call, message);
    }
    let parts = "the gap and the grace period";
    check_retention(graph, call, &options.settings, (windows.retention(), parts));
}

/// As the JVM merges: what `init` makes, then the sessions one after the other.
pub(crate) fn merge_with<K: Data, A: Data>(
    init: Arc<dyn Fn() -> A + Send + Sync>,
    merge: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
) -> Arc<Merge<K, A>> {
    Arc::new(move |key, one, other| {
        let one = one.map_or_else(|| init(), Held::into_inner);
        Some(Held::new(merge(key, one, other.into_inner())))
    })
}

/// Adds the aggregation of one stream, the `part`-th processor below the parent of that number.
pub(crate) fn lower_sessions<K: Data, V: Data, A: Data>(
    lowering: &mut Lowering<'_>,
    part: usize,
    windows: &SessionWindows,
    (store, parts): Declared<SessionStore<K, A>, K, A>,
    (step, merge): (Arc<Step<K, V, A>>, Arc<Merge<K, A>>),
) -> Node<SessionWindowed<K>, Change<A>> {
    let (spans, grace) = (windows.spans(), windows.grace_period());
    let name = lowering.name(part);
    lowering.side::<K, V, _, _>(part, part, store, move |store, init| {
        let how = (step.clone(), merge.clone(), name.as_str());
        SessionAggregate::new(init, store, &parts, (spans, grace), how)
    })
}
