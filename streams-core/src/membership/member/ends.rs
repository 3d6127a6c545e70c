//! How a membership ends: lost, failed, left.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::error::MemberError;
use super::{Member, Phase};
use crate::client::{ClientError, Reply};
use crate::time::Instant;

impl Member {
    pub(super) fn lose_by(&mut self, error: &ClientError, forget_id: bool, now: Instant) {
        self.lose(error.message.clone(), now);
        if forget_id {
            self.member_id = Arc::default();
        }
    }

    /// Nothing is ours any more; joins anew. The id is kept: if the coordinator still knows it,
    /// nobody has to wait for a dead member. But not if a join is under way: should it arrive
    /// after the next one, it would count as newer, and claim what we owned then.
    pub(super) fn lose(&mut self, reason: String, now: Instant) {
        if matches!(self.phase, Phase::Joining { .. }) {
            self.member_id = Arc::default();
        }
        self.proof.revoke();
        self.heartbeat.forget();
        self.generation = -1;
        self.mailbox.generation.store(-1, Ordering::SeqCst);
        self.phase = Phase::Unjoined { at: now };
        if let Some(number) = self.ownership.lose() {
            tracing::warn!(group = %self.config.group, member = %self.member_id, %reason, "lost");
            self.mailbox.post_lost(number, reason);
        }
    }

    pub(super) fn fail(&mut self, error: MemberError, now: Instant) {
        tracing::error!(group = %self.config.group, %error, "the member of the group has failed");
        self.proof.revoke();
        self.ownership.lose();
        self.mailbox.post_failed(error);
        self.leave(Vec::new(), now);
    }

    pub(super) fn leave(&mut self, mut replies: Vec<Reply<()>>, now: Instant) {
        if let Phase::Leaving { replies: others, .. } = &mut self.phase {
            return others.append(&mut replies);
        }
        self.proof.revoke();
        self.ownership.lose();
        self.heartbeat.forget();
        let until = now + self.config.session_timeout;
        self.phase = Phase::Leaving { call: None, at: now, until, replies };
    }

    pub(super) fn advance_leaving(&mut self, now: Instant) -> bool {
        let Phase::Leaving { call, at, until, replies } = &mut self.phase else { return false };
        let known = !self.member_id.is_empty();
        let outcome = match call {
            None if known && now >= *at && now < *until => {
                *call = Some(self.transport.leave(&self.member_id));
                return true;
            }
            None if known && now < *until => return false,
            None => Ok(()),
            Some(started) => match started.try_take() {
                None if now < *until => return false,
                None => Err(ClientError::retriable("the group coordinator did not answer a leave")),
                Some(Err(error)) if error.is_retriable() && now < *until => {
                    *call = None;
                    *at = now + self.backoff.wait();
                    return true;
                }
                Some(answer) => answer,
            },
        };
        for reply in std::mem::take(replies) {
            reply.send(outcome.clone());
        }
        self.phase = Phase::Ended;
        self.mailbox.end();
        true
    }

    /// Tells the coordinator without waiting: if that gets lost, the session runs out.
    pub(super) fn tell_leaving(&mut self, member_id: &str) {
        if !member_id.is_empty() {
            self.goodbye = Some(self.transport.leave(member_id));
            self.member_id = Arc::default();
        }
    }
}
