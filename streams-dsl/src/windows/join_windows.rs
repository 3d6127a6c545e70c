//! `JoinWindows`.

use std::time::Duration;

use super::{Problem, check_span, millis};
use crate::graph::Call;

/// Records of two streams join if the other's time lies in `[t - before, t + after]`, where `t` is
/// this stream's.
///
/// Records later than `grace` after the end of their window are dropped and counted; results of
/// records without a partner, in left and outer joins, are known when it is over.
#[derive(Clone, Debug)]
pub struct JoinWindows {
    call: Call,
    before: i64,
    after: i64,
    difference: Duration,
    grace: Duration,
}

impl JoinWindows {
    /// The other's time is at most this much earlier or later.
    #[track_caller]
    pub fn within(difference: Duration) -> Self {
        let (before, after) = (millis(difference), millis(difference));
        let call = Call::new("JoinWindows::within");
        Self { call, before, after, difference, grace: Duration::ZERO }
    }

    /// How much earlier the other may be, in milliseconds. Negative: it must be later.
    pub fn before_ms(mut self, ms: i64) -> Self {
        self.before = ms;
        self
    }

    /// How much later the other may be, in milliseconds. Negative: it must be earlier.
    pub fn after_ms(mut self, ms: i64) -> Self {
        self.after = ms;
        self
    }

    /// How long after its end a window still takes records.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        let (call, before, after) = (self.call, self.before, self.after);
        check_span(call, "a time difference", self.difference)?;
        check_span(call, "a grace period", self.grace)?;
        let longest = i64::MAX / 4;
        if before.saturating_abs() > longest || after.saturating_abs() > longest {
            let message =
                format!("{call}: {before} ms before or {after} ms after is longer than time");
            return Err((call, message));
        }
        if before + after < 0 {
            let message = format!(
                "{call}: a window from {before} ms before to {after} ms after holds no time: their \
                 sum must not be negative"
            );
            return Err((call, message));
        }
        Ok(())
    }

    /// From the beginning of a window to a record's time, in milliseconds.
    pub(crate) fn before(&self) -> i64 {
        self.before
    }

    /// From a record's time to the end of its window, in milliseconds.
    pub(crate) fn after(&self) -> i64 {
        self.after
    }

    pub(crate) fn grace_period(&self) -> Duration {
        self.grace
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_window_holds_at_least_its_own_time() {
        let of = |before, after| {
            JoinWindows::within(Duration::from_millis(5)).before_ms(before).after_ms(after)
        };
        assert!(of(5, 5).check().is_ok());
        assert!(of(-5, 5).check().is_ok());
        let (_, message) = of(-6, 5).check().unwrap_err();
        assert!(
            message.contains("JoinWindows::within() at ") && message.contains(".rs"),
            "{message}"
        );
        assert!(of(i64::MIN, 0).check().is_err());
        assert!(JoinWindows::within(Duration::MAX).check().is_err());
    }
}
