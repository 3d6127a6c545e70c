//! Results that are emitted once, when their window closes.

use std::time::Duration;

use super::WindowedParts;
use streams_core::Data;
use streams_core::Timestamp;
use streams_core::processor::{CommittedTime, Processor, ProcessorContext, ProcessorInit};

/// How often windows are looked for that have closed, unless the configuration says otherwise.
const EMIT_INTERVAL: Duration = Duration::from_secs(1);

/// Which windows were emitted, and when to look for more.
///
/// What was emitted is committed with the inputs' positions, so nothing is emitted twice, and
/// nothing is left out, whatever happens.
pub(crate) struct FinalResults {
    /// Windows that closed by then were emitted.
    emitted: CommittedTime,
    interval: Duration,
    /// By the wall clock.
    next: Timestamp,
}

impl FinalResults {
    /// Of the windows that `parts` keep, if they are emitted on close. The name of their store is the
    /// JVM's key for what was emitted.
    pub(crate) fn on_close<P: Processor, K, A>(
        init: &mut ProcessorInit<'_, P>,
        parts: &WindowedParts<K, A>,
    ) -> Option<Self> {
        if !parts.stored.on_close {
            return None;
        }
        let emitted = init.committed_time(&parts.name);
        let interval = parts.options.emit_interval.unwrap_or(EMIT_INTERVAL);
        Some(Self { emitted, interval, next: Timestamp::default() })
    }

    /// Up to which time windows were emitted that had closed by then.
    pub(crate) fn emitted<K: Data, V: Data>(
        &self,
        ctx: &ProcessorContext<'_, K, V>,
    ) -> Option<i64> {
        ctx.committed_time(self.emitted).map(Timestamp::as_millis)
    }

    /// Whether it is time to look for windows that closed by `close`; not more often than once in
    /// an interval.
    pub(crate) fn is_due<K: Data, V: Data>(
        &mut self,
        close: i64,
        ctx: &ProcessorContext<'_, K, V>,
    ) -> bool {
        let now = ctx.wall_clock();
        if now < self.next {
            return false;
        }
        self.next = now + self.interval;
        self.emitted(ctx).is_none_or(|emitted| emitted < close)
    }

    /// Windows that closed by `close` were emitted.
    pub(crate) fn set_emitted<K: Data, V: Data>(
        &self,
        close: i64,
        ctx: &mut ProcessorContext<'_, K, V>,
    ) {
        ctx.set_committed_time(self.emitted, Timestamp::from_millis(close));
    }
}
