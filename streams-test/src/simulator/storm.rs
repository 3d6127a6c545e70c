//! One run of a seed: everything that can go wrong goes wrong, then the weather clears, and
//! everything has to be right.

use std::time::Duration;

use streams_core::StreamsError;
use streams_core::{StreamsConfig, config::State};

use super::disks::check_disk;
use super::input::Fed;
use super::outcome::Outcome;
use super::random::Random;
use super::seeded::{APPLICATION, RECOVERY_MAX, Run, SeededSimulation, write};
use super::simulation::{InstanceId, Simulation};
use crate::embedded::SeededFaults;

/// More than the session timeout.
const DELAY_MAX: Duration = Duration::from_secs(9);
/// Of one thread, while the others of its process go on.
const STALL_MAX: Duration = Duration::from_secs(3);

/// Far more than runs have: this one goes in circles.
const STEPS_MAX: u64 = 500_000;
/// Whether a run is settled is a question to all partitions.
const STEPS_BETWEEN_LOOKS: usize = 20;

/// How an instance stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Up,
    Frozen,
    /// Killed, and not restarted yet.
    Down,
    /// Told to stop; restarted when it has.
    Stopping,
}

/// A run, and what was done to it.
pub(super) struct Storm<'a> {
    plan: &'a SeededSimulation,
    seed: u64,
    dice: Random,
    simulation: Simulation,
    instances: Vec<(InstanceId, Fate)>,
    tables: Vec<Fed>,
    input: Vec<Fed>,
    written: usize,
    strikes: u64,
}

impl<'a> Storm<'a> {
    pub(super) fn new(plan: &'a SeededSimulation, seed: u64) -> Self {
        let simulation = plan.simulation(seed, |config| vary(config, seed));
        let (tables, input) = plan.feed();
        let dice = Random::new(seed ^ 0xd1ce);
        let instances = Vec::new();
        Self { plan, seed, dice, simulation, instances, tables, input, written: 0, strikes: 0 }
    }

    pub(super) fn run(mut self) -> (Outcome, Run) {
        let least = self.plan.instances.min(2);
        for _ in 0..least + self.dice.below(self.plan.instances - least + 1) {
            self.instances.push((self.simulation.start_instance(), Fate::Up));
        }
        if !self.tables.is_empty() {
            write(self.simulation.cluster(), &self.tables);
            self.run_until_settled("the tables are read");
        }
        let faults = self.rage();
        self.recover();
        self.kill_all();
        self.write(self.input.len() - self.written);
        (0..self.instances.len()).for_each(|at| self.restart(at));
        self.run_until_settled("all instances were killed");
        self.stop_all();
        let unfenced = self.simulation.cluster().unfenced_commits();
        assert_eq!(unfenced, 0, "commits without a position, which would refuse no zombie");
        let outcome = self.plan.outcome(&self.simulation);
        let (event_hash, steps) = (self.simulation.event_hash(), self.simulation.steps());
        (outcome, Run { event_hash, steps, faults, strikes: self.strikes })
    }

    fn write(&mut self, records: usize) {
        let until = self.input.len().min(self.written + records);
        write(self.simulation.cluster(), &self.input[self.written..until]);
        self.written = until;
    }

    /// Everything that can go wrong goes wrong. A part of the input is kept for afterwards.
    fn rage(&mut self) -> u64 {
        let faults = SeededFaults::new(self.seed, DELAY_MAX);
        self.simulation.cluster().set_faults(Some(faults.clone()));
        if self.dice.below(2) == 0 {
            let one_in = 20 + self.dice.below(200);
            self.simulation.set_stalls(Some((one_in, STALL_MAX)));
        }
        let rounds = 6 + self.dice.below(12);
        let kept = self.input.len() / 6;
        let a_round = (self.input.len() - kept).div_ceil(rounds);
        for round in 0..rounds {
            let most = self.input.len() - kept - self.written.min(self.input.len() - kept);
            let records = if round + 1 == rounds { most } else { self.dice.below(2 * a_round + 1) };
            self.write(records.min(most));
            match self.dice.below(4) {
                0 => self.run_for(Duration::from_millis(1_000)),
                1 => {
                    let time = Duration::from_millis(self.dice.below(12_000) as u64);
                    self.run_for(time);
                }
                _ => {
                    let mut steps = self.dice.below(300);
                    while steps > 0 && self.step() {
                        steps -= 1;
                    }
                }
            }
            match self.dice.below(4) {
                0 => self.disturb(),
                _ => self.strike(),
            }
        }
        self.simulation.cluster().set_faults(None);
        self.simulation.set_stalls(None);
        faults.count()
    }

    /// Something happens to an instance.
    fn strike(&mut self) {
        let at = self.dice.below(self.instances.len());
        let (id, fate) = self.instances[at];
        self.strikes += 1;
        match (fate, self.dice.below(8)) {
            (Fate::Up, 0 | 1) => self.kill(at),
            (Fate::Up, 2) => {
                self.kill(at);
                self.restart(at);
            }
            (Fate::Up, 3 | 4) => {
                self.simulation.freeze(id);
                self.instances[at].1 = Fate::Frozen;
            }
            (Fate::Up, 5) => self.stop(at),
            (Fate::Up, 6) => self.simulation.flush_disk(id),
            (Fate::Frozen, 0) => self.kill(at),
            (Fate::Frozen, 1..=4) => {
                self.simulation.thaw(id);
                self.instances[at].1 = Fate::Up;
            }
            (Fate::Stopping, 0) => self.kill(at),
            (Fate::Down, 0) => {
                self.simulation.wipe_disk(id);
                self.restart(at);
            }
            (Fate::Down, 1..=5) => self.restart(at),
            _ => {}
        }
    }

    /// Something happens to the brokers, or to time.
    fn disturb(&mut self) {
        let ms = |dice: &mut Random, most: usize| Duration::from_millis(dice.below(most) as u64);
        match self.dice.below(6) {
            0 | 1 => {
                let duration = ms(&mut self.dice, 5_000);
                self.simulation.cluster().move_coordinators(duration);
            }
            2 => self.simulation.cluster().rebalance(APPLICATION),
            3 => {
                let ms = self.dice.below(2 * 3_600_000) as i64 - 3_600_000;
                self.simulation.set_wall_clock_by(ms);
            }
            // Under at-least-once the proof of membership is time: it holds as long as it goes by as
            // fast for the brokers as for us.
            5 if self.plan.exactly_once => {
                let duration = ms(&mut self.dice, 20_000);
                self.simulation.leap_broker_clock(duration);
            }
            _ => {
                let duration = ms(&mut self.dice, 20_000);
                self.simulation.sleep(duration);
            }
        }
    }

    /// Whoever is not there comes back; then everything has to be processed and everybody to run.
    fn recover(&mut self) {
        for at in 0..self.instances.len() {
            match self.instances[at] {
                (id, Fate::Frozen) => {
                    self.simulation.thaw(id);
                    self.instances[at].1 = Fate::Up;
                }
                (_, Fate::Down) => self.restart(at),
                (_, Fate::Up | Fate::Stopping) => {}
            }
        }
        // The commit of a process that was killed may come late, and its successor, back under its
        // member id, is in the same generation: so under at-least-once positions may go back,
        // which costs nothing but work, and a commit has to follow.
        self.run_for(DELAY_MAX);
        self.write(self.input.len() / 24);
        self.run_until_settled("the faults have ended");
    }

    /// What the stores have shows when they count on.
    fn kill_all(&mut self) {
        for at in 0..self.instances.len() {
            self.kill(at);
            if self.dice.below(3) == 0 {
                self.simulation.wipe_disk(self.instances[at].0);
            }
        }
    }

    fn stop_all(&mut self) {
        for at in 0..self.instances.len() {
            self.simulation.stop(self.instances[at].0);
        }
        let limit = self.simulation.now() + RECOVERY_MAX;
        while !self.instances.iter().all(|(id, _)| self.simulation.has_ended(*id)) {
            let goes_on = self.simulation.step() && self.simulation.now() < limit;
            assert!(goes_on, "the instances do not stop");
            for &(id, _) in &self.instances {
                let failure = self.simulation.take_failure(id);
                assert!(failure.is_none(), "an instance fails while it stops: {failure:?}");
            }
        }
        self.instances.iter().for_each(|&(id, _)| check_disk(&self.simulation, id));
    }

    /// One step; an instance that failed as it may is started again, as its operator would do.
    /// `false` if nothing will ever happen again: nobody runs.
    fn step(&mut self) -> bool {
        let goes_on = self.simulation.step();
        assert!(self.simulation.steps() < STEPS_MAX, "the run never ends");
        for at in 0..self.instances.len() {
            let (id, fate) = self.instances[at];
            if let Some(failure) = self.simulation.take_failure(id) {
                assert!(may_end_an_instance(&failure), "instance {at} failed: {failure:?}");
                self.strikes += 1;
                if self.dice.below(2) == 0 {
                    self.simulation.kill(id);
                }
                self.restart(at);
            } else if fate == Fate::Stopping && self.simulation.has_ended(id) {
                self.restart(at);
            }
        }
        goes_on
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.simulation.now() + time;
        while self.simulation.now() < until && self.step() {}
    }

    fn run_until_settled(&mut self, after: &str) {
        let limit = self.simulation.now() + RECOVERY_MAX;
        while !self.is_settled() {
            let goes_on = (0..STEPS_BETWEEN_LOOKS).all(|_| self.step());
            if !goes_on || self.simulation.now() >= limit {
                let states: Vec<Option<State>> = self.simulation.states().collect();
                let positions = self.plan.positions(self.simulation.cluster());
                panic!(
                    "{after}, and {RECOVERY_MAX:?} later it is not settled: {states:?},{positions}"
                );
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.instances.iter().all(|(_, fate)| *fate == Fate::Up)
            && self.plan.is_settled(&self.simulation)
    }

    fn restart(&mut self, at: usize) {
        let (id, fate) = &mut self.instances[at];
        self.simulation.restart(*id);
        *fate = Fate::Up;
    }

    fn kill(&mut self, at: usize) {
        let (id, fate) = &mut self.instances[at];
        match self.dice.below(3) {
            0 => self.simulation.flush_disk(*id),
            1 => self.simulation.flush_some_stores(*id),
            _ => {}
        }
        self.simulation.kill(*id);
        *fate = Fate::Down;
        check_disk(&self.simulation, *id);
    }

    fn stop(&mut self, at: usize) {
        let (id, fate) = &mut self.instances[at];
        self.simulation.stop(*id);
        *fate = Fate::Stopping;
    }
}

/// Each seed has other intervals.
fn vary(config: StreamsConfig, seed: u64) -> StreamsConfig {
    config
        .threads(1 + (seed % 2) as usize)
        .commit_interval(Duration::from_millis(if seed.is_multiple_of(3) { 1_000 } else { 100 }))
        .set("max.poll.interval.ms", if seed.is_multiple_of(5) { 20_000 } else { 300_000 })
        .set("state.flush.interval.ms", if seed.is_multiple_of(4) { 30_000 } else { 500 })
}

/// A record that cannot be written is lost output: under at-least-once the thread ends without a
/// commit. An instance that was frozen at its start may find that nobody has answered for too
/// long. Everything else that faults lead to passes.
fn may_end_an_instance(failure: &StreamsError) -> bool {
    matches!(failure, StreamsError::Production { .. } | StreamsError::Unavailable { .. })
}
