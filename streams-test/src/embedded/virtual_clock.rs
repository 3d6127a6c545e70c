//! A clock that stands still until it is moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use streams_core::time::{Clock, Instant};

/// Time that a test moves by hand: both the monotonic clock and the wall clock.
#[derive(Debug)]
pub struct VirtualClock {
    elapsed_nanos: AtomicU64,
    wall_origin_ms: i64,
}

impl VirtualClock {
    /// Stands at the monotonic origin, and at `wall_ms` (milliseconds since 1970).
    pub fn new(wall_ms: i64) -> Arc<Self> {
        Arc::new(Self { elapsed_nanos: AtomicU64::new(0), wall_origin_ms: wall_ms })
    }

    /// Moves on by `duration`.
    pub fn advance(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed_nanos.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Moves on to `instant`; does nothing when that has passed.
    pub fn advance_to(&self, instant: Instant) {
        let nanos = u64::try_from(instant.since_origin().as_nanos()).unwrap_or(u64::MAX);
        self.elapsed_nanos.fetch_max(nanos, Ordering::SeqCst);
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed_nanos.load(Ordering::SeqCst))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        Instant::from_origin(self.elapsed())
    }

    fn wall_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.wall_origin_ms.saturating_add(elapsed)
    }
}
