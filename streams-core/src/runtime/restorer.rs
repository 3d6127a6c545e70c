//! Brings stores up to the end of their changelogs, beside processing: tasks that run never wait
//! for one that restores.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use state_stores::{LayeredStore, StateError, StoreMetadata};
use uuid::Uuid;

use super::mailbox::{Mailbox, Postbox};
use super::reaction_table::{Request, RequestReaction, request_reaction};
use super::step::Next;
use super::store_load::StoreLoad;
use crate::client::{
    ClientError, ClientErrorKind, FetchSlot, FetchedBatch, Fetcher, TopicPartition, WakeRef,
};
use crate::config::{RestoreListener, RestorePhase, RestoreProgress};
use crate::stores::{ChangelogFormat, Readable};
use crate::task_id::TaskId;
use crate::time::{ClockRef, Instant};

/// Records taken from one changelog per step: bounds the time until another one has its turn.
const RECORDS_PER_STEP: usize = 10_000;
/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// After a fetch failed in a way that may pass.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// The stores of one task, and what each lacks.
pub struct RestoreJob {
    pub(crate) task: TaskId,
    pub(crate) stores: Vec<(StoreRestore, LayeredStore)>,
    pub(crate) reply_to: Postbox<RestoreDone>,
}

/// The part of its changelog that a store lacks.
pub struct StoreRestore {
    /// Its place among the task's stores.
    pub(crate) index: usize,
    pub(crate) name: Arc<str>,
    pub(crate) changelog: TopicPartition,
    pub(crate) format: ChangelogFormat,
    /// Records that it cannot read were skipped when they were processed.
    pub(crate) readable: Option<Readable>,
    pub(crate) topic_id: Uuid,
    /// The first offset that the store lacks.
    pub(crate) start: i64,
    /// Restoring is done when the *position* has reached it.
    pub(crate) end: i64,
    /// Whether local state is continued, or everything is read.
    pub(crate) from_local: bool,
    /// Records at the end and after it are left out: the changelog is an input, and they were not
    /// processed yet.
    pub(crate) strict: bool,
}

/// The stores back, restored or with the reason why not.
pub struct RestoreDone {
    pub(crate) task: TaskId,
    pub(crate) stores: Vec<(usize, LayeredStore)>,
    pub(crate) outcome: Result<RestoreOutcome, RestoreFailure>,
}

/// How a restore ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreOutcome {
    /// Every store is at the end of its changelog.
    Complete,
    /// The task was taken away meanwhile.
    Cancelled,
}

/// Why a restore failed.
#[derive(Debug)]
pub enum RestoreFailure {
    /// The changelog no longer has the offset: the named stores must be rebuilt from its start.
    OutOfRange(Vec<usize>),
    /// The changelog cannot be read.
    Client(TopicPartition, ClientError),
    /// The store cannot be written.
    State(StateError),
}

/// Restores several tasks by turns.
pub struct Restorer {
    jobs: Mailbox<RestoreJob>,
    cancels: Mailbox<TaskId>,
    stop: Mailbox<()>,
    fetcher: Box<dyn Fetcher>,
    active: Vec<ActiveJob>,
    slots: HashMap<FetchSlot, TaskId, FixedState>,
    listener: Option<RestoreListener>,
    clock: ClockRef,
    batch: FetchedBatch,
    ready: Vec<FetchSlot>,
    retry_at: Option<Instant>,
}

struct ActiveJob {
    task: TaskId,
    loading: Vec<Loading>,
    finished: Vec<(usize, LayeredStore)>,
    reply_to: Postbox<RestoreDone>,
}

struct Loading {
    restore: StoreRestore,
    load: StoreLoad,
    slot: FetchSlot,
    position: i64,
    leader_epoch: i32,
    records: u64,
    started: Instant,
    told: Instant,
}

impl Restorer {
    /// A restorer that reads through `fetcher`, which wakes `wake` as the mailboxes do.
    pub fn new(
        fetcher: Box<dyn Fetcher>,
        wake: &WakeRef,
        clock: ClockRef,
        listener: Option<RestoreListener>,
    ) -> Self {
        Self {
            jobs: Mailbox::new(wake.clone()),
            cancels: Mailbox::new(wake.clone()),
            stop: Mailbox::new(wake.clone()),
            fetcher,
            active: Vec::new(),
            slots: HashMap::with_hasher(FixedState::default()),
            listener,
            clock,
            batch: FetchedBatch::default(),
            ready: Vec::new(),
            retry_at: None,
        }
    }

    /// Where jobs are sent.
    pub fn jobs(&self) -> Postbox<RestoreJob> {
        self.jobs.postbox()
    }

    /// Where tasks that were taken away are named.
    pub fn cancels(&self) -> Postbox<TaskId> {
        self.cancels.postbox()
    }

    /// Ends the restorer.
    pub fn stopper(&self) -> Postbox<()> {
        self.stop.postbox()
    }

    /// Takes new jobs, reads one batch of each changelog that has something.
    pub fn step(&mut self, now: Instant) -> Next {
        if self.stop.take().is_some() {
            return Next::Done;
        }
        while let Some(job) = self.jobs.take() {
            self.begin(job, now);
        }
        while let Some(task) = self.cancels.take() {
            self.end(task, Ok(RestoreOutcome::Cancelled));
        }
        self.fetcher.ready(&mut self.ready);
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.ready.extend(self.slots.keys().copied());
            self.ready.sort_unstable();
        }
        if self.ready.is_empty() {
            return self.retry_at.map_or(Next::Wait, Next::WaitUntil);
        }
        let mut ready = std::mem::take(&mut self.ready);
        ready.dedup();
        let mut more = false;
        for slot in ready.drain(..) {
            more |= self.read(slot, now);
        }
        self.ready = ready;
        if more { Next::Ready } else { self.retry_at.map_or(Next::Wait, Next::WaitUntil) }
    }

    fn begin(&mut self, job: RestoreJob, now: Instant) {
        let RestoreJob { task, stores, reply_to } = job;
        let mut active = ActiveJob { task, loading: Vec::new(), finished: Vec::new(), reply_to };
        let mut failure = None;
        for (restore, store) in stores {
            if failure.is_some() || restore.start >= restore.end {
                active.finished.push((restore.index, store));
                continue;
            }
            let slot = match self.fetcher.assign(&restore.changelog, restore.start) {
                Ok(slot) => slot,
                Err(error) => {
                    failure = Some(RestoreFailure::Client(restore.changelog.clone(), error));
                    active.finished.push((restore.index, store));
                    continue;
                }
            };
            let load = match StoreLoad::begin(store, restore.format) {
                Ok(load) => load,
                Err(failed) => {
                    let (store, error) = *failed;
                    self.fetcher.unassign(slot);
                    failure = Some(RestoreFailure::State(error));
                    active.finished.push((restore.index, store));
                    continue;
                }
            };
            self.slots.insert(slot, task);
            let position = restore.start;
            let loading = Loading {
                restore,
                load,
                slot,
                position,
                leader_epoch: -1,
                records: 0,
                started: now,
                told: now,
            };
            loading.tell(task, RestorePhase::Started, now, self.listener.as_ref());
            active.loading.push(loading);
        }
        // What was appended before the assignment wakes nobody: look at each once.
        self.ready.extend(active.loading.iter().map(|loading| loading.slot));
        self.active.push(active);
        match failure {
            Some(failure) => self.end(task, Err(failure)),
            None => self.end_if_complete(task),
        }
    }

    /// Reads one batch; whether there may be more at once.
    fn read(&mut self, slot: FetchSlot, now: Instant) -> bool {
        let Some(&task) = self.slots.get(&slot) else { return false };
        let _span = tracing::info_span!("restore", %task).entered();
        let Some(job) = self.active.iter_mut().find(|job| job.task == task) else { return false };
        let Some(at) = job.loading.iter().position(|loading| loading.slot == slot) else {
            return false;
        };
        let loading = &mut job.loading[at];
        self.batch.records.clear();
        if let Err(error) = self.fetcher.fetch(slot, RECORDS_PER_STEP, &mut self.batch) {
            self.fetch_failed(task, slot, error, now);
            return false;
        }
        let came = !self.batch.records.is_empty();
        if let Err(error) = loading.take(&mut self.batch, self.clock.wall_ms()) {
            self.end(task, Err(RestoreFailure::State(error)));
            return false;
        }
        let done = loading.position >= loading.restore.end;
        if done || now.since(loading.told) >= PROGRESS_INTERVAL {
            loading.told = now;
            let phase = if done { RestorePhase::Done } else { RestorePhase::Progress };
            loading.tell(task, phase, now, self.listener.as_ref());
        }
        if done {
            let loading = job.loading.swap_remove(at);
            self.fetcher.unassign(slot);
            self.slots.remove(&slot);
            match loading.finish(self.clock.wall_ms()) {
                Ok((index, store)) => job.finished.push((index, store)),
                Err(error) => {
                    self.end(task, Err(RestoreFailure::State(error)));
                    return false;
                }
            }
            self.end_if_complete(task);
            return false;
        }
        // What is left in the fetcher wakes nobody.
        came
    }

    fn fetch_failed(&mut self, task: TaskId, slot: FetchSlot, error: ClientError, now: Instant) {
        match error.kind {
            ClientErrorKind::Retriable => {
                tracing::warn!(%task, %error, "cannot read a changelog now, trying again");
                self.retry_at = Some(now + RETRY_INTERVAL);
            }
            kind if request_reaction(Request::Restore, kind) == RequestReaction::Reset => {
                let stores = self.restores(task).filter(|l| l.slot == slot);
                let stores = stores.map(|l| l.restore.index).collect();
                self.end(task, Err(RestoreFailure::OutOfRange(stores)));
            }
            _ => {
                let of_slot = self.restores(task).find(|loading| loading.slot == slot);
                if let Some(changelog) = of_slot.map(|l| l.restore.changelog.clone()) {
                    self.end(task, Err(RestoreFailure::Client(changelog, error)));
                }
            }
        }
    }

    fn restores(&self, task: TaskId) -> impl Iterator<Item = &Loading> {
        self.active.iter().filter(move |job| job.task == task).flat_map(|job| &job.loading)
    }

    fn end_if_complete(&mut self, task: TaskId) {
        if self.restores(task).next().is_none() {
            self.end(task, Ok(RestoreOutcome::Complete));
        }
    }

    /// Gives the stores back. What was loaded of an unfinished store is forgotten with its load.
    fn end(&mut self, task: TaskId, outcome: Result<RestoreOutcome, RestoreFailure>) {
        let Some(at) = self.active.iter().position(|job| job.task == task) else { return };
        let job = self.active.swap_remove(at);
        let mut stores = job.finished;
        for loading in job.loading {
            self.fetcher.unassign(loading.slot);
            self.slots.remove(&loading.slot);
            stores.push((loading.restore.index, loading.load.into_store()));
        }
        job.reply_to.send(RestoreDone { task, stores, outcome });
    }
}

impl Loading {
    fn take(&mut self, batch: &mut FetchedBatch, wall_time_ms: i64) -> Result<(), StateError> {
        self.records += batch.records.len() as u64;
        for record in batch.records.drain(..) {
            // Records past the end were written after we asked for it; they are ours as well.
            if self.restore.strict && record.offset() >= self.restore.end {
                continue;
            }
            let Some(key) = record.key() else { continue };
            let readable = self.restore.readable.as_ref();
            if readable.is_some_and(|readable| !readable.is(&self.restore.changelog.topic, &record))
            {
                self.skipped(record.offset());
                continue;
            }
            self.load.take(key, record.value(), record.timestamp())?;
        }
        self.position = self.position.max(batch.next_position);
        if self.restore.strict {
            self.position = self.position.min(self.restore.end);
        }
        self.leader_epoch = self.leader_epoch.max(batch.leader_epoch);
        let metadata = self.metadata(wall_time_ms);
        self.load.checkpoint(metadata)
    }

    fn skipped(&self, offset: i64) {
        let StoreRestore { name, changelog, .. } = &self.restore;
        tracing::warn!(store = %name, %changelog, offset, "a record that cannot be read is not restored");
    }

    fn finish(self, wall_time_ms: i64) -> Result<(usize, LayeredStore), StateError> {
        let metadata = self.metadata(wall_time_ms);
        Ok((self.restore.index, self.load.finish(metadata)?))
    }

    fn metadata(&self, wall_time_ms: i64) -> StoreMetadata {
        StoreMetadata {
            leader_epoch: self.leader_epoch,
            wall_time_ms,
            ..StoreMetadata::new(self.restore.topic_id, self.position)
        }
    }

    fn tell(
        &self,
        task: TaskId,
        phase: RestorePhase,
        now: Instant,
        listener: Option<&RestoreListener>,
    ) {
        let seconds = now.since(self.started).as_secs_f64();
        let left = u64::try_from(self.restore.end - self.position).unwrap_or(0);
        let mut progress = RestoreProgress::new(&*self.restore.name, task, left);
        progress.phase = phase;
        progress.records = self.records;
        progress.rate = if seconds > 0.0 { self.records as f64 / seconds } else { 0.0 };
        tracing::info!(
            %task, store = %progress.store, changelog = %self.restore.changelog,
            from_local = self.restore.from_local, records = progress.records, left,
            rate = progress.rate as u64, "restore: {phase:?}"
        );
        if let Some(listener) = listener {
            listener(&progress);
        }
    }
}
