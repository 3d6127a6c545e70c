//! What a thread does about a task that fails and is to be tried again: what the task has done is
//! taken back, and if it goes on failing it runs alone, so that the others progress.
//!
//! Under exactly-once all tasks share the thread's transaction. While an isolated task has its turn
//! nobody else takes part, so its abort takes back nothing but its own work. Under at-least-once
//! nothing is shared that could be taken back: the task alone goes back and pauses.

use std::collections::BTreeSet;

use state_stores::Attempt;

use super::record_collector::Collector;
use super::stream_thread::StreamThread;
use super::troubled_tasks::{Failed, TroubledTasks};
use crate::client::{DeliveryFailure, TopicPartition};
use crate::config::StreamsEvent;
use crate::error::StreamsError;
use crate::reaction::{ErrorContext, ErrorStage, Reaction};
use crate::record::Headers;
use crate::task_id::TaskId;
use crate::time::Instant;

/// Whose turn it is.
pub(crate) struct Turn {
    exactly_once: bool,
    /// The isolated task that runs now, alone.
    alone: Option<TaskId>,
    /// Under at-least-once: tasks that have failed, and are made anew once the commit that they
    /// take part in has ended.
    broken: BTreeSet<TaskId>,
}

impl Turn {
    /// Everybody's.
    pub(crate) fn new(exactly_once: bool) -> Self {
        Self { exactly_once, alone: None, broken: BTreeSet::new() }
    }

    /// Whether a task may run now, and take part in a commit.
    #[inline]
    pub(crate) fn allows(&self, troubled: &TroubledTasks, task: TaskId, now: Instant) -> bool {
        match self.alone {
            Some(alone) => alone == task,
            None if troubled.is_empty() => true,
            None if self.exactly_once => !troubled.is_isolated(task),
            None => {
                !self.broken.contains(&task) && troubled.retry_at(task).is_none_or(|at| at <= now)
            }
        }
    }

    /// Whether the transaction is that of other tasks.
    pub(crate) fn excludes(&self, task: TaskId) -> bool {
        self.alone.is_some_and(|alone| alone != task)
    }

    /// Whether some task runs alone.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    /// Whether a task has failed and was not made anew yet.
    pub(crate) fn is_broken(&self, task: TaskId) -> bool {
        self.broken.contains(&task)
    }

    /// All tasks are gone, or made anew.
    pub(crate) fn clear(&mut self) {
        self.alone = None;
        self.broken.clear();
    }
}

impl StreamThread {
    /// A task failed, for all of the process to know.
    pub(crate) fn note_failure(
        &mut self,
        id: TaskId,
        error: &StreamsError,
        now: Instant,
    ) -> Failed {
        let well_at = match error {
            StreamsError::Processing { at, .. }
            | StreamsError::Deserialization { at, .. }
            | StreamsError::Panicked { at, .. }
            | StreamsError::Production { at, .. } => at.record.as_ref().map(|record| {
                let partition = TopicPartition::new(record.topic.clone(), record.partition);
                vec![(partition, record.offset + 1)]
            }),
            _ => None,
        };
        let well_at = well_at
            .or_else(|| self.tasks.get(&id).map(|task| task.processed_positions()))
            .unwrap_or_default();
        let failed = self.shared.troubled.failed(id, well_at, now);
        if failed.isolated_now {
            let failures = failed.failures;
            tracing::warn!(
                thread = %self.name, task = %id, failures, %error,
                "this task fails again and again: it runs alone, so that the others progress"
            );
            let error = error.to_string();
            self.shared.tell(&StreamsEvent::TaskIsolated { task: id, failures, error });
        }
        failed
    }

    /// The handler said that a task is to be tried again: it goes back to its last commit.
    pub(crate) fn retry_task(
        &mut self,
        id: TaskId,
        error: StreamsError,
        now: Instant,
    ) -> Result<(), StreamsError> {
        let failed = self.note_failure(id, &error, now);
        if now.since(failed.since) > self.shared.config.task_timeout {
            return Err(error);
        }
        tracing::warn!(thread = %self.name, task = %id, failures = failed.failures, %error, "tried again");
        if self.transactions.exactly_once() {
            return self.abort_transaction(now);
        }
        self.give_up_records(now);
        self.turn.broken.insert(id);
        self.mend_broken()
    }

    /// Under at-least-once: makes tasks anew that have failed. Not while a commit is under way of
    /// which nobody knows yet whether it belongs to them.
    pub(crate) fn mend_broken(&mut self) -> Result<(), StreamsError> {
        if self.turn.broken.is_empty() {
            return Ok(());
        }
        let in_commit = self.commit.as_ref().map_or(&[][..], |commit| &commit.tasks);
        let mended: Vec<_> =
            self.turn.broken.iter().filter(|id| !in_commit.contains(id)).copied().collect();
        for id in mended {
            self.turn.broken.remove(&id);
            if let Some(task) = self.tasks.remove(&id) {
                self.tasks.insert(id, task.rebuilt(Attempt(self.attempts))?);
            }
            self.progress = true;
        }
        Ok(())
    }

    /// The isolated task that is to run now, if there is one.
    pub(crate) fn due_alone(&self, now: Instant) -> Option<TaskId> {
        let troubled = &self.shared.troubled;
        if troubled.is_empty() || !self.transactions.exactly_once() {
            return None;
        }
        let wall_ms = self.shared.clock.wall_ms();
        let due = self.tasks.iter().find(|(id, task)| {
            troubled.is_isolated(**id)
                && troubled.retry_at(**id).is_some_and(|at| at <= now)
                && !self.revoking.contains(id)
                && task.has_work(wall_ms)
        });
        due.map(|(id, _)| *id)
    }

    /// Gives an isolated task its turn, once the others' transaction has ended.
    pub(crate) fn begin_turn(&mut self, now: Instant) {
        if self.turn.alone.is_some() || self.commit.is_some() || !self.transactions.is_ready() {
            return;
        }
        if let Some(id) = self.due_alone(now)
            && !Collector::of(&mut self.collector).in_transaction()
        {
            tracing::debug!(thread = %self.name, task = %id, "runs alone");
            self.turn.alone = Some(id);
            self.progress = true;
        }
    }

    /// The turn ends when there is nothing to commit, or nothing any more.
    pub(crate) fn end_turn_if_idle(&mut self, now: Instant) {
        let Some(id) = self.turn.alone else { return };
        let busy = self.tasks.get(&id).is_some_and(|task| task.needs_commit());
        if !busy && self.commit.is_none() {
            self.end_turn(now);
        }
    }

    /// The others have their turn.
    pub(crate) fn end_turn(&mut self, now: Instant) {
        if let Some(id) = self.turn.alone.take() {
            self.shared.troubled.postpone(id, now + self.shared.config.commit_interval);
            self.progress = true;
        }
    }

    /// Releases tasks of which a commit shows that they are over what they failed at.
    pub(crate) fn release_healed(&mut self, committed: &[TaskId]) {
        if self.shared.troubled.is_empty() {
            return;
        }
        for &id in committed {
            let Some(task) = self.tasks.get(&id) else { continue };
            let healed = self.shared.troubled.committed(id, |input| task.committed_position(input));
            if healed == Some(true) {
                tracing::info!(thread = %self.name, task = %id, "is well: runs with the others");
                self.shared.tell(&StreamsEvent::TaskHealed { task: id });
            }
        }
    }

    /// Asks the application about a record that the broker refused. Whether the task that wrote it
    /// is to be tried again.
    pub(crate) fn production_retried(&self, failure: &DeliveryFailure) -> Option<TaskId> {
        let id = *self.tasks.iter().find(|(_, task)| task.writes_with(failure.tag))?.0;
        let headers = Headers::new();
        let context = ErrorContext::new(ErrorStage::Production, "", id, &headers);
        let error = failure.error.clone().into();
        // The record is gone: to skip it, or to send it elsewhere, comes too late.
        let reaction = (self.shared.config.handlers.production)(&context, &error);
        (reaction == Reaction::Retry).then_some(id)
    }
}
