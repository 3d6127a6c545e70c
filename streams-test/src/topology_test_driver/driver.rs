//! The driver as tests see it.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use streams_core::stores::{Store, StoreName};
use streams_core::task::{DropReason, Dropped};
use streams_core::topology::{Consumed, Topology};
use streams_core::{Data, StreamsConfig, StreamsError, Timestamp};

use super::input_topic::TestInputTopic;
use super::output_topic::TestOutputTopic;
use super::raw_output::RawOutput;
use super::running::Running;
use super::setup::Setup;
use super::test_store::TestStore;

/// Runs a topology without Kafka: the counterpart of Kafka Streams' `TopologyTestDriver`.
///
/// A record that is piped is processed before `pipe` returns, with everything that follows from
/// it: timers of stream time, a commit, and what was written to topics that the topology reads
/// itself. Of the records of all tasks the oldest goes first; which of equally old ones does is as
/// in Kafka Streams' driver, so that runs are alike.
///
/// What tasks write can be read once it is committed. Without further options that is after each
/// record; see [`manual_commit`](Self::manual_commit).
///
/// Topics have one partition unless [`partitions`](Self::partitions) says more: then there are
/// several tasks, as in production, and keys that meet in the test only because there is one task
/// do not meet any more. Tasks are those of production in another respect too: one sub-topology
/// each, where Kafka Streams' driver has one task for all of them.
///
/// Clones, and the topics and stores that a driver gives, share one driver.
#[derive(Clone)]
pub struct TopologyTestDriver {
    shared: Rc<RefCell<Phase>>,
}

enum Phase {
    /// Options may still be said.
    Setup(Box<Setup>),
    Running(Box<Running>),
    /// Making the tasks failed, and the test was told.
    Failed,
}

impl TopologyTestDriver {
    /// A driver with the application id `test`, and everything else by default.
    pub fn new(topology: &Topology) -> Self {
        Self::of(Setup::new(topology))
    }

    /// A driver with the application id, the error handlers and the `max.task.idle.ms` of
    /// `config`.
    ///
    /// # Panics
    /// If the configuration is not valid.
    #[track_caller]
    pub fn with_config(topology: &Topology, config: &StreamsConfig) -> Self {
        match config.validate() {
            Ok(config) => Self::of(Setup::with_config(topology, config)),
            Err(error) => panic!("the configuration is not valid: {error}"),
        }
    }

    fn of(setup: Setup) -> Self {
        Self { shared: Rc::new(RefCell::new(Phase::Setup(Box::new(setup)))) }
    }

    // ---- options ------------------------------------------------------------------------------

    /// Gives a topic `count` partitions: an input topic, or one that is only written. Records go
    /// to the partition of their key.
    ///
    /// # Panics
    /// If the driver has been used already, or `count` is zero.
    #[track_caller]
    #[must_use]
    pub fn partitions(self, topic: &str, count: u32) -> Self {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        assert!(count > 0, "topic `{topic}` needs at least one partition");
        self.option().partitions.insert(topic.to_owned(), count);
        self
    }

    /// The time of day at which the test begins. By default it is midnight, 1 January 2024 UTC.
    ///
    /// # Panics
    /// If the driver has been used already.
    #[track_caller]
    #[must_use]
    pub fn with_wall_clock(self, now: Timestamp) -> Self {
        self.option().wall_clock = now;
        self
    }

    /// Nothing is committed but by [`commit`](Self::commit), or when a processor asks for it, as
    /// in production between two commit intervals.
    ///
    /// # Panics
    /// If the driver has been used already.
    #[track_caller]
    #[must_use]
    pub fn manual_commit(self) -> Self {
        self.option().manual_commit = true;
        self
    }

    // ---- topics -------------------------------------------------------------------------------

    /// Writes to an input topic: one that the topology reads, or a repartition topic.
    ///
    /// # Panics
    /// If no source reads that topic, or no task can be made of the topology.
    #[track_caller]
    pub fn input<K: Data, V: Data>(
        &self,
        topic: impl Into<Consumed<K, V>>,
    ) -> TestInputTopic<K, V> {
        TestInputTopic::new(self.clone(), topic.into())
    }

    /// Reads a topic from its beginning: whatever it is, what tasks or the test have written.
    ///
    /// # Panics
    /// If no task can be made of the topology.
    #[track_caller]
    pub fn output<K: Data, V: Data>(
        &self,
        topic: impl Into<Consumed<K, V>>,
    ) -> TestOutputTopic<K, V> {
        TestOutputTopic::new(self.clone(), topic.into())
    }

    /// All records of a topic as bytes, in the order of writing: also of changelog and repartition
    /// topics, by the name that the broker would know (repartition topics also by the topology's).
    ///
    /// # Panics
    /// If no task can be made of the topology.
    #[track_caller]
    pub fn output_raw(&self, topic: &str) -> Vec<RawOutput> {
        let running = self.running();
        let topic = running.setup.topic_name(topic);
        let logs = running.logs.lock();
        let mut records = Vec::new();
        let mut next = 0;
        while let Some((place, entry)) = logs.find(&topic).and_then(|log| log.next_committed(next))
        {
            records.push(RawOutput::of(entry));
            next = place + 1;
        }
        records
    }

    /// The topics that tasks wrote to, internal ones included, in order.
    ///
    /// # Panics
    /// If no task can be made of the topology.
    #[track_caller]
    pub fn produced_topics(&self) -> Vec<String> {
        self.running().logs.lock().produced()
    }

    // ---- time and commits ---------------------------------------------------------------------

    /// The time of day.
    pub fn wall_clock(&self) -> Timestamp {
        match &*self.shared.borrow() {
            Phase::Running(running) => running.wall_clock,
            Phase::Setup(setup) => setup.wall_clock,
            Phase::Failed => Timestamp::default(),
        }
    }

    /// Moves the time of day, and calls the wall clock timers that it reaches, each once.
    ///
    /// # Panics
    /// If a timer, or what follows from it, fails.
    #[track_caller]
    pub fn advance_wall_clock(&self, by: Duration) {
        if let Err(error) = self.try_advance_wall_clock(by) {
            panic!("{error:?}");
        }
    }

    /// As [`advance_wall_clock`](Self::advance_wall_clock).
    ///
    /// # Errors
    /// Of the application's code. Everything since the last commit is given up then.
    #[track_caller]
    pub fn try_advance_wall_clock(&self, by: Duration) -> Result<(), StreamsError> {
        self.running().advance_wall_clock(by)
    }

    /// Commits: forwards what was put aside for it, and makes readable what tasks have written.
    /// What follows from that in other tasks is processed and committed too.
    ///
    /// # Panics
    /// If the application's code fails.
    #[track_caller]
    pub fn commit(&self) {
        if let Err(error) = self.try_commit() {
            panic!("cannot commit: {error:?}");
        }
    }

    /// As [`commit`](Self::commit).
    ///
    /// # Errors
    /// Of the application's code. Everything since the last commit is given up then.
    #[track_caller]
    pub fn try_commit(&self) -> Result<(), StreamsError> {
        self.running().commit()
    }

    /// Aborts, as after a failed transaction: what was written to stores and topics since the last
    /// commit is given up, processors and timers are made anew, and the input records since then
    /// are processed again with the next thing that the test does. A test sees the same in the
    /// end, with and without an abort, if its processors keep nothing but what they can rebuild.
    ///
    /// # Panics
    /// If the tasks cannot be made anew.
    #[track_caller]
    pub fn abort(&self) {
        let aborted = self.running().abort();
        if let Err(error) = aborted {
            panic!("cannot make the tasks anew: {error:?}");
        }
    }

    // ---- inspection ---------------------------------------------------------------------------

    /// A store of the topology.
    ///
    /// # Panics
    /// If there is no store of that name and type, or no task can be made of the topology.
    #[track_caller]
    pub fn store<S: Store>(&self, name: StoreName<S>) -> TestStore<S> {
        TestStore::new(self.clone(), name)
    }

    /// The records that were dropped, by node and reason, in order.
    ///
    /// # Panics
    /// If no task can be made of the topology.
    #[track_caller]
    pub fn dropped_records(&self) -> Vec<Dropped> {
        self.running().dropped()
    }

    /// How many records were dropped for `reason`, by all nodes.
    ///
    /// # Panics
    /// If no task can be made of the topology.
    #[track_caller]
    pub fn dropped_count(&self, reason: DropReason) -> u64 {
        let dropped = self.dropped_records().into_iter();
        dropped.filter(|dropped| dropped.reason == reason).map(|dropped| dropped.count).sum()
    }

    // ---- inside -------------------------------------------------------------------------------

    #[track_caller]
    fn option(&self) -> RefMut<'_, Setup> {
        let setup = RefMut::filter_map(self.shared.borrow_mut(), |phase| match phase {
            Phase::Setup(setup) => Some(&mut **setup),
            _ => None,
        });
        match setup {
            Ok(setup) => setup,
            Err(_) => panic!("options of a driver must be said before it is used"),
        }
    }

    /// Makes the tasks if that was not done yet.
    #[track_caller]
    pub(super) fn running(&self) -> RefMut<'_, Running> {
        let mut phase = self.shared.borrow_mut();
        if let Phase::Setup(_) = &*phase
            && let Phase::Setup(setup) = std::mem::replace(&mut *phase, Phase::Failed)
        {
            match Running::new(*setup) {
                Ok(running) => *phase = Phase::Running(Box::new(running)),
                Err(error) => panic!("the topology cannot run: {error:?}"),
            }
        }
        let running = RefMut::filter_map(phase, |phase| match phase {
            Phase::Running(running) => Some(&mut **running),
            _ => None,
        });
        running.unwrap_or_else(|_| panic!("the topology cannot run, as was said before"))
    }

    /// The one topic of `consumed`, as the broker would know it.
    #[track_caller]
    pub(super) fn one_topic<K: 'static, V: 'static>(&self, consumed: &Consumed<K, V>) -> Arc<str> {
        match consumed.topics() {
            streams_core::topology::Topics::List(topics) if topics.len() == 1 => {
                self.running().setup.topic_name(&topics[0])
            }
            topics => panic!("a test topic is one topic, and {topics:?} is not"),
        }
    }
}

impl fmt::Debug for TopologyTestDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopologyTestDriver").finish_non_exhaustive()
    }
}
