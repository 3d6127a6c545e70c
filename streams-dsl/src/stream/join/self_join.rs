//! The inner join of a stream with itself, when it is optimised: one store and one processor, and
//! the same results in the same order.

use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{Held, JoinHandle};
use streams_core::task::DropReason;
use streams_core::{BoxError, Data, Serde, SerdeRef};

use super::side::{Joiner, Span};

/// Joins records with earlier ones of the same stream, both ways, and with themselves.
pub(super) struct SelfJoin<K, V, W> {
    pub(super) store: JoinHandle<K, V>,
    pub(super) key: SerdeRef<K>,
    pub(super) value: SerdeRef<V>,
    pub(super) span: Span,
    pub(super) retention: i64,
    pub(super) joiner: Arc<Joiner<K, V, V, W>>,
}

impl<K: Data, V: Data, W: Data> Processor for SelfJoin<K, V, W> {
    type KIn = K;
    type VIn = Held<V>;
    type KOut = K;
    type VOut = W;

    fn process(
        &mut self,
        key: K,
        value: Held<V>,
        ctx: &mut ProcessorContext<'_, K, W>,
    ) -> Result<(), BoxError> {
        if self.key.is_null(&key) || self.value.is_null(&value) {
            let null_key = self.key.is_null(&key);
            ctx.dropped(if null_key { DropReason::NullKey } else { DropReason::NullValue });
            return Ok(());
        }
        let now = ctx.timestamp();
        let stream_time = ctx.store(&self.store).observed().max(now);
        let is_kept = now.as_millis() > stream_time.as_millis() - self.retention + 1;
        let join = |left: &V, right: &V| (self.joiner)(&key, Some(left), Some(right));
        let (from, to) = self.span.around(now);
        for (other, time) in ctx.store(&self.store).fetch(&key, from..=to)? {
            if let Some(joined) = join(&value, &other) {
                ctx.forward_at(key.clone(), joined, now.max(time))?;
            }
        }
        let mut itself = is_kept.then(|| join(&value, &value)).flatten();
        let (from, to) = self.span.flipped().around(now);
        for (other, time) in ctx.store(&self.store).fetch(&key, from..=to)? {
            // By time, as if there were two stores.
            if time > now
                && let Some(joined) = itself.take()
            {
                ctx.forward(key.clone(), joined)?;
            }
            if let Some(joined) = join(&other, &value) {
                ctx.forward_at(key.clone(), joined, now.max(time))?;
            }
        }
        match itself {
            Some(joined) => ctx.forward(key, joined),
            None => Ok(()),
        }
    }
}
