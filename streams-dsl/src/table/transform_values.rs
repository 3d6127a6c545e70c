//! `KTable::transform_values`.

use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext, StateAccess};
use streams_core::stores::{Change, ConnectedStores, Held, StoreSet};
use streams_core::{BoxError, Data};

use super::{KTable, NewTable, TableOutput};
use crate::graph::{Call, Keeps};

impl<K: Data, V: Data> KTable<K, V> {
    /// Makes a new value of each row's value, with stores to read and write, and the record's time
    /// and headers. `None` is no row: what comes in was deleted, what is returned deletes.
    ///
    /// Unless the result has a store of its own ([`materialize`](Self::materialize)), `f` also runs
    /// when the row is looked up by a join or a processor, and for old values. The counterpart of
    /// Kafka Streams' `transformValues`.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// # let limits = builder.table::<String, i64>("limits", "limits");
    /// let texts = limits.transform_values((), |(), user, limit, row| {
    ///     Ok(limit.map(|limit| format!("{user}: {limit} since {}", row.timestamp())))
    /// });
    /// # texts.to("texts");
    /// ```
    #[track_caller]
    pub fn transform_values<S: StoreSet, W: Data>(
        &self,
        stores: S,
        f: impl Fn(&S::Handles, &K, Option<&V>, &mut StateAccess<'_>) -> Result<Option<W>, BoxError>
        + Send
        + Sync
        + 'static,
    ) -> KTable<K, W>
    where
        S::Handles: Sync,
    {
        let stores = ConnectedStores::new(stores);
        self.transform_in(Call::new("transform_values"), stores, Arc::new(f))
    }

    #[track_caller]
    fn transform_in<H: Clone + Send + Sync + 'static, W: Data>(
        &self,
        call: Call,
        stores: ConnectedStores<H>,
        f: Arc<Transform<H, K, V, W>>,
    ) -> KTable<K, W> {
        let name = self.graph.name(None, &[("KTABLE-TRANSFORMVALUES-", "")]);
        let table = NewTable::derived(call, name, &[self.node], Keeps::Key);
        let table = table.lower(move |lowering| {
            let parts = lowering.table_parts::<K, W>();
            let getter = parts.getter().or_else(|| {
                let f = f.clone();
                let parent = lowering.parent_getter::<K, V>(0)?;
                Some(parent.transformed(stores.clone(), move |handles, key, row, state| {
                    f(handles, key, row, state)
                }))
            });
            lowering.set_getter(getter);
            let connected = (stores, parts.stores());
            lowering.processor::<K, Change<V>, _, _>(connected, move |(handles, stores), _| {
                TransformRows { f: f.clone(), handles, output: parts.output(&stores) }
            });
        });
        table.add(&self.graph)
    }
}

type Transform<H, K, V, W> =
    dyn Fn(&H, &K, Option<&V>, &mut StateAccess<'_>) -> Result<Option<W>, BoxError> + Send + Sync;

struct TransformRows<H, K, V, W> {
    f: Arc<Transform<H, K, V, W>>,
    handles: H,
    output: TableOutput<K, W>,
}

impl<H: Clone + Send + 'static, K: Data, V: Data, W: Data> Processor for TransformRows<H, K, V, W> {
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
        let mut transform = |value: Option<Held<V>>| {
            let made = (self.f)(&self.handles, &key, value.as_deref(), &mut ctx.state())?;
            Ok::<_, BoxError>(made.map(Held::new))
        };
        let new = transform(change.new)?;
        let old = if self.output.wants_old() { transform(change.old)? } else { None };
        self.output.emit(key, Change::new(new, old).latest(is_latest), ctx)
    }

    fn flush(&mut self, ctx: &mut ProcessorContext<'_, K, Change<W>>) -> Result<(), BoxError> {
        self.output.flush(ctx)
    }
}
