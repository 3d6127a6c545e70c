//! `KTable::filter`, `filter_not`.

use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{Change, Held};
use streams_core::{BoxError, Data};

use super::{KTable, NewTable, TableOutput};
use crate::graph::{Call, Keeps};

impl<K: Data, V: Data> KTable<K, V> {
    /// The rows for which `f` holds. A row for which it does not hold any more is deleted.
    #[track_caller]
    pub fn filter(&self, f: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KTable<K, V> {
        self.filter_if(Call::new("filter"), Arc::new(f))
    }

    /// The rows for which `f` does not hold.
    #[track_caller]
    pub fn filter_not(&self, f: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KTable<K, V> {
        self.filter_if(Call::new("filter_not"), Arc::new(move |key: &K, value: &V| !f(key, value)))
    }

    #[track_caller]
    fn filter_if(&self, call: Call, f: Arc<Predicate<K, V>>) -> KTable<K, V> {
        let name = self.graph.name(None, &[("KTABLE-FILTER-", "")]);
        let mut table = NewTable::derived(call, name, &[self.node], Keeps::Both);
        table.node = table.node.sends_old(self.graph.has_old(self.node));
        let table =
            table.lower(move |lowering| {
                let parts = lowering.table_parts::<K, V>();
                let getter = parts.getter().or_else(|| {
                    let f = f.clone();
                    let parent = lowering.parent_getter::<K, V>(0)?;
                    Some(parent.then(move |key, row| f(key, &row.0).then_some(row)))
                });
                lowering.set_getter(getter);
                let versioned = lowering.is_versioned(0);
                lowering.processor::<K, Change<V>, _, _>(parts.stores(), move |stores, _| {
                    FilterRows { f: f.clone(), versioned, output: parts.output(&stores) }
                });
            });
        table.add(&self.graph)
    }
}

type Predicate<K, V> = dyn Fn(&K, &V) -> bool + Send + Sync;

struct FilterRows<K, V> {
    f: Arc<Predicate<K, V>>,
    /// What comes in may change the past: each change is news.
    versioned: bool,
    output: TableOutput<K, V>,
}

impl<K: Data, V: Data> Processor for FilterRows<K, V> {
    type KIn = K;
    type VIn = Change<V>;
    type KOut = K;
    type VOut = Change<V>;

    fn process(
        &mut self,
        key: K,
        change: Change<V>,
        ctx: &mut ProcessorContext<'_, K, Change<V>>,
    ) -> Result<(), BoxError> {
        let is_latest = change.is_latest;
        let keep = |value: Option<Held<V>>| value.filter(|value| (self.f)(&key, value));
        let new = keep(change.new);
        let old = if self.output.wants_old() { keep(change.old) } else { None };
        let may_be_no_news = !self.versioned && new.is_none() && old.is_none();
        if may_be_no_news && self.output.knows_absent(&key, ctx)? {
            // It was not there before, as everybody below knows.
            return Ok(());
        }
        self.output.emit(key, Change::new(new, old).latest(is_latest), ctx)
    }

    fn flush(&mut self, ctx: &mut ProcessorContext<'_, K, Change<V>>) -> Result<(), BoxError> {
        self.output.flush(ctx)
    }
}
