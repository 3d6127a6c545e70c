//! Joins of two streams: `KStream::join`, `left_join`, `outer_join`.
//!
//! Each side keeps its records in a store, as long as one of the other side may meet them; a record
//! looks its partners up when it comes (`side.rs`). In left and outer joins records without a
//! partner wait in a third store until their windows are over. Names, order and times of results
//! are the JVM's; what both sides know of time lies in a slot of the task (`times.rs`).

mod self_join;
mod side;
mod times;

use std::sync::Arc;
use std::time::Duration;

use streams_core::processor::process_fn;
use streams_core::stores::{
    Held, JoinSide, JoinStore, LeftOrRight, OuterJoinStore, StoreBuilder, Stores,
};
use streams_core::topology::Node;
use streams_core::{Data, SerdeRef};

use self::self_join::SelfJoin;
use self::side::{JoinRecords, Joiner, KeepRecords, Span, Waiting};
use self::times::JoinTimes;
use super::KStream;
use crate::graph::{Call, Kind, Lowering, Naming, NewNode, RepartitionBase, StoreName};
use crate::options::{StoreSettings, StreamJoined};
use crate::windows::JoinWindows;

/// Which records have results without a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JoinKind {
    Inner,
    Left,
    Outer,
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Joins each record with those of `other` that have the same key and lie within the window
    /// around it. The result has the later time of both.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, String>("orders");
    /// let payments = builder.stream::<String, String>("payments");
    /// let paid = orders.join(
    ///     &payments,
    ///     |_, order, payment| format!("{order} paid by {payment}"),
    ///     JoinWindows::within(Duration::from_secs(60)),
    ///     "paid-orders",
    /// );
    /// # paid.to("paid");
    /// ```
    #[track_caller]
    pub fn join<V2: Data, W: Data>(
        &self,
        other: &KStream<K, V2>,
        f: impl Fn(&K, &V, &V2) -> W + Send + Sync + 'static,
        windows: JoinWindows,
        options: impl Into<StreamJoined<K, V, V2>>,
    ) -> KStream<K, W> {
        let joiner =
            move |key: &K, this: Option<&V>, other: Option<&V2>| Some(f(key, this?, other?));
        let call = Call::new("join");
        self.join_in(call, JoinKind::Inner, other, Arc::new(joiner), windows, options.into())
    }

    /// As [`join`](Self::join); a record of this stream that finds no partner has a result too,
    /// when its window and the grace period are over. A record without a key
    /// (`KStream<Option<K>, V>`) has it at once.
    #[track_caller]
    pub fn left_join<V2: Data, W: Data>(
        &self,
        other: &KStream<K, V2>,
        f: impl Fn(&K, &V, Option<&V2>) -> W + Send + Sync + 'static,
        windows: JoinWindows,
        options: impl Into<StreamJoined<K, V, V2>>,
    ) -> KStream<K, W> {
        let joiner =
            move |key: &K, this: Option<&V>, other: Option<&V2>| Some(f(key, this?, other));
        let call = Call::new("left_join");
        self.join_in(call, JoinKind::Left, other, Arc::new(joiner), windows, options.into())
    }

    /// As [`left_join`](Self::left_join), for records of both streams.
    #[track_caller]
    pub fn outer_join<V2: Data, W: Data>(
        &self,
        other: &KStream<K, V2>,
        f: impl Fn(&K, Option<&V>, Option<&V2>) -> W + Send + Sync + 'static,
        windows: JoinWindows,
        options: impl Into<StreamJoined<K, V, V2>>,
    ) -> KStream<K, W> {
        let joiner = move |key: &K, this: Option<&V>, other: Option<&V2>| Some(f(key, this, other));
        let call = Call::new("outer_join");
        self.join_in(call, JoinKind::Outer, other, Arc::new(joiner), windows, options.into())
    }

    #[track_caller]
    fn join_in<V2: Data, W: Data>(
        &self,
        call: Call,
        kind: JoinKind,
        other: &KStream<K, V2>,
        joiner: Arc<Joiner<K, V, V2, W>>,
        windows: JoinWindows,
        options: StreamJoined<K, V, V2>,
    ) -> KStream<K, W> {
        let graph = &self.graph;
        if let Err((call, message)) = windows.check() {
            graph.mistake(call, message);
        }
        let other = KStream::<K, V2>::new(
            graph.clone(),
            graph.own(call, &other.graph, other.node, self.node),
        );
        let naming = |suffix: &str| match &options.name {
            Some(name) => Naming::Given(format!("{name}{suffix}")),
            None => Naming::Auto,
        };
        let serdes = (&options.key, &options.value);
        let auto = RepartitionBase::Operator(self.node);
        let left = self.keyed(call, &naming("-left"), auto, serdes, "name the join");
        let serdes = (&options.key, &options.other_value);
        let auto = RepartitionBase::Operator(other.node);
        let right = other.keyed(call, &naming("-right"), auto, serdes, "name the join");
        if kind != JoinKind::Inner {
            graph.keep_null_keys(&[left, right]);
        }
        graph.copartition(call, left, right);
        let serdes = (
            options.key.resolve(graph.key_serde(left).as_ref()),
            options.value.resolve(graph.value_serde(left).as_ref()),
            options.other_value.resolve(graph.value_serde(right).as_ref()),
        );
        let (this, that) = kind.prefixes();
        let (this_suffix, that_suffix) = kind.suffixes();
        let parts = [
            ("KSTREAM-WINDOWED-", "-this-windowed"),
            ("KSTREAM-WINDOWED-", "-other-windowed"),
            (this, this_suffix),
            (that, that_suffix),
            ("KSTREAM-MERGE-", "-merge"),
        ];
        let name = graph.name(options.name.as_deref(), &parts);
        let names = kind.store_names(options.store_name.as_deref(), &name.parts);
        if options.store_name.is_none() {
            let generated = StoreName::Generated(name.parts[2].generated.clone());
            graph.generated_store(call, &generated);
        }
        let key = serdes.0.clone();
        let (Some(key_serde), Some(value), Some(other_value)) = serdes else {
            let message = format!(
                "{call} keeps records of both streams, and there are not serdes of all keys and \
                 values above to inherit: use StreamJoined::with"
            );
            graph.mistake(call, message);
            let node = NewNode::new(call, name, &[left, right], Kind::Stream);
            return KStream::new(graph.clone(), graph.add(node));
        };
        let join = StreamJoin {
            kind,
            joiner,
            span: Span {
                before: windows.before(),
                after: windows.after(),
                grace: crate::windows::millis(windows.grace_period()),
            },
            key: key_serde,
            values: (value, other_value),
            names,
            settings: StoreSettings {
                in_memory: options.in_memory,
                logging_disabled: options.logging_disabled,
                changelog: options.changelog,
                ..StoreSettings::default()
            },
        };
        let node = NewNode::new(call, name, &[left, right], Kind::Stream)
            .serdes::<K, W>(key, None)
            .lower(move |lowering| join.lower(lowering));
        KStream::new(graph.clone(), graph.add(node))
    }
}

impl JoinKind {
    fn prefixes(self) -> (&'static str, &'static str) {
        match self {
            Self::Inner => ("KSTREAM-JOINTHIS-", "KSTREAM-JOINOTHER-"),
            Self::Left => ("KSTREAM-JOINTHIS-", "KSTREAM-OUTEROTHER-"),
            Self::Outer => ("KSTREAM-OUTERTHIS-", "KSTREAM-OUTEROTHER-"),
        }
    }

    fn suffixes(self) -> (&'static str, &'static str) {
        match self {
            Self::Inner => ("-this-join", "-other-join"),
            Self::Left => ("-this-join", "-outer-other-join"),
            Self::Outer => ("-outer-this-join", "-outer-other-join"),
        }
    }

    /// Of this side's store, the other's, and the one of records that wait.
    fn store_names(self, given: Option<&str>, parts: &[crate::graph::Part]) -> [String; 3] {
        let (this, that) = self.suffixes();
        let shared = if self == Self::Outer { "-outer" } else { "-left" };
        match given {
            Some(name) => [
                format!("{name}{this}-store"),
                format!("{name}{that}-store"),
                format!("{name}{shared}-shared-join-store"),
            ],
            None => [
                format!("{}-store", parts[2].generated),
                format!("{}-store", parts[3].generated),
                format!("KSTREAM-OUTERSHARED-{:010}-store", parts[2].generated.index),
            ],
        }
    }
}

/// All that lowering needs.
struct StreamJoin<K, V, V2, W> {
    kind: JoinKind,
    joiner: Arc<Joiner<K, V, V2, W>>,
    span: Span,
    key: SerdeRef<K>,
    values: (SerdeRef<V>, SerdeRef<V2>),
    names: [String; 3],
    settings: StoreSettings,
}

type WaitingStore<K, V, V2> = StoreBuilder<OuterJoinStore<K, V, V2>>;

impl<K: Data, V: Data, V2: Data, W: Data> StreamJoin<K, V, V2, W> {
    fn lower(self, lowering: &mut Lowering<'_>) {
        let name = lowering.name(4);
        let left = self.kept(lowering, 0, &self.names[0], &self.values.0);
        if lowering.optimization().single_store_self_join
            && lowering.parents_are_one()
            && let Some(joined) = self.lower_self_join(lowering, &left)
        {
            return lowering.output(joined);
        }
        let right = self.kept(lowering, 1, &self.names[1], &self.values.1);
        let waiting: Vec<WaitingStore<K, V, V2>> = (self.kind != JoinKind::Inner)
            .then(|| {
                let (left, right) = (self.values.0.clone(), self.values.1.clone());
                self.settle(
                    lowering,
                    Stores::outer_join_with(&self.names[2], self.key.clone(), left, right),
                )
            })
            .into_iter()
            .collect();
        let joiner = self.joiner.clone();
        let unmatched = Arc::new(move |key: &K, value: &LeftOrRight<V, V2>| match value {
            LeftOrRight::Left(left) => joiner(key, Some(left), None),
            LeftOrRight::Right(right) => joiner(key, None, Some(right)),
        });
        let (span, kind) = (self.span, self.kind);
        let interval = lowering.options().join_emit_interval;
        let spans = (span.after + span.grace, span.before + span.grace);
        let from_left = {
            let (joiner, unmatched, times) = (self.joiner.clone(), unmatched.clone(), name.clone());
            let (key, value) = (self.key.clone(), self.values.0.clone());
            let stores = (right.store.clone(), waiting.clone());
            lowering.add_below(2, &[left.node], stores, move |(other, waiting), init| JoinRecords {
                other,
                key: key.clone(),
                value: value.clone(),
                span,
                side: JoinSide::Left,
                joiner: joiner.clone(),
                unmatched: unmatched.clone(),
                wait: LeftOrRight::Left,
                alone: kind != JoinKind::Inner,
                waiting: waiting.first().map(|store| Waiting { store: *store, spans }),
                times: JoinTimes::of(&times, interval, init),
            })
        };
        let from_right = {
            let joiner = self.joiner.clone();
            let joiner: Arc<Joiner<K, V2, V, W>> =
                Arc::new(move |key: &K, this: Option<&V2>, other: Option<&V>| {
                    joiner(key, other, this)
                });
            let (key, value, times) = (self.key.clone(), self.values.1.clone(), name.clone());
            let stores = (left.store.clone(), waiting);
            lowering.add_below(3, &[right.node], stores, move |(other, waiting), init| {
                JoinRecords {
                    other,
                    key: key.clone(),
                    value: value.clone(),
                    span: span.flipped(),
                    side: JoinSide::Right,
                    joiner: joiner.clone(),
                    unmatched: unmatched.clone(),
                    wait: LeftOrRight::Right,
                    alone: kind == JoinKind::Outer,
                    waiting: waiting.first().map(|store| Waiting { store: *store, spans }),
                    times: JoinTimes::of(&times, interval, init),
                }
            })
        };
        let merged = lowering.add_below(4, &[from_left, from_right], (), |(), _| {
            process_fn(
                (),
                Arc::new(
                    |(): &(),
                     key: K,
                     value: W,
                     ctx: &mut streams_core::processor::ProcessorContext<'_, K, W>| {
                        ctx.forward(key, value)
                    },
                ),
            )
        });
        lowering.output(merged);
    }

    /// The processor that keeps the records of one side, and their store.
    fn kept<T: Data>(
        &self,
        lowering: &mut Lowering<'_>,
        side: usize,
        name: &str,
        value: &SerdeRef<T>,
    ) -> Kept<K, T> {
        let (key, value) = (self.key.clone(), value.clone());
        let retention = self.retention_ms();
        let retention = Duration::from_millis(u64::try_from(retention).unwrap_or(0));
        let store = Stores::join_with(name, retention, key.clone(), value.clone());
        let store = self.settle(lowering, store);
        let (join, interval) = (lowering.name(4), lowering.options().join_emit_interval);
        let node = lowering.side::<K, T, _, _>(side, side, store.clone(), move |store, init| {
            let times = JoinTimes::of(&join, interval, init);
            KeepRecords { store, key: key.clone(), value: value.clone(), times }
        });
        Kept { store, node }
    }

    /// None if both sides have different types: then one is not the other's stream.
    fn lower_self_join(
        &self,
        lowering: &mut Lowering<'_>,
        kept: &Kept<K, V>,
    ) -> Option<Node<K, W>> {
        let joiner: &dyn std::any::Any = &self.joiner;
        let joiner: Arc<Joiner<K, V, V, W>> =
            joiner.downcast_ref::<Arc<Joiner<K, V, V, W>>>()?.clone();
        let (key, value) = (self.key.clone(), self.values.0.clone());
        let (span, retention) = (self.span, self.retention_ms());
        let stores = kept.store.clone();
        Some(lowering.add_below(4, &[kept.node], stores, move |store, _| SelfJoin {
            store,
            key: key.clone(),
            value: value.clone(),
            span,
            retention,
            joiner: joiner.clone(),
        }))
    }

    fn retention_ms(&self) -> i64 {
        let Span { before, after, grace } = self.span;
        before.saturating_add(after).saturating_add(grace)
    }

    fn settle<S: streams_core::stores::Store>(
        &self,
        lowering: &Lowering<'_>,
        mut store: StoreBuilder<S>,
    ) -> StoreBuilder<S> {
        if self.settings.in_memory || lowering.options().in_memory {
            store = store.in_memory();
        }
        if self.settings.logging_disabled {
            store = store.logging_disabled();
        }
        for (key, value) in &self.settings.changelog {
            store = store.changelog_config(key, value);
        }
        store
    }
}

/// One side's records.
struct Kept<K, T> {
    store: StoreBuilder<JoinStore<K, T>>,
    node: Node<K, Held<T>>,
}
