//! Which windows a record belongs to: definitions, and pure arithmetic behind them.

mod join_windows;
mod session_windows;
mod sliding_windows;
mod time_windows;
mod unlimited_windows;

use std::time::Duration;

use streams_core::processor::{CommittedTime, ProcessorContext};
use streams_core::{Data, Timestamp};

pub use join_windows::JoinWindows;
pub use session_windows::SessionWindows;
pub(crate) use session_windows::{SessionSpans, merged, session_at};
pub(crate) use sliding_windows::SlidingSpans;
pub use sliding_windows::SlidingWindows;
pub(crate) use time_windows::TimeSpans;
pub use time_windows::TimeWindows;
pub use unlimited_windows::UnlimitedWindows;

use crate::graph::Call;

/// When the results of a windowed aggregation are forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmitStrategy {
    /// Each update of a window, at once.
    #[default]
    OnWindowUpdate,
    /// The last one only, when the grace period of the window is over. At most once a second.
    OnWindowClose,
}

/// A definition that is wrong, as `build()` tells it.
pub(crate) type Problem = (Call, String);

/// Whole milliseconds, as Kafka has them. What is longer than time itself is cut.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Refuses spans that would reach beyond the end of time.
fn check_span(call: Call, what: &str, duration: Duration) -> Result<(), Problem> {
    // Times are added to times: half of the range leaves room for both.
    if duration.as_millis() > i64::MAX as u128 / 4 {
        return Err((call, format!("{call}: {what} of {duration:?} is longer than time itself")));
    }
    Ok(())
}

/// Refuses spans under a millisecond.
fn check_not_zero(call: Call, what: &str, duration: Duration) -> Result<(), Problem> {
    if duration.as_millis() == 0 {
        return Err((
            call,
            format!("{call}: {what} is {duration:?}: it takes a millisecond at least"),
        ));
    }
    check_span(call, what, duration)
}

/// The largest record time that an operator has seen, with that of the record in hand.
pub(crate) fn observe<K: Data, V: Data>(
    seen: CommittedTime,
    ctx: &mut ProcessorContext<'_, K, V>,
) -> Timestamp {
    let now = ctx.timestamp();
    let observed = ctx.committed_time(seen).map_or(now, |before| before.max(now));
    ctx.set_committed_time(seen, observed);
    observed
}
