//! The scheduler.

use std::sync::Arc;
use std::time::Duration;

use state_stores::StateDirectory;
use streams_core::client::Isolation;
use streams_core::config::State;
use streams_core::runtime::step::Next;
use streams_core::time::{Clock, ClockRef, Instant};
use streams_core::{ResolvedConfig, StreamsConfig, StreamsError, Topology};

use uuid::Uuid;

use super::instance::Process;
use super::part::Machine;
use super::random::Random;
use super::seeded::SeededSimulation;
use crate::embedded::{BrokerClock, EmbeddedCluster, VirtualClock};

/// Steps without an end in sight: the run hangs.
const STEPS_MAX: u64 = 2_000_000;

/// An instance of the application in a [`Simulation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceId(usize);

/// How often and how long parts stand still.
#[derive(Clone, Copy, Debug)]
struct Stalls {
    one_in: usize,
    max: Duration,
}

/// Several instances of one application over one embedded cluster, on one thread, in virtual time.
pub struct Simulation {
    topology: Topology,
    config: ResolvedConfig,
    cluster: EmbeddedCluster,
    clock: Arc<VirtualClock>,
    broker_clock: Arc<BrokerClock>,
    processes: Vec<Process>,
    random: Random,
    seed: u64,
    steps: u64,
    /// Of which part was stepped when: equal for equal runs.
    hash: u64,
    stalls: Option<Stalls>,
}

impl Simulation {
    /// A cluster and no instance yet. `seed` decides who is stepped when.
    ///
    /// # Panics
    /// If the configuration has mistakes.
    #[track_caller]
    pub fn new(topology: Topology, config: StreamsConfig, seed: u64) -> Self {
        let clock = VirtualClock::new(1_700_000_000_000);
        let broker_clock = BrokerClock::new(clock.clone());
        let cluster = EmbeddedCluster::with_clock(broker_clock.clone());
        let config = config.client(Arc::new(cluster.clone()));
        let config = config.validate().unwrap_or_else(|mistakes| panic!("{mistakes}"));
        Self {
            topology,
            config,
            cluster,
            clock,
            broker_clock,
            processes: Vec::new(),
            random: Random::new(seed),
            seed,
            steps: 0,
            hash: 0,
            stalls: None,
        }
    }

    /// Runs `topology`, which is made anew for each run, under the faults of many seeds; what it
    /// has to do, and what has to come of it, is said next.
    pub fn of(topology: impl Fn() -> Topology + 'static) -> SeededSimulation {
        SeededSimulation::new(topology)
    }

    /// The Kafka of the simulation.
    pub fn cluster(&self) -> &EmbeddedCluster {
        &self.cluster
    }

    /// Starts a process with an empty disk.
    ///
    /// # Panics
    /// If the application cannot start.
    #[track_caller]
    pub fn start_instance(&mut self) -> InstanceId {
        let id = InstanceId(self.processes.len());
        self.processes.push(Process::new(id.0));
        self.restart(id);
        id
    }

    /// Starts a process again that was killed or has ended, with the disk that is left.
    ///
    /// # Panics
    /// If the application cannot start.
    #[track_caller]
    pub fn restart(&mut self, instance: InstanceId) {
        let clock: ClockRef = self.clock.clone();
        let process = &mut self.processes[instance.0];
        let started = process.start(&self.topology, &self.config, &self.cluster, &clock);
        started.unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// kill -9. What was not flushed to its disk is gone.
    pub fn kill(&mut self, instance: InstanceId) {
        self.processes[instance.0].kill();
    }

    /// Loses the disk of a process that does not run.
    pub fn wipe_disk(&mut self, instance: InstanceId) {
        self.processes[instance.0].wipe(instance.0);
    }

    /// Flushes what is applied to the disk of a process, as its worker does now and then.
    pub fn flush_disk(&mut self, instance: InstanceId) {
        self.processes[instance.0].flush_disk();
    }

    /// Flushes some of the stores of a process, as engines do on their own; which ones, the seed
    /// decides. After a [`kill`](Self::kill) each store is at a flush of its own.
    pub fn flush_some_stores(&mut self, instance: InstanceId) {
        for store in self.topology.all_stores() {
            if self.random.below(2) == 0 {
                self.processes[instance.0].flush_store(store.spec());
            }
        }
    }

    /// SIGSTOP: time goes on without it.
    pub fn freeze(&mut self, instance: InstanceId) {
        self.processes[instance.0].frozen = true;
    }

    /// SIGCONT.
    pub fn thaw(&mut self, instance: InstanceId) {
        self.processes[instance.0].frozen = false;
    }

    /// SIGTERM: asks an instance to commit, leave and end.
    pub fn stop(&mut self, instance: InstanceId) {
        let now = self.clock.now();
        self.processes[instance.0].stop(now);
    }

    /// From now on one step in `one_in`, which is not zero, is followed by a stall of up to `max`
    /// of the part that made it (a stream thread, its member, the restorer, the store worker),
    /// while the others go on: as with a slow disk, or a scheduler that has other things to do.
    /// `None` ends it.
    pub fn set_stalls(&mut self, stalls: Option<(usize, Duration)>) {
        self.stalls = stalls.map(|(one_in, max)| Stalls { one_in, max });
    }

    /// The wall clocks of all instances are set forward or back; time itself knows nothing of it.
    pub fn set_wall_clock_by(&mut self, ms: i64) {
        self.clock.set_wall_clock_by(ms);
    }

    /// Time goes by while nobody has a processor, as when a machine sleeps.
    pub fn sleep(&mut self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// The clock of the brokers leaps forward: what they wait for has been long enough.
    pub fn leap_broker_clock(&mut self, by: Duration) {
        self.broker_clock.leap(by);
    }

    /// The restorer of an instance stands still for that long, as with a disk that hangs.
    pub fn stall_restorer(&mut self, instance: InstanceId, time: Duration) {
        let until = self.clock.now() + time;
        for part in &mut self.processes[instance.0].parts {
            if matches!(part.machine, Machine::Restorer(_)) {
                part.stalled_until = until;
            }
        }
    }

    /// The state of an instance; `None` when it was killed.
    pub fn state(&self, instance: InstanceId) -> Option<State> {
        self.processes[instance.0].state()
    }

    /// The id of a process: a part of the transactional ids of its threads.
    pub fn process_id(&self, instance: InstanceId) -> Uuid {
        self.processes[instance.0].directory.process_id()
    }

    /// The changelog offset up to which the engine of an instance has a store of a task (its
    /// sub-topology and partition); `None` if it has nothing of it.
    pub fn applied_offset(
        &self,
        instance: InstanceId,
        task: (u32, i32),
        store: &str,
    ) -> Option<i64> {
        self.processes[instance.0].applied_offset(task, store)
    }

    /// Whether an instance that was stopped, or that failed, has nothing left to do.
    pub fn has_ended(&self, instance: InstanceId) -> bool {
        self.processes[instance.0].has_ended(self.clock.now())
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The state of each instance.
    pub(super) fn states(&self) -> impl Iterator<Item = Option<State>> {
        self.processes.iter().map(Process::state)
    }

    /// Whether the global stores of all instances that run have what is in their topics.
    pub(super) fn have_read_globals(&self) -> bool {
        let end = |topic: &str, partition| {
            let end = self.cluster.end_offset(topic, partition, Isolation::ReadUncommitted);
            end.unwrap_or(0)
        };
        self.processes.iter().all(|process| process.has_read_globals(end))
    }

    /// Lets go of the global stores of an instance that has ended.
    pub(super) fn release_globals(&self, instance: InstanceId) {
        self.processes[instance.0].release_globals();
    }

    pub(super) fn directory(&self, instance: InstanceId) -> &Arc<StateDirectory> {
        &self.processes[instance.0].directory
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What an instance failed with, once.
    pub fn take_failure(&mut self, instance: InstanceId) -> Option<StreamsError> {
        self.processes[instance.0].failure.take()
    }

    /// How many steps were made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Equal for runs that were equal so far.
    pub fn event_hash(&self) -> u64 {
        self.hash
    }

    /// Makes one step: of a part that is due, chosen by the seed; if there is none, time moves to
    /// the next deadline. `false` if nothing will ever happen again.
    pub fn step(&mut self) -> bool {
        self.cluster.tick();
        let now = self.clock.now();
        let mut due = Vec::new();
        for (at, process) in self.processes.iter().enumerate() {
            if !process.frozen {
                let parts = process.parts.iter().enumerate();
                due.extend(parts.filter(|(_, part)| part.is_due(now)).map(|(part, _)| (at, part)));
            }
        }
        if due.is_empty() {
            let Some(next) = self.next_deadline() else { return false };
            self.clock.advance_to(next.max(now));
            return true;
        }
        let (process, part) = due[self.random.below(due.len())];
        self.steps += 1;
        self.hash = self.hash.rotate_left(7) ^ ((process as u64) << 32 | part as u64);
        self.hash = self.hash.wrapping_mul(0x100_0000_01b3) ^ now.since_origin().as_micros() as u64;
        let seconds = now.since_origin().as_secs_f32();
        let _span = tracing::info_span!("instance", number = process, seconds).entered();
        let process = &mut self.processes[process];
        let part = &mut process.parts[part];
        if let Err(error) = part.step(now) {
            process.failure = Some(error);
        }
        let blocked_until = self.cluster.take_sender_blocked_until();
        if let Some(until) = blocked_until {
            let ahead = self.broker_clock.ahead();
            part.stalled_until = Instant::from_origin(until.since_origin().saturating_sub(ahead));
        }
        if let Some(Stalls { one_in, max }) = self.stalls
            && blocked_until.is_none()
            && self.random.below(if part.waits_for_disk() { one_in.div_ceil(10) } else { one_in })
                == 0
        {
            let ms = usize::try_from(max.as_millis()).unwrap_or(usize::MAX).max(1);
            part.stalled_until = now + Duration::from_millis(self.random.below(ms) as u64);
        }
        true
    }

    /// Steps until `done` holds of the cluster.
    ///
    /// # Panics
    /// If it does not come to that, with the seed to see it again.
    #[track_caller]
    pub fn run_until(&mut self, what: &str, mut done: impl FnMut(&EmbeddedCluster) -> bool) {
        let limit = self.steps + STEPS_MAX;
        while !done(&self.cluster) {
            let goes_on = self.step() && self.steps < limit;
            assert!(goes_on, "seed {}: it never happens that {what}", self.seed);
            self.fail_on_failure();
        }
    }

    /// Steps for that much virtual time.
    ///
    /// # Panics
    /// If an instance fails, or steps for ever without any time going by.
    #[track_caller]
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.clock.now() + duration;
        let limit = self.steps + STEPS_MAX;
        while self.clock.now() < end {
            assert!(self.steps < limit, "seed {}: time does not go on", self.seed);
            if !self.step() {
                self.clock.advance_to(end);
            }
            self.fail_on_failure();
        }
    }

    #[track_caller]
    fn fail_on_failure(&mut self) {
        for (at, process) in self.processes.iter().enumerate() {
            if let Some(failure) = &process.failure {
                panic!("seed {}: instance {at} failed: {failure:?}", self.seed);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let parts = self.processes.iter().filter(|p| !p.frozen).flat_map(|p| &p.parts);
        let now = self.clock.now();
        let deadlines =
            parts.filter(|part| part.next != Next::Done).filter_map(|part| part.deadline(now));
        let ahead = self.broker_clock.ahead();
        let of_brokers =
            self.cluster.next_timer().map(|at| at.since_origin().saturating_sub(ahead));
        deadlines.chain(of_brokers.map(Instant::from_origin)).min()
    }
}
