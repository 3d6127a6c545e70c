//! Joins of a stream with a versioned table whose records wait: an update of the table that comes
//! late, but not later than that, is not missed.

use std::sync::Arc;

use streams_core::processor::{CommittedTime, Processor, ProcessorContext, ProcessorInit};
use streams_core::stores::{Buffered, Held, WaitingHandle, WaitingKey};
use streams_core::task::DropReason;
use streams_core::{BoxError, Data, RecordContext, Serde, SerdeRef, Timestamp};

use super::table::JoinRow;
use crate::table::Getter;
use crate::windows::observe;

/// What a join with grace knows beside its stores.
pub(super) struct Waits<K, V, V2, W> {
    pub(super) join: Arc<JoinRow<K, V, V2, W>>,
    /// Records without a row have results.
    pub(super) left: bool,
    pub(super) key: SerdeRef<K>,
    pub(super) value: SerdeRef<V>,
    /// How long a record waits, in milliseconds.
    pub(super) grace: i64,
}

impl<K, V, V2, W> Clone for Waits<K, V, V2, W> {
    fn clone(&self) -> Self {
        let (join, key, value) = (self.join.clone(), self.key.clone(), self.value.clone());
        Self { join, key, value, left: self.left, grace: self.grace }
    }
}

/// Keeps records until their time has come.
pub(super) struct JoinAfterGrace<K, V, V2, W> {
    how: Waits<K, V, V2, W>,
    table: Getter<K, V2>,
    waiting: WaitingHandle<K, V>,
    /// The largest time of a record that was seen.
    observed: CommittedTime,
    /// No record that waits is older; not known before the first look.
    oldest: Option<i64>,
    sequence: i32,
}

impl<K: Data, V: Data, V2: Data, W: Data> JoinAfterGrace<K, V, V2, W> {
    pub(super) fn new(
        how: Waits<K, V, V2, W>,
        (waiting, table): (WaitingHandle<K, V>, Getter<K, V2>),
        name: &str,
        init: &mut ProcessorInit<'_, Self>,
    ) -> Self {
        let observed = init.observed_time(name);
        Self { how, table, waiting, observed, oldest: None, sequence: 0 }
    }
}

impl<K: Data, V: Data, V2: Data, W: Data> Processor for JoinAfterGrace<K, V, V2, W> {
    type KIn = K;
    type VIn = V;
    type KOut = K;
    type VOut = W;

    fn process(
        &mut self,
        key: K,
        value: V,
        ctx: &mut ProcessorContext<'_, K, W>,
    ) -> Result<(), BoxError> {
        if self.how.value.is_null(&value) {
            ctx.dropped(DropReason::NullValue);
            return Ok(());
        }
        let record = ctx.record_context().clone();
        if self.how.key.is_null(&key) {
            if self.how.left {
                // There is no row to wait for.
                return self.join(key, value, &record, ctx);
            }
            ctx.dropped(DropReason::NullKey);
            return Ok(());
        }
        let due = observe(self.observed, ctx).as_millis().saturating_sub(self.how.grace);
        if record.timestamp().as_millis() < due {
            return self.join(key, value, &record, ctx);
        }
        self.keep(key, value, record, ctx)?;
        self.join_until(due, ctx)
    }
}

impl<K: Data, V: Data, V2: Data, W: Data> JoinAfterGrace<K, V, V2, W> {
    /// Joins a record with the row of its time.
    fn join(
        &self,
        key: K,
        value: V,
        record: &RecordContext,
        ctx: &mut ProcessorContext<'_, K, W>,
    ) -> Result<(), BoxError> {
        let row = match self.how.key.is_null(&key) {
            true => None,
            false => self.table.get_as_of(&mut ctx.state(), &key, record.timestamp())?,
        };
        match (self.how.join)(&key, value, row.as_ref().map(|(row, _)| &**row)) {
            Some(joined) => ctx.forward_in(key, joined, record),
            None => Ok(()),
        }
    }

    fn keep(
        &mut self,
        key: K,
        value: V,
        record: RecordContext,
        ctx: &mut ProcessorContext<'_, K, W>,
    ) -> Result<(), BoxError> {
        let timestamp = record.timestamp();
        let place = self.free_place(WaitingKey { timestamp, key, sequence: 0 }, ctx)?;
        let row = Buffered {
            time: Timestamp::from_millis(0),
            record,
            prior: None,
            old: None,
            new: Some(Held::new(value)),
        };
        let at = ctx.wall_clock();
        ctx.store(&self.waiting).put_held(&place, Some(Held::new(row)), at)?;
        self.oldest = self.oldest.map(|oldest| oldest.min(timestamp.as_millis()));
        Ok(())
    }

    /// A place that no record has: after a restart numbers begin anew, and others may wait still.
    fn free_place(
        &mut self,
        mut place: WaitingKey<K>,
        ctx: &mut ProcessorContext<'_, K, W>,
    ) -> Result<WaitingKey<K>, BoxError> {
        loop {
            self.sequence = self.sequence.wrapping_add(1) & i32::MAX;
            place.sequence = self.sequence;
            if !ctx.store(&self.waiting).contains(&place)? {
                return Ok(place);
            }
        }
    }

    /// Joins the records that have waited long enough, oldest first.
    fn join_until(
        &mut self,
        due: i64,
        ctx: &mut ProcessorContext<'_, K, W>,
    ) -> Result<(), BoxError> {
        if self.oldest.is_some_and(|oldest| oldest > due) {
            return Ok(());
        }
        let mut rows = self.waiting.all();
        while let Some((place, row)) = ctx.next(&mut rows)? {
            let time = place.timestamp.as_millis();
            if time > due {
                self.oldest = Some(time);
                return Ok(());
            }
            let at = ctx.wall_clock();
            // First, so that one on which the closure fails is not there again.
            ctx.store(&self.waiting).put_held(&place, None, at)?;
            if let Some(value) = row.new {
                self.join(place.key, value.into_inner(), &row.record, ctx)?;
            }
        }
        self.oldest = Some(i64::MAX);
        Ok(())
    }
}
