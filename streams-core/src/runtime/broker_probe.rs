//! Finds out at the start whether a broker answers: a wrong address must not look like a group
//! that takes its time.

use std::sync::Arc;
use std::time::Duration;

use super::stream_thread::StreamThread;
use crate::client::{Call, Each, TopicDescription};
use crate::error::StreamsError;
use crate::time::Instant;

const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Asks for the input topics until somebody answers.
pub(crate) struct BrokerProbe {
    since: Instant,
    retry_at: Instant,
    call: Option<Call<Each<TopicDescription>>>,
}

impl BrokerProbe {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, retry_at: now, call: None }
    }

    /// When it has to be looked at, if nothing wakes the thread before.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.call.is_none().then_some(self.retry_at)
    }
}

impl StreamThread {
    /// An error when nobody has answered for `request.timeout.ms` since the start.
    pub(crate) fn probe_broker(&mut self, now: Instant) -> Result<(), StreamsError> {
        if self.assignment.is_some() {
            self.probe = None;
        }
        let Some(probe) = &mut self.probe else { return Ok(()) };
        let Some(call) = &mut probe.call else {
            if now >= probe.retry_at {
                probe.call = Some(self.admin.describe_topics(self.shared.source_topics()));
            }
            return Ok(());
        };
        let Some(answer) = call.try_take() else { return Ok(()) };
        let Err(error) = answer else {
            self.probe = None;
            return Ok(());
        };
        let waited = now.since(probe.since);
        if !error.is_retriable() || waited >= self.shared.config.request_timeout {
            return Err(self.client_error(error, "reach the broker"));
        }
        probe.call = None;
        probe.retry_at = now + RETRY_INTERVAL;
        let servers: &Arc<str> = &self.shared.config.bootstrap_servers;
        tracing::warn!(thread = %self.name, %servers, %error, "no broker answers yet");
        Ok(())
    }
}
