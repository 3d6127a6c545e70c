//! The stream thread's end of its membership, and the mailbox between the two.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::MemberError;
use super::messages::TaskState;
use super::proof::SharedInstant;
use crate::client::{Call, ClientError, Each, GroupMetadata, OffsetToCommit, Reply, WakeRef};
use crate::task_id::TaskId;
use crate::time::Instant;

pub use super::messages::HostTasks;

/// Tells the stream thread what it owns, and the member what the thread does.
///
/// Dropping it means that the thread is gone: the member leaves the group.
pub struct MemberHandle {
    mailbox: Arc<Mailbox>,
    /// The number of the last event that the thread has taken.
    seen: u64,
    /// That of the last assignment that the thread has taken.
    generation: i32,
}

/// What happens to the membership. Only the newest assignment is kept for a thread that is late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// What the thread is to own from now on. Tasks that are not in it: stop, commit, hand over
    /// their storage. Then [`acknowledge`](MemberHandle::acknowledge).
    Assigned(Assignment),
    /// Everything belongs to others, perhaps for some time already: abort, drop, commit nothing,
    /// write nothing. The member joins again by itself.
    Lost {
        /// For the log.
        reason: String,
    },
    /// The member has ended; everything is lost too.
    Failed(MemberError),
}

/// The tasks of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// To commit with, for all tasks in it, from the moment on at which it is applied.
    pub generation: i32,
    /// Worth to be remembered in the state directory.
    pub member_id: Arc<str>,
    /// To process.
    pub active: Vec<TaskId>,
    /// To keep warm.
    pub standby: Vec<TaskId>,
    /// Of all topics of the application.
    pub partition_counts: Arc<BTreeMap<Arc<str>, i32>>,
    /// Who runs what, of those that have an endpoint.
    pub hosts: Arc<[HostTasks]>,
}

impl MemberHandle {
    /// The next thing to react to. What is lost comes before what is gained.
    pub fn next_event(&mut self) -> Option<MemberEvent> {
        let mut state = self.mailbox.lock();
        if let Some((number, reason)) = state.lost.take() {
            self.seen = number;
            return Some(MemberEvent::Lost { reason });
        }
        if let Some(error) = state.failed.take() {
            return Some(MemberEvent::Failed(error));
        }
        let (number, assignment) = state.assigned.take()?;
        drop(state);
        self.seen = number;
        self.generation = assignment.generation;
        Some(MemberEvent::Assigned(assignment))
    }

    /// What the thread owns now, after it has stopped, committed and handed over everything else.
    /// Only then others can get it. Call it after each assignment was applied, and again when
    /// revocations that took time are complete.
    pub fn acknowledge(&mut self, owned: Vec<TaskId>) {
        let seen = self.seen;
        self.mailbox.command(|state| state.acknowledged = Some((seen, owned)));
    }

    /// Commits input positions as `member`: the generation of the assignment that was applied.
    ///
    /// Errors are passed on as they are. One of the group
    /// ([`GroupError`](crate::client::GroupError)) says that nothing was committed; it does not
    /// say that the tasks are lost: during a rebalance the broker refuses commits of kept tasks,
    /// too. Wait for the next event, and commit again what is still owned.
    pub fn commit_offsets(
        &mut self,
        member: GroupMetadata,
        offsets: Vec<OffsetToCommit>,
    ) -> Call<Each<()>> {
        let (reply, call) = Call::pair(Some(self.mailbox.thread_wake.clone()));
        self.mailbox.command(|state| state.commits.push(Commit { member, offsets, reply }));
        call
    }

    /// Whether a commit would be accepted, as far as is known: not between the moment at which
    /// the group has a new generation and that at which its assignment was taken from here.
    pub fn commits_accepted(&self) -> bool {
        self.generation >= 0 && self.generation == self.mailbox.generation.load(Ordering::SeqCst)
    }

    /// The thread is alive. To be called at least every `max.poll.interval.ms`.
    pub fn stamp_progress(&self, now: Instant) {
        self.mailbox.progress.raise(now);
    }

    /// Until then nobody else has been given our tasks, whatever happens. At that point or
    /// later, a write to a changelog could overwrite a new owner's.
    pub fn proven_until(&self) -> Instant {
        // In this order: a proof of the membership after a loss must not be taken for one of
        // what was lost.
        let until = self.mailbox.proven_until.get();
        let lost = self.mailbox.lost.load(Ordering::SeqCst);
        if lost > self.seen { Instant::default() } else { until }
    }

    /// What the process has on disk now: told to the leader at the next join.
    pub fn report_state(&mut self, on_disk: Vec<TaskState>) {
        self.mailbox.command(|state| state.on_disk = Some(on_disk));
    }

    /// Asks for a rebalance, although nothing has changed for the group.
    pub fn request_rejoin(&mut self) {
        self.mailbox.command(|state| state.rejoin = true);
    }

    /// Asks all processes of the application to stop, by way of the leader: each of their
    /// members fails with [`Shutdown`](super::MemberErrorKind::Shutdown).
    pub fn shutdown_application(&mut self) {
        self.mailbox.command(|state| state.shutdown = true);
    }

    /// Leaves the group, so that others get the tasks at once; to be called when all of them
    /// are released. Answered when the coordinator knows, or cannot be reached for a session.
    pub fn leave(&mut self) -> Call<()> {
        let (reply, call) = Call::pair(Some(self.mailbox.thread_wake.clone()));
        self.mailbox.command(|state| state.leave.push(reply));
        call
    }
}

impl Drop for MemberHandle {
    fn drop(&mut self) {
        self.mailbox.command(|state| state.abandoned = true);
    }
}

/// A commit on its way to the coordinator.
pub(super) struct Commit {
    pub(super) member: GroupMetadata,
    pub(super) offsets: Vec<OffsetToCommit>,
    pub(super) reply: Reply<Each<()>>,
}

/// What the thread wants of the member.
#[derive(Default)]
pub(super) struct Commands {
    pub(super) acknowledged: Option<(u64, Vec<TaskId>)>,
    pub(super) on_disk: Option<Vec<TaskState>>,
    pub(super) rejoin: bool,
    pub(super) shutdown: bool,
    pub(super) leave: Vec<Reply<()>>,
    pub(super) abandoned: bool,
    pub(super) commits: Vec<Commit>,
}

/// Between the member and its handle.
pub(super) struct Mailbox {
    state: Mutex<MailState>,
    pub(super) proven_until: Arc<SharedInstant>,
    pub(super) progress: SharedInstant,
    /// The group's, as far as the member knows; -1 outside of it.
    pub(super) generation: AtomicI32,
    /// The number of the last loss.
    lost: AtomicU64,
    member_wake: WakeRef,
    thread_wake: WakeRef,
}

#[derive(Default)]
struct MailState {
    lost: Option<(u64, String)>,
    assigned: Option<(u64, Assignment)>,
    failed: Option<MemberError>,
    commands: Commands,
    ended: bool,
}

impl Mailbox {
    pub(super) fn pair(member_wake: WakeRef, thread_wake: WakeRef) -> (Arc<Self>, MemberHandle) {
        let mailbox = Arc::new(Self {
            state: Mutex::default(),
            proven_until: Arc::default(),
            progress: SharedInstant::default(),
            generation: AtomicI32::new(-1),
            lost: AtomicU64::new(0),
            member_wake,
            thread_wake,
        });
        (mailbox.clone(), MemberHandle { mailbox, seen: 0, generation: -1 })
    }

    pub(super) fn post_assigned(&self, number: u64, assignment: Assignment) {
        self.lock().assigned = Some((number, assignment));
        self.thread_wake.wake();
    }

    /// An assignment that was not taken yet is void.
    pub(super) fn post_lost(&self, number: u64, reason: String) {
        self.lost.store(number, Ordering::SeqCst);
        let mut state = self.lock();
        state.assigned = None;
        state.lost = Some((number, reason));
        drop(state);
        self.thread_wake.wake();
    }

    pub(super) fn post_failed(&self, error: MemberError) {
        let mut state = self.lock();
        state.assigned = None;
        state.failed = Some(error);
        drop(state);
        self.thread_wake.wake();
    }

    pub(super) fn take_commands(&self) -> Commands {
        std::mem::take(&mut self.lock().commands)
    }

    /// From now on nobody takes commands; those that ask for an answer get one.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let commands = std::mem::take(&mut state.commands);
        drop(state);
        refuse(commands);
    }

    fn command(&self, change: impl FnOnce(&mut Commands)) {
        let mut state = self.lock();
        change(&mut state.commands);
        let refused = state.ended.then(|| std::mem::take(&mut state.commands));
        drop(state);
        match refused {
            Some(commands) => refuse(commands),
            None => self.member_wake.wake(),
        }
    }

    // A holder of this lock runs no foreign code, so a poisoned lock still guards a whole value.
    fn lock(&self) -> MutexGuard<'_, MailState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(commands: Commands) {
    for commit in commands.commits {
        let error = ClientError::group(
            crate::client::GroupError::UnknownMember,
            "this member has left the group: nothing was committed",
        );
        commit.reply.send(Err(error));
    }
    for reply in commands.leave {
        reply.send(Ok(()));
    }
}
