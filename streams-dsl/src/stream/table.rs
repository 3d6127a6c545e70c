//! From streams to tables: `to_table`, and joins with tables.

use std::sync::Arc;

use streams_core::processor::{ProcessorContext, process_fn};
use streams_core::stores::Stores;
use streams_core::topology::{Choice, Node};
use streams_core::{Data, SerdeRef};

use super::KStream;
use super::grace::{JoinAfterGrace, Waits};
use crate::graph::{
    Ask, Call, GraceJoin, Keeps, Kind, Lowering, Naming, NewNode, Origin, RepartitionBase,
};
use crate::options::{Joined, KeyValueKind, Materialized};
use crate::table::{Getter, KTable, NewTable, TableSource, ValueGetter, nullable, stored};
use crate::windows::millis;

impl<K: Data, V: Data> KStream<K, V> {
    /// The latest value of each key, as a table. No value deletes: for streams with null see
    /// [`to_table_from_updates`](KStream::to_table_from_updates).
    ///
    /// A store with a name is there to be queried; `auto()` makes one only if an operator below
    /// needs it.
    #[track_caller]
    pub fn to_table(&self, store: impl Into<Materialized<K, V, KeyValueKind>>) -> KTable<K, V> {
        let options = store.into();
        let value = options.value.resolve(self.value_serde().as_ref());
        let repartition = value.clone();
        self.to_table_in(Call::new("to_table"), options, value, repartition, Some)
    }

    /// Joins each record with the row of its key in `table`, as it is when the record is processed;
    /// of a [versioned](Materialized::versioned) table as it was at the record's time. Without a row
    /// the record is dropped.
    ///
    /// If the key was changed above, the stream has to go through a repartition topic, and that
    /// wants a name: `build()` asks for [`join_table_with`](Self::join_table_with).
    #[track_caller]
    pub fn join_table<V2: Data, W: Data>(
        &self,
        table: &KTable<K, V2>,
        f: impl Fn(&K, V, &V2) -> W + Send + Sync + 'static,
    ) -> KStream<K, W> {
        self.join_table_in(Call::new("join_table"), table, inner(f), None)
    }

    /// As [`join_table`](Self::join_table), with a name for the join and its repartition topic.
    #[track_caller]
    pub fn join_table_with<V2: Data, W: Data>(
        &self,
        table: &KTable<K, V2>,
        f: impl Fn(&K, V, &V2) -> W + Send + Sync + 'static,
        options: impl Into<Joined<K, V>>,
    ) -> KStream<K, W> {
        self.join_table_in(Call::new("join_table_with"), table, inner(f), Some(options.into()))
    }

    /// As [`join_table`](Self::join_table); a record without a row is kept.
    #[track_caller]
    pub fn left_join_table<V2: Data, W: Data>(
        &self,
        table: &KTable<K, V2>,
        f: impl Fn(&K, V, Option<&V2>) -> W + Send + Sync + 'static,
    ) -> KStream<K, W> {
        self.join_table_in(Call::new("left_join_table"), table, left(f), None)
    }

    /// As [`left_join_table`](Self::left_join_table), with a name for the join and its repartition
    /// topic.
    #[track_caller]
    pub fn left_join_table_with<V2: Data, W: Data>(
        &self,
        table: &KTable<K, V2>,
        f: impl Fn(&K, V, Option<&V2>) -> W + Send + Sync + 'static,
        options: impl Into<Joined<K, V>>,
    ) -> KStream<K, W> {
        self.join_table_in(Call::new("left_join_table_with"), table, left(f), Some(options.into()))
    }

    /// The table of `rows` of the records' values; `repartition` is the serde of the values
    /// themselves.
    #[track_caller]
    fn to_table_in<T: Data>(
        &self,
        call: Call,
        options: Materialized<K, T, KeyValueKind>,
        value: Option<SerdeRef<T>>,
        repartition: Option<SerdeRef<V>>,
        row: impl Fn(V) -> Option<T> + Send + Sync + 'static,
    ) -> KTable<K, T> {
        let name = self.graph.name(None, &[("KSTREAM-TOTABLE-", "")]);
        let store = self.graph.store_name(options.name.as_deref(), "KSTREAM-TOTABLE-");
        let key = options.key.resolve(self.key_serde().as_ref());
        let stored = stored(&self.graph, call, key, value, options.settings);
        // The store's name is none for a topic: only generated names go together, as in the JVM.
        let naming = if options.name.is_some() { Naming::Absent } else { Naming::Auto };
        let auto = RepartitionBase::Generated(name.main());
        let serdes = (&options.key, &repartition.map_or(Choice::Inherited, Choice::Given));
        let parent = self.keyed(call, &naming, auto, serdes, "use to_table(auto())");
        let row = Arc::new(row);
        let table = NewTable {
            node: NewNode::new(call, name, &[parent], Kind::Table),
            origin: Origin::Topic,
            store: stored.map(|stored| (store, stored)),
            store_asked: options.name.is_some(),
        };
        let table = table.lower(move |lowering| {
            let parts = lowering.table_parts::<K, T>();
            lowering.set_getter(parts.getter());
            lowering.processor::<K, V, _, _>(parts.stores(), move |stores, _| {
                TableSource::new(parts.output(&stores), row.clone())
            });
        });
        table.add(&self.graph)
    }

    #[track_caller]
    fn join_table_in<V2: Data, W: Data>(
        &self,
        call: Call,
        table: &KTable<K, V2>,
        joiner: Joiner<K, V, V2, W>,
        options: Option<Joined<K, V>>,
    ) -> KStream<K, W> {
        let right = self.graph.own(call, &table.graph, table.node, self.node);
        let options = options.as_ref();
        let naming = options.map_or(Naming::Absent, Joined::naming);
        let inherited = (Choice::Inherited, Choice::Inherited);
        let serdes = options.map_or((&inherited.0, &inherited.1), |o| (&o.key, &o.value));
        let waits = self.waits(call, &joiner, options);
        let auto = RepartitionBase::Operator(self.node);
        let advice = format!("use {}_with(.., \"name\")", call.method);
        let stream = self.keyed(call, &naming, auto, serdes, &advice);
        let name = self.graph.name(naming.given(), &[(joiner.prefix, "")]);
        self.graph.copartition(call, stream, right);
        if joiner.left {
            self.graph.keep_null_keys(&[stream, right]);
        }
        let node = NewNode::new(call, name, &[stream, right], Kind::Stream)
            .keeps(Keeps::Key)
            .asks(Ask { of: right, old: false, read: true })
            .lower(move |lowering| {
                let Some(table) = lowering.parent_getter::<K, V2>(1) else {
                    return lowering.bug("a joined table cannot be read");
                };
                let node = match waits {
                    None => lower_join(lowering, table, joiner.f),
                    Some(waits) => lower_join_with_grace(lowering, table, waits),
                };
                lowering.output(node);
            });
        let grace = options.and_then(|options| options.grace);
        let node = self.graph.add(node);
        if let Some(grace) = grace {
            let grace_ms = millis(grace);
            self.graph.join_with_grace(GraceJoin { call, join: node, table: right, grace_ms });
        }
        KStream::new(self.graph.clone(), node)
    }

    /// How records wait, if they do; a mistake if they cannot be written.
    fn waits<V2, W>(
        &self,
        call: Call,
        joiner: &Joiner<K, V, V2, W>,
        options: Option<&Joined<K, V>>,
    ) -> Option<Waits<K, V, V2, W>> {
        let options = options?;
        let grace = millis(options.grace?);
        let key = options.key.resolve(self.key_serde().as_ref());
        let value = options.value.resolve(self.value_serde().as_ref());
        let Some((key, value)) = key.zip(value) else {
            let message = format!(
                "{call} has a grace period, and so a store of records that wait, and there are no \
                 serdes above to inherit for it: use Joined::with"
            );
            self.graph.mistake(call, message);
            return None;
        };
        Some(Waits { join: joiner.f.clone(), left: joiner.left, key, value, grace })
    }
}

/// Joins each record when it comes.
fn lower_join<K: Data, V: Data, V2: Data, W: Data>(
    lowering: &mut Lowering<'_>,
    table: ValueGetter<K, V2>,
    f: Arc<JoinRow<K, V, V2, W>>,
) -> Node<K, W> {
    lowering.side::<K, V, _, _>(0, 0, table, move |table, _| {
        let f = f.clone();
        let join =
            move |table: &Getter<K, V2>, key: K, value: V, ctx: &mut ProcessorContext<'_, K, W>| {
                let now = ctx.timestamp();
                let row = table.get_as_of(&mut ctx.state(), &key, now)?;
                match f(&key, value, row.as_ref().map(|(row, _)| &**row)) {
                    Some(joined) => ctx.forward(key, joined),
                    None => Ok(()),
                }
            };
        process_fn(table, Arc::new(join))
    })
}

/// Joins each record when its time has come.
fn lower_join_with_grace<K: Data, V: Data, V2: Data, W: Data>(
    lowering: &mut Lowering<'_>,
    table: ValueGetter<K, V2>,
    waits: Waits<K, V, V2, W>,
) -> Node<K, W> {
    let name = lowering.name(0);
    let buffer = format!("{name}-Buffer");
    let waiting = Stores::waiting_with(&buffer, waits.key.clone(), waits.value.clone());
    // In the JVM's order: it decides which comes first in the description.
    lowering.side::<K, V, _, _>(0, 0, (waiting, table), move |stores, init| {
        JoinAfterGrace::new(waits.clone(), stores, &name, init)
    })
}

impl<K: Data, V: Data> KStream<K, Option<V>> {
    /// The latest value of each key, as a table; `None` deletes. Kafka Streams' `toTable`.
    #[track_caller]
    pub fn to_table_from_updates(
        &self,
        store: impl Into<Materialized<K, V, KeyValueKind>>,
    ) -> KTable<K, V> {
        let options = store.into();
        let value = options.value.resolve(None);
        let repartition = value.clone().map(nullable).or_else(|| self.value_serde());
        self.to_table_in(Call::new("to_table_from_updates"), options, value, repartition, |v| v)
    }
}

/// What all closures that join are made into: `None` is no result.
pub(super) type JoinRow<K, V, V2, W> = dyn Fn(&K, V, Option<&V2>) -> Option<W> + Send + Sync;

/// A closure that joins, and the prefix of the join's generated name.
struct Joiner<K, V, V2, W> {
    f: Arc<JoinRow<K, V, V2, W>>,
    prefix: &'static str,
    /// Records without a row have results.
    left: bool,
}

fn inner<K, V, V2, W>(f: impl Fn(&K, V, &V2) -> W + Send + Sync + 'static) -> Joiner<K, V, V2, W> {
    let f = move |key: &K, value: V, row: Option<&V2>| row.map(|row| f(key, value, row));
    Joiner { f: Arc::new(f), prefix: "KSTREAM-JOIN-", left: false }
}

fn left<K, V, V2, W>(
    f: impl Fn(&K, V, Option<&V2>) -> W + Send + Sync + 'static,
) -> Joiner<K, V, V2, W> {
    let f = move |key: &K, value: V, row: Option<&V2>| Some(f(key, value, row));
    Joiner { f: Arc::new(f), prefix: "KSTREAM-LEFTJOIN-", left: true }
}
