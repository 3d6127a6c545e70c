//! Tests against a real Apache Kafka, and tests of the repository itself.

use std::time::Duration;

pub mod application;
pub mod kafka;
pub mod ledger;
pub mod scenario;
pub mod topics;
pub mod torture;

pub use application::{Application, say};
pub use kafka::{Kafka, KafkaOptions};

/// Waits for a condition.
///
/// # Panics
/// If it does not hold within `limit`.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    use streams_core::time::{Clock, SystemClock};
    let deadline = SystemClock.now() + limit;
    while !holds() {
        assert!(SystemClock.now() < deadline, "not within {} s: {what}", limit.as_secs());
        #[allow(clippy::disallowed_methods, reason = "the pause between two looks")]
        std::thread::sleep(Duration::from_millis(50));
    }
}
