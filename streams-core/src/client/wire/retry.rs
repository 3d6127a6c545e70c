//! Repeating within the deadline of a call.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::failure::{Failure, Next};

/// Growing pauses between attempts.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// Doubles from `first` up to `max`.
    pub(super) fn new(first: Duration, max: Duration) -> Self {
        Self { next: first, max }
    }

    /// Waits; `false`, at once, if that would not end before the deadline.
    pub(super) async fn pause(&mut self, deadline: Instant) -> bool {
        let pause = self.next;
        if Instant::now() + pause >= deadline {
            return false;
        }
        self.next = (pause * 2).min(self.max);
        sleep(pause).await;
        true
    }
}

/// Repeats `attempt` until it succeeds, fails for good, or the deadline is near.
pub(super) async fn retrying<T, F>(
    mut backoff: Backoff,
    deadline: Instant,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    loop {
        match attempt().await {
            Err(failure) if failure.next != Next::Stop => {
                tracing::debug!(error = %failure.error, "asking again");
                if !backoff.pause(deadline).await {
                    return Err(failure);
                }
            }
            other => return other,
        }
    }
}
