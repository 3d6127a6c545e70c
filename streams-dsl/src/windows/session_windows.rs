//! `SessionWindows`.

use std::time::Duration;

use streams_core::{SessionWindow, Timestamp};

use super::{Problem, check_not_zero, check_span, millis};
use crate::graph::Call;

/// Windows of activity: records of a key belong together as long as none comes later than the gap
/// after the one before. A record between two sessions merges them.
///
/// Late records as with [`TimeWindows`](super::TimeWindows), where a session ends a gap after its
/// last record.
#[derive(Clone, Debug)]
pub struct SessionWindows {
    call: Call,
    gap: Duration,
    grace: Duration,
}

impl SessionWindows {
    /// A session ends when a key was silent for longer than `gap`.
    #[track_caller]
    pub fn gap(gap: Duration) -> Self {
        Self { call: Call::new("SessionWindows::gap"), gap, grace: Duration::ZERO }
    }

    /// How long after its end a session still takes records.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        check_not_zero(self.call, "the gap of sessions", self.gap)?;
        check_span(self.call, "a grace period", self.grace)
    }

    pub(crate) fn spans(&self) -> SessionSpans {
        SessionSpans { gap: millis(self.gap) }
    }

    pub(crate) fn grace_period(&self) -> Duration {
        self.grace
    }

    /// How long sessions have to be kept at least.
    pub(crate) fn retention(&self) -> Duration {
        self.gap.saturating_add(self.grace)
    }
}

/// The arithmetic of sessions, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionSpans {
    pub(crate) gap: i64,
}

impl SessionSpans {
    /// Sessions that a record at `time` joins: they end at the first or later, and begin at the
    /// second or earlier.
    pub(crate) fn joined_by(self, time: i64) -> (i64, i64) {
        (time.saturating_sub(self.gap), time.saturating_add(self.gap))
    }
}

/// The session of one record.
pub(crate) fn session_at(time: Timestamp) -> SessionWindow {
    SessionWindow { start: time, end: time }
}

/// The session that two become.
pub(crate) fn merged(one: SessionWindow, other: SessionWindow) -> SessionWindow {
    SessionWindow { start: one.start.min(other.start), end: one.end.max(other.end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_within_the_gap_are_joined() {
        assert_eq!(SessionSpans { gap: 5 }.joined_by(20), (15, 25));
        let of = SessionWindow::from_millis;
        assert_eq!(merged(of(3, 5), session_at(Timestamp::from_millis(9))), of(3, 9));
        assert_eq!(merged(of(3, 5), of(1, 4)), of(1, 5));
    }
}
