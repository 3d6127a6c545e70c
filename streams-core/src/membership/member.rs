//! One member of the group, as a state machine.
//!
//! ```text
//! Unjoined -> Joining -> Syncing -> Stable        a follower
//!                 \-> Assigning -> Syncing        the leader
//! Stable -> Joining (with what it owns: work goes on)      a rebalance
//! any -> Unjoined (with nothing)                           lost
//! any -> Stuck -> Unjoined                                 the stream thread stood still
//! any -> Leaving -> Ended                                  left, or failed
//! ```

mod ends;
mod rebalance;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::commits::Commits;
use super::config::{Backoff, MembershipConfig};
use super::error::MemberError;
use super::handle::{Mailbox, MemberHandle};
use super::heartbeat::{Beaten, Heartbeat};
use super::leader::{LeaderProgress, LeaderRound};
use super::messages::TaskState;
use super::ownership::Ownership;
use super::proof::Proof;
use super::reaction::Reaction;
use super::topic_watch::TopicWatch;
use crate::assignment::partition_counts::source_topics;
use crate::client::{
    Admin, Call, GroupMetadata, GroupTransport, JoinResponse, Reply, SyncRequest, WakeRef,
};
use crate::time::Instant;

/// A member of the group. Whoever drives it calls [`step`](Self::step) when it was woken, or
/// when the time has come that the last step named.
pub struct Member {
    config: MembershipConfig,
    transport: Box<dyn GroupTransport>,
    admin: Box<dyn Admin>,
    mailbox: Arc<Mailbox>,
    /// All topics that the tasks read.
    topics: BTreeSet<Arc<str>>,
    topology: u64,
    member_id: Arc<str>,
    /// -1 outside of the group.
    generation: i32,
    phase: Phase,
    ownership: Ownership,
    proof: Proof,
    heartbeat: Heartbeat,
    commits: Commits,
    backoff: Backoff,
    on_disk: Vec<TaskState>,
    wish: u32,
    shutdown: bool,
    last_step: Option<Instant>,
    /// A leave that nobody waits for.
    goodbye: Option<Call<()>>,
    /// While we lead: whether the users' topics are still as they were when tasks were made.
    watch: Option<TopicWatch>,
    /// Patterns match topics that the broker was not told of yet.
    join_again: bool,
    leads: bool,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.mailbox.end();
    }
}

/// When to step again, if no wake comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// At once.
    Ready,
    /// Then.
    At(Instant),
    /// Never of its own accord.
    OnWake,
}

enum Phase {
    /// Joins then.
    Unjoined { at: Instant },
    /// The coordinator collects the members.
    Joining { call: Call<JoinResponse>, sent: Instant },
    /// We lead.
    Assigning(Box<LeaderRound>),
    /// The coordinator hands out what the leader says. Without a call: asks again then.
    Syncing { request: SyncRequest, call: Option<Call<Vec<u8>>>, at: Instant },
    /// Works.
    Stable,
    /// Out of the group until the stream thread shows progress after that moment.
    Stuck { since: Instant },
    /// Tells the coordinator, until then at most.
    Leaving { call: Option<Call<()>>, at: Instant, until: Instant, replies: Vec<Reply<()>> },
    /// Left or failed.
    Ended,
}

impl Member {
    /// A member and the stream thread's end of it. The transport and the admin were made with
    /// `member_wake`, which wakes whoever steps the member; `thread_wake` wakes the thread.
    pub fn new(
        config: MembershipConfig,
        transport: Box<dyn GroupTransport>,
        admin: Box<dyn Admin>,
        member_wake: WakeRef,
        thread_wake: WakeRef,
    ) -> (Self, MemberHandle) {
        let (mailbox, handle) = Mailbox::pair(member_wake, thread_wake);
        let topology = &config.topology;
        let read = topology.subtopologies.iter().flat_map(|sub| sub.repartition_sources.keys());
        let topics = source_topics(topology).into_iter().chain(read).cloned().collect();
        let member = Self {
            topics,
            topology: topology.fingerprint(),
            member_id: config.member_id.clone().unwrap_or_default(),
            generation: -1,
            phase: Phase::Unjoined { at: Instant::default() },
            ownership: Ownership::new(),
            proof: Proof::new(&config, mailbox.proven_until.clone()),
            heartbeat: Heartbeat::new(&config),
            commits: Commits::default(),
            backoff: Backoff::new(&config),
            on_disk: config.on_disk.clone(),
            wish: 0,
            shutdown: false,
            last_step: None,
            goodbye: None,
            watch: None,
            join_again: false,
            leads: false,
            config,
            transport,
            admin,
            mailbox,
        };
        (member, handle)
    }

    /// Goes on as far as it can at `now`, without blocking.
    pub fn step(&mut self, now: Instant) -> NextStep {
        // First of all: after a suspension everything may belong to others, and the answers
        // that lie around are as old as the suspension.
        self.notice_silence(now);
        self.take_commands(now);
        self.take_commits(now);
        self.watch_progress(now);
        if let Some(beaten) = self.heartbeat.poll(now) {
            self.on_heartbeat(beaten, now);
        }
        self.watch_topics(now);
        // Each phase leads to another or waits; the bound only guards against a coordinator that
        // answers at once and for ever.
        let mut moving = true;
        for _ in 0..8 {
            moving = self.advance(now);
            if !moving {
                break;
            }
        }
        self.send_heartbeat(now);
        self.last_step = Some(now);
        if moving { NextStep::Ready } else { self.next_step(now) }
    }

    /// Whether it has left or failed: stepping it has no effect any more.
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    // ---- what comes from outside --------------------------------------------------------------

    fn notice_silence(&mut self, now: Instant) {
        if self.ownership.claims().is_empty() || !self.proof.expired(now) {
            return;
        }
        let session = self.config.session_timeout;
        let asleep = self.last_step.map(|last| now.since(last)).filter(|gap| *gap > session);
        let reason = match asleep {
            Some(gap) => format!(
                "this process did not run for {gap:?}, longer than the session timeout of \
                 {session:?}: others have its tasks"
            ),
            None => format!(
                "the group coordinator could not be reached for the session timeout of \
                 {session:?}: others may have the tasks"
            ),
        };
        self.lose(reason, now);
    }

    fn take_commands(&mut self, now: Instant) {
        let commands = self.mailbox.take_commands();
        if let Some(on_disk) = commands.on_disk {
            self.on_disk = on_disk;
        }
        self.shutdown |= commands.shutdown;
        for commit in commands.commits {
            self.commits.start(&mut *self.transport, commit, now);
        }
        let released = commands
            .acknowledged
            .is_some_and(|(seen, owned)| self.ownership.acknowledge(seen, &owned));
        if commands.rejoin || commands.shutdown {
            self.wish = self.wish.wrapping_add(1);
        }
        if released || commands.rejoin || commands.shutdown {
            self.join_again(now);
        }
        if commands.abandoned || !commands.leave.is_empty() {
            self.leave(commands.leave, now);
        }
    }

    fn take_commits(&mut self, now: Instant) {
        for done in self.commits.poll() {
            let ours = done.generation == self.generation && done.member_id == self.member_id;
            let Some(error) = done.error else {
                if ours {
                    self.proof.rebalancing(done.sent);
                }
                continue;
            };
            // In other phases the group may have moved on, and the member will hear of it.
            if ours && matches!(self.phase, Phase::Stable) {
                match Reaction::to(&error) {
                    Reaction::Rejoin => self.join_again(now),
                    Reaction::Lost { forget_id } => self.lose_by(&error, forget_id, now),
                    Reaction::Retry | Reaction::Fail => {}
                }
            }
        }
    }

    fn watch_progress(&mut self, now: Instant) {
        if self.last_step.is_none() {
            self.mailbox.progress.raise(now);
        }
        let still = now.since(self.mailbox.progress.get());
        let limit = self.config.max_poll_interval;
        match self.phase {
            Phase::Stuck { since } if self.mailbox.progress.get() > since => {
                self.phase = Phase::Unjoined { at: now };
            }
            Phase::Stuck { .. } | Phase::Leaving { .. } | Phase::Ended => {}
            _ if still > limit => {
                let reason = format!(
                    "the stream thread made no progress for {still:?}, longer than \
                     max.poll.interval.ms ({limit:?}): it left the group, so that others take \
                     its tasks; raise the limit, or do less per record"
                );
                // Before the coordinator hears of it, the thread must know that nothing is its.
                let member_id = self.member_id.clone();
                self.lose(reason, now);
                self.tell_leaving(&member_id);
                self.phase = Phase::Stuck { since: now };
            }
            _ => {}
        }
    }

    fn watch_topics(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Stable) && std::mem::take(&mut self.join_again) {
            return self.start_join(now);
        }
        let Some(watch) = self.watch.as_mut().filter(|_| matches!(self.phase, Phase::Stable))
        else {
            return;
        };
        if let Some(change) = watch.step(&mut *self.admin, now) {
            tracing::info!(group = %self.config.group, change, "rebalancing: topics changed");
            self.wish = self.wish.wrapping_add(1);
            self.start_join(now);
        }
    }

    fn on_heartbeat(&mut self, beaten: Beaten, now: Instant) {
        let Beaten { sent, member_id, generation, answer } = beaten;
        if member_id != self.member_id || generation != self.generation {
            return;
        }
        let Err(error) = answer else { return self.proof.settled(sent) };
        let joining = matches!(self.phase, Phase::Joining { .. });
        match Reaction::to(&error) {
            Reaction::Rejoin => {
                self.proof.rebalancing(sent);
                // While joining that is no news; while syncing the sync will say the same.
                if matches!(self.phase, Phase::Stable | Phase::Assigning(_)) {
                    self.start_join(now);
                }
            }
            // The group went on to a new generation with us, for else we would be unknown: the
            // answer of our join is on its way.
            Reaction::Lost { forget_id: false } if joining => {}
            Reaction::Lost { forget_id } => self.lose_by(&error, forget_id, now),
            Reaction::Retry => {}
            Reaction::Fail => self.fail(MemberError::of_client("heartbeat", &error), now),
        }
    }

    fn send_heartbeat(&mut self, now: Instant) {
        if self.beats() {
            let member = || GroupMetadata {
                group: self.config.group.clone(),
                member_id: self.member_id.clone(),
                generation: self.generation,
            };
            self.heartbeat.send(&mut *self.transport, member, now);
        }
    }

    /// In all phases of a membership: while a join waits for other members, too.
    fn beats(&self) -> bool {
        let out = matches!(self.phase, Phase::Stuck { .. } | Phase::Leaving { .. } | Phase::Ended);
        self.generation >= 0 && !self.member_id.is_empty() && !out
    }

    fn next_step(&self, now: Instant) -> NextStep {
        let beat = self.beats().then(|| self.heartbeat.next());
        let silence = self.proof.until().filter(|_| !self.ownership.claims().is_empty());
        let stuck = self.mailbox.progress.get() + self.config.max_poll_interval;
        let (phase, stuck) = match &self.phase {
            Phase::Unjoined { at } => (Some(*at), Some(stuck)),
            Phase::Syncing { call: None, at, .. } => (Some(*at), Some(stuck)),
            Phase::Assigning(round) => (round.next(), Some(stuck)),
            Phase::Joining { .. } | Phase::Syncing { .. } => (None, Some(stuck)),
            Phase::Stable => (self.watch.as_ref().and_then(TopicWatch::next), Some(stuck)),
            Phase::Leaving { call: Some(_), until, .. } => (Some(*until), None),
            Phase::Leaving { at, until, .. } => (Some(*at.min(until)), None),
            // A stamp wakes nobody, for it is on the hot path.
            Phase::Stuck { .. } => (Some(now + self.config.heartbeat_interval), None),
            Phase::Ended => (None, None),
        };
        // The progress limit is passed by more than nothing.
        let stuck = stuck.map(|at| at + std::time::Duration::from_nanos(1));
        let earliest = [beat, silence, phase, stuck].into_iter().flatten().min();
        match earliest {
            Some(at) if at <= now => NextStep::Ready,
            Some(at) => NextStep::At(at),
            None => NextStep::OnWake,
        }
    }

    // ---- phases -------------------------------------------------------------------------------

    /// Whether the phase changed.
    fn advance(&mut self, now: Instant) -> bool {
        match &mut self.phase {
            Phase::Unjoined { at } if now >= *at => self.start_join(now),
            Phase::Joining { call, sent } => {
                let (answer, sent) = (call.try_take(), *sent);
                let Some(answer) = answer else { return false };
                self.on_joined(answer, sent, now);
            }
            Phase::Assigning(round) => match round.step(&mut *self.admin, now) {
                LeaderProgress::Waiting => return false,
                LeaderProgress::Done(result) => self.start_sync(result, now),
                LeaderProgress::GaveUp(obstacle) => {
                    tracing::warn!(group = %self.config.group, %obstacle, "the leader starts over");
                    self.start_join(now);
                }
            },
            Phase::Syncing { request, call, at } => {
                let Some(started) = call else {
                    if now < *at {
                        return false;
                    }
                    *call = Some(self.transport.sync(request.clone()));
                    *at = now;
                    return true;
                };
                let (answer, sent) = (started.try_take(), *at);
                let Some(answer) = answer else { return false };
                self.on_synced(answer, sent, now);
            }
            Phase::Leaving { .. } => return self.advance_leaving(now),
            _ => return false,
        }
        true
    }
}
