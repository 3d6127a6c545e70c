//! One stream thread: its tasks, their input, their commit. A state machine: [`StreamThread::step`]
//! does a bounded piece of everything that is due and never blocks on Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::broker_probe::BrokerProbe;
use super::commit::CommitAttempt;
use super::instance::InstanceShared;
use super::isolation::Turn;
use super::mailbox::{Mailbox, Postbox};
use super::reaction_table::Event;
use super::record_collector::{Collector, Lent};
use super::repartition_purge::RepartitionPurge;
use super::restorer::{RestoreDone, RestoreJob};
use super::state::ThreadState;
use super::step::Next;
use super::store_worker::{ApplyDone, ApplyRequest, WorkerRequest};
use super::stream_task::StreamTask;
use super::task_creation::TaskCreation;
use super::transactions::{Failing, ProducerSupply, Transactions};
use super::unfenced_writes::UnfencedWrites;
use crate::client::{Admin, ClientError, FetchSlot, Fetcher, GroupMetadata, WakeRef};
use crate::error::StreamsError;
use crate::membership::{Assignment, MemberHandle};
use crate::task_id::TaskId;
use crate::time::Instant;

/// Records that one task processes before the next one has its turn.
const RECORDS_PER_TURN: usize = 500;

/// A thread's loop and all that it owns.
pub struct StreamThread {
    pub(crate) name: String,
    pub(crate) index: usize,
    pub(crate) shared: Arc<InstanceShared>,
    pub(crate) member: MemberHandle,
    pub(crate) fetcher: Box<dyn Fetcher>,
    pub(crate) admin: Box<dyn Admin>,
    pub(crate) collector: Lent,
    pub(crate) tasks: BTreeMap<TaskId, StreamTask>,
    pub(crate) creating: BTreeMap<TaskId, TaskCreation>,
    /// Tasks that are to be committed and released.
    pub(crate) revoking: Vec<TaskId>,
    pub(crate) slots: HashMap<FetchSlot, (TaskId, usize), FixedState>,
    pub(crate) assignment: Option<Assignment>,
    /// The assignment was not acknowledged yet.
    pub(crate) acknowledge: bool,
    /// As whom positions are committed: of the newest assignment.
    pub(crate) group: Option<GroupMetadata>,
    pub(crate) commit: Option<CommitAttempt>,
    pub(crate) transactions: Transactions,
    /// Under at-least-once.
    pub(crate) unfenced: Option<UnfencedWrites>,
    pub(crate) failing: Option<Failing>,
    pub(crate) turn: Turn,
    pub(crate) next_commit: Instant,
    pub(crate) attempts: u64,
    /// Something happened in this step that another step may build on.
    pub(crate) progress: bool,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) probe: Option<BrokerProbe>,
    pub(crate) purge: RepartitionPurge,
    pub(crate) restores: RestorePostboxes,
    pub(crate) restored: Mailbox<RestoreDone>,
    pub(crate) worker: Postbox<WorkerRequest>,
    applied: Mailbox<ApplyDone>,
    commands: Mailbox<ThreadCommand>,
    ready: Vec<FetchSlot>,
    paused: bool,
}

/// What a thread is told from outside.
pub enum ThreadCommand {
    /// Commit, release the tasks, leave the group if so asked, end.
    Stop {
        /// What is not committed by then is dropped.
        deadline: Instant,
        /// Otherwise the group waits for the session to end, or for the member to come back.
        leave_group: bool,
    },
    /// Process nothing until `Resume`; stay in the group.
    Pause,
    /// Go on.
    Resume,
}

/// A thread on its way out.
pub struct Stopping {
    deadline: Instant,
    leave_group: bool,
    leaving: Option<crate::client::Call<()>>,
}

/// How the restorer is reached.
#[derive(Clone)]
pub struct RestorePostboxes {
    pub(crate) jobs: Postbox<RestoreJob>,
    pub(crate) cancels: Postbox<TaskId>,
}

/// What a thread is made of.
pub struct ThreadParts {
    pub(crate) index: usize,
    pub(crate) shared: Arc<InstanceShared>,
    pub(crate) member: MemberHandle,
    pub(crate) fetcher: Box<dyn Fetcher>,
    pub(crate) admin: Box<dyn Admin>,
    pub(crate) collector: Collector,
    pub(crate) producers: ProducerSupply,
    pub(crate) restores: RestorePostboxes,
    pub(crate) worker: Postbox<WorkerRequest>,
    pub(crate) wake: WakeRef,
}

impl StreamThread {
    /// A thread that has no tasks yet.
    pub fn new(parts: ThreadParts) -> Self {
        let ThreadParts { index, shared, wake, .. } = parts;
        let now = shared.clock.now();
        let next_commit = now + shared.config.commit_interval;
        let purge = RepartitionPurge::new(now + shared.config.repartition_purge_interval);
        let probe = Some(BrokerProbe::new(now));
        let unfenced = parts.producers.options.delivery_timeout.map(UnfencedWrites::new);
        Self {
            name: shared.thread_name(index),
            index,
            shared,
            member: parts.member,
            fetcher: parts.fetcher,
            admin: parts.admin,
            collector: Box::new(parts.collector),
            tasks: BTreeMap::new(),
            creating: BTreeMap::new(),
            revoking: Vec::new(),
            slots: HashMap::with_hasher(FixedState::default()),
            assignment: None,
            acknowledge: false,
            group: None,
            commit: None,
            turn: Turn::new(parts.producers.is_transactional()),
            transactions: Transactions::new(parts.producers, now),
            unfenced,
            failing: None,
            next_commit,
            attempts: 0,
            progress: false,
            stopping: None,
            probe,
            purge,
            restores: parts.restores,
            restored: Mailbox::new(wake.clone()),
            worker: parts.worker,
            applied: Mailbox::new(wake.clone()),
            commands: Mailbox::new(wake),
            ready: Vec::new(),
            paused: false,
        }
    }

    /// `<client id>-StreamThread-<n>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its place among the threads of the application, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Where commands are sent.
    pub fn commands(&self) -> Postbox<ThreadCommand> {
        self.commands.postbox()
    }

    /// Does what is due. An error ends the thread: its tasks were dropped without a commit, and
    /// whoever takes them over goes on from the last one.
    ///
    /// # Errors
    /// What cannot be retried: the application's own failures, wrong configuration, a broken disk.
    pub fn step(&mut self, now: Instant) -> Result<Next, StreamsError> {
        let result = match self.poll_failing(now) {
            Ok(None) => match self.run(now) {
                Err(error) => self.begin_failing(error, now).map(|()| Next::Ready),
                ran => ran,
            },
            Ok(Some(deadline)) => Ok(Next::WaitUntil(deadline)),
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.shared.states.set_thread(self.index, ThreadState::Dead);
            // The others need not wait for the session to end, unless records are under way yet.
            if self.given_up_at().is_none() {
                drop(self.member.leave());
            }
        }
        result
    }

    fn run(&mut self, now: Instant) -> Result<Next, StreamsError> {
        self.progress = false;
        self.member.stamp_progress(now);
        self.take_commands();
        self.probe_broker(now)?;
        self.take_member_events(now)?;
        self.take_applied()?;
        self.take_restored(now)?;
        self.poll_transactions(now)?;
        self.poll_commit(now)?;
        self.release_revoked(now);
        self.advance_creations(now)?;
        self.mend_broken()?;
        self.begin_turn(now);
        if let Some(next) = self.stop_if_done(now) {
            return Ok(next);
        }
        // After a suspension others may have our tasks already: what we would write now would be
        // double work at best.
        if self.may_write(now) && !self.paused && self.stopping.is_none() {
            self.fetch()?;
            self.process(now)?;
            self.punctuate(now)?;
        }
        self.check_deliveries(now)?;
        if self.commit_is_due(now) {
            self.begin_commit(now)?;
        }
        self.end_turn_if_idle(now);
        self.apply_layers();
        self.purge_repartition_topics(now);
        self.publish_state();
        Ok(self.next(now))
    }

    fn take_commands(&mut self) {
        while let Some(command) = self.commands.take() {
            self.progress = true;
            match command {
                ThreadCommand::Pause => self.paused = true,
                ThreadCommand::Resume => self.paused = false,
                ThreadCommand::Stop { deadline, leave_group } => {
                    self.stopping = Some(Stopping { deadline, leave_group, leaving: None });
                    self.shared.states.set_thread(self.index, ThreadState::PendingShutdown);
                    self.revoke_all();
                }
            }
        }
    }

    fn take_applied(&mut self) -> Result<(), StreamsError> {
        while let Some(done) = self.applied.take() {
            if let Some(task) = self.tasks.get_mut(&done.task) {
                task.finish_apply(done.store, done.applied)?;
            }
            self.progress = true;
        }
        Ok(())
    }

    fn fetch(&mut self) -> Result<(), StreamsError> {
        self.fetcher.ready(&mut self.ready);
        for slot in self.ready.drain(..) {
            if let Some(&(id, input)) = self.slots.get(&slot)
                && let Some(task) = self.tasks.get_mut(&id)
            {
                task.input_is_ready(input);
            }
        }
        for task in self.tasks.values_mut() {
            self.progress |= task.fetch(&mut *self.fetcher, &mut *self.admin)?;
        }
        Ok(())
    }

    fn process(&mut self, now: Instant) -> Result<(), StreamsError> {
        if !self.may_process() {
            return Ok(());
        }
        let wall_ms = self.shared.clock.wall_ms();
        for (&id, task) in &mut self.tasks {
            if !self.turn.allows(&self.shared.troubled, id, now) {
                continue;
            }
            let _span = tracing::debug_span!("task", %id).entered();
            match task.process(RECORDS_PER_TURN, now, wall_ms, &mut self.collector) {
                Ok(processed) => self.progress |= processed > 0,
                Err(error) => return self.task_failed(id, error, now),
            }
        }
        Ok(())
    }

    fn punctuate(&mut self, now: Instant) -> Result<(), StreamsError> {
        if !self.may_process() {
            return Ok(());
        }
        let wall_ms = self.shared.clock.wall_ms();
        for (&id, task) in &mut self.tasks {
            if !self.turn.allows(&self.shared.troubled, id, now) {
                continue;
            }
            match task.punctuate(wall_ms, &mut self.collector) {
                Ok(punctuated) => self.progress |= punctuated,
                Err(error) => return self.task_failed(id, error, now),
            }
        }
        Ok(())
    }

    /// Hands committed layers that are large or old to the worker.
    fn apply_layers(&mut self) {
        let reply_to = self.applied.postbox();
        let wall_ms = self.shared.clock.wall_ms();
        for task in self.tasks.values_mut() {
            task.apply_layers(&self.shared.apply_policy, wall_ms, |task, store, job| {
                let reply_to = reply_to.clone();
                let request = ApplyRequest { task, store, job, reply_to };
                self.worker.send(WorkerRequest::Apply(request));
            });
        }
    }

    pub(crate) fn dirty_bytes(&self) -> usize {
        self.tasks.values().map(StreamTask::dirty_bytes).sum()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// The end, once everything is released and the group was left.
    fn stop_if_done(&mut self, now: Instant) -> Option<Next> {
        let stopping = self.stopping.as_mut()?;
        let late = now >= stopping.deadline;
        if late && !(self.tasks.is_empty() && self.creating.is_empty()) {
            let tasks = self.tasks.len();
            tracing::warn!(thread = %self.name, tasks, "closed without a last commit: no time left");
            self.drop_all_tasks(Event::Failed);
            self.abort_at_the_end();
        }
        if !(self.tasks.is_empty() && self.creating.is_empty()) {
            return None;
        }
        if self.transactions.is_aborting() && !late {
            return None;
        }
        if !late && !self.nothing_given_up(now) {
            return None;
        }
        let stopping = self.stopping.as_mut()?;
        if stopping.leave_group && !late {
            let leaving = stopping.leaving.get_or_insert_with(|| self.member.leave());
            match leaving.try_take() {
                None => return Some(Next::WaitUntil(stopping.deadline)),
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::info!(thread = %self.name, %error, "left silently"),
            }
        }
        self.shared.states.set_thread(self.index, ThreadState::Dead);
        Some(Next::Done)
    }

    fn publish_state(&self) {
        if self.stopping.is_some() {
            return;
        }
        let state = match &self.assignment {
            None => ThreadState::Starting,
            Some(_) if self.creating.is_empty() && self.revoking.is_empty() => ThreadState::Running,
            Some(_) => ThreadState::PartitionsAssigned,
        };
        self.shared.states.set_thread(self.index, state);
    }

    fn next(&self, now: Instant) -> Next {
        if self.progress {
            return Next::Ready;
        }
        let wall_ms = self.shared.clock.wall_ms();
        // The answer to a commit or an abort wakes a thread that may not process.
        let allowed = |id: &TaskId| self.turn.allows(&self.shared.troubled, *id, now);
        let tasks = self.tasks.iter().filter(|(id, _)| self.may_process() && allowed(id));
        let mut next = tasks.fold(Next::Wait, |next, (_, task)| {
            task.next_deadline(now, wall_ms).map_or(next, |at| next.earliest(Next::WaitUntil(at)))
        });
        let mut until = |at: Option<Instant>| {
            if let Some(at) = at {
                next = next.earliest(Next::WaitUntil(at));
            }
        };
        until(self.commit_deadline());
        if self.tasks.values().any(StreamTask::has_purgeable) {
            until(self.purge.next());
        }
        until(self.transactions.retry_at());
        until(self.may_write_at(now));
        until(self.given_up_at().filter(|_| self.is_revoking() || self.is_stopping()));
        until(self.probe.as_ref().and_then(BrokerProbe::retry_at));
        if self.may_commit() && self.has_dirty(now) {
            until(Some(self.next_commit));
        }
        if self.may_commit() {
            let waiting = self.tasks.keys().filter_map(|id| self.shared.troubled.retry_at(*id));
            waiting.filter(|at| *at > now).for_each(|at| until(Some(at)));
        }
        // As long as they may not go on there is nothing to look at.
        if self.transactions.is_ready() {
            let creating = self.creating.iter().filter(|(id, _)| !self.revoking.contains(id));
            creating.for_each(|(_, creation)| until(creation.retry_at()));
        }
        until(self.stopping.as_ref().map(|stopping| stopping.deadline));
        // The stamp of progress must not grow old while there is nothing to do.
        until(Some(now + self.shared.config.max_poll_interval / 3));
        next
    }

    pub(crate) fn client_error(&self, error: ClientError, doing: &str) -> StreamsError {
        StreamsError::from_client(error, doing, &self.shared.config.bootstrap_servers)
    }
}
