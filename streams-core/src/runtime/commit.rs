//! The commit of a thread: all its tasks at once, so that what they have read, written and kept
//! is one step forward.
//!
//! 1. `begin`: emissions are flushed, the active layers sealed, the changelogs sent, the producer
//!    flushed.
//! 2. The positions of the inputs are committed. Every task that did anything takes part with at
//!    least one position: that is what fences a member that is no longer one.
//! 3. `committed`: the sealed layers join the committed ones, which the store worker applies to
//!    the engine later, with their metadata.
//!
//! Nothing of an attempt reaches an engine before it is known to be committed. If its outcome is
//! unknown the same positions are sent again: a repeated commit changes nothing.

use std::time::Duration;

use state_stores::Attempt;

use super::record_collector::Collector;
use super::stream_thread::StreamThread;
use crate::client::{Call, ClientError, ClientErrorKind, Each, OffsetToCommit};
use crate::error::StreamsError;
use crate::task_id::TaskId;
use crate::time::Instant;

/// Pause before positions are sent again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// A commit under way.
pub(crate) struct CommitAttempt {
    pub(crate) attempt: Attempt,
    pub(crate) tasks: Vec<TaskId>,
    offsets: Vec<OffsetToCommit>,
    stage: CommitStage,
    began: Instant,
}

enum CommitStage {
    /// Step 1: waiting for the acknowledgements.
    Flushing(Call<()>),
    /// Step 2 is due (again) at that time.
    Due(Instant),
    /// Step 2: waiting for the coordinator.
    Committing(Call<Each<()>>),
}

impl StreamThread {
    /// Whether a commit should begin now.
    pub(crate) fn commit_is_due(&self, now: Instant) -> bool {
        if self.commit.is_some() || !self.tasks.values().any(|task| task.needs_commit()) {
            return false;
        }
        now >= self.next_commit
            || self.is_revoking()
            || self.is_stopping()
            || self.tasks.values().any(|task| task.commit_requested())
            || self.dirty_bytes() > self.shared.dirty_bytes_max
    }

    /// Step 1. Does nothing if membership is not proven: a thawed process must not write its old
    /// values over the changelog of a task's new owner.
    pub(crate) fn begin_commit(&mut self, now: Instant) -> Result<(), StreamsError> {
        self.next_commit = now + self.shared.config.commit_interval;
        if self.member.proven_until() <= now {
            tracing::warn!(thread = %self.name, "no commit: membership is not proven just now");
            self.next_commit = now + RETRY_INTERVAL;
            return Ok(());
        }
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        let _span =
            tracing::debug_span!("commit", thread = %self.name, attempt = attempt.0).entered();
        let mut tasks = Vec::new();
        let mut offsets = Vec::new();
        for task in self.tasks.values_mut().filter(|task| task.needs_commit()) {
            task.prepare_commit(attempt, &mut self.collector, &mut offsets)?;
            tasks.push(task.id());
        }
        tracing::debug!(tasks = tasks.len(), "sealed, and sent to the changelogs");
        let stage = CommitStage::Flushing(Collector::of(&mut self.collector).flush());
        self.commit = Some(CommitAttempt { attempt, tasks, offsets, stage, began: now });
        self.progress = true;
        Ok(())
    }

    /// Goes on with the commit under way, by one stage: a driver can stop between any two.
    pub(crate) fn poll_commit(&mut self, now: Instant) -> Result<(), StreamsError> {
        let Some(mut commit) = self.commit.take() else { return Ok(()) };
        if self.advance_commit(&mut commit, now)? {
            self.end_commit(&commit, now);
        } else {
            self.commit = Some(commit);
        }
        Ok(())
    }

    /// When the commit under way has to be looked at, if nothing wakes the thread before.
    pub(crate) fn commit_deadline(&self) -> Option<Instant> {
        match &self.commit.as_ref()?.stage {
            CommitStage::Due(at) => Some(*at),
            CommitStage::Flushing(_) | CommitStage::Committing(_) => None,
        }
    }

    /// Whether it is committed.
    fn advance_commit(
        &mut self,
        commit: &mut CommitAttempt,
        now: Instant,
    ) -> Result<bool, StreamsError> {
        match &mut commit.stage {
            CommitStage::Flushing(call) => {
                let Some(flushed) = call.try_take() else { return Ok(false) };
                self.check_deliveries()?;
                flushed.map_err(|error| self.client_error(error, "flush the producer"))?;
                commit.stage = CommitStage::Due(now);
            }
            CommitStage::Due(at) => {
                if *at > now {
                    return Ok(false);
                }
                let Some(group) = self.group.clone() else { return Ok(false) };
                if !self.member.commits_accepted() {
                    // A new generation is on its way here; only with it the commit is accepted.
                    *at = now + RETRY_INTERVAL;
                    return Ok(false);
                }
                let call = self.member.commit_offsets(group, commit.offsets.clone());
                commit.stage = CommitStage::Committing(call);
            }
            CommitStage::Committing(call) => {
                let Some(answer) = call.try_take() else { return Ok(false) };
                let Some(error) = first_error(answer) else { return Ok(true) };
                self.commit_failed(commit, error, now)?;
            }
        }
        self.progress = true;
        Ok(false)
    }

    /// Step 3.
    fn end_commit(&mut self, commit: &CommitAttempt, now: Instant) {
        let wall_ms = self.shared.clock.wall_ms();
        let collector = Collector::of(&mut self.collector);
        for id in &commit.tasks {
            if let Some(task) = self.tasks.get_mut(id) {
                task.committed(commit.attempt, collector, wall_ms);
            }
        }
        tracing::debug!(
            thread = %self.name, attempt = commit.attempt.0, ms = now.since(commit.began).as_millis(),
            "committed"
        );
        self.progress = true;
    }

    /// Positions are sent again as long as we are, or may be, a member. That we are no longer one
    /// is for the member to find out: it tells by an event, which drops the attempt.
    fn commit_failed(
        &self,
        commit: &mut CommitAttempt,
        error: ClientError,
        now: Instant,
    ) -> Result<(), StreamsError> {
        let passes = matches!(error.kind, ClientErrorKind::Retriable | ClientErrorKind::Group(_));
        let timeout = self.shared.config.task_timeout;
        if !passes {
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

    /// A record that was not written is lost output: the attempt cannot be committed.
    pub(crate) fn check_deliveries(&mut self) -> Result<(), StreamsError> {
        let Some(failure) = Collector::of(&mut self.collector).failure() else { return Ok(()) };
        Err(StreamsError::Production {
            topic: failure.topic,
            at: Box::default(),
            source: failure.error.into(),
        })
    }
}

fn first_error(answer: Result<Each<()>, ClientError>) -> Option<ClientError> {
    match answer {
        Ok(each) => each.into_iter().find_map(Result::err),
        Err(error) => Some(error),
    }
}
