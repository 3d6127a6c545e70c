//! The true runtime in the simulator: two instances and four tasks, killed, frozen, joined and
//! left at every step.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use streams_core::client::{Isolation, MemoryRecord};
use streams_core::config::State;
use streams_core::error::BoxError;
use streams_core::partitioning::partition_for_key;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::{StreamsConfig, Timestamp, Topology};
use streams_test::{EmbeddedCluster, InstanceId, Simulation};

const PARTITIONS: i32 = 2;
const CHANGELOG: &str = "app-counts-changelog";

struct Count(KeyValueHandle<String, i64>);

impl Processor for Count {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        key: String,
        _: String,
        cx: &mut ProcessorContext<'_, String, i64>,
    ) -> Result<(), BoxError> {
        let count = cx.store(&self.0).get(&key)?.copied().unwrap_or(0) + 1;
        cx.store(&self.0).put(&key, count)?;
        cx.forward(key, count)
    }
}

/// Words are re-keyed through a repartition topic, so that two sub-topologies have two tasks each.
fn topology() -> Topology {
    let mut builder = Topology::builder();
    let words = builder.add_source::<String, String>("words", "words");
    builder.add_repartition_topic("again-repartition", None);
    builder.add_sink("again-sink", &[&words], "again-repartition");
    let again = builder.add_source::<String, String>("again-source", "again-repartition");
    let stores = Stores::key_value::<String, i64>("counts");
    let counts = builder.add_processor("count", &[&again], stores, |counts, _| Count(counts));
    builder.add_sink("out", &[&counts], "out");
    builder.build().unwrap()
}

fn config() -> StreamsConfig {
    StreamsConfig::new("app", "embedded")
        .commit_interval(Duration::from_millis(100))
        .set("session.timeout.ms", 6_000)
        .set("heartbeat.interval.ms", 1_000)
}

fn simulation(seed: u64) -> Simulation {
    let simulation = Simulation::new(topology(), config(), seed);
    simulation.cluster().create_topic("words", PARTITIONS).unwrap();
    simulation.cluster().create_topic("out", PARTITIONS).unwrap();
    simulation
}

fn word(n: usize) -> String {
    format!("word-{}", n % 7)
}

fn write(cluster: &EmbeddedCluster, from: usize, to: usize) {
    for n in from..to {
        let key = word(n).into_bytes();
        let partition = partition_for_key(&key, PARTITIONS);
        let record = MemoryRecord {
            timestamp: n as i64,
            key: Some(key.into()),
            value: Some(b"x".as_slice().into()),
            ..MemoryRecord::default()
        };
        cluster.append("words", partition, record).unwrap();
    }
}

fn expected(to: usize) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for n in 0..to {
        *counts.entry(word(n)).or_insert(0) += 1;
    }
    counts
}

/// The last value of each key.
fn table(cluster: &EmbeddedCluster, topic: &str) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for (_, record) in cluster.read(topic, partition, 0, Isolation::ReadCommitted) {
            let key = String::from_utf8(record.key.clone().unwrap().into_vec()).unwrap();
            let bytes = <[u8; 8]>::try_from(&*record.value.clone().unwrap()).unwrap();
            counts.insert(key, i64::from_be_bytes(bytes));
        }
    }
    counts
}

fn end(cluster: &EmbeddedCluster, topic: &str, partition: i32) -> i64 {
    cluster.end_offset(topic, partition, Isolation::ReadUncommitted).unwrap_or(-1)
}

/// Whether every input record was processed and its position committed.
fn is_drained(cluster: &EmbeddedCluster) -> bool {
    ["words", "app-again-repartition"].iter().all(|topic| {
        (0..PARTITIONS).all(|partition| {
            let end = end(cluster, topic, partition);
            let committed = cluster.committed("app", topic, partition);
            end == 0 || committed.is_some_and(|committed| committed.offset == end)
        })
    })
}

fn at_least(counts: &BTreeMap<String, i64>, least: &BTreeMap<String, i64>) -> bool {
    least.iter().all(|(key, count)| counts.get(key).is_some_and(|counted| counted >= count))
}

/// I11: what happens depends on nothing but the seed.
#[test]
fn equal_seeds_give_equal_runs() {
    let run = |seed| {
        let mut simulation = simulation(seed);
        simulation.start_instance();
        simulation.start_instance();
        write(simulation.cluster(), 0, 100);
        simulation.run_for(Duration::from_secs(10));
        (simulation.event_hash(), simulation.steps(), table(simulation.cluster(), "out"))
    };
    assert_eq!(run(1), run(1));
    assert_eq!(run(2), run(2));
    assert_ne!(run(1).0, run(2).0, "another seed, another schedule");
}

/// I7: without a crash, tasks that move between instances are neither lost nor counted twice:
/// they are handed over only after their work is committed.
#[test]
fn instances_come_and_go_and_the_counts_are_exact() {
    for seed in 0..20 {
        let mut simulation = simulation(seed);
        let first = simulation.start_instance();
        write(simulation.cluster(), 0, 200);
        for _ in 0..200 + seed * 10 {
            simulation.step();
        }
        simulation.start_instance();
        write(simulation.cluster(), 200, 400);
        simulation.run_until("both take part", is_drained);
        write(simulation.cluster(), 400, 500);
        simulation.stop(first);
        simulation.run_until("the second goes on alone", is_drained);
        assert_eq!(table(simulation.cluster(), "out"), expected(500), "seed {seed}");
        assert_eq!(table(simulation.cluster(), CHANGELOG), expected(500), "seed {seed}");
    }
}

/// I3: a crash at any instruction, as far as steps can be told apart, loses nothing: killed after
/// each number of steps, among them between any two stages of a commit.
#[test]
fn killed_at_any_step_nothing_is_lost() {
    for steps in (0..1200).step_by(3) {
        let mut simulation = simulation(steps);
        let first = simulation.start_instance();
        let second = simulation.start_instance();
        write(simulation.cluster(), 0, 60);
        for _ in 0..steps {
            simulation.step();
        }
        simulation.kill(first);
        write(simulation.cluster(), 60, 120);
        simulation.run_for(Duration::from_millis(500));
        simulation.restart(first);
        simulation.run_until("the input is processed", is_drained);
        let counts = table(simulation.cluster(), "out");
        assert!(at_least(&counts, &expected(120)), "killed after {steps} steps: {counts:?}");
        // What the stores have is what their changelogs have: another restart shows it.
        simulation.kill(first);
        simulation.kill(second);
        simulation.wipe_disk(first);
        simulation.restart(first);
        write(simulation.cluster(), 120, 127);
        simulation.run_until("the input is processed again", is_drained);
        let after = table(simulation.cluster(), "out");
        for (key, count) in &counts {
            let more = expected(127)[key] - expected(120)[key];
            assert!(
                after[key] >= count + more,
                "{steps}: {key} fell from {count} to {}",
                after[key]
            );
        }
    }
}

/// I6: an instance that was frozen beyond its session has lost its tasks. Thawed, it writes nothing
/// to a changelog: its old values would overwrite those of the new owner.
#[test]
fn a_frozen_instance_writes_nothing_when_it_is_thawed() {
    for seed in 0..60 {
        let mut simulation = simulation(seed);
        let first = simulation.start_instance();
        let second = simulation.start_instance();
        write(simulation.cluster(), 0, 100);
        simulation.run_until("both run", |cluster| !table(cluster, "out").is_empty());
        write(simulation.cluster(), 100, 200);
        for _ in 0..seed * 3 {
            simulation.step();
        }
        simulation.freeze(first);
        simulation.run_for(Duration::from_secs(20));
        simulation.run_until("the other one has all tasks", is_drained);
        let changelog = table(simulation.cluster(), CHANGELOG);
        let ends = |simulation: &Simulation| -> Vec<_> {
            (0..PARTITIONS).map(|p| end(simulation.cluster(), CHANGELOG, p)).collect()
        };
        let before = format!("{:?}", ends(&simulation));
        assert!(at_least(&changelog, &expected(200)), "seed {seed}: {changelog:?}");
        simulation.stop(second);
        simulation.thaw(first);
        // Both the release by the second and the return of the first happen now; no input is left.
        simulation.run_for(Duration::from_secs(30));
        assert_eq!(format!("{:?}", ends(&simulation)), before, "seed {seed}: a late write");
        assert_eq!(table(simulation.cluster(), CHANGELOG), changelog, "seed {seed}");
        assert_eq!(simulation.state(first), Some(State::Running), "seed {seed}");
    }
}

/// I8: a changelog that ends in a gap (its last records were compacted away) is restored to its
/// end all the same.
#[test]
fn a_changelog_that_ends_in_a_gap_is_restored() {
    let mut simulation = simulation(3);
    let first = simulation.start_instance();
    write(simulation.cluster(), 0, 100);
    simulation.run_until("the input is processed", is_drained);
    simulation.kill(first);
    simulation.wipe_disk(first);
    simulation.cluster().compact(CHANGELOG, true).unwrap();
    simulation.restart(first);
    write(simulation.cluster(), 100, 150);
    simulation.run_until("the input is processed", is_drained);
    let counts = table(simulation.cluster(), "out");
    assert!(at_least(&counts, &expected(150)), "{counts:?}");
}

struct Tick(KeyValueHandle<String, i64>);

impl Tick {
    fn tick(
        &mut self,
        now: Timestamp,
        cx: &mut ProcessorContext<'_, String, i64>,
    ) -> Result<(), BoxError> {
        cx.store(&self.0).put(&"last".to_owned(), now.as_millis())
    }
}

impl Processor for Tick {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        _: String,
        _: String,
        _: &mut ProcessorContext<'_, String, i64>,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

/// I5: a task that writes state without any input commits its unchanged positions: without one,
/// nobody would refuse the commit of a zombie.
#[test]
fn a_task_without_input_commits_a_position() {
    let mut builder = Topology::builder();
    let words = builder.add_source::<String, String>("words", "words");
    let stores = Stores::key_value::<String, i64>("ticks");
    builder.add_processor("tick", &[&words], stores, |ticks, init| {
        init.every_wall_clock(Duration::from_secs(1), Tick::tick);
        Tick(ticks)
    });
    let mut simulation = Simulation::new(builder.build().unwrap(), config(), 5);
    simulation.cluster().create_topic("words", 1).unwrap();
    simulation.start_instance();
    simulation.run_for(Duration::from_secs(5));
    let committed = simulation.cluster().committed("app", "words", 0);
    assert_eq!(committed.map(|committed| committed.offset), Some(0));
    assert!(end(simulation.cluster(), "app-ticks-changelog", 0) > 0);
}

/// I12: more dirty rows than the budget allows are committed before the interval is over.
#[test]
fn memory_stays_in_the_budget_by_early_commits() {
    let config = config().commit_interval(Duration::from_secs(3600)).memory_budget(4 << 20);
    let mut simulation = Simulation::new(topology(), config, 9);
    simulation.cluster().create_topic("words", PARTITIONS).unwrap();
    simulation.cluster().create_topic("out", PARTITIONS).unwrap();
    for n in 0..40_000 {
        let key = format!("a-key-of-some-length-{n}").into_bytes();
        let partition = partition_for_key(&key, PARTITIONS);
        let record = MemoryRecord {
            timestamp: 1,
            key: Some(key.into()),
            value: Some(b"x".as_slice().into()),
            ..MemoryRecord::default()
        };
        simulation.cluster().append("words", partition, record).unwrap();
    }
    let first: InstanceId = simulation.start_instance();
    simulation.run_for(Duration::from_secs(60));
    assert_eq!(simulation.state(first), Some(State::Running));
    let changelog: i64 = (0..PARTITIONS).map(|p| end(simulation.cluster(), CHANGELOG, p)).sum();
    assert!(changelog > 20_000, "only {changelog} rows were committed within the hour");
}

/// Repartition topics keep everything that was not processed, and nothing else.
#[test]
fn processed_records_of_repartition_topics_are_deleted() {
    let config = config().set("repartition.purge.interval.ms", 1_000);
    let mut simulation = Simulation::new(topology(), config, 4);
    simulation.cluster().create_topic("words", PARTITIONS).unwrap();
    simulation.cluster().create_topic("out", PARTITIONS).unwrap();
    write(simulation.cluster(), 0, 100);
    simulation.start_instance();
    simulation.run_until("the input is processed", is_drained);
    simulation.run_for(Duration::from_secs(3));
    for partition in 0..PARTITIONS {
        let topic = "app-again-repartition";
        let left = simulation.cluster().read(topic, partition, 0, Isolation::ReadUncommitted);
        assert!(left.is_empty(), "{} records are left in {partition}", left.len());
    }
    write(simulation.cluster(), 100, 150);
    simulation.run_until("more input is processed", is_drained);
    assert_eq!(table(simulation.cluster(), "out"), expected(150));
}
