//! The one door to time. Everything else is handed a [`Clock`] or an [`Instant`], so that the
//! simulator can run the same code in virtual time.

use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::Duration;

/// A point on a monotonic clock that also runs while the machine is suspended: proofs of
/// membership (a heartbeat sent less than a session ago) must not survive a suspension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The point `since_origin` after the clock's arbitrary origin.
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// Time since the clock's arbitrary origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// Time since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

/// What time it is, for the runtime (`now`) and for records (`wall_ms`).
pub trait Clock: Send + Sync + 'static {
    /// Monotonic, and running through suspension.
    fn now(&self) -> Instant;
    /// Milliseconds since 1970.
    fn wall_ms(&self) -> i64;
}

/// A shared clock.
pub type ClockRef = Arc<dyn Clock>;

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[allow(clippy::disallowed_methods, reason = "the door to the clock")]
impl Clock for SystemClock {
    fn now(&self) -> Instant {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Instant(to_duration(now))
    }

    fn wall_ms(&self) -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        i64::try_from(to_duration(now).as_millis()).unwrap_or(i64::MAX)
    }
}

fn to_duration(time: rustix::time::Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The kernel tells the time since boot, suspensions included, in another place too. On a
    /// machine that was suspended since its boot `CLOCK_MONOTONIC` fails this.
    #[test]
    fn the_clock_runs_through_suspension() {
        let uptime = || {
            let text = std::fs::read_to_string("/proc/uptime").unwrap();
            Duration::from_secs_f64(text.split(' ').next().unwrap().parse().unwrap())
        };
        let before = uptime();
        let now = SystemClock.now().since_origin();
        // It is told in hundredths of a second.
        let after = uptime() + Duration::from_millis(10);
        assert!(before <= now && now <= after, "{before:?} {now:?} {after:?}");
    }
}
