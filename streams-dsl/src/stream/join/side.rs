//! One side of a stream-stream join: each record meets the other side's records, and may have to
//! wait for one.

use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{
    Held, JoinHandle, JoinSide, LeftOrRight, OuterJoinHandle, OuterJoinKey,
};
use streams_core::task::DropReason;
use streams_core::{BoxError, Data, Serde, SerdeRef, Timestamp};

use super::times::Times;

/// What all joiners are made into: `None` if the kind of join has no such result.
pub(super) type Joiner<K, V, V2, W> =
    dyn Fn(&K, Option<&V>, Option<&V2>) -> Option<W> + Send + Sync;

/// Which times of the other side a record meets, in milliseconds; and for how long a record waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) before: i64,
    pub(super) after: i64,
    pub(super) grace: i64,
}

impl Span {
    /// As the other side sees it.
    pub(super) fn flipped(self) -> Self {
        Self { before: self.after, after: self.before, ..self }
    }

    /// The first and the last time that a record meets. None lies before 1970.
    pub(super) fn around(self, time: Timestamp) -> (Timestamp, Timestamp) {
        let time = time.as_millis();
        let at = |ms: i64| Timestamp::from_millis(ms.max(0));
        (at(time.saturating_sub(self.before)), at(time.saturating_add(self.after)))
    }
}

/// Records without a partner, where the join has results for them.
pub(super) struct Waiting<K, L, R> {
    pub(super) store: OuterJoinHandle<K, L, R>,
    /// How long a record of either side waits: `(left, right)`.
    pub(super) spans: (i64, i64),
}

/// Keeps a stream's records for the other side.
pub(super) struct KeepRecords<K, V> {
    pub(super) store: JoinHandle<K, V>,
    pub(super) key: SerdeRef<K>,
    pub(super) value: SerdeRef<V>,
    pub(super) times: Times,
}

impl<K: Data, V: Data> Processor for KeepRecords<K, V> {
    type KIn = K;
    type VIn = V;
    type KOut = K;
    type VOut = Held<V>;

    fn process(
        &mut self,
        key: K,
        value: V,
        ctx: &mut ProcessorContext<'_, K, Held<V>>,
    ) -> Result<(), BoxError> {
        // After an abort or a restart the store knows how far the stream had come.
        let observed = ctx.store(&self.store).observed();
        ctx.shared(&self.times).advance(observed);
        let (value, timestamp) = (Held::new(value), ctx.timestamp());
        if self.key.is_null(&key) {
            return ctx.forward(key, value);
        }
        if self.value.is_null(&value) {
            ctx.store(&self.store).skip_number();
            return ctx.forward(key, value);
        }
        // The record meets the other side before its own side has it: once, not twice.
        ctx.forward(key.clone(), value.clone())?;
        if ctx.store(&self.store).put(&key, value, timestamp)?.is_expired() {
            ctx.dropped(DropReason::Late);
        }
        Ok(())
    }
}

/// Joins the records of one side with those of the other.
pub(super) struct JoinRecords<K, V, V2, L, R, W> {
    pub(super) other: JoinHandle<K, V2>,
    pub(super) key: SerdeRef<K>,
    pub(super) value: SerdeRef<V>,
    pub(super) span: Span,
    pub(super) side: JoinSide,
    /// This side's value first.
    pub(super) joiner: Arc<Joiner<K, V, V2, W>>,
    /// Results of records that waited.
    pub(super) unmatched: Arc<dyn Fn(&K, &LeftOrRight<L, R>) -> Option<W> + Send + Sync>,
    pub(super) wait: fn(V) -> LeftOrRight<L, R>,
    /// Whether records of this side have a result without the other.
    pub(super) alone: bool,
    pub(super) waiting: Option<Waiting<K, L, R>>,
    pub(super) times: Times,
}

impl<K: Data, V: Data, V2: Data, L: Data, R: Data, W: Data> Processor
    for JoinRecords<K, V, V2, L, R, W>
{
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
        let now = ctx.timestamp();
        let observed = ctx.store(&self.other).observed();
        let times = ctx.shared(&self.times);
        times.advance(now);
        times.advance(observed);
        if self.value.is_null(&value) {
            ctx.dropped(DropReason::NullValue);
            return Ok(());
        }
        if self.key.is_null(&key) {
            if self.alone {
                return self.forward_alone(key, &value, ctx);
            }
            ctx.dropped(DropReason::NullKey);
            return Ok(());
        }
        if ctx.shared(&self.times).is_latest(now) {
            self.forward_unmatched(ctx)?;
        }
        let (from, to) = self.span.around(now);
        let partners = ctx.store(&self.other).fetch(&key, from..=to)?;
        if partners.is_empty() && self.alone {
            if self.waiting.is_none() || ctx.shared(&self.times).is_over(to.as_millis()) {
                return self.forward_alone(key, &value, ctx);
            }
            return self.wait(key, value, ctx);
        }
        for (partner, time) in partners {
            if let Some(waiting) = &self.waiting {
                let side = self.other_side();
                let row = OuterJoinKey { timestamp: time, side, key: key.clone() };
                // As the JVM does: a deletion of nothing would move the time of an earlier one.
                let mut store = ctx.store(&waiting.store);
                if store.contains(&row)? {
                    store.delete(&row)?;
                }
            }
            if let Some(joined) = (self.joiner)(&key, Some(&*value), Some(&*partner)) {
                ctx.forward_at(key.clone(), joined, now.max(time))?;
            }
        }
        Ok(())
    }
}

impl<K: Data, V: Data, V2: Data, L: Data, R: Data, W: Data> JoinRecords<K, V, V2, L, R, W> {
    fn other_side(&self) -> JoinSide {
        match self.side {
            JoinSide::Left => JoinSide::Right,
            JoinSide::Right => JoinSide::Left,
        }
    }

    fn forward_alone(
        &self,
        key: K,
        value: &V,
        ctx: &mut ProcessorContext<'_, K, W>,
    ) -> Result<(), BoxError> {
        match (self.joiner)(&key, Some(value), None) {
            Some(joined) => ctx.forward(key, joined),
            None => Ok(()),
        }
    }

    /// Puts a record among those that wait for a partner.
    fn wait(
        &self,
        key: K,
        value: Held<V>,
        ctx: &mut ProcessorContext<'_, K, W>,
    ) -> Result<(), BoxError> {
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let timestamp = ctx.timestamp();
        ctx.shared(&self.times).waits(timestamp);
        let row = OuterJoinKey { timestamp, side: self.side, key };
        let value = (self.wait)(value.into_inner());
        ctx.store(&waiting.store).update(&row, |rows| {
            rows.get_or_insert_default().push(value);
        })
    }

    /// Forwards records whose windows are over and which found no partner. Oldest first, until one
    /// of each side may still find one.
    fn forward_unmatched(&self, ctx: &mut ProcessorContext<'_, K, W>) -> Result<(), BoxError> {
        let Some(waiting) = &self.waiting else { return Ok(()) };
        if ctx.shared(&self.times).settle()
            && let Some((oldest, _)) = ctx.next(&mut waiting.store.all())?
        {
            ctx.shared(&self.times).waits(oldest.timestamp);
        }
        let (span, wall_clock) = (self.span.after + self.span.grace, ctx.wall_clock());
        if !ctx.shared(&self.times).is_due(span, wall_clock) {
            return Ok(());
        }
        let (mut left_is_open, mut right_is_open) = (false, false);
        let mut rows = waiting.store.all();
        while let Some((row, values)) = ctx.next(&mut rows)? {
            let times = ctx.shared(&self.times);
            times.look_at(row.timestamp);
            if left_is_open && right_is_open {
                return Ok(());
            }
            let (span, is_open) = match row.side {
                JoinSide::Left => (waiting.spans.0, &mut left_is_open),
                JoinSide::Right => (waiting.spans.1, &mut right_is_open),
            };
            if !times.is_over(row.timestamp.as_millis().saturating_add(span)) {
                *is_open = true;
                continue;
            }
            for value in &values {
                if let Some(joined) = (self.unmatched)(&row.key, value) {
                    ctx.forward_at(row.key.clone(), joined, row.timestamp)?;
                }
            }
            ctx.store(&waiting.store).delete(&row)?;
        }
        Ok(())
    }
}
