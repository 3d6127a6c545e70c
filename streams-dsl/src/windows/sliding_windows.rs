//! `SlidingWindows`.

use std::time::Duration;

use streams_core::{TimeWindow, Timestamp};

use super::{Problem, check_span, millis};
use crate::graph::Call;

/// Windows that end or begin with a record: two records share one if their times differ by at most
/// the difference. Both ends belong to a window.
///
/// Each set of records of a key that lie within the difference has one window, so results change
/// only when records enter or leave. Late records as with [`TimeWindows`](super::TimeWindows).
#[derive(Clone, Debug)]
pub struct SlidingWindows {
    call: Call,
    difference: Duration,
    grace: Duration,
}

impl SlidingWindows {
    /// Windows of this length.
    #[track_caller]
    pub fn of(difference: Duration) -> Self {
        Self { call: Call::new("SlidingWindows::of"), difference, grace: Duration::ZERO }
    }

    /// How long after its end a window still takes records.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        check_span(self.call, "a time difference", self.difference)?;
        check_span(self.call, "a grace period", self.grace)
    }

    pub(crate) fn spans(&self) -> SlidingSpans {
        SlidingSpans { difference: millis(self.difference) }
    }

    pub(crate) fn grace_period(&self) -> Duration {
        self.grace
    }

    pub(crate) fn size(&self) -> Duration {
        self.difference
    }
}

/// The arithmetic of sliding windows, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlidingSpans {
    pub(crate) difference: i64,
}

impl SlidingSpans {
    /// The window that begins at `start`.
    pub(crate) fn window(self, start: i64) -> TimeWindow {
        let end = start.saturating_add(self.difference);
        TimeWindow { start: Timestamp::from_millis(start), end: Timestamp::from_millis(end) }
    }

    /// The window of a key that holds all its records up to `time`: of such early records there is
    /// one, at the epoch.
    pub(crate) fn is_early(self, time: i64) -> bool {
        time < self.difference
    }

    /// The starts of windows that a record can change, or that tell which windows it needs: from
    /// those of records that just left its own window, to the one that begins after it.
    pub(crate) fn starts_around(self, time: i64) -> (i64, i64) {
        let first = time.saturating_sub(self.difference.saturating_mul(2)).max(0);
        (if self.is_early(time) { 0 } else { first }, time.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_changes_windows_up_to_two_differences_back() {
        let spans = SlidingSpans { difference: 10 };
        assert_eq!(spans.starts_around(35), (15, 36));
        assert_eq!(spans.starts_around(15), (0, 16));
        assert_eq!(spans.starts_around(5), (0, 6));
        assert!(spans.is_early(9) && !spans.is_early(10));
    }
}
