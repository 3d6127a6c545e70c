//! The commit of a thread: all its tasks at once, so that what they have read, written and kept
//! is one step forward.
//!
//! 1. `begin`: emissions are flushed, the active layers sealed, the changelogs sent, the producer
//!    flushed.
//! 2. The positions of the inputs are committed, under exactly-once with the transaction. Every
//!    task that did anything takes part with at least one position: that is what fences a member
//!    that is no longer one.
//! 3. `committed`: the sealed layers join the committed ones, which the store worker applies to
//!    the engine later, with their metadata.
//!
//! Nothing of an attempt reaches an engine before it is known to be committed. If its outcome is
//! unknown the same positions are sent again: a repeated commit changes nothing. What follows when
//! a transaction is refused, or its producer dies, is in [`transactions`](super::transactions).
//!
//! Between any two of these steps the process may die: [`CommitStep`] numbers them finely, and the
//! tests on a real Kafka end the process at each.

use std::time::Duration;

use state_stores::Attempt;

use super::commit_step::CommitStep;
use super::reaction_table::{
    ErrorReaction, Event, Request, RequestReaction, Stage, request_reaction,
};
use super::record_collector::Collector;
use super::stream_thread::StreamThread;
use crate::client::{Call, ClientError, CommitOutcome, DeliveryFailure, Each, OffsetToCommit};
use crate::error::StreamsError;
use crate::task_id::TaskId;
use crate::time::Instant;

/// How long, beyond twice the transaction's timeout, a commit may be without an answer.
const ANSWER_SLACK: Duration = Duration::from_secs(2);
/// Pause before positions are sent again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// A commit under way.
pub(crate) struct CommitAttempt {
    pub(crate) attempt: Attempt,
    pub(crate) tasks: Vec<TaskId>,
    offsets: Vec<OffsetToCommit>,
    stage: CommitStage,
    began: Instant,
    /// Since when its outcome is unknown.
    unknown_since: Option<Instant>,
}

enum CommitStage {
    /// Step 1: waiting for the acknowledgements.
    Flushing(Call<()>),
    /// Step 1 again at that time: whether everything was acknowledged, nobody could say.
    FlushDue(Instant),
    /// Step 2 is due (again) at that time.
    Due(Instant),
    /// Step 2 under at-least-once: waiting for the coordinator of the group.
    Committing(Call<Each<()>>),
    /// Step 2 under exactly-once: waiting for the coordinator of the transaction.
    /// With the time when it is given up. librdkafka may never answer: its question for the
    /// coordinator of the group has no timeout, and is not asked again when that broker has left
    /// the cluster (confluentinc/librdkafka#5456, #5511).
    Ending(Call<CommitOutcome>, Instant),
}

/// How far a commit got.
enum Advance {
    /// It goes on.
    Pending,
    Committed,
    /// It was given up; what follows was done.
    GivenUp,
}

impl CommitAttempt {
    /// Whether its transaction may be committed by now, for all we know.
    pub(crate) fn may_be_committed(&self) -> bool {
        self.unknown_since.is_some() || matches!(self.stage, CommitStage::Ending(..))
    }

    /// Whether every record of the tasks' attempt was acknowledged.
    fn is_flushed(&self) -> bool {
        !matches!(self.stage, CommitStage::Flushing(_) | CommitStage::FlushDue(_))
    }
}

impl StreamThread {
    /// Whether a commit should begin now.
    pub(crate) fn commit_is_due(&self, now: Instant) -> bool {
        if !self.may_commit() || !self.has_dirty(now) {
            return false;
        }
        now >= self.next_commit
            || self.turn.is_alone()
            || self.due_alone(now).is_some()
            || self.is_revoking()
            || self.is_stopping()
            || self.tasks.values().any(|task| task.commit_requested())
            || self.dirty_bytes() > self.shared.dirty_bytes_max
    }

    /// Whether no commit is under way, and nothing about the producer is pending.
    pub(crate) fn may_commit(&self) -> bool {
        self.commit.is_none() && self.transactions.is_ready()
    }

    /// Whether there is anything to commit, of the tasks whose turn it is.
    pub(crate) fn has_dirty(&self, now: Instant) -> bool {
        let troubled = &self.shared.troubled;
        let mut tasks = self.tasks.iter();
        tasks.any(|(id, task)| task.needs_commit() && self.turn.allows(troubled, *id, now))
    }

    /// Step 1. Under at-least-once does nothing if membership is not proven: a thawed process must
    /// not write its old values over the changelog of a task's new owner. What a transaction has
    /// written is seen by nobody before the group has accepted its positions.
    pub(crate) fn begin_commit(&mut self, now: Instant) -> Result<(), StreamsError> {
        self.next_commit = now + self.shared.config.commit_interval;
        // The step may have taken long since `now`, or the machine was suspended in the middle of it.
        let fresh = self.shared.clock.now();
        if !self.transactions.exactly_once() && !self.may_write(fresh) {
            self.next_commit = now + RETRY_INTERVAL;
            return Ok(());
        }
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        let _span =
            tracing::debug_span!("commit", thread = %self.name, attempt = attempt.0).entered();
        self.reached(CommitStep::Begun);
        let mut tasks = Vec::new();
        let mut offsets = Vec::new();
        for (&id, task) in &mut self.tasks {
            if !task.needs_commit() || !self.turn.allows(&self.shared.troubled, id, now) {
                continue;
            }
            if let Err(error) = task.prepare_commit(attempt, &mut self.collector, &mut offsets) {
                // What the tasks before have sealed belongs to no commit.
                if !self.transactions.exactly_once() {
                    self.give_up_records(now);
                    self.settle_tasks(Event::Aborted, attempt)?;
                }
                return self.task_failed(id, error, now);
            }
            tasks.push(id);
        }
        if let Err(error) = Collector::of(&mut self.collector).ensure_transaction() {
            return self.producer_failed(error, now);
        }
        tracing::debug!(tasks = tasks.len(), "sealed, and sent to the changelogs");
        self.reached(CommitStep::Sealed);
        let stage = CommitStage::Flushing(Collector::of(&mut self.collector).flush());
        self.commit =
            Some(CommitAttempt { attempt, tasks, offsets, stage, began: now, unknown_since: None });
        self.progress = true;
        Ok(())
    }

    /// Goes on with the commit under way, by one stage: a driver can stop between any two.
    pub(crate) fn poll_commit(&mut self, now: Instant) -> Result<(), StreamsError> {
        let Some(mut commit) = self.commit.take() else { return Ok(()) };
        match self.advance_commit(&mut commit, now)? {
            Advance::Pending => self.commit = Some(commit),
            Advance::Committed => self.end_commit(&commit, now)?,
            Advance::GivenUp => {}
        }
        Ok(())
    }

    /// When the commit under way has to be looked at, if nothing wakes the thread before.
    pub(crate) fn commit_deadline(&self) -> Option<Instant> {
        match &self.commit.as_ref()?.stage {
            CommitStage::Due(at) | CommitStage::FlushDue(at) => Some(*at),
            CommitStage::Ending(_, given_up) => Some(*given_up),
            CommitStage::Flushing(_) | CommitStage::Committing(_) => None,
        }
    }

    fn advance_commit(
        &mut self,
        commit: &mut CommitAttempt,
        now: Instant,
    ) -> Result<Advance, StreamsError> {
        match &mut commit.stage {
            CommitStage::Flushing(call) => {
                let Some(flushed) = call.try_take() else { return Ok(Advance::Pending) };
                self.progress = true;
                if self.check_deliveries(now)? {
                    return Ok(Advance::GivenUp);
                }
                if let Err(error) = flushed {
                    return self.flush_failed(commit, error, now);
                }
                tracing::debug!("everything is acknowledged");
                self.reached(CommitStep::Flushed);
                commit.stage = CommitStage::Due(now);
            }
            CommitStage::FlushDue(at) => {
                if *at > now {
                    return Ok(Advance::Pending);
                }
                let call = Collector::of(&mut self.collector).flush();
                commit.stage = CommitStage::Flushing(call);
            }
            CommitStage::Due(at) => {
                let Some(group) = self.group.clone() else { return Ok(Advance::Pending) };
                if *at > now {
                    return Ok(Advance::Pending);
                }
                if !self.member.commits_accepted() {
                    // A new generation is on its way here; only with it the commit is accepted.
                    *at = now + RETRY_INTERVAL;
                    return Ok(Advance::Pending);
                }
                commit.stage = if self.transactions.exactly_once() {
                    let collector = Collector::of(&mut self.collector);
                    let limit = self.shared.config.transaction_timeout * 2 + ANSWER_SLACK;
                    CommitStage::Ending(collector.commit(&commit.offsets, &group), now + limit)
                } else {
                    let call = self.member.commit_offsets(group, commit.offsets.clone());
                    CommitStage::Committing(call)
                };
                self.reached(CommitStep::Committing);
            }
            CommitStage::Committing(call) => {
                let Some(answer) = call.try_take() else { return Ok(Advance::Pending) };
                let Some(error) = first_error(answer) else { return Ok(Advance::Committed) };
                self.commit_failed(commit, error, now)?;
            }
            CommitStage::Ending(call, given_up) => {
                let late = now >= *given_up;
                let Some(answer) = call.try_take() else {
                    if !late {
                        return Ok(Advance::Pending);
                    }
                    // The broker has ended the transaction by now, one way or the other.
                    tracing::warn!(thread = %self.name, "a commit is not answered: another producer");
                    self.new_producer(false, now)?;
                    return Ok(Advance::GivenUp);
                };
                self.progress = true;
                // A call without an answer says as little.
                let outcome = answer.unwrap_or_else(CommitOutcome::Unknown);
                return self.transaction_answered(commit, outcome, now);
            }
        }
        self.progress = true;
        Ok(Advance::Pending)
    }

    /// A flush that took too long is no failure of its records: those are told apart.
    fn flush_failed(
        &mut self,
        commit: &mut CommitAttempt,
        error: ClientError,
        now: Instant,
    ) -> Result<Advance, StreamsError> {
        let timeout = self.shared.config.task_timeout;
        if !self.transactions.exactly_once() && error.is_retriable() {
            if now.since(commit.began) > timeout {
                let task = commit.tasks[0];
                return Err(StreamsError::TaskTimeout { task, timeout, source: error.into() });
            }
            tracing::info!(thread = %self.name, %error, "the producer is flushed again");
            commit.stage = CommitStage::FlushDue(now + RETRY_INTERVAL);
            return Ok(Advance::Pending);
        }
        match self.react_to(Stage::Flush, &error, now)? {
            ErrorReaction::Fail => Err(self.client_error(error, "flush the producer")),
            ErrorReaction::Repeat => {
                commit.stage = CommitStage::FlushDue(now + RETRY_INTERVAL);
                Ok(Advance::Pending)
            }
            ErrorReaction::Abort | ErrorReaction::NewProducer => Ok(Advance::GivenUp),
        }
    }

    /// The four outcomes of a transaction.
    fn transaction_answered(
        &mut self,
        commit: &mut CommitAttempt,
        outcome: CommitOutcome,
        now: Instant,
    ) -> Result<Advance, StreamsError> {
        let (stage, error) = match outcome {
            CommitOutcome::Committed => {
                Collector::of(&mut self.collector).transaction_ended();
                return Ok(Advance::Committed);
            }
            CommitOutcome::Aborted(error) => (Stage::Aborted, error),
            CommitOutcome::Unknown(error) => (Stage::Unknown, error),
            CommitOutcome::Fatal(error) => (Stage::Fatal, error),
        };
        if stage == Stage::Unknown {
            let since = *commit.unknown_since.get_or_insert(now);
            // The broker has ended the transaction by now, one way or the other.
            if now.since(since) > self.shared.config.transaction_timeout {
                self.new_producer(false, now)?;
                return Ok(Advance::GivenUp);
            }
        }
        match self.react_to(stage, &error, now)? {
            ErrorReaction::Fail => Err(self.client_error(error, "commit a transaction")),
            ErrorReaction::Repeat => {
                self.settle_tasks(Event::Unknown, commit.attempt)?;
                commit.stage = CommitStage::Due(now + RETRY_INTERVAL);
                Ok(Advance::Pending)
            }
            ErrorReaction::Abort | ErrorReaction::NewProducer => Ok(Advance::GivenUp),
        }
    }

    /// Step 3.
    fn end_commit(&mut self, commit: &CommitAttempt, now: Instant) -> Result<(), StreamsError> {
        if self.transactions.exactly_once() {
            // Nothing was processed meanwhile. As long again is for processing, or a commit that
            // takes as long as its interval would leave no time for it.
            let took = now.since(commit.began).min(self.shared.config.commit_interval);
            self.next_commit = self.next_commit.max(now + took);
        }
        self.reached(CommitStep::Answered);
        self.settle_tasks(Event::Committed, commit.attempt)?;
        self.reached(CommitStep::Committed);
        self.transactions.succeeded();
        self.release_healed(&commit.tasks);
        self.end_turn(now);
        tracing::debug!(
            thread = %self.name, attempt = commit.attempt.0, tasks = commit.tasks.len(),
            ms = now.since(commit.began).as_millis(), "committed"
        );
        self.progress = true;
        Ok(())
    }

    /// Tests may let the process die here. See [`CommitStep`].
    pub(crate) fn reached(&self, step: CommitStep) {
        self.shared.config.handlers.commit_steps.reached(step);
    }

    /// Positions are sent again as long as we are, or may be, a member. That we are no longer one
    /// is for the member to find out: it tells by an event, which drops the attempt.
    fn commit_failed(
        &self,
        commit: &mut CommitAttempt,
        error: ClientError,
        now: Instant,
    ) -> Result<(), StreamsError> {
        let timeout = self.shared.config.task_timeout;
        if request_reaction(Request::CommitPositions, error.kind) != RequestReaction::Repeat {
            return Err(self.client_error(error, "commit the positions of the inputs"));
        }
        if now.since(commit.began) > timeout {
            let task = commit.tasks[0];
            return Err(StreamsError::TaskTimeout { task, timeout, source: error.into() });
        }
        tracing::info!(thread = %self.name, %error, "the positions are committed again");
        commit.stage = CommitStage::Due(now + RETRY_INTERVAL);
        Ok(())
    }

    /// A record that was not written is lost output: the attempt cannot be committed. Whether that
    /// was so, and the transaction was given up.
    pub(crate) fn check_deliveries(&mut self, now: Instant) -> Result<bool, StreamsError> {
        // How a transaction ends that is being ended says what became of its records. And what is
        // lost beside a commit of positions under way is looked at when that has ended.
        let exactly_once = self.transactions.exactly_once();
        let ending = |commit: &CommitAttempt| {
            commit.may_be_committed() || (!exactly_once && commit.is_flushed())
        };
        if self.commit.as_ref().is_some_and(ending) || !self.transactions.is_ready() {
            return Ok(false);
        }
        let Some(failure) = Collector::of(&mut self.collector).failure() else { return Ok(false) };
        match self.react_to(Stage::Delivery, &failure.error, now)? {
            ErrorReaction::Fail => self.record_refused(failure, now).map(|()| true),
            _ => Ok(true),
        }
    }

    /// Trying again is no use as far as Kafka is concerned: the application decides.
    fn record_refused(
        &mut self,
        failure: DeliveryFailure,
        now: Instant,
    ) -> Result<(), StreamsError> {
        let retried = self.production_retried(&failure);
        let error = StreamsError::Production {
            topic: failure.topic,
            at: Box::default(),
            source: failure.error.into(),
        };
        match retried {
            Some(id) => self.retry_task(id, error, now),
            None => Err(error),
        }
    }
}

fn first_error(answer: Result<Each<()>, ClientError>) -> Option<ClientError> {
    match answer {
        Ok(each) => each.into_iter().find_map(Result::err),
        Err(error) => Some(error),
    }
}
