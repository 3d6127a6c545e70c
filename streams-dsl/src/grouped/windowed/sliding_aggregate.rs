//! Sliding windows: the processor behind them.
//!
//! A window is stored for each set of records of a key that lie within the time difference: one that
//! ends with each record (its *left* window), and one that begins right after it (its *right*
//! window) if that holds records. Times before one difference share one window, from the epoch.

use std::sync::Arc;
use std::time::Duration;

use streams_core::processor::{CommittedTime, Processor, ProcessorContext, ProcessorInit};
use streams_core::stores::{Change, FoundWindow, Held, StoreHandle, WindowStore};
use streams_core::task::DropReason;
use streams_core::{BoxError, Data, Timestamp, Windowed};

use super::WindowedParts;
use super::final_results::FinalResults;
use super::store::WindowOutput;
use crate::grouped::stream::Step;
use crate::windows::{SlidingSpans, millis, observe};

/// Adds a record to the aggregates of all windows that hold it, and makes those that are missing.
pub(crate) struct SlidingAggregate<K, V, A> {
    spans: SlidingSpans,
    grace: i64,
    output: WindowOutput<WindowStore<K, A>>,
    step: Arc<Step<K, V, A>>,
    /// The largest record time that was seen.
    observed: CommittedTime,
    final_results: Option<FinalResults>,
}

impl<K: Data, V: Data, A: Data> SlidingAggregate<K, V, A> {
    pub(crate) fn new(
        init: &mut ProcessorInit<'_, Self>,
        store: StoreHandle<WindowStore<K, A>>,
        parts: &WindowedParts<K, A>,
        (spans, grace): (SlidingSpans, Duration),
        (step, name): (Arc<Step<K, V, A>>, &str),
    ) -> Self {
        Self {
            spans,
            grace: millis(grace),
            output: parts.output(store),
            step,
            observed: init.observed_time(name),
            final_results: FinalResults::on_close(init, parts),
        }
    }
}

type Context<'a, K, A> = ProcessorContext<'a, Windowed<K>, Change<A>>;

/// The record in hand.
struct Incoming<'a, K, V> {
    key: &'a K,
    value: &'a V,
    time: i64,
    /// Windows that end before it have closed.
    close: i64,
}

/// An aggregate, and the time of its latest record.
type Aggregated<A> = (Held<A>, i64);

/// What the windows around a record say.
struct Around<A> {
    /// Starts of windows that are there.
    starts: Vec<i64>,
    /// Of the window that ended last before the record.
    left: Option<Held<A>>,
    left_exists: bool,
    /// Of the records after this one.
    right: Option<Aggregated<A>>,
    right_exists: bool,
    /// The time of the record before this one.
    previous: Option<i64>,
}

impl<A> Around<A> {
    fn new() -> Self {
        Self {
            starts: Vec::new(),
            left: None,
            left_exists: false,
            right: None,
            right_exists: false,
            previous: None,
        }
    }
}

impl<K: Data, V: Data, A: Data> Processor for SlidingAggregate<K, V, A> {
    type KIn = K;
    type VIn = V;
    type KOut = Windowed<K>;
    type VOut = Change<A>;

    fn process(&mut self, key: K, value: V, ctx: &mut Context<'_, K, A>) -> Result<(), BoxError> {
        let now = ctx.timestamp();
        let observed = observe(self.observed, ctx);
        let (time, close) = (now.as_millis(), observed.as_millis().saturating_sub(self.grace));
        if time.saturating_add(self.spans.difference) < close {
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        self.emit_before_they_expire(time, close, ctx)?;
        let record = Incoming { key: &key, value: &value, time, close };
        if self.spans.is_early(time) {
            return self.early(&record, ctx);
        }
        self.usual(&record, ctx)?;
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

impl<K: Data, V: Data, A: Data> SlidingAggregate<K, V, A> {
    /// Windows around a record that begin neither before nor with the epoch.
    fn usual(
        &self,
        record: &Incoming<'_, K, V>,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        let (time, mut around) = (record.time, Around::new());
        // The latest first, as the JVM forwards them.
        for found in self.windows_around(record, ctx)?.into_iter().rev() {
            let FoundWindow { window, value, timestamp } = found;
            let (start, latest) = (window.start.as_millis(), timestamp.as_millis());
            let end = start.saturating_add(self.spans.difference);
            around.starts.push(start);
            if start > time {
                around.right_exists = true;
            } else if end > time {
                around.right.get_or_insert_with(|| (value.clone(), latest));
                self.add(start, Some((value, latest)), record, ctx)?;
            } else if end == time {
                around.left_exists = true;
                self.add(start, Some((value, latest)), record, ctx)?;
                if latest == time {
                    // A record of the same time was here: all windows are there.
                    return Ok(());
                }
                around.previous = Some(latest);
            } else {
                (around.left, around.previous) = (Some(value), Some(latest));
                break;
            }
        }
        self.make_missing(record, around, ctx)
    }

    fn make_missing(
        &self,
        record: &Incoming<'_, K, V>,
        around: Around<A>,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        let (time, difference) = (record.time, self.spans.difference);
        if let Some(previous) = around.previous {
            // The right window of the record before holds this one now.
            let start = previous + 1;
            if !around.starts.contains(&start) && start.saturating_add(difference) >= time {
                self.add(start, None, record, ctx)?;
            }
        }
        if !around.left_exists {
            let shares = around.previous.is_some_and(|previous| time - difference <= previous);
            let before = around.left.filter(|_| shares).map(|aggregate| (aggregate, time));
            self.add(time - difference, before, record, ctx)?;
        }
        self.make_right(record, around.right.filter(|_| !around.right_exists), ctx)
    }

    /// Windows around a record that is within one difference of the epoch.
    fn early(
        &self,
        record: &Incoming<'_, K, V>,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        let (time, mut around) = (record.time, Around::new());
        let mut from_epoch: Option<Aggregated<A>> = None;
        for found in self.windows_around(record, ctx)? {
            let FoundWindow { window, value, timestamp } = found;
            let (start, latest) = (window.start.as_millis(), timestamp.as_millis());
            around.starts.push(start);
            if start == 0 {
                around.previous = (latest < time).then_some(latest);
                from_epoch = Some((value, latest));
            } else if start <= time {
                around.right = Some((value.clone(), latest));
                self.add(start, Some((value, latest)), record, ctx)?;
            } else {
                around.right_exists = true;
            }
        }
        // Without a record before this one, what lies in the first window lies after it.
        let right = around.right.or_else(|| from_epoch.clone());
        self.make_right(record, right.filter(|_| !around.right_exists), ctx)?;
        if let Some(previous) = around.previous
            && !around.starts.contains(&(previous + 1))
        {
            self.add(previous + 1, None, record, ctx)?;
        }
        self.add(0, from_epoch, record, ctx)
    }

    fn windows_around(
        &self,
        record: &Incoming<'_, K, V>,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<Vec<FoundWindow<A>>, BoxError> {
        let (first, last) = self.spans.starts_around(record.time);
        let starts = Timestamp::from_millis(first)..=Timestamp::from_millis(last);
        ctx.store(&self.output.handle).fetch(record.key, starts)
    }

    /// The right window of the record, if records after it are known.
    fn make_right(
        &self,
        record: &Incoming<'_, K, V>,
        right: Option<Aggregated<A>>,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        match right {
            Some((aggregate, latest)) if latest > record.time => {
                let window = self.spans.window(record.time + 1);
                let (key, latest) = (record.key.clone(), Timestamp::from_millis(latest));
                self.output.put(key, window, Some(aggregate), latest, ctx)
            }
            _ => Ok(()),
        }
    }

    /// Adds the record to the window that begins at `start` and held `before`.
    fn add(
        &self,
        start: i64,
        before: Option<Aggregated<A>>,
        record: &Incoming<'_, K, V>,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        let window = self.spans.window(start);
        if window.end.as_millis() < record.close {
            ctx.dropped(DropReason::Late);
            return Ok(());
        }
        let (before, latest) = before.unzip();
        let mut aggregate = before;
        (self.step)(record.key, record.value.clone(), &mut aggregate)?;
        let latest = Timestamp::from_millis(latest.map_or(record.time, |l| l.max(record.time)));
        self.output.put(record.key.clone(), window, aggregate, latest, ctx)
    }

    /// See [`TimeAggregate`](super::TimeAggregate): windows go before the store forgets them.
    fn emit_before_they_expire(
        &mut self,
        time: i64,
        close: i64,
        ctx: &mut Context<'_, K, A>,
    ) -> Result<(), BoxError> {
        let Some(results) = &self.final_results else { return Ok(()) };
        let earliest = results.emitted(ctx).map_or(0, |emitted| emitted - self.spans.difference);
        let at = Timestamp::from_millis;
        let latest = at(time.saturating_add(1));
        if !ctx.store(&self.output.handle).is_gone_after(at(earliest), latest) {
            return Ok(());
        }
        self.emit_closed(close, ctx)
    }

    /// Emits the windows that closed since those emitted last.
    fn emit_closed(&mut self, close: i64, ctx: &mut Context<'_, K, A>) -> Result<(), BoxError> {
        let Some(results) = &self.final_results else { return Ok(()) };
        // The end belongs to a window: one that ends with `close` is open.
        let last_start = close - self.spans.difference - 1;
        let emitted = results.emitted(ctx);
        let first_start = emitted.map_or(0, |emitted| (emitted - self.spans.difference).max(0));
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
