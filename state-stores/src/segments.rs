//! How the rows of windowed stores are cut by time, and which of them have expired.

/// Retention and segments of a store, in milliseconds of stream time. Rows are visible for the
/// retention, and are removed by whole segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segments {
    retention_ms: i64,
    interval_ms: i64,
}

/// No segment is shorter by default, however short the retention, as in Kafka Streams.
const INTERVAL_MS_MIN: i64 = 60_000;

impl Segments {
    /// Segments of half the retention, but of a minute at least: what Kafka Streams does.
    pub fn of_retention(retention_ms: i64) -> Self {
        Self::new(retention_ms, (retention_ms / 2).max(INTERVAL_MS_MIN))
    }

    /// Segments of `interval_ms`.
    pub fn new(retention_ms: i64, interval_ms: i64) -> Self {
        Self { retention_ms: retention_ms.max(0), interval_ms: interval_ms.max(1) }
    }

    /// How long rows are visible.
    pub fn retention_ms(&self) -> i64 {
        self.retention_ms
    }

    /// How much time a segment covers.
    pub fn interval_ms(&self) -> i64 {
        self.interval_ms
    }

    /// The segment of a time; times before 1970 lie in the first.
    #[inline]
    pub fn segment(&self, time_ms: i64) -> u64 {
        (time_ms.max(0) / self.interval_ms).unsigned_abs()
    }

    /// The oldest time that is visible at `stream_time_ms`.
    #[inline]
    pub fn oldest_visible_ms(&self, stream_time_ms: i64) -> i64 {
        stream_time_ms.saturating_sub(self.retention_ms).saturating_add(1)
    }

    /// The oldest segment that takes writes at `stream_time_ms`: those before it have expired.
    #[inline]
    pub fn oldest_live(&self, stream_time_ms: i64) -> u64 {
        self.segment(stream_time_ms.saturating_sub(self.retention_ms))
    }

    /// The first time of that segment: rows before it are gone.
    #[inline]
    pub fn oldest_kept_ms(&self, stream_time_ms: i64) -> i64 {
        let segment = i64::try_from(self.oldest_live(stream_time_ms)).unwrap_or(i64::MAX);
        segment.saturating_mul(self.interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_half_the_retention_and_a_minute_at_least() {
        assert_eq!(Segments::of_retention(3_600_000).interval_ms(), 1_800_000);
        assert_eq!(Segments::of_retention(1_000).interval_ms(), 60_000);
        assert_eq!(Segments::of_retention(i64::MAX).interval_ms(), i64::MAX / 2);
    }

    #[test]
    fn a_segment_lives_as_long_as_one_of_its_rows_is_visible() {
        let segments = Segments::new(100, 60);
        for stream_time in [-1, 0, 99, 100, 159, 160, 161, 1_000, i64::MAX] {
            let oldest = segments.segment(segments.oldest_visible_ms(stream_time));
            assert!(segments.oldest_live(stream_time) <= oldest, "at {stream_time}");
        }
        assert_eq!((segments.oldest_live(159), segments.oldest_live(160)), (0, 1));
        assert_eq!(Segments::new(i64::MAX, 1).oldest_live(i64::MAX), 0);
    }
}
