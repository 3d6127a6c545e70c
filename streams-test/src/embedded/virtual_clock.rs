//! A clock that stands still until it is moved, and one that runs ahead of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use streams_core::time::{Clock, Instant};

/// Time that a test moves by hand: both the monotonic clock and the wall clock.
#[derive(Debug)]
pub struct VirtualClock {
    elapsed_nanos: AtomicU64,
    wall_origin_ms: AtomicI64,
}

/// The clock of the brokers: a virtual clock that may run ahead of it.
#[derive(Debug)]
pub(crate) struct BrokerClock {
    base: Arc<VirtualClock>,
    ahead_nanos: AtomicU64,
}

impl VirtualClock {
    /// Stands at the monotonic origin, and at `wall_ms` (milliseconds since 1970).
    pub fn new(wall_ms: i64) -> Arc<Self> {
        Arc::new(Self { elapsed_nanos: AtomicU64::new(0), wall_origin_ms: AtomicI64::new(wall_ms) })
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

    /// Sets the wall clock forward or back by so many milliseconds; monotonic time knows nothing
    /// of it.
    pub fn set_wall_clock_by(&self, ms: i64) {
        self.wall_origin_ms.fetch_add(ms, Ordering::SeqCst);
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
        self.wall_origin_ms.load(Ordering::SeqCst).saturating_add(elapsed)
    }
}

impl BrokerClock {
    pub(crate) fn new(base: Arc<VirtualClock>) -> Arc<Self> {
        Arc::new(Self { base, ahead_nanos: AtomicU64::new(0) })
    }

    /// Leaps forward.
    pub(crate) fn leap(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.ahead_nanos.fetch_add(nanos, Ordering::SeqCst);
    }

    /// How far it is ahead.
    pub(crate) fn ahead(&self) -> Duration {
        Duration::from_nanos(self.ahead_nanos.load(Ordering::SeqCst))
    }
}

impl Clock for BrokerClock {
    fn now(&self) -> Instant {
        self.base.now() + self.ahead()
    }

    fn wall_ms(&self) -> i64 {
        let ahead = i64::try_from(self.ahead().as_millis()).unwrap_or(i64::MAX);
        self.base.wall_ms().saturating_add(ahead)
    }
}
