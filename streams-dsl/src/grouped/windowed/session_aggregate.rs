//! Sessions: the processor behind them.

use std::sync::Arc;
use std::time::Duration;

use streams_core::processor::{CommittedTime, Processor, ProcessorContext, ProcessorInit};
use streams_core::stores::{Change, Held, SessionStore, StoreHandle};
use streams_core::task::DropReason;
use streams_core::{BoxError, Data, SessionWindowed, Timestamp};

use super::WindowedParts;
use super::final_results::FinalResults;
use super::store::WindowOutput;
use crate::grouped::stream::Step;
use crate::windows::{SessionSpans, merged, millis, observe, session_at};

/// How the aggregates of two sessions become one. The first is that of earlier ones, if any.
pub(crate) type Merge<K, A> = dyn Fn(&K, Option<Held<A>>, Held<A>) -> Option<Held<A>> + Send + Sync;

/// Adds a record to its session, which may merge others.
pub(crate) struct SessionAggregate<K, V, A> {
    spans: SessionSpans,
    grace: i64,
    output: WindowOutput<SessionStore<K, A>>,
    step: Arc<Step<K, V, A>>,
    merge: Arc<Merge<K, A>>,
    /// The largest record time that was seen.
    observed: CommittedTime,
    final_results: Option<FinalResults>,
}

impl<K: Data, V: Data, A: Data> SessionAggregate<K, V, A> {
    pub(crate) fn new(
        init: &mut ProcessorInit<'_, Self>,
        store: StoreHandle<SessionStore<K, A>>,
        parts: &WindowedParts<K, A>,
        (spans, grace): (SessionSpans, Duration),
        (step, merge, name): (Arc<Step<K, V, A>>, Arc<Merge<K, A>>, &str),
    ) -> Self {
        Self {
            spans,
            grace: millis(grace),
            output: parts.output(store),
            step,
            merge,
            observed: init.observed_time(name),
            final_results: FinalResults::on_close(init, parts),
        }
    }
}

type Context<'a, K, A> = ProcessorContext<'a, SessionWindowed<K>, Change<A>>;

impl<K: Data, V: Data, A: Data> Processor for SessionAggregate<K, V, A> {
    type KIn = K;
    type VIn = V;
    type KOut = SessionWindowed<K>;
    type VOut = Change<A>;

    fn process(&mut self, key: K, value: V, ctx: &mut Context<'_, K, A>) -> Result<(), BoxError> {
        let now = ctx.timestamp();
        let observed = observe(self.observed, ctx);
        let close = observed.as_millis().saturating_sub(self.grace).saturating_sub(self.spans.gap);
        self.emit_before_they_expire(now.as_millis(), close, ctx)?;
        self.add(key, value, close, ctx)?;
        let results = self.final_results.as_mut();
        if results.is_some_and(|results| results.is_due(close, ctx)) {
            self.emit_closed(close, ctx)?;
        }
        Ok(())
    }

    fn flush(&mut self, ctx: &mut Context<'_, K, A>) -> Result<(), BoxError> {
        self.output.flush(ctx)
    }
}

impl<K: Data, V: Data, A: Data> SessionAggregate<K, V, A> {
    fn add(
        &self,
        key: K,
        value: V,
        close: i64,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        let alone = session_at(ctx.timestamp());
        let (earliest_end, latest_start) = self.spans.joined_by(ctx.timestamp().as_millis());
        let found = ctx.store(&self.output.handle).find_sessions(
            &key,
            Timestamp::from_millis(earliest_end),
            Timestamp::from_millis(latest_start),
        )?;
        let mut window = alone;
        let mut aggregate = None;
        for session in &found {
            window = merged(window, session.window);
            aggregate = (self.merge)(&key, aggregate, session.value.clone());
        }
        if window.end.as_millis() < close {
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        if window != alone {
            for session in found {
                self.output.put(key.clone(), session.window, None, ctx)?;
            }
        }
        (self.step)(&key, value, &mut aggregate)?;
        self.output.put(key, window, aggregate, ctx)
    }

    /// See [`TimeAggregate`](super::TimeAggregate): sessions go before the store forgets them.
    fn emit_before_they_expire(
        &mut self,
        time: i64,
        close: i64,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        let Some(results) = &self.final_results else { return Ok(()) };
        let earliest = results.emitted(ctx).unwrap_or(0);
        let at = Timestamp::from_millis;
        if !ctx.store(&self.output.handle).is_gone_after(at(earliest), at(time)) {
            return Ok(());
        }
        self.emit_closed(close, ctx)
    }

    /// Emits the sessions that closed since those emitted last.
    fn emit_closed(&mut self, close: i64, ctx: &mut Context<'_, K, A>) -> Result<(), BoxError> {
        let Some(results) = &self.final_results else { return Ok(()) };
        // The end belongs to a session: one that ends with `close` is open.
        let last_end = close - 1;
        let first_end = results.emitted(ctx).unwrap_or(0).max(0);
        if last_end < first_end {
            return Ok(());
        }
        let at = Timestamp::from_millis;
        let mut closed = self.output.handle.by_time(at(first_end)..=at(last_end));
        while let Some(row) = ctx.next(&mut closed)? {
            let end = row.session.window.end;
            ctx.forward_at(row.session, Change::new(Some(row.value), None), end)?;
        }
        results.set_emitted(close, ctx);
        Ok(())
    }
}
