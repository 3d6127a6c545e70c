//! Faults on purpose: a plan is asked before each operation how that shall go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use streams_core::client::ClientError;
use streams_core::time::Instant;

/// Decides how operations go. Asked with no lock held, in the order of the operations; so a plan
/// that depends on nothing but its seed and what it was asked makes a run that can be repeated.
pub trait FaultPlan: Send + Sync + 'static {
    /// How `operation`, started at `now`, shall go.
    fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault;
}

/// What is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation<'a> {
    /// Its kind.
    pub step: Step,
    /// Who: a fetcher's client id, a transactional id (empty for a plain producer), a group.
    pub client: &'a str,
    /// The topic and partition, for [`Step::Fetch`] and [`Step::Produce`].
    pub partition: Option<(&'a str, i32)>,
}

/// The kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Step {
    /// One call of `Fetcher::fetch`. Everything but [`Fault::Fail`] gives an empty answer (until
    /// the given time).
    Fetch,
    /// One record. Delayed, it is in flight until then, and so are the later ones of its
    /// partition: lost with its process, or with the end of its transaction.
    Produce,
    /// `Producer::flush`.
    Flush,
    /// `Producer::init_transactions`.
    InitTransactions,
    /// The first half of `Producer::commit`: the offsets go to the group, which may refuse them.
    TransactionOffsets,
    /// The second half of `Producer::commit`: the transaction is ended.
    Commit,
    /// `Producer::abort`.
    Abort,
    /// `Admin::describe_topics`.
    DescribeTopics,
    /// `Admin::create_topics`.
    CreateTopics,
    /// `Admin::list_offsets`.
    ListOffsets,
    /// `Admin::committed_offsets`.
    CommittedOffsets,
    /// `Admin::delete_records`.
    DeleteRecords,
    /// `GroupTransport::join`.
    Join,
    /// `GroupTransport::sync`.
    Sync,
    /// `GroupTransport::heartbeat`.
    Heartbeat,
    /// `GroupTransport::leave`.
    Leave,
    /// `GroupTransport::commit_offsets`.
    CommitOffsets,
}

impl Step {
    /// Whether it goes to the coordinator of a group or of transactions.
    pub(super) fn asks_a_coordinator(self) -> bool {
        match self {
            Self::InitTransactions
            | Self::TransactionOffsets
            | Self::Commit
            | Self::Abort
            | Self::CommittedOffsets
            | Self::Join
            | Self::Sync
            | Self::Heartbeat
            | Self::Leave
            | Self::CommitOffsets => true,
            Self::Fetch
            | Self::Produce
            | Self::Flush
            | Self::DescribeTopics
            | Self::CreateTopics
            | Self::ListOffsets
            | Self::DeleteRecords => false,
        }
    }
}

/// How an operation goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Well.
    #[default]
    None,
    /// It is not done, and answered with this.
    Fail(ClientError),
    /// The request arrives at that time.
    Delay(Instant),
    /// It is done now, and answered at that time. Join and sync, which wait for others, take it
    /// for [`Fault::Delay`].
    DelayAnswer(Instant),
    /// It is done, and answered as retriable; a commit as unknown.
    LoseAnswer,
    /// It is not done, and answered as retriable; a commit as unknown.
    LoseRequest,
    /// It is done and answered, and at that time the same request arrives once more: a repetition
    /// that got stuck on the way. The answer to it goes to nobody.
    Twice(Instant),
    /// It is answered with this at once, while the request is still on its way: it arrives at that
    /// time. A commit is answered as unknown, or as fatal if the producer is lost by the error.
    FailLate(ClientError, Instant),
    /// The producer's queue is full until that time: [`Step::Produce`] is delayed, and in a
    /// [`Simulation`](crate::Simulation) the thread that sends stands still. For other steps a
    /// delay.
    Block(Instant),
}

/// The plan of a cluster, free of cost as long as there is none.
#[derive(Default)]
pub(super) struct Faults {
    active: AtomicBool,
    plan: Mutex<Option<Arc<dyn FaultPlan>>>,
}

impl Faults {
    pub(super) fn set(&self, plan: Option<Arc<dyn FaultPlan>>) {
        self.active.store(plan.is_some(), Ordering::Release);
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    #[inline]
    pub(super) fn active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    pub(super) fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
        if !self.active() {
            return Fault::None;
        }
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        plan.map_or(Fault::None, |plan| plan.decide(operation, now))
    }
}

/// What a lost request or answer looks like.
pub(super) fn lost(step: Step) -> ClientError {
    ClientError::retriable(format!("no answer to {step:?} came in time; try again"))
}
