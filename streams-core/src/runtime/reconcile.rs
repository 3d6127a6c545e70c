//! From the group's assignment to the tasks of a thread: give up what is no longer ours (commit
//! first, hand over the storage, only then say so), take up what is new.

use state_stores::Attempt;

use super::reaction_table::{Event, Standing, TaskReaction, task_reaction};
use super::record_collector::Collector;
use super::stream_task::{StreamTask, TaskContext};
use super::stream_thread::StreamThread;
use super::task_creation::{CreationContext, TaskCreation};
use super::task_plan::TaskPlan;
use crate::client::GroupMetadata;
use crate::error::StreamsError;
use crate::membership::{Assignment, MemberEvent};
use crate::task_id::TaskId;
use crate::time::Instant;

impl StreamThread {
    pub(crate) fn take_member_events(&mut self, now: Instant) -> Result<(), StreamsError> {
        while let Some(event) = self.member.next_event() {
            self.progress = true;
            match event {
                MemberEvent::Assigned(assignment) => self.assigned(assignment),
                MemberEvent::Lost { reason } => {
                    tracing::warn!(thread = %self.name, reason, "all tasks are lost");
                    let commit = self.commit.take();
                    self.drop_all_tasks(Event::MembershipLost);
                    self.assignment = None;
                    self.group = None;
                    self.lose_transaction(commit.as_ref(), now)?;
                }
                MemberEvent::Failed(error) => return Err(self.shared.member_error(error)),
            }
        }
        Ok(())
    }

    /// The new generation counts at once, for kept tasks too; the tasks follow.
    fn assigned(&mut self, assignment: Assignment) {
        let span = tracing::info_span!(
            "rebalance", thread = %self.name, generation = assignment.generation
        );
        let _entered = span.enter();
        tracing::info!(tasks = %list(&assignment.active), "assigned");
        self.group = Some(GroupMetadata {
            group: self.shared.config.application_id.clone(),
            member_id: assignment.member_id.clone(),
            generation: assignment.generation,
        });
        self.remember_member_id(&assignment);
        let kept = |id: &TaskId| assignment.active.contains(id) && self.stopping.is_none();
        let revoked: Vec<_> =
            self.tasks.keys().chain(self.creating.keys()).filter(|id| !kept(id)).copied().collect();
        for id in &assignment.active {
            let is_new = !self.tasks.contains_key(id) && !self.creating.contains_key(id);
            if is_new && self.stopping.is_none() {
                self.creating.insert(*id, self.creation(*id, &assignment));
            }
        }
        // A task that came back before it was released is not released after all.
        self.revoking.retain(|id| !assignment.active.contains(id));
        let changed = assignment.active.iter().filter(|id| self.reads_others(**id, &assignment));
        for id in revoked.into_iter().chain(changed.copied().collect::<Vec<_>>()) {
            self.revoke(id);
        }
        for (id, task) in &mut self.tasks {
            if !self.revoking.contains(id) {
                task.resume();
            }
        }
        self.assignment = Some(assignment);
        self.acknowledge = true;
    }

    /// Under its old member id a killed process has its tasks back at once, where the group would
    /// wait for the session of a stranger to end.
    fn remember_member_id(&self, assignment: &Assignment) {
        let known = self.assignment.as_ref().map(|known| &known.member_id);
        if known == Some(&assignment.member_id) {
            return;
        }
        let directory = self.shared.directory();
        if let Err(error) = directory.set_member_id(self.index, &assignment.member_id) {
            tracing::warn!(thread = %self.name, %error, "the member id cannot be kept");
        }
    }

    pub(crate) fn revoke_all(&mut self) {
        let all: Vec<_> = self.tasks.keys().chain(self.creating.keys()).copied().collect();
        all.into_iter().for_each(|id| self.revoke(id));
    }

    fn revoke(&mut self, id: TaskId) {
        if self.revoking.contains(&id) {
            return;
        }
        self.revoking.push(id);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.suspend();
        }
        if self.creating.get(&id).is_some_and(TaskCreation::is_restoring) {
            self.restores.cancels.send(id);
        }
    }

    /// Whether a task waits for a commit to be released.
    pub(crate) fn is_revoking(&self) -> bool {
        !self.revoking.is_empty()
    }

    /// Releases revoked tasks that have nothing uncommitted; acknowledges when none is left.
    pub(crate) fn release_revoked(&mut self, now: Instant) {
        if self.is_revoking() && !self.nothing_given_up(now) {
            return;
        }
        let in_commit = self.commit.as_ref().map_or(&[][..], |commit| &commit.tasks);
        let mut released = Vec::new();
        for &id in &self.revoking {
            // A task that may not run now was taken back: there is nothing to commit.
            let waits = !self.turn.allows(&self.shared.troubled, id, now)
                && !self.turn.is_alone()
                && !self.turn.is_broken(id);
            let is_clean = |t: &StreamTask| (waits || !t.needs_commit()) && !t.is_applying();
            let clean = self.tasks.get(&id).is_none_or(is_clean);
            let created = self.creating.get(&id).is_none_or(|creation| !creation.is_restoring());
            if clean && created && !in_commit.contains(&id) {
                released.push(id);
            }
        }
        for id in released {
            self.revoking.retain(|other| *other != id);
            self.creating.remove(&id);
            if let Some(task) = self.remove_task(id) {
                task.close();
                tracing::info!(thread = %self.name, task = %id, "released");
            }
            // Ours still: it was released to be made anew with other inputs.
            let kept = self.assignment.as_ref().filter(|a| a.active.contains(&id));
            if let Some(assignment) = kept.filter(|_| self.stopping.is_none()) {
                self.creating.insert(id, self.creation(id, assignment));
            }
            self.progress = true;
        }
        if self.acknowledge && self.revoking.is_empty() {
            self.acknowledge = false;
            let owned = self.tasks.keys().chain(self.creating.keys()).copied().collect();
            self.member.acknowledge(owned);
            self.progress = true;
        }
    }

    fn creation(&self, id: TaskId, assignment: &Assignment) -> TaskCreation {
        TaskCreation::new(self.plan(id, assignment))
    }

    fn plan(&self, id: TaskId, assignment: &Assignment) -> TaskPlan {
        let counts = &assignment.partition_counts;
        TaskPlan::new(&self.shared.topology, &self.shared.config, id, counts)
    }

    /// Whether a task that we have or make reads other partitions than it should from now on.
    fn reads_others(&self, id: TaskId, assignment: &Assignment) -> bool {
        let plan = self.plan(id, assignment);
        self.tasks.get(&id).is_some_and(|task| !task.reads(&plan))
            || self.creating.get(&id).is_some_and(|creation| !creation.reads(&plan))
    }

    /// Does to the running tasks what the table says follows `event`.
    pub(crate) fn settle_tasks(
        &mut self,
        event: Event,
        attempt: Attempt,
    ) -> Result<(), StreamsError> {
        let wall_ms = self.shared.clock.wall_ms();
        let ids: Vec<_> = self.tasks.keys().copied().collect();
        // Whoever has no part in the transaction is not concerned by how it ends.
        let apart = matches!(event, Event::Committed | Event::Aborted | Event::Unknown);
        for id in ids {
            if apart && self.turn.excludes(id) {
                continue;
            }
            let revoked = self.revoking.contains(&id);
            let standing = if revoked { Standing::Revoked } else { Standing::Kept };
            match task_reaction(event, standing) {
                TaskReaction::Keep => {}
                TaskReaction::Commit => {
                    if let Some(task) = self.tasks.get_mut(&id) {
                        task.committed(attempt, Collector::of(&mut self.collector), wall_ms);
                    }
                }
                TaskReaction::Drop => drop(self.remove_task(id)),
                TaskReaction::Rebuild => {
                    if let Some(task) = self.tasks.remove(&id) {
                        self.tasks.insert(id, task.rebuilt(attempt)?);
                    }
                }
                TaskReaction::Recreate => {
                    drop(self.remove_task(id));
                    if let Some(assignment) = &self.assignment {
                        self.creating.insert(id, self.creation(id, assignment));
                    }
                }
            }
        }
        Ok(())
    }

    /// Forgets everything uncommitted. Whoever owns the tasks next goes on from the last commit.
    pub(crate) fn drop_all_tasks(&mut self, event: Event) {
        debug_assert_eq!(task_reaction(event, Standing::Restoring), TaskReaction::Drop);
        self.commit = None;
        self.turn.clear();
        self.revoking.clear();
        self.acknowledge = false;
        for (id, creation) in std::mem::take(&mut self.creating) {
            if creation.is_restoring() {
                self.restores.cancels.send(id);
            }
        }
        let ids: Vec<_> = self.tasks.keys().copied().collect();
        for id in ids {
            drop(self.remove_task(id));
        }
    }

    fn remove_task(&mut self, id: TaskId) -> Option<StreamTask> {
        let task = self.tasks.remove(&id)?;
        for slot in task.slots() {
            self.slots.remove(&slot);
            self.fetcher.unassign(slot);
        }
        Some(task)
    }

    pub(crate) fn take_restored(&mut self, now: Instant) -> Result<(), StreamsError> {
        while let Some(done) = self.restored.take() {
            self.progress = true;
            // Of a task that was lost meanwhile: dropping its stores releases them.
            if let Some(creation) = self.creating.get_mut(&done.task)
                && creation.is_restoring()
            {
                creation.restored(done, &self.shared, now)?;
            }
        }
        Ok(())
    }

    /// Under exactly-once only when no transaction of ours is in doubt, so that what is read as
    /// committed is so.
    pub(crate) fn advance_creations(&mut self, now: Instant) -> Result<(), StreamsError> {
        if !self.transactions.is_ready() {
            return Ok(());
        }
        let mut ready = Vec::new();
        let restored = self.restored.postbox();
        for (id, creation) in &mut self.creating {
            if self.revoking.contains(id) {
                continue;
            }
            let mut cx = CreationContext {
                shared: &self.shared,
                admin: &mut *self.admin,
                restores: &self.restores.jobs,
                restored: &restored,
                now,
            };
            if creation.advance(&mut cx)? {
                ready.push(*id);
            }
        }
        for id in ready {
            let Some(creation) = self.creating.remove(&id) else { continue };
            let cx = TaskContext {
                shared: &self.shared,
                fetcher: &mut *self.fetcher,
                collector: Collector::of(&mut self.collector),
            };
            let task = StreamTask::open(creation.into_ready(), cx)?;
            for (input, slot) in task.slots().enumerate() {
                self.slots.insert(slot, (id, input));
            }
            tracing::info!(thread = %self.name, task = %id, "running");
            self.tasks.insert(id, task);
            self.progress = true;
        }
        Ok(())
    }
}

fn list(tasks: &[TaskId]) -> String {
    tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
