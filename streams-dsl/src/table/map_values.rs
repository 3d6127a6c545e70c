//! `KTable::map_values`.

use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{Change, Held};
use streams_core::{BoxError, Data};

use super::{KTable, NewTable, TableOutput};
use crate::graph::{Call, Keeps};

impl<K: Data, V: Data> KTable<K, V> {
    /// Makes a new value of each row's value. It runs again when the row is looked up, so it should
    /// depend on nothing else; or give the result a store with [`materialize`](Self::materialize).
    #[track_caller]
    pub fn map_values<W: Data>(&self, f: impl Fn(&V) -> W + Send + Sync + 'static) -> KTable<K, W> {
        self.map_rows(Call::new("map_values"), Arc::new(move |_: &K, value: &V| f(value)))
    }

    /// As [`map_values`](Self::map_values), with the key to look at.
    #[track_caller]
    pub fn map_values_with_key<W: Data>(
        &self,
        f: impl Fn(&K, &V) -> W + Send + Sync + 'static,
    ) -> KTable<K, W> {
        self.map_rows(Call::new("map_values_with_key"), Arc::new(f))
    }

    #[track_caller]
    fn map_rows<W: Data>(&self, call: Call, f: Arc<Mapper<K, V, W>>) -> KTable<K, W> {
        let name = self.graph.name(None, &[("KTABLE-MAPVALUES-", "")]);
        let table = NewTable::derived(call, name, &[self.node], Keeps::Key);
        let table = table.lower(move |lowering| {
            let parts = lowering.table_parts::<K, W>();
            let getter = parts.getter().or_else(|| {
                let f = f.clone();
                let parent = lowering.parent_getter::<K, V>(0)?;
                let row = move |key: &K, (value, time): super::getter::Row<V>| {
                    Some((Held::new(f(key, &value)), time))
                };
                Some(parent.then(row))
            });
            lowering.set_getter(getter);
            lowering.processor::<K, Change<V>, _, _>(parts.stores(), move |stores, _| MapRows {
                f: f.clone(),
                output: parts.output(&stores),
            });
        });
        table.add(&self.graph)
    }
}

type Mapper<K, V, W> = dyn Fn(&K, &V) -> W + Send + Sync;

struct MapRows<K, V, W> {
    f: Arc<Mapper<K, V, W>>,
    output: TableOutput<K, W>,
}

impl<K: Data, V: Data, W: Data> Processor for MapRows<K, V, W> {
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
        let is_latest = change.is_latest;
        let map = |value: Option<Held<V>>| value.map(|value| Held::new((self.f)(&key, &value)));
        let new = map(change.new);
        let old = if self.output.wants_old() { map(change.old) } else { None };
        self.output.emit(key, Change::new(new, old).latest(is_latest), ctx)
    }

    fn flush(&mut self, ctx: &mut ProcessorContext<'_, K, Change<W>>) -> Result<(), BoxError> {
        self.output.flush(ctx)
    }
}
