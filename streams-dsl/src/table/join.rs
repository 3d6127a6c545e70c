//! Joins of two tables by their key: each change of one side looks up the other side.

use std::marker::PhantomData;
use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{Change, Held};
use streams_core::{BoxError, Data, Timestamp};

use super::getter::Row;
use super::{Getter, KTable, NewTable, OUT_OF_ORDER, TableOutput};
use crate::graph::{Ask, Call, Keeps};

/// Which rows a join has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JoinKind {
    /// Those of keys on both sides.
    Inner,
    /// Those of keys on the left.
    Left,
    /// Those of keys on either side.
    Outer,
}

/// What all joiners are made into: only called with what the kind of join has.
type Joiner<K, V, V2, W> = dyn Fn(&K, Option<&V>, Option<&V2>) -> Option<W> + Send + Sync;

impl<K: Data, V: Data> KTable<K, V> {
    /// The keys that both tables have.
    #[track_caller]
    pub fn join<V2: Data, W: Data>(
        &self,
        other: &KTable<K, V2>,
        f: impl Fn(&K, &V, &V2) -> W + Send + Sync + 'static,
    ) -> KTable<K, W> {
        let joiner = Arc::new(move |key: &K, this: Option<&V>, other: Option<&V2>| {
            Some(f(key, this?, other?))
        });
        self.join_in(Call::new("join"), JoinKind::Inner, other, joiner)
    }

    /// All keys of this table, with the other's value where there is one.
    #[track_caller]
    pub fn left_join<V2: Data, W: Data>(
        &self,
        other: &KTable<K, V2>,
        f: impl Fn(&K, &V, Option<&V2>) -> W + Send + Sync + 'static,
    ) -> KTable<K, W> {
        let joiner = Arc::new(move |key: &K, this: Option<&V>, other: Option<&V2>| {
            Some(f(key, this?, other))
        });
        self.join_in(Call::new("left_join"), JoinKind::Left, other, joiner)
    }

    /// All keys of both tables.
    #[track_caller]
    pub fn outer_join<V2: Data, W: Data>(
        &self,
        other: &KTable<K, V2>,
        f: impl Fn(&K, Option<&V>, Option<&V2>) -> W + Send + Sync + 'static,
    ) -> KTable<K, W> {
        let joiner = Arc::new(move |key: &K, this: Option<&V>, other: Option<&V2>| {
            (this.is_some() || other.is_some()).then(|| f(key, this, other))
        });
        self.join_in(Call::new("outer_join"), JoinKind::Outer, other, joiner)
    }

    #[track_caller]
    fn join_in<V2: Data, W: Data>(
        &self,
        call: Call,
        kind: JoinKind,
        other: &KTable<K, V2>,
        joiner: Arc<Joiner<K, V, V2, W>>,
    ) -> KTable<K, W> {
        let name = self.graph.name(
            None,
            &[
                ("KTABLE-MERGE-", ""),
                ("KTABLE-JOINTHIS-", "-join-this"),
                ("KTABLE-JOINOTHER-", "-join-other"),
            ],
        );
        let right = self.graph.own(call, &other.graph, other.node, self.node);
        let mut table = NewTable::derived(call, name, &[self.node, right], Keeps::Key);
        let (left_old, right_old) = (kind != JoinKind::Inner, kind == JoinKind::Outer);
        table.node = table.node.asks(Ask { of: self.node, old: left_old, read: true }).asks(Ask {
            of: right,
            old: right_old,
            read: true,
        });
        self.graph.copartition(call, self.node, right);
        let table = table.lower(move |lowering| {
            let parts = lowering.table_parts::<K, W>();
            let (Some(this), Some(other)) =
                (lowering.parent_getter::<K, V>(0), lowering.parent_getter::<K, V2>(1))
            else {
                return lowering.bug("a joined table cannot be read");
            };
            let getter = parts.getter().unwrap_or_else(|| {
                let joiner = joiner.clone();
                this.clone().with(other.clone(), move |key, this, other| {
                    let value = joiner(key, value(&this), value(&other))?;
                    Some((Held::new(value), latest(&this, &other)))
                })
            });
            lowering.set_getter(Some(getter));
            let send_old = parts.send_old && parts.store.is_none();
            let versioned = (lowering.is_versioned(0), lowering.is_versioned(1));
            let (left, right) = (joiner.clone(), joiner);
            let from_left = lowering.side::<K, Change<V>, _, _>(1, 0, other, move |other, _| {
                let joiner = left.clone();
                JoinSide {
                    other,
                    join: Arc::new(move |key: &K, v: Option<&V>, v2: Option<&V2>| {
                        joiner(key, v, v2)
                    }),
                    // A row of the left side alone is a result of left and outer joins.
                    alone: kind != JoinKind::Inner,
                    versioned: versioned.0,
                    send_old,
                    values: PhantomData,
                }
            });
            let from_right = lowering.side::<K, Change<V2>, _, _>(2, 1, this, move |this, _| {
                let joiner = right.clone();
                JoinSide {
                    other: this,
                    join: Arc::new(move |key: &K, v2: Option<&V2>, v: Option<&V>| {
                        joiner(key, v, v2)
                    }),
                    alone: kind == JoinKind::Outer,
                    versioned: versioned.1,
                    send_old,
                    values: PhantomData,
                }
            });
            let sides = [from_left, from_right];
            let merged = lowering.add_below(0, &sides, parts.stores(), move |stores, _| {
                JoinOutput { output: parts.output(&stores) }
            });
            lowering.output(merged);
        });
        table.add(&self.graph)
    }
}

fn value<V>(row: &Option<Row<V>>) -> Option<&V> {
    row.as_ref().map(|(value, _)| &**value)
}

fn latest<V, V2>(this: &Option<Row<V>>, other: &Option<Row<V2>>) -> Timestamp {
    let times = [this.as_ref().map(|row| row.1), other.as_ref().map(|row| row.1)];
    times.into_iter().flatten().max().unwrap_or_default()
}

/// The changes of one side, joined with the rows of the other.
struct JoinSide<K, V, V2, W, F> {
    other: Getter<K, V2>,
    join: Arc<F>,
    /// Whether a row of this side has a result without the other.
    alone: bool,
    /// The table of this side is versioned: what changes its past changes no result.
    versioned: bool,
    send_old: bool,
    values: PhantomData<fn(V) -> W>,
}

impl<K: Data, V: Data, V2: Data, W: Data, F> Processor for JoinSide<K, V, V2, W, F>
where
    F: Fn(&K, Option<&V>, Option<&V2>) -> Option<W> + Send + Sync + 'static,
{
    type KIn = K;
    type VIn = Change<V>;
    type KOut = K;
    type VOut = Change<W>;

    fn process(
        &mut self,
        key: K,
        change: Change<V>,
        ctx: &mut ProcessorContext<'_, K, Change<W>>,
    ) -> Result<(), BoxError> {
        if self.versioned && !change.is_latest {
            ctx.dropped(OUT_OF_ORDER);
            return Ok(());
        }
        let other = self.other.get(&mut ctx.state(), &key)?;
        if other.is_none() && (!self.alone || change.is_empty()) {
            return Ok(());
        }
        let (other, time) = other.map_or((None, ctx.timestamp()), |(value, time)| {
            (Some(value), time.max(ctx.timestamp()))
        });
        let join = |value: &Option<Held<V>>| {
            (self.join)(&key, value.as_deref(), other.as_deref()).map(Held::new)
        };
        let new = join(&change.new);
        let old = if self.send_old { join(&change.old) } else { None };
        ctx.forward_at(key, Change::new(new, old), time)
    }
}

/// Where both sides come together, and the result's store if it has one.
struct JoinOutput<K, W> {
    output: TableOutput<K, W>,
}

impl<K: Data, W: Data> Processor for JoinOutput<K, W> {
    type KIn = K;
    type VIn = Change<W>;
    type KOut = K;
    type VOut = Change<W>;

    fn process(
        &mut self,
        key: K,
        change: Change<W>,
        ctx: &mut ProcessorContext<'_, K, Change<W>>,
    ) -> Result<(), BoxError> {
        self.output.emit(key, change, ctx)
    }

    fn flush(&mut self, ctx: &mut ProcessorContext<'_, K, Change<W>>) -> Result<(), BoxError> {
        self.output.flush(ctx)
    }
}
