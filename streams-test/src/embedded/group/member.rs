//! A member of a group, as its coordinator sees it.

use std::sync::Arc;
use std::time::Duration;

use streams_core::client::{ClientError, JoinResponse, Reply};
use streams_core::time::Instant;

pub(super) struct Member {
    /// Who joined the group first leads.
    pub(super) order: u64,
    pub(super) instance_id: Option<String>,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) subscription: Vec<u8>,
    /// Part of what it subscribes: a change of either is news for the leader.
    pub(super) topics: Vec<Arc<str>>,
    /// Both as of the last generation that was settled: what is written down.
    pub(super) settled: (Vec<u8>, Vec<Arc<str>>),
    pub(super) assignment: Vec<u8>,
    /// When it was last heard of.
    pub(super) seen: Instant,
    pub(super) joining: Option<Reply<JoinResponse>>,
    pub(super) syncing: Option<Reply<Vec<u8>>>,
    /// Its sync of this generation arrived.
    pub(super) synced: bool,
}

impl Member {
    /// When its session ends; never while it waits for an answer.
    pub(super) fn expiry(&self) -> Option<Instant> {
        let waits = self.joining.is_some() || self.syncing.is_some();
        (!waits).then(|| self.seen + self.session_timeout)
    }

    /// Answers what it waits for with an error.
    pub(super) fn refuse(&mut self, error: &ClientError) {
        if let Some(reply) = self.joining.take() {
            reply.send(Err(error.clone()));
        }
        if let Some(reply) = self.syncing.take() {
            reply.send(Err(error.clone()));
        }
    }
}
