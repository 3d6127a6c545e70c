//! Tumbling, hopping and unlimited windows: the processor behind them.

use std::sync::Arc;
use std::time::Duration;

use streams_core::processor::{CommittedTime, Processor, ProcessorContext, ProcessorInit};
use streams_core::stores::{Change, StoreHandle, WindowStore};
use streams_core::task::DropReason;
use streams_core::{BoxError, Data, TimeWindow, Timestamp};

use super::final_results::FinalResults;
use super::panes::Panes;
use super::store::{Cause, WindowOutput};
use super::{Steps, WindowedParts};
use crate::grouped::stream::Step;
use crate::windows::{TimeSpans, millis, observe};

/// Adds a record to the aggregate of each of its windows.
pub(crate) struct TimeAggregate<K, V, A> {
    windows: Which,
    grace: i64,
    output: WindowOutput<WindowStore<K, A>>,
    step: Arc<Step<K, V, A>>,
    /// The largest record time that was seen.
    observed: CommittedTime,
    final_results: Option<FinalResults>,
    panes: Option<Panes<K, A>>,
}

/// Which windows a time has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    Aligned(TimeSpans),
    /// One, from there to the end of time.
    From(Timestamp),
}

impl Which {
    /// The windows of a time, the earliest first.
    fn of(self, time: Timestamp) -> impl Iterator<Item = TimeWindow> {
        let (aligned, from) = match self {
            Self::Aligned(spans) => (Some(spans), None),
            Self::From(start) => (None, (time >= start).then_some(start)),
        };
        let end = Timestamp::from_millis(i64::MAX);
        let unlimited = from.map(|start| TimeWindow { start, end });
        let aligned = aligned
            .map(|spans| spans.starts(time.as_millis()).map(move |start| spans.window(start)));
        aligned.into_iter().flatten().chain(unlimited)
    }
}

impl<K: Data, V: Data, A: Data> TimeAggregate<K, V, A> {
    pub(crate) fn new(
        init: &mut ProcessorInit<'_, Self>,
        store: StoreHandle<WindowStore<K, A>>,
        parts: &WindowedParts<K, A>,
        (windows, grace): (Which, Duration),
        (steps, name): (Steps<K, V, A>, &str),
    ) -> Self {
        let panes = match (windows, steps.merge) {
            (Which::Aligned(spans), Some(merge)) => {
                let store = parts.window_store();
                let topic = store.declaration().own_changelog_topic(init.application_id());
                Panes::new(spans, merge, (parts.stored.key.clone(), topic))
            }
            _ => None,
        };
        Self {
            windows,
            grace: millis(grace),
            output: parts.output(store),
            step: steps.step,
            observed: init.observed_time(name),
            final_results: FinalResults::on_close(init, parts),
            panes,
        }
    }
}

impl<K: Data, V: Data, A: Data> Processor for TimeAggregate<K, V, A> {
    type KIn = K;
    type VIn = V;
    type KOut = streams_core::Windowed<K>;
    type VOut = Change<A>;

    fn process(
        &mut self,
        key: K,
        value: V,
        ctx: &mut ProcessorContext<'_, Self::KOut, Change<A>>,
    ) -> Result<(), BoxError> {
        let now = ctx.timestamp();
        let observed = observe(self.observed, ctx);
        let close = observed.as_millis().saturating_sub(self.grace);
        let shares =
            self.panes.is_some() && self.output.waits() && ctx.is_only_user(&self.output.handle);
        if shares && self.panes.as_ref().is_some_and(|panes| panes.must_spread(close)) {
            self.spread(ctx)?;
        }
        self.emit_before_they_expire(now, close, ctx)?;
        if shares {
            self.add_to_pane((key, value), close, ctx)?;
        } else {
            self.add_to_windows((key, value), close, ctx)?;
        }
        let results = self.final_results.as_mut();
        if results.is_some_and(|results| results.is_due(close, ctx)) {
            self.emit_closed(close, ctx)?;
        }
        Ok(())
    }

    fn flush(
        &mut self,
        ctx: &mut ProcessorContext<'_, Self::KOut, Change<A>>,
    ) -> Result<(), BoxError> {
        self.spread(ctx)?;
        self.output.flush(ctx)
    }
}

type Context<'a, K, A> = ProcessorContext<'a, streams_core::Windowed<K>, Change<A>>;

impl<K: Data, V: Data, A: Data> TimeAggregate<K, V, A> {
    /// Adds a record to each of its windows.
    fn add_to_windows(
        &self,
        (key, value): (K, V),
        close: i64,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        let mut windows = self.windows.of(ctx.timestamp());
        let (mut key, mut value, mut next) = (Some(key), Some(value), windows.next());
        while let Some(window) = next {
            next = windows.next();
            // The last window takes key and value, those before it clones.
            let last = next.is_none();
            let (key, value) =
                if last { (key.take(), value.take()) } else { (key.clone(), value.clone()) };
            let (Some(key), Some(value)) = (key, value) else { break };
            if window.end.as_millis() <= close {
                ctx.dropped(DropReason::Late);
                continue;
            }
            self.output
                .update(key, window, ctx, |key, aggregate| (self.step)(key, value, aggregate))?;
        }
        Ok(())
    }

    /// Adds a record to its pane alone: nobody sees its windows before the panes are spread.
    fn add_to_pane(
        &mut self,
        (key, value): (K, V),
        close: i64,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        let Some(panes) = &mut self.panes else { return Ok(()) };
        let (late, is_late) = panes.closed(ctx.timestamp().as_millis(), close);
        (0..late).for_each(|_| ctx.dropped(DropReason::Late));
        if is_late {
            return Ok(());
        }
        let step = &self.step;
        panes.add(key, ctx.record_context(), close, |key, sum| step(key, value, sum))
    }

    /// Adds the panes to the aggregates of their windows.
    fn spread(&mut self, ctx: &mut Context<'_, K, A>) -> Result<(), BoxError> {
        let Some(panes) = &mut self.panes else { return Ok(()) };
        for pane in panes.take() {
            for window in panes.windows(&pane) {
                let cause = Cause { time: pane.latest, record: Some(&pane.record) };
                self.output.update_by(cause, pane.key.clone(), window, ctx, |_, aggregate| {
                    panes.merge(&pane, aggregate);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// A record that is much later than those before would have the store forget windows that were
    /// not emitted yet: they go first, however short ago the last ones went.
    fn emit_before_they_expire(
        &mut self,
        now: Timestamp,
        close: i64,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        let (Some(results), Which::Aligned(spans)) = (&self.final_results, self.windows) else {
            return Ok(());
        };
        let earliest = results.emitted(ctx).map_or(0, |emitted| spans.first_open_after(emitted));
        let Some(latest) = spans.starts(now.as_millis()).last() else { return Ok(()) };
        let at = Timestamp::from_millis;
        if !ctx.store(&self.output.handle).is_gone_after(at(earliest), at(latest)) {
            return Ok(());
        }
        self.emit_closed(close, ctx)
    }

    /// Emits the windows that closed since those emitted last.
    fn emit_closed(&mut self, close: i64, ctx: &mut Context<'_, K, A>) -> Result<(), BoxError> {
        let (Some(results), Which::Aligned(spans)) = (&self.final_results, self.windows) else {
            return Ok(());
        };
        // A window that ends with `close` has closed.
        let last_start = close - spans.size;
        let first_start = match results.emitted(ctx) {
            Some(emitted) => (emitted - spans.size).max(-1) + 1,
            None => 0,
        };
        if last_start < first_start {
            return Ok(());
        }
        let at = Timestamp::from_millis;
        let mut closed = self.output.handle.by_time(at(first_start)..=at(last_start));
        while let Some(row) = ctx.next(&mut closed)? {
            ctx.forward_at(row.windowed, Change::new(Some(row.value), None), row.timestamp)?;
        }
        results.set_emitted(close, ctx);
        Ok(())
    }
}
