//! At-least-once under faults: three instances of the true runtime over a cluster on which every
//! operation goes wrong now and then, while instances are killed, frozen, stopped and restarted;
//! all of it by one seed. Then the weather clears, and everything has to be right.
//!
//! What is right, once all input is processed and every position committed:
//!
//! - *No record is skipped.* Of each key the state has the numbers of all its records: a set, so
//!   that a record that was processed twice cannot stand for one that was lost.
//! - *The count is at least the number of records.* More is allowed, for what was processed but
//!   not committed is processed again, perhaps on state that has it already.
//! - *The last value of each key is the same in the output and in the changelog.* Both were
//!   written by the last processing of a record of this key: nobody may write one of them later,
//!   no zombie with an old value, no restart with less state.
//! - *State is what its changelog says.* All instances killed and their disks lost, the counts go
//!   on exactly where they were, for nothing was uncommitted.
//! - Everybody runs, and once more after all have stopped and started again on their disks: no
//!   lease is left over, nothing is processed again.
//!
//! `STREAMS_SIMULATION_SEEDS=10000` runs more seeds than usual, `STREAMS_SIMULATION_SEED=17` one.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use streams_core::config::State;
use streams_core::time::Instant;
use streams_core::{StreamsConfig, StreamsError};
use streams_test::embedded::{Fault, FaultPlan, Operation, SeededFaults, Step};
use streams_test::{EmbeddedCluster, InstanceId, Simulation, for_each_seed};

use common::{
    CHANGELOG, INPUT, OUTPUT, PARTITIONS, Seen, WORDS, Written, end, is_drained, positions, table,
    topology,
};

const INSTANCES: usize = 3;
const SEEDS: u64 = 300;
/// More than the session timeout of 6 s.
const DELAY_MAX: Duration = Duration::from_secs(9);
/// Of one thread, while the others of its process go on.
const STALL_MAX: Duration = Duration::from_secs(3);
/// For a session, a rebalance and a restore or two after the faults have ended.
const RECOVERY_MAX: Duration = Duration::from_secs(400);

fn config(seed: u64) -> StreamsConfig {
    StreamsConfig::new("app", "embedded")
        .threads(1 + (seed % 2) as usize)
        .commit_interval(Duration::from_millis(if seed.is_multiple_of(3) { 1_000 } else { 100 }))
        .set("session.timeout.ms", 6_000)
        .set("heartbeat.interval.ms", 1_000)
        .set("max.poll.interval.ms", if seed.is_multiple_of(5) { 20_000 } else { 300_000 })
        .set("state.flush.interval.ms", if seed.is_multiple_of(4) { 30_000 } else { 500 })
        .set("repartition.purge.interval.ms", 2_000)
}

/// SplitMix64, for what happens to the instances.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Up,
    Frozen,
    /// Killed, and not restarted yet.
    Down,
    /// Told to stop; restarted when it has.
    Stopping,
}

/// A run: the simulation, and what was done to it.
struct Chaos {
    seed: u64,
    dice: Dice,
    simulation: Simulation,
    instances: Vec<(InstanceId, Fate)>,
    written: Written,
    /// Instances that ended by a failure that faults may lead to.
    failures: u64,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        common::show_logs();
        let mut simulation = Simulation::new(topology(), config(seed), seed);
        simulation.cluster().create_topic(INPUT, PARTITIONS).unwrap();
        simulation.cluster().create_topic(OUTPUT, PARTITIONS).unwrap();
        let instances = (0..INSTANCES).map(|_| (simulation.start_instance(), Fate::Up)).collect();
        let dice = Dice(seed ^ 0xd1ce);
        let written = Written::default();
        Self { seed, dice, simulation, instances, written, failures: 0 }
    }

    fn cluster(&self) -> &EmbeddedCluster {
        self.simulation.cluster()
    }

    fn write(&mut self, records: u64) {
        for _ in 0..records {
            let word = self.dice.below(WORDS);
            self.write_word(word);
        }
    }

    fn write_word(&mut self, word: u64) {
        let cluster = self.simulation.cluster();
        self.written.write(cluster, word);
    }

    /// One step; an instance that failed as it may is started again, as its operator would do.
    /// `false` if nothing will ever happen again: nobody runs.
    fn step(&mut self) -> bool {
        let goes_on = self.simulation.step();
        for at in 0..self.instances.len() {
            let (id, fate) = self.instances[at];
            if let Some(failure) = self.simulation.take_failure(id) {
                assert!(may_end_an_instance(&failure), "instance {at} failed: {failure:?}");
                self.failures += 1;
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

    fn restart(&mut self, at: usize) {
        let (id, fate) = &mut self.instances[at];
        self.simulation.restart(*id);
        *fate = Fate::Up;
    }

    fn kill(&mut self, at: usize) {
        let (id, fate) = &mut self.instances[at];
        if self.dice.below(2) == 0 {
            self.simulation.flush_disk(*id);
        }
        self.simulation.kill(*id);
        *fate = Fate::Down;
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.simulation.now() + time;
        while self.simulation.now() < until && self.step() {}
    }

    /// Something happens to an instance.
    fn strike(&mut self) {
        let at = self.dice.below(INSTANCES as u64) as usize;
        let (id, fate) = self.instances[at];
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
            (Fate::Up, 5) => {
                self.simulation.stop(id);
                self.instances[at].1 = Fate::Stopping;
            }
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

    /// Everything that can go wrong goes wrong.
    fn rage(&mut self) {
        let faults = SeededFaults::new(self.seed, DELAY_MAX);
        self.cluster().set_faults(Some(faults));
        if self.dice.below(2) == 0 {
            let one_in = 20 + self.dice.below(200) as usize;
            self.simulation.set_stalls(Some((one_in, STALL_MAX)));
        }
        for _ in 0..8 + self.dice.below(16) {
            let records = self.dice.below(20);
            self.write(records);
            match self.dice.below(4) {
                0 => self.run_for(Duration::from_millis(1_000)),
                1 => {
                    let time = Duration::from_millis(self.dice.below(12_000));
                    self.run_for(time);
                }
                _ => {
                    let mut steps = self.dice.below(300);
                    while steps > 0 && self.step() {
                        steps -= 1;
                    }
                }
            }
            self.strike();
        }
        self.cluster().set_faults(None);
        self.simulation.set_stalls(None);
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
        // member id, is in the same generation: so positions may go back, which costs nothing but
        // work. The next commit puts them right again.
        self.run_for(DELAY_MAX);
        (0..WORDS).for_each(|word| self.write_word(word));
        self.run_until_settled();
    }

    fn run_until_settled(&mut self) {
        let limit = self.simulation.now() + RECOVERY_MAX;
        while !self.is_settled() {
            let goes_on = self.step();
            assert!(
                goes_on && self.simulation.now() < limit,
                "not settled after {RECOVERY_MAX:?}: {:?}, {}",
                self.states(),
                positions(self.cluster())
            );
        }
    }

    fn states(&self) -> Vec<Option<State>> {
        self.instances.iter().map(|(id, _)| self.simulation.state(*id)).collect()
    }

    fn is_settled(&self) -> bool {
        self.instances.iter().all(|(_, fate)| *fate == Fate::Up)
            && self.states().iter().all(|state| *state == Some(State::Running))
            && is_drained(self.cluster())
    }

    /// What has to hold when everything is settled, whatever happened before.
    fn check(&self) -> BTreeMap<String, Seen> {
        let output = table(self.cluster(), OUTPUT);
        let changelog = table(self.cluster(), CHANGELOG);
        for (key, numbers) in &self.written.numbers {
            let (count, seen) = &output.get(key).cloned().unwrap_or_default();
            assert_eq!(seen, numbers, "{key}: records were skipped, or come from nowhere");
            assert!(*count >= numbers.len() as u64, "{key}: {count} of {}", numbers.len());
        }
        assert_eq!(output, changelog, "the output and the state of a key have the same history");
        output
    }

    /// Nothing is uncommitted: so the counts of a run that has only the changelogs go on exactly.
    fn lose_all_disks(&mut self, before: &BTreeMap<String, Seen>) {
        for at in 0..self.instances.len() {
            self.kill(at);
            self.simulation.wipe_disk(self.instances[at].0);
        }
        let known = self.written.numbers.clone();
        self.write(30);
        (0..self.instances.len()).for_each(|at| self.restart(at));
        self.run_until_settled();
        let after = self.check();
        for (key, (count, _)) in &after {
            let new = self.written.numbers[key].len() - known.get(key).map_or(0, BTreeSet::len);
            let expected = before.get(key).map_or(0, |(count, _)| *count) + new as u64;
            assert_eq!(*count, expected, "{key}: restored from the changelog alone");
        }
    }

    /// All stop in order, and start again on what they have on disk.
    fn stop_and_start_again(&mut self) {
        let ends: Vec<_> =
            (0..PARTITIONS).map(|partition| end(self.cluster(), OUTPUT, partition)).collect();
        for (id, fate) in &mut self.instances {
            self.simulation.stop(*id);
            *fate = Fate::Stopping;
        }
        self.run_for(Duration::from_secs(5));
        self.run_until_settled();
        let after: Vec<_> =
            (0..PARTITIONS).map(|partition| end(self.cluster(), OUTPUT, partition)).collect();
        assert_eq!(after, ends, "after an orderly stop nothing is processed again");
    }
}

/// A record that cannot be written is lost output: the thread ends without a commit. An instance
/// that was frozen at its start may find that nobody has answered for too long. Everything else
/// that faults lead to passes.
fn may_end_an_instance(failure: &StreamsError) -> bool {
    matches!(failure, StreamsError::Production { .. } | StreamsError::Unavailable { .. })
}

/// One run of a seed; what it came to.
fn run(seed: u64) -> (u64, u64, BTreeMap<String, Seen>, u64) {
    let mut chaos = Chaos::new(seed);
    chaos.rage();
    chaos.recover();
    let counts = chaos.check();
    chaos.lose_all_disks(&counts);
    chaos.stop_and_start_again();
    (chaos.simulation.event_hash(), chaos.simulation.steps(), chaos.check(), chaos.failures)
}

/// I3, I6, I7, I10: whatever fails, nothing is lost.
#[test]
fn whatever_fails_nothing_is_lost() {
    let mut failures = 0;
    for_each_seed(0..SEEDS, |seed| {
        let (.., failed) = run(seed);
        failures += failed;
    });
    println!("{failures} instances failed and were started again");
}

/// Changelogs are read late.
struct SlowRestore;

impl FaultPlan for SlowRestore {
    fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
        if operation.step == Step::Fetch && operation.client.ends_with("-restore-consumer") {
            Fault::Delay(now + Duration::from_secs(30))
        } else {
            Fault::None
        }
    }
}

/// A task is taken away while it is restored, and comes back before the restorer, which waits for
/// its disk, has heard of the first: what is restored by then is not its state.
#[test]
fn a_task_that_comes_back_while_its_restore_is_cancelled_is_restored() {
    for_each_seed(0..20, |seed| {
        let mut chaos = Chaos::new(seed * 2);
        let (first, others) = (chaos.instances[0].0, [1, 2]);
        chaos.write(100);
        chaos.run_until_settled();
        others.into_iter().for_each(|at| chaos.kill(at));
        chaos.run_for(Duration::from_secs(10));
        chaos.kill(0);
        chaos.simulation.wipe_disk(first);
        chaos.cluster().set_faults(Some(Arc::new(SlowRestore)));
        chaos.restart(0);
        chaos.run_for(Duration::from_secs(10));
        chaos.simulation.stall_restorer(first, Duration::from_secs(25));
        chaos.simulation.wipe_disk(chaos.instances[1].0);
        chaos.restart(1);
        chaos.run_for(Duration::from_millis(1_500 + seed * 100));
        chaos.kill(1);
        chaos.run_for(Duration::from_secs(30));
        chaos.cluster().set_faults(None);
        chaos.write(20);
        others.into_iter().for_each(|at| chaos.restart(at));
        chaos.run_until_settled();
        chaos.check();
    });
}

/// I11: faults and fates are part of what the seed decides.
#[test]
fn equal_seeds_fail_equally() {
    for_each_seed(0..5, |seed| assert_eq!(run(seed), run(seed)));
}
