//! One group under the classic protocol: members, generations, rebalances.

mod checks;
mod member;

use std::collections::BTreeMap;
use std::time::Duration;

use streams_core::client::{
    ClientError, GroupMetadata, JoinRequest, JoinResponse, Reply, SyncRequest,
};
use streams_core::time::Instant;

use self::checks::{fenced_instance, rebalancing};
use self::member::Member;
use super::coordinator::unknown_member;

/// Answers members as a broker's coordinator does; waits by keeping their replies.
#[derive(Default)]
pub(super) struct Group {
    phase: Phase,
    generation: i32,
    protocol: String,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Ids that were given out and not used yet, with the time at which they are forgotten. A
    /// rebalance waits for them.
    expected: BTreeMap<String, Instant>,
    /// When whoever did not sync is removed.
    sync_deadline: Option<Instant>,
    ids: u64,
    joins: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Empty,
    /// Waits for all members to join, or the deadline.
    Joining {
        deadline: Instant,
    },
    /// Waits for the leader's assignment.
    Syncing,
    Stable,
}

/// Whether a commit is part of a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitKind {
    Plain,
    Transactional,
}

impl Group {
    pub(super) fn join(&mut self, request: JoinRequest, now: Instant, reply: Reply<JoinResponse>) {
        if let Err(error) = self.check_join(&request) {
            return reply.send(Err(error));
        }
        if request.member_id.is_empty() {
            return match &request.instance_id {
                None => self.hand_out_id(&request, now, reply),
                Some(instance) => {
                    let instance = instance.clone();
                    self.join_static(&instance, request, now, reply);
                }
            };
        }
        if self.expected.remove(&request.member_id).is_some() {
            let id = request.member_id.clone();
            self.admit(id, request, now, reply);
        } else if self.members.contains_key(&request.member_id) {
            self.rejoin(request, now, reply);
        } else {
            reply.send(Err(unknown_member(&request.member_id)));
        }
    }

    pub(super) fn sync(&mut self, request: SyncRequest, now: Instant, reply: Reply<Vec<u8>>) {
        if let Err(error) = self.check_sync(&request) {
            return reply.send(Err(error));
        }
        let is_leader = self.leader.as_ref() == Some(&request.member_id);
        let Some(member) = self.members.get_mut(&request.member_id) else {
            return reply.send(Err(unknown_member(&request.member_id)));
        };
        member.seen = now;
        member.synced = true;
        if self.phase == Phase::Stable {
            return reply.send(Ok(member.assignment.clone()));
        }
        member.syncing = Some(reply);
        if is_leader {
            self.settle(request.assignments, now);
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        member_id: &str,
        generation: i32,
        now: Instant,
    ) -> Result<(), ClientError> {
        self.check_member(member_id, generation, now)?;
        match self.phase {
            Phase::Joining { .. } => Err(rebalancing()),
            Phase::Empty | Phase::Syncing | Phase::Stable => Ok(()),
        }
    }

    pub(super) fn leave(&mut self, member_id: &str, now: Instant) {
        if self.expected.remove(member_id).is_some() {
            self.complete_if_all_joined(now);
        }
        self.remove(member_id, now);
    }

    /// Whether the member may commit offsets.
    pub(super) fn check_commit(
        &mut self,
        member: &GroupMetadata,
        kind: CommitKind,
        now: Instant,
    ) -> Result<(), ClientError> {
        self.check_member(&member.member_id, member.generation, now)?;
        // A transaction is checked by its generation alone.
        if kind == CommitKind::Plain && self.phase == Phase::Syncing {
            return Err(rebalancing());
        }
        Ok(())
    }

    /// Another broker goes on, from `now`, with what the last one has written down: the members of
    /// the last generation that was settled.
    pub(super) fn coordinator_moved(&mut self, now: Instant) {
        self.expected.clear();
        for member in self.members.values_mut() {
            member.refuse(&ClientError::retriable("the coordinator has moved; ask again"));
            member.seen = now;
        }
        match self.phase {
            Phase::Joining { .. } => {
                self.members.retain(|_, member| member.synced);
                // What they have asked for since is forgotten: they will ask again.
                for member in self.members.values_mut() {
                    (member.subscription, member.topics) = member.settled.clone();
                }
                self.phase = if self.members.is_empty() { Phase::Empty } else { Phase::Stable };
            }
            // A generation that nobody has written down: its members have to join again.
            Phase::Syncing => {
                self.sync_deadline = None;
                self.phase = Phase::Joining { deadline: now + self.rebalance_timeout() };
            }
            Phase::Empty | Phase::Stable => {}
        }
    }

    /// Everybody has to join again.
    pub(super) fn rebalance_all(&mut self, now: Instant) {
        if self.phase == Phase::Stable {
            self.rebalance(now);
        }
    }

    /// Does what is due at `now`.
    pub(super) fn expire(&mut self, now: Instant) {
        let expected_before = self.expected.len();
        self.expected.retain(|_, until| *until > now);
        if self.expected.len() < expected_before {
            self.complete_if_all_joined(now);
        }
        while let Some(id) = self.first_expired(now) {
            self.remove(&id, now);
        }
        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.sync_deadline = None;
            self.remove_unsynced(now);
        }
        if matches!(self.phase, Phase::Joining { deadline } if deadline <= now) {
            self.complete(now);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        let sessions = self.members.values().filter_map(Member::expiry);
        let joining = match self.phase {
            Phase::Joining { deadline } => Some(deadline),
            Phase::Empty | Phase::Syncing | Phase::Stable => None,
        };
        sessions
            .chain(self.expected.values().copied())
            .chain(joining)
            .chain(self.sync_deadline)
            .min()
    }

    fn hand_out_id(&mut self, request: &JoinRequest, now: Instant, reply: Reply<JoinResponse>) {
        let member_id = self.new_id("member");
        self.expected.insert(member_id.clone(), now + request.session_timeout);
        reply.send(Ok(JoinResponse {
            member_id,
            member_id_required: true,
            generation: -1,
            leader: String::new(),
            members: Vec::new(),
        }));
    }

    /// A static member starts: it takes the place of its former self.
    fn join_static(
        &mut self,
        instance: &str,
        mut request: JoinRequest,
        now: Instant,
        reply: Reply<JoinResponse>,
    ) {
        let id = self.new_id(instance);
        let Some(old) = self.id_of_instance(instance).map(str::to_owned) else {
            return self.admit(id, request, now, reply);
        };
        if let Some(mut member) = self.members.remove(&old) {
            member.refuse(&fenced_instance(instance));
            self.members.insert(id.clone(), member);
        }
        if self.leader.as_ref() == Some(&old) {
            self.leader = Some(id.clone());
        }
        request.member_id = id;
        self.rejoin(request, now, reply);
    }

    fn new_id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}-{}", self.ids)
    }

    fn id_of_instance(&self, instance: &str) -> Option<&str> {
        self.members
            .iter()
            .find(|(_, member)| member.instance_id.as_deref() == Some(instance))
            .map(|(id, _)| id.as_str())
    }

    /// Takes a new member, which starts a rebalance.
    fn admit(
        &mut self,
        id: String,
        request: JoinRequest,
        now: Instant,
        reply: Reply<JoinResponse>,
    ) {
        self.joins += 1;
        self.protocol = request.protocol.0;
        self.members.insert(
            id,
            Member {
                order: self.joins,
                instance_id: request.instance_id,
                session_timeout: request.session_timeout,
                rebalance_timeout: request.rebalance_timeout,
                subscription: request.protocol.1,
                topics: request.topics,
                settled: Default::default(),
                assignment: Vec::new(),
                seen: now,
                joining: Some(reply),
                syncing: None,
                synced: false,
            },
        );
        self.rebalance(now);
    }

    /// A member joins again. Without news, and unless it leads, it only learns the generation.
    fn rejoin(&mut self, request: JoinRequest, now: Instant, reply: Reply<JoinResponse>) {
        let id = request.member_id.clone();
        let is_leader = self.leader.as_ref() == Some(&id);
        let Some(member) = self.members.get_mut(&id) else {
            return reply.send(Err(unknown_member(&id)));
        };
        let same = member.subscription == request.protocol.1
            && member.topics == request.topics
            && self.protocol == request.protocol.0;
        member.seen = now;
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        let answer_at_once = match self.phase {
            Phase::Empty | Phase::Joining { .. } => false,
            Phase::Syncing => same,
            Phase::Stable => same && !is_leader,
        };
        if answer_at_once {
            return reply.send(Ok(self.joined(&id)));
        }
        member.subscription = request.protocol.1;
        member.topics = request.topics;
        member.joining = Some(reply);
        self.protocol = request.protocol.0;
        self.rebalance(now);
    }

    /// Begins to wait for all members, unless that is under way, and ends it if all are there.
    fn rebalance(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Joining { .. }) {
            for member in self.members.values_mut() {
                if let Some(reply) = member.syncing.take() {
                    member.seen = now;
                    reply.send(Err(rebalancing()));
                }
            }
            self.sync_deadline = None;
            self.phase = Phase::Joining { deadline: now + self.rebalance_timeout() };
        }
        self.complete_if_all_joined(now);
    }

    fn complete_if_all_joined(&mut self, now: Instant) {
        let all = || self.members.values().all(|member| member.joining.is_some());
        if matches!(self.phase, Phase::Joining { .. }) && self.expected.is_empty() && all() {
            self.complete(now);
        }
    }

    /// Ends the wait: who joined is in the new generation, others are out, but for static members,
    /// whose place is kept for their session.
    fn complete(&mut self, now: Instant) {
        self.members.retain(|_, m| m.joining.is_some() || m.instance_id.is_some());
        self.generation += 1;
        let first = self
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_some())
            .min_by_key(|(_, member)| member.order)
            .map(|(id, _)| id.clone());
        let leads = |id: &String| self.members.get(id).is_some_and(|m| m.joining.is_some());
        self.leader = self.leader.take().filter(leads).or(first);
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            return;
        }
        self.phase = Phase::Syncing;
        self.sync_deadline = Some(now + self.rebalance_timeout());
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.joined(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.synced = false;
            member.assignment.clear();
            if let Some(reply) = member.joining.take() {
                member.seen = now;
                reply.send(Ok(response));
            }
        }
    }

    fn joined(&self, member_id: &str) -> JoinResponse {
        let leader = self.leader.clone().unwrap_or_default();
        let members = if leader == member_id {
            self.members.iter().map(|(id, m)| (id.clone(), m.subscription.clone())).collect()
        } else {
            Vec::new()
        };
        JoinResponse {
            member_id: member_id.to_owned(),
            member_id_required: false,
            generation: self.generation,
            leader,
            members,
        }
    }

    /// The leader's assignment is there.
    fn settle(&mut self, assignments: Vec<(String, Vec<u8>)>, now: Instant) {
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.phase = Phase::Stable;
        for member in self.members.values_mut() {
            member.settled = (member.subscription.clone(), member.topics.clone());
            if let Some(reply) = member.syncing.take() {
                member.seen = now;
                reply.send(Ok(member.assignment.clone()));
            }
        }
    }

    fn remove(&mut self, member_id: &str, now: Instant) {
        let Some(mut member) = self.members.remove(member_id) else { return };
        member.refuse(&unknown_member(member_id));
        self.rebalance(now);
    }

    fn remove_unsynced(&mut self, now: Instant) {
        let late: Vec<String> =
            self.members.iter().filter(|(_, m)| !m.synced).map(|(id, _)| id.clone()).collect();
        for id in late {
            self.remove(&id, now);
        }
    }

    fn first_expired(&self, now: Instant) -> Option<String> {
        let expired = |member: &Member| member.expiry().is_some_and(|expiry| expiry <= now);
        self.members.iter().find(|(_, member)| expired(member)).map(|(id, _)| id.clone())
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }
}
