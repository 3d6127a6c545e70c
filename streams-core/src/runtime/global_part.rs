//! Feeds the global stores of an instance: reads all partitions of their topics, as no member of
//! any group, to their ends before the instance runs, and follows them from then on.
//!
//! A state machine: `global_part/start.rs` is the way to where reading begins,
//! `global_part/topic_check.rs` sees to it that the topics stay the same.

mod start;
mod topic_check;

use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use state_stores::{StateError, TaskStorage};
use std::sync::Arc;

use self::start::{Opened, Start, Started};
use self::topic_check::{KnownTopic, TopicCheck};
use super::instance::InstanceShared;
use super::mailbox::{Mailbox, Postbox};
use super::reaction_table::{Request, RequestReaction, request_reaction};
use super::step::Next;
use crate::client::{
    Admin, ClientError, ClientErrorKind, FetchSlot, FetchedBatch, Fetcher, TopicPartition, WakeRef,
};
use crate::config::{RestorePhase, RestoreProgress};
use crate::error::StreamsError;
use crate::record::Timestamp;
use crate::task::{GlobalTask, TaskError};
use crate::task_id::TaskId;
use crate::time::Instant;

/// Records taken from one partition per step.
const RECORDS_PER_STEP: usize = 10_000;
/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after something failed in a way that may pass.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How often a store of whose topic nothing is missing says so on disk: from one that has been
/// silent for long it cannot be told whether it has missed deletions.
const REFRESH_INTERVAL: Duration = Duration::from_secs(3600);

/// What feeds the global stores of an instance.
pub struct GlobalPart {
    name: String,
    shared: Arc<InstanceShared>,
    fetcher: Box<dyn Fetcher>,
    stop: Mailbox<()>,
    /// Until the stores are open and the positions known.
    start: Option<Start>,
    /// From then on.
    topics: Option<TopicCheck>,
    stores: Vec<FedStore>,
    slots: HashMap<FetchSlot, (usize, usize), FixedState>,
    /// Partitions that may have something.
    ready: Vec<FetchSlot>,
    batch: FetchedBatch,
    retry_at: Option<Instant>,
    refresh_at: Instant,
    /// Some partition was not read to its end yet.
    completing: bool,
    // Declared last: the lease ends when everything that uses it is gone.
    storage: Option<TaskStorage>,
}

/// A global store with what it reads.
struct FedStore {
    /// Away only while it is made anew.
    task: Option<GlobalTask>,
    id: TaskId,
    store: Arc<str>,
    topic: Arc<str>,
    inputs: Vec<FedInput>,
    records: u64,
    started: Instant,
    told: Instant,
}

/// A partition of a global store's topic.
struct FedInput {
    slot: FetchSlot,
    position: i64,
    /// Where it ended when it was asked for.
    end: i64,
    /// Whether, as far as is known, nothing is left to read.
    at_end: bool,
}

impl GlobalPart {
    pub(super) fn new(
        shared: Arc<InstanceShared>,
        fetcher: Box<dyn Fetcher>,
        admin: Box<dyn Admin>,
        wake: &WakeRef,
    ) -> Self {
        let now = shared.clock.now();
        Self {
            name: format!("{}-GlobalStreamThread", shared.config.client_id),
            start: Some(Start::new(admin, &shared)),
            topics: None,
            shared,
            fetcher,
            stop: Mailbox::new(wake.clone()),
            stores: Vec::new(),
            slots: HashMap::with_hasher(FixedState::default()),
            ready: Vec::new(),
            batch: FetchedBatch::default(),
            retry_at: None,
            refresh_at: now + REFRESH_INTERVAL,
            completing: true,
            storage: None,
        }
    }

    /// `<client id>-GlobalStreamThread`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends it.
    pub fn stopper(&self) -> Postbox<()> {
        self.stop.postbox()
    }

    /// Whether the stores have everything before `end_of` each partition of their topics.
    pub fn has_read(&self, end_of: impl Fn(&str, i32) -> i64) -> bool {
        let is_read = |fed: &FedStore| {
            fed.inputs.iter().zip(0..).all(|(i, number)| i.position >= end_of(&fed.topic, number))
        };
        self.start.is_none() && self.stores.iter().all(is_read)
    }

    /// Does what is due: a batch of one partition at most. May block on the disk.
    ///
    /// # Errors
    /// What cannot be retried. Without global stores the application cannot go on.
    pub fn step(&mut self, now: Instant) -> Result<Next, StreamsError> {
        if self.stop.take().is_some() {
            self.close()?;
            return Ok(Next::Done);
        }
        if self.start.is_some() {
            return self.go_on_starting(now);
        }
        self.fetcher.ready(&mut self.ready);
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.ready.extend(self.slots.keys().copied());
            self.ready.sort_unstable();
        }
        self.ready.dedup();
        if !self.ready.is_empty() {
            let slot = self.ready.remove(0);
            if self.read(slot, now)? {
                // What is left in the fetcher wakes nobody.
                self.ready.push(slot);
            }
            self.complete_if_done(now);
        }
        if now >= self.refresh_at {
            self.refresh(now)?;
        }
        if let Some(topics) = &mut self.topics {
            topics.advance(now)?;
        }
        if !self.ready.is_empty() {
            return Ok(Next::Ready);
        }
        let look_at = self.topics.as_ref().and_then(TopicCheck::due);
        let times = [self.retry_at, look_at].into_iter().flatten();
        Ok(Next::WaitUntil(times.fold(self.refresh_at, Instant::min)))
    }

    fn go_on_starting(&mut self, now: Instant) -> Result<Next, StreamsError> {
        let Some(start) = &mut self.start else { return Ok(Next::Ready) };
        let Some(Started { storage, stores }) = start.advance(&self.shared, now)? else {
            return Ok(start.retry_at().map_or(Next::Wait, Next::WaitUntil));
        };
        let known = stores.iter().map(KnownTopic::of).collect();
        let interval = self.shared.config.metadata_max_age();
        let admin = self.start.take().map(Start::into_admin);
        self.topics = admin.map(|admin| TopicCheck::new(admin, known, interval, now));
        self.storage = Some(storage);
        for store in stores {
            self.begin(store, now)?;
        }
        // What was appended before the assignment wakes nobody: look at each once.
        self.ready.extend(self.slots.keys().copied());
        self.ready.sort_unstable();
        self.complete_if_done(now);
        Ok(Next::Ready)
    }

    /// Begins to read what a store lacks.
    fn begin(&mut self, opened: Opened, now: Instant) -> Result<(), StreamsError> {
        let Opened { setup, layers, ends } = opened;
        let (topic, id) = (setup.topic.clone(), TaskId::global(setup.subtopology));
        let task = GlobalTask::new(setup, layers, self.wall_clock()).map_err(task_error)?;
        let mut inputs = Vec::with_capacity(ends.len());
        for (partition, (&position, end)) in task.positions().iter().zip(ends).enumerate() {
            let number = i32::try_from(partition).expect("partitions are numbered by i32");
            let assigned =
                self.fetcher.assign(&TopicPartition::new(topic.clone(), number), position);
            let slot = assigned.map_err(|error| self.client_error(error, &topic))?;
            self.slots.insert(slot, (self.stores.len(), partition));
            inputs.push(FedInput { slot, position, end, at_end: position >= end });
        }
        let store = FedStore {
            id,
            store: task.store().clone(),
            task: Some(task),
            topic,
            inputs,
            records: 0,
            started: now,
            told: now,
        };
        store.tell(RestorePhase::Started, now, &self.shared);
        self.stores.push(store);
        Ok(())
    }

    /// Reads and processes one batch; whether there may be more at once.
    fn read(&mut self, slot: FetchSlot, now: Instant) -> Result<bool, StreamsError> {
        let Some(&(store, partition)) = self.slots.get(&slot) else { return Ok(false) };
        self.batch.records.clear();
        if let Err(error) = self.fetcher.fetch(slot, RECORDS_PER_STEP, &mut self.batch) {
            return self.fetch_failed(store, error, now).map(|()| false);
        }
        let wall_clock = self.wall_clock();
        let cache_bytes_max = self.shared.cache_bytes_max;
        let (batch, completing) = (&mut self.batch, self.completing);
        let fed = &mut self.stores[store];
        let input = &mut fed.inputs[partition];
        input.at_end = batch.at_end();
        let came = !batch.records.is_empty();
        if batch.next_position <= input.position {
            return Ok(came);
        }
        input.position = batch.next_position;
        fed.records += batch.records.len() as u64;
        let Some(task) = &mut fed.task else { return Ok(false) };
        let (position, epoch) = (batch.next_position, batch.leader_epoch);
        let processed = task.process(partition, &mut batch.records, position, epoch, wall_clock);
        match processed {
            Ok(()) => task.commit(wall_clock.as_millis(), cache_bytes_max)?,
            Err(TaskError::Retry(error)) => {
                tracing::warn!(store = %fed.store, %error, "a global store goes back, to try again");
                self.go_back(store, now)?;
                return Ok(false);
            }
            Err(error) => return Err(task_error(error)),
        }
        if completing && now.since(fed.told) >= PROGRESS_INTERVAL {
            fed.told = now;
            fed.tell(RestorePhase::Progress, now, &self.shared);
        }
        Ok(came)
    }

    /// Makes the processor of a store anew, as of what is in the engine, and reads on from there.
    fn go_back(&mut self, store: usize, now: Instant) -> Result<(), StreamsError> {
        let wall_clock = self.wall_clock();
        let fed = &mut self.stores[store];
        let Some(task) = fed.task.take() else { return Ok(()) };
        let task = fed.task.insert(task.rebuilt(wall_clock).map_err(task_error)?);
        for (input, &position) in fed.inputs.iter_mut().zip(task.positions()) {
            input.position = position;
            let sought = self.fetcher.seek(input.slot, position);
            let servers = &self.shared.config.bootstrap_servers;
            sought.map_err(|error| read_error(error, &fed.topic, servers))?;
        }
        self.ready.retain(|slot| self.slots.get(slot).is_none_or(|(of, _)| *of != store));
        self.retry_at = Some(now + RETRY_INTERVAL);
        Ok(())
    }

    fn fetch_failed(
        &mut self,
        store: usize,
        error: ClientError,
        now: Instant,
    ) -> Result<(), StreamsError> {
        match request_reaction(Request::Restore, error.kind) {
            RequestReaction::Repeat => {
                let topic = &self.stores[store].topic;
                let missing = error.kind == ClientErrorKind::UnknownTopic;
                let check = self.topics.as_mut().filter(|_| missing);
                if check.is_none_or(|check| check.suspect(now)) {
                    tracing::warn!(%topic, %error, "cannot read a global topic now, trying again");
                }
                self.retry_at = Some(now + RETRY_INTERVAL);
                Ok(())
            }
            RequestReaction::Reset => {
                let fed = &mut self.stores[store];
                let reason = "its topic no longer has the offset it is at";
                self.shared.tell_rebuilt(fed.id, &fed.store, reason);
                fed.task.take().map_or(Ok(()), GlobalTask::wipe)?;
                // Tasks are reading it: what is left of it must not be taken for all there is.
                Err(StreamsError::Fatal {
                    message: format!(
                        "global store {} is lost, because records of topic {} were deleted that \
                         it had not read; start the instance again to read the topic from its \
                         beginning",
                        fed.store, fed.topic
                    ),
                    source: Some(error.into()),
                })
            }
            RequestReaction::Fail => {
                let topic = self.stores[store].topic.clone();
                Err(self.client_error(error, &topic))
            }
        }
    }

    /// Lets the tasks run, once every partition was read as far as it went when it was asked for.
    fn complete_if_done(&mut self, now: Instant) {
        let is_read = |input: &FedInput| input.position >= input.end;
        if !self.completing || !self.stores.iter().all(|s| s.inputs.iter().all(is_read)) {
            return;
        }
        self.completing = false;
        for fed in &mut self.stores {
            if let Some(task) = &mut fed.task {
                task.publish(&self.shared.globals);
            }
            fed.tell(RestorePhase::Done, now, &self.shared);
        }
        self.shared.states.set_globals_complete();
    }

    /// Stores that lack nothing say so on disk.
    fn refresh(&mut self, now: Instant) -> Result<(), StreamsError> {
        self.refresh_at = now + REFRESH_INTERVAL;
        let wall_ms = self.shared.clock.wall_ms();
        for fed in &mut self.stores {
            if let Some(task) = &mut fed.task
                && fed.inputs.iter().all(|input| input.at_end)
            {
                task.commit(wall_ms, self.shared.cache_bytes_max)?;
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), StreamsError> {
        let now = self.shared.clock.now();
        let refreshed = self.refresh(now);
        for fed in &mut self.stores {
            if let Some(mut task) = fed.task.take() {
                task.close();
            }
        }
        self.storage = None;
        refreshed
    }

    fn wall_clock(&self) -> Timestamp {
        Timestamp::from_millis(self.shared.clock.wall_ms())
    }

    fn client_error(&self, error: ClientError, topic: &str) -> StreamsError {
        read_error(error, topic, &self.shared.config.bootstrap_servers)
    }
}

impl FedStore {
    fn tell(&self, phase: RestorePhase, now: Instant, shared: &InstanceShared) {
        let seconds = now.since(self.started).as_secs_f64();
        let left: i64 = self.inputs.iter().map(|input| (input.end - input.position).max(0)).sum();
        let left = u64::try_from(left).unwrap_or(0);
        let mut progress = RestoreProgress::new(&*self.store, self.id, left);
        progress.phase = phase;
        progress.records = self.records;
        progress.rate = if seconds > 0.0 { self.records as f64 / seconds } else { 0.0 };
        tracing::info!(
            store = %self.store, topic = %self.topic, records = self.records, left,
            rate = progress.rate as u64, "global store: {phase:?}"
        );
        if let Some(listener) = &shared.config.handlers.on_restore {
            listener(&progress);
        }
    }
}

fn read_error(error: ClientError, topic: &str, servers: &str) -> StreamsError {
    StreamsError::from_client(error, format!("read the global topic {topic}"), servers)
}

fn task_error(error: TaskError) -> StreamsError {
    match error {
        TaskError::Streams(error) | TaskError::Retry(error) => error,
        TaskError::Client(error) => StreamsError::Fatal {
            message: "what feeds a global store cannot write to topics".to_owned(),
            source: Some(error.into()),
        },
    }
}

fn state_error(error: StateError) -> StreamsError {
    StreamsError::Fatal {
        message: "the state of global stores cannot be used".to_owned(),
        source: Some(error.into()),
    }
}
