//! `TimeWindows`: tumbling and hopping.

use std::time::Duration;

use streams_core::{TimeWindow, Timestamp};

use super::{Problem, check_not_zero, check_span, millis};
use crate::graph::Call;

/// More would be a mistyped advance: each record costs as many aggregates.
const WINDOWS_AT_ONCE_MAX: i64 = 100_000;

/// Windows of one size, aligned to the epoch: `[n * advance, n * advance + size)`.
///
/// A record that comes later than `grace` after the end of its window is dropped and counted; the
/// grace period is zero unless given. Times are whole milliseconds.
///
/// ```
/// # use std::time::Duration;
/// # use streams_dsl::prelude::*;
/// # let builder = StreamsBuilder::new();
/// let five_minutes = TimeWindows::tumbling(Duration::from_secs(300)).grace(Duration::from_secs(30));
/// builder
///     .stream::<String, i64>("orders")
///     .group_by_key()
///     .windowed_by(five_minutes)
///     .count("orders-per-5m")
///     .to("orders-per-5m");
/// ```
#[derive(Clone, Debug)]
pub struct TimeWindows {
    call: Call,
    size: Duration,
    advance: Duration,
    grace: Duration,
}

impl TimeWindows {
    /// Windows that follow each other: each record belongs to one.
    #[track_caller]
    pub fn tumbling(size: Duration) -> Self {
        let call = Call::new("TimeWindows::tumbling");
        Self { call, size, advance: size, grace: Duration::ZERO }
    }

    /// Windows that overlap: one begins every `advance`.
    #[track_caller]
    pub fn hopping(size: Duration, advance: Duration) -> Self {
        Self { call: Call::new("TimeWindows::hopping"), size, advance, grace: Duration::ZERO }
    }

    /// How long after its end a window still takes records.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        let call = self.call;
        check_not_zero(call, "the size of a window", self.size)?;
        check_not_zero(call, "the advance of windows", self.advance)?;
        check_span(call, "a grace period", self.grace)?;
        if self.advance > self.size {
            let (size, advance) = (self.size, self.advance);
            let message = format!(
                "{call}: windows of {size:?} that advance by {advance:?} leave gaps: the advance \
                 must not be longer than the size"
            );
            return Err((call, message));
        }
        let TimeSpans { size, advance } = self.spans();
        let at_once = size / advance;
        if at_once > WINDOWS_AT_ONCE_MAX {
            let (size, advance) = (self.size, self.advance);
            let message = format!(
                "{call}: with windows of {size:?} that advance by {advance:?} each record lies in \
                 {at_once}: let them advance by more, {WINDOWS_AT_ONCE_MAX} is the most"
            );
            return Err((call, message));
        }
        Ok(())
    }

    /// For definitions that passed [`check`](Self::check).
    pub(crate) fn spans(&self) -> TimeSpans {
        let millis = |duration| millis(duration).max(1);
        TimeSpans { size: millis(self.size), advance: millis(self.advance) }
    }

    pub(crate) fn grace_period(&self) -> Duration {
        self.grace
    }

    pub(crate) fn size(&self) -> Duration {
        self.size
    }
}

/// The arithmetic of epoch-aligned windows, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeSpans {
    pub(crate) size: i64,
    pub(crate) advance: i64,
}

impl TimeSpans {
    /// The starts of the windows that hold `time`, in ascending order. There is no window before
    /// the epoch.
    pub(crate) fn starts(self, time: i64) -> impl Iterator<Item = i64> + use<> {
        let Self { size, advance } = self;
        let first = time.saturating_sub(size).saturating_add(advance).max(0) / advance * advance;
        std::iter::successors(Some(first), move |start| start.checked_add(advance))
            .take_while(move |start| *start <= time)
    }

    /// The start of the earliest window that ends after `time`.
    pub(crate) fn first_open_after(self, time: i64) -> i64 {
        let behind = time.saturating_sub(self.size);
        if behind < 0 { 0 } else { (behind / self.advance + 1).saturating_mul(self.advance) }
    }

    /// The window that begins at `start`. It ends with time itself at the latest.
    pub(crate) fn window(self, start: i64) -> TimeWindow {
        let end = start.saturating_add(self.size);
        TimeWindow { start: Timestamp::from_millis(start), end: Timestamp::from_millis(end) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn starts(size: i64, advance: i64, time: i64) -> Vec<i64> {
        TimeSpans { size, advance }.starts(time).collect()
    }

    #[test]
    fn tumbling_windows_follow_each_other() {
        assert_eq!(starts(10, 10, 0), [0]);
        assert_eq!(starts(10, 10, 9), [0]);
        assert_eq!(starts(10, 10, 10), [10]);
    }

    #[test]
    fn hopping_windows_overlap() {
        assert_eq!(starts(12, 5, 21), [10, 15, 20]);
        assert_eq!(starts(12, 5, 22), [15, 20]);
        assert_eq!(starts(12, 5, 3), [0]);
        assert_eq!(starts(12, 5, 7), [0, 5]);
    }

    #[test]
    fn there_is_no_window_before_the_epoch() {
        assert_eq!(starts(10, 10, -1), [0; 0]);
    }

    #[test]
    fn the_last_window_ends_with_time() {
        let spans = TimeSpans { size: 10, advance: 5 };
        let last = spans.starts(i64::MAX).map(|start| spans.window(start)).last();
        assert_eq!(last.map(|window| window.end.as_millis()), Some(i64::MAX));
    }

    proptest! {
        #[test]
        fn the_first_open_window_is_the_first_that_ends_later(
            size in 1..100_i64, advance in 1..100_i64, time in 0..1000_i64,
        ) {
            let spans = TimeSpans { size, advance: advance.min(size) };
            let first = (0..).step_by(spans.advance as usize).find(|start| start + size > time);
            prop_assert_eq!(Some(spans.first_open_after(time)), first);
        }

        #[test]
        fn the_windows_of_a_time_are_those_that_hold_it(
            size in 1..100_i64, advance in 1..100_i64, time in 0..1000_i64,
        ) {
            let advance = advance.min(size);
            let all = (0..=time).filter(|start| start % advance == 0);
            let hold: Vec<_> = all.filter(|start| start + size > time).collect();
            prop_assert_eq!(starts(size, advance, time), hold);
        }
    }
}
