//! Where responses of a foreign-key join arrive: with the left row, if it is still the one that
//! asked, they become results.

use std::marker::PhantomData;
use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::serdes::Bytes;
use streams_core::task::DropReason;
use streams_core::{BoxError, Data};

use super::bytes::ByteSerde;
use super::messages::Response;
use super::murmur3::hash;
use crate::table::Getter;

/// Joins a row with what its foreign key has; `None` is no result.
pub(crate) type Joiner<K, V, V2, W> = dyn Fn(&K, &V, Option<&V2>) -> Option<W> + Send + Sync;

/// Makes results of responses.
pub(crate) struct Resolve<K, V, V2, W> {
    pub(crate) rows: Getter<K, V>,
    pub(crate) keys: ByteSerde<K>,
    pub(crate) values: ByteSerde<V>,
    pub(crate) foreign_values: ByteSerde<V2>,
    pub(crate) joiner: Arc<Joiner<K, V, V2, W>>,
    pub(crate) result: PhantomData<fn() -> W>,
}

impl<K: Data, V: Data, V2: Data, W: Data> Processor for Resolve<K, V, V2, W> {
    type KIn = Bytes;
    type VIn = Response;
    type KOut = K;
    type VOut = Option<W>;

    fn process(
        &mut self,
        key: Bytes,
        response: Response,
        ctx: &mut ProcessorContext<'_, K, Option<W>>,
    ) -> Result<(), BoxError> {
        let key = self.keys.read(&key)?;
        let row = self.rows.get(&mut ctx.state(), &key)?.map(|(value, _)| value);
        let now = row.as_ref().map(|row| self.values.bytes(row)).transpose()?;
        if now.map(|value| hash(value.as_slice())) != response.hash {
            // The row has changed since: the answer to its latest subscription is on the way.
            ctx.dropped(DropReason::Other("stale-response"));
            return Ok(());
        }
        let foreign = response.value.map(|value| self.foreign_values.read(&value)).transpose()?;
        let result = row.and_then(|row| (self.joiner)(&key, &row, foreign.as_ref()));
        ctx.forward(key, result)
    }
}
