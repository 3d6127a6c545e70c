//! The processor behind all aggregations without windows.

use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{Change, Held};
use streams_core::{BoxError, Data, Timestamp};

use crate::table::TableStore;

/// Changes the aggregate of a record's key, in place, and forwards the change.
pub(crate) struct Aggregate<K, V, A, F: ?Sized> {
    store: TableStore<K, A>,
    step: Arc<F>,
    value: std::marker::PhantomData<fn(V)>,
}

impl<K, V, A, F: ?Sized> Aggregate<K, V, A, F> {
    pub(crate) fn new(store: TableStore<K, A>, step: Arc<F>) -> Self {
        Self { store, step, value: std::marker::PhantomData }
    }
}

impl<K: Data, V: Data, A: Data, F> Processor for Aggregate<K, V, A, F>
where
    F: Fn(&K, V, &mut Option<Held<A>>) -> Result<(), BoxError> + Send + Sync + ?Sized + 'static,
{
    type KIn = K;
    type VIn = V;
    type KOut = K;
    type VOut = Change<A>;

    fn process(
        &mut self,
        key: K,
        value: V,
        ctx: &mut ProcessorContext<'_, K, Change<A>>,
    ) -> Result<(), BoxError> {
        let now = ctx.timestamp();
        self.store.update(key, ctx, |key, aggregate, time| {
            *time = later(aggregate.is_some(), *time, now);
            (self.step)(key, value, aggregate)
        })
    }

    fn flush(&mut self, ctx: &mut ProcessorContext<'_, K, Change<A>>) -> Result<(), BoxError> {
        self.store.flush(ctx)
    }
}

/// The time of an aggregate: that of its latest record. What was deleted begins anew.
pub(crate) fn later(present: bool, before: Timestamp, now: Timestamp) -> Timestamp {
    if present { before.max(now) } else { now }
}
