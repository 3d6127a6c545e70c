//! What both sides of a stream-stream join know of time, in one task.

use std::time::Duration;

use streams_core::Timestamp;
use streams_core::processor::ProcessorInit;
use streams_core::processor::{Processor, SharedHandle};

/// How often unmatched records are looked for, unless the configuration says otherwise: it costs a
/// scan.
const EMIT_INTERVAL: Duration = Duration::from_secs(1);

/// The times of one join: in a slot of the task that both sides share, made anew after an abort.
pub(super) struct JoinTimes {
    /// The largest time of a record of either side.
    stream_time: i64,
    /// The time of the oldest record that waits for a partner; the largest number if none does.
    oldest: i64,
    /// When unmatched records are looked for again, as a time of day. After an abort that is at once:
    /// as the time of day does in any case, it decides when a record without a partner has its result,
    /// and for a partner that is later than the grace period whether it has one; all others have the
    /// same result whenever the look comes.
    next_emit: Timestamp,
    emit_interval: Duration,
    /// Whether the stores were asked for what was before this task was made.
    is_settled: bool,
}

/// Where a join keeps its times.
pub(super) type Times = SharedHandle<JoinTimes>;

impl JoinTimes {
    /// The times of the join of that name.
    pub(super) fn of<P: Processor>(
        join: &str,
        emit_interval: Option<Duration>,
        init: &mut ProcessorInit<'_, P>,
    ) -> Times {
        init.shared(&format!("times of {join}"), || Self {
            stream_time: -1,
            oldest: i64::MAX,
            next_emit: Timestamp::default(),
            emit_interval: emit_interval.unwrap_or(EMIT_INTERVAL),
            is_settled: false,
        })
    }

    /// A record of that time has come.
    pub(super) fn advance(&mut self, time: Timestamp) {
        self.stream_time = self.stream_time.max(time.as_millis());
    }

    /// Whether no record so far was later.
    pub(super) fn is_latest(&self, time: Timestamp) -> bool {
        self.stream_time == time.as_millis()
    }

    /// Whether a window that ends at `end` takes no more records.
    pub(super) fn is_over(&self, end: i64) -> bool {
        end < self.stream_time
    }

    /// A record of that time waits for a partner.
    pub(super) fn waits(&mut self, time: Timestamp) {
        self.oldest = self.oldest.min(time.as_millis());
    }

    /// The first time, whoever asks has to look for the oldest record that waits.
    pub(super) fn settle(&mut self) -> bool {
        !std::mem::replace(&mut self.is_settled, true)
    }

    /// Whether to look for unmatched records: some may be older than `span`, and the last look was
    /// a while ago. As in the JVM the sum may wrap around if nothing waits; then the look finds
    /// nothing, and the interval begins.
    pub(super) fn is_due(&mut self, span: i64, wall_clock: Timestamp) -> bool {
        if self.oldest.wrapping_add(span) >= self.stream_time || wall_clock < self.next_emit {
            return false;
        }
        self.next_emit = wall_clock + self.emit_interval;
        self.oldest = i64::MAX;
        true
    }

    /// The look has come to a record of that time.
    pub(super) fn look_at(&mut self, time: Timestamp) {
        self.oldest = time.as_millis();
    }
}
