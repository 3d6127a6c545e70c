//! Join, sync, and what the group assigned.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::error::{MemberError, MemberErrorKind};
use super::super::handle::Assignment;
use super::super::leader::{LeaderResult, LeaderRound};
use super::super::messages::{AssignmentError, AssignmentMessage, PROTOCOL_NAME, Subscription};
use super::super::reaction::Reaction;
use super::super::topic_watch::TopicWatch;
use super::{Member, Phase};
use crate::assignment::partition_counts::source_topics;
use crate::client::{ClientError, JoinRequest, JoinResponse, SyncRequest};
use crate::time::Instant;

impl Member {
    /// Joins again with what is owned, if there is a membership to renew.
    pub(super) fn join_again(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Stable) {
            self.start_join(now);
        }
    }

    pub(super) fn start_join(&mut self, now: Instant) {
        let subscription = Subscription {
            process: self.config.process,
            owned_generation: self.ownership.generation(),
            owned: self.ownership.join(),
            on_disk: self.on_disk.clone(),
            user_endpoint: self.config.user_endpoint.clone(),
            topology: self.topology,
            wish: self.wish,
            shutdown: self.shutdown,
        };
        let call = self.transport.join(JoinRequest {
            member_id: self.member_id.to_string(),
            instance_id: self.config.instance_id.clone(),
            session_timeout: self.config.session_timeout,
            rebalance_timeout: self.config.max_poll_interval,
            protocol: (PROTOCOL_NAME.to_owned(), subscription.encode()),
            topics: self.topics.iter().cloned().collect(),
        });
        self.phase = Phase::Joining { call, sent: now };
    }

    pub(super) fn on_joined(
        &mut self,
        answer: Result<JoinResponse, ClientError>,
        sent: Instant,
        now: Instant,
    ) {
        let response = match answer {
            Ok(response) => response,
            Err(error) => return self.on_refused_join(&error, now),
        };
        self.member_id = Arc::from(response.member_id.as_str());
        if response.member_id_required {
            return self.start_join(now);
        }
        if self.has_missed_a_generation(response.generation) {
            let reason = format!(
                "the group went from generation {} to {} without this member's claims: others may \
                 have had the tasks",
                self.generation, response.generation
            );
            return self.lose(reason, now);
        }
        self.generation = response.generation;
        self.mailbox.generation.store(self.generation, Ordering::SeqCst);
        self.proof.settled(sent);
        self.backoff.reset();
        self.heartbeat.postpone(now);
        self.leads = response.is_leader();
        if self.leads {
            let round = LeaderRound::new(&self.config, &response.members, now);
            self.phase = Phase::Assigning(Box::new(round));
        } else {
            self.start_sync(LeaderResult::default(), now);
        }
    }

    /// A generation that we never heard of was not made by what we claim now: an older join of ours
    /// that arrived late, or a second time, may have stood for us. Who owned our tasks in it may
    /// have committed, and our work since then must not be committed in a later generation.
    fn has_missed_a_generation(&self, joined: i32) -> bool {
        let is_next = joined <= self.generation.saturating_add(1);
        self.generation >= 0 && !is_next && !self.ownership.claims().is_empty()
    }

    pub(super) fn on_refused_join(&mut self, error: &ClientError, now: Instant) {
        match Reaction::to(error) {
            Reaction::Rejoin | Reaction::Retry => {
                tracing::debug!(group = %self.config.group, %error, "join: trying again");
                self.phase = Phase::Unjoined { at: now + self.backoff.wait() };
            }
            Reaction::Lost { forget_id } => {
                self.lose_by(error, forget_id, now);
                self.phase = Phase::Unjoined { at: now + self.backoff.wait() };
            }
            Reaction::Fail => self.fail(MemberError::of_client("join the group", error), now),
        }
    }

    pub(super) fn start_sync(&mut self, result: LeaderResult, now: Instant) {
        let request = SyncRequest {
            member_id: self.member_id.to_string(),
            instance_id: self.config.instance_id.clone(),
            generation: self.generation,
            protocol: PROTOCOL_NAME.to_owned(),
            assignments: result.assignments,
            partitions: result.partitions,
        };
        self.phase = Phase::Syncing { request, call: None, at: now };
    }

    pub(super) fn on_synced(
        &mut self,
        answer: Result<Vec<u8>, ClientError>,
        sent: Instant,
        now: Instant,
    ) {
        let bytes = match answer {
            Ok(bytes) => bytes,
            Err(error) => return self.on_refused_sync(&error, now),
        };
        self.proof.settled(sent);
        if self.proof.expired(now) {
            return self.lose("the group's assignment came too late".to_owned(), now);
        }
        self.heartbeat.postpone(now);
        if bytes.is_empty() {
            tracing::warn!(group = %self.config.group, "no assignment: joining again");
            self.wish = self.wish.wrapping_add(1);
            self.phase = Phase::Unjoined { at: now + self.backoff.wait() };
            return;
        }
        match AssignmentMessage::decode(&bytes) {
            Ok(message) => self.on_assignment(message, now),
            Err(error) => {
                let error = MemberError::new(MemberErrorKind::Configuration, error.to_string());
                self.fail(error, now);
            }
        }
    }

    pub(super) fn on_refused_sync(&mut self, error: &ClientError, now: Instant) {
        match Reaction::to(error) {
            Reaction::Rejoin => self.start_join(now),
            Reaction::Retry => {
                let wait = self.backoff.wait();
                if let Phase::Syncing { call, at, .. } = &mut self.phase {
                    *call = None;
                    *at = now + wait;
                }
            }
            Reaction::Lost { forget_id } => self.lose_by(error, forget_id, now),
            Reaction::Fail => self.fail(MemberError::of_client("get an assignment", error), now),
        }
    }

    pub(super) fn on_assignment(&mut self, message: AssignmentMessage, now: Instant) {
        let refusal = message.error;
        if let Some(error) = MemberError::of_refusal(refusal, message.error_text.clone()) {
            return self.fail(error, now);
        }
        if refusal == AssignmentError::OtherTopology {
            tracing::warn!(group = %self.config.group, "{}", message.error_text);
        }
        tracing::info!(
            group = %self.config.group, generation = self.generation,
            active = message.active.len(), standby = message.standby.len(),
            follow_up = message.follow_up, "assigned"
        );
        self.backoff.reset();
        self.phase = Phase::Stable;
        if message.follow_up {
            self.heartbeat.hurry(now);
        }
        let topology = self.config.topology.resolved(message.partition_counts.keys());
        let users = source_topics(&topology).into_iter().cloned();
        let counted = |topic: Arc<str>| {
            let count = *message.partition_counts.get(&topic)?;
            Some((topic, count))
        };
        self.watch = self.leads.then(|| {
            let interval = self.config.topic_refresh_interval;
            let declared = self.config.topology.clone();
            TopicWatch::new(declared, interval, users.filter_map(counted), now)
        });
        let known = self.topics.len();
        self.topics.extend(source_topics(&topology).into_iter().cloned());
        // The broker keeps committed positions of topics that it was told of.
        self.join_again |= self.topics.len() > known;
        let active = message.active.iter().copied().collect();
        let number = self.ownership.assigned(self.generation, active, message.follow_up);
        let assignment = Assignment {
            generation: self.generation,
            member_id: self.member_id.clone(),
            active: message.active,
            standby: message.standby,
            partition_counts: Arc::new(message.partition_counts),
            hosts: message.hosts.into(),
        };
        self.mailbox.post_assigned(number, assignment);
    }
}
