//! Tables that are read from a topic, or made from a stream.

use std::marker::PhantomData;
use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{Change, Held};
use streams_core::{BoxError, Data};

use super::TableOutput;

/// Makes changes of records: `row` tells the value, or that the key is deleted.
pub(crate) struct TableSource<K, T, V, F> {
    output: TableOutput<K, V>,
    row: Arc<F>,
    value: PhantomData<fn(T)>,
}

impl<K, T, V, F> TableSource<K, T, V, F> {
    pub(crate) fn new(output: TableOutput<K, V>, row: Arc<F>) -> Self {
        Self { output, row, value: PhantomData }
    }
}

impl<K: Data, T: Data, V: Data, F> Processor for TableSource<K, T, V, F>
where
    F: Fn(T) -> Option<V> + Send + Sync + 'static,
{
    type KIn = K;
    type VIn = T;
    type KOut = K;
    type VOut = Change<V>;

    fn process(
        &mut self,
        key: K,
        value: T,
        ctx: &mut ProcessorContext<'_, K, Change<V>>,
    ) -> Result<(), BoxError> {
        let new = (self.row)(value).map(Held::new);
        self.output.emit(key, Change::new(new, None), ctx)
    }

    fn flush(&mut self, ctx: &mut ProcessorContext<'_, K, Change<V>>) -> Result<(), BoxError> {
        self.output.flush(ctx)
    }
}
