//! A store whose changelog is the input itself: it never holds records that were not processed
//! yet, whatever was written to the topic meanwhile.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_core::client::{Isolation, MemoryRecord};
use streams_core::config::StreamsEvent;
use streams_core::error::BoxError;
use streams_core::partitioning::partition_for_key;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::{StreamsConfig, Topology};
use streams_test::{EmbeddedCluster, Simulation};

const PARTITIONS: i32 = 2;
const KEYS: usize = 5;

/// Tells the value before, which its store has, and the value now.
struct Versions(KeyValueHandle<String, String>);

impl Processor for Versions {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        value: String,
        cx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        let before = cx.store(&self.0).get(&key)?.cloned().unwrap_or("none".to_owned());
        cx.store(&self.0).put(&key, value.clone())?;
        cx.forward(key, format!("{before}, then {value}"))
    }
}

fn simulation(exactly_once: bool, seed: u64) -> (Simulation, Arc<Mutex<Vec<StreamsEvent>>>) {
    common::show_logs();
    let mut builder = Topology::builder();
    let source = builder.add_source::<String, String>("source", "in");
    let store = Stores::key_value::<String, String>("versions").source_topic_changelog("in");
    let versions = builder.add_processor("versions", &[&source], store, |s, _| Versions(s));
    builder.add_sink("out", &[&versions], "out");
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = events.clone();
    let config = StreamsConfig::new("app", "embedded")
        .set("session.timeout.ms", 6_000)
        .set("heartbeat.interval.ms", 1_000)
        .set("state.flush.interval.ms", 300)
        .on_event(move |event| told.lock().unwrap().push(event.clone()));
    let config = config.set("deserialization.exception.handler", "skip");
    let config = match exactly_once {
        true => config.exactly_once(),
        false => config.set("commit.interval.ms", 100),
    };
    let simulation = Simulation::new(builder.build().unwrap(), config, seed);
    simulation.cluster().create_topic("in", PARTITIONS).unwrap();
    simulation.cluster().create_topic("out", PARTITIONS).unwrap();
    (simulation, events)
}

fn key(n: usize) -> String {
    format!("key-{}", n % KEYS)
}

/// Each key has the values 1, 2, 3 and so on.
fn write(cluster: &EmbeddedCluster, range: std::ops::Range<usize>) {
    for n in range {
        let key = key(n);
        let record = MemoryRecord {
            timestamp: n as i64,
            key: Some(key.as_bytes().into()),
            value: Some((n / KEYS + 1).to_string().into_bytes().into()),
            ..MemoryRecord::default()
        };
        let partition = partition_for_key(key.as_bytes(), PARTITIONS);
        cluster.append("in", partition, record).unwrap();
    }
}

fn is_drained(cluster: &EmbeddedCluster) -> bool {
    (0..PARTITIONS).all(|partition| {
        let end = cluster.end_offset("in", partition, Isolation::ReadUncommitted).unwrap();
        let committed = cluster.committed("app", "in", partition);
        end == 0 || committed.is_some_and(|committed| committed.offset == end)
    })
}

fn output(cluster: &EmbeddedCluster) -> BTreeMap<String, Vec<String>> {
    let mut output = BTreeMap::<_, Vec<_>>::new();
    for partition in 0..PARTITIONS {
        for (_, record) in cluster.read("out", partition, 0, Isolation::ReadCommitted) {
            let text = |bytes: Box<[u8]>| String::from_utf8(bytes.into_vec()).unwrap();
            let key = text(record.key.clone().unwrap());
            output.entry(key).or_default().push(text(record.value.clone().unwrap()));
        }
    }
    output
}

fn version(n: usize) -> String {
    let before = if n == 1 { "none".to_owned() } else { (n - 1).to_string() };
    format!("{before}, then {n}")
}

/// Killed after `steps`, the disk kept or lost, while more is written; then again.
fn disturbed_run(exactly_once: bool, seed: u64) {
    let what = format!("exactly-once {exactly_once}, seed {seed}");
    let (mut simulation, _) = simulation(exactly_once, seed);
    let instance = simulation.start_instance();
    let mut written = 0;
    for round in 0..6 {
        write(simulation.cluster(), written..written + 50);
        written += 50;
        for _ in 0..(seed * 7 + round * 31) % 240 {
            simulation.step();
        }
        if round % 2 == 0 {
            simulation.flush_disk(instance);
        }
        simulation.kill(instance);
        write(simulation.cluster(), written..written + 50);
        written += 50;
        if (seed + round).is_multiple_of(3) {
            simulation.wipe_disk(instance);
        }
        simulation.run_for(Duration::from_secs(1));
        simulation.restart(instance);
    }
    simulation.run_until("the input is processed", is_drained);
    simulation.run_for(Duration::from_secs(10));
    let versions = written / KEYS;
    for (key, told) in output(simulation.cluster()) {
        if exactly_once {
            let exact: Vec<_> = (1..=versions).map(version).collect();
            assert_eq!(told, exact, "{what}: {key}");
        } else {
            // What was not committed is processed again, on the state that was.
            let first = |n: usize| told.iter().position(|told| *told == version(n));
            assert!((1..=versions).all(|n| first(n).is_some()), "{what}: {key} {told:?}");
            assert!((2..=versions).all(|n| first(n) > first(n - 1)), "{what}: {key}");
            let known: Vec<_> = (1..=versions).map(version).collect();
            assert!(told.iter().all(|told| known.contains(told)), "{what}: {key} {told:?}");
        }
    }
}

#[test]
fn exactly_once_each_version_follows_the_one_before() {
    (0..60).for_each(|seed| disturbed_run(true, seed));
}

#[test]
fn at_least_once_each_version_follows_the_one_before() {
    (0..60).for_each(|seed| disturbed_run(false, seed));
}

#[test]
fn only_the_tail_is_replayed_and_nothing_is_rebuilt() {
    let (mut simulation, events) = simulation(true, 1);
    let instance = simulation.start_instance();
    write(simulation.cluster(), 0..100);
    simulation.run_until("the input is processed", is_drained);
    simulation.run_for(Duration::from_secs(2));
    let applied = |simulation: &Simulation| {
        let of = |partition| simulation.applied_offset(instance, (0, partition), "versions");
        of(0).unwrap_or(0) + of(1).unwrap_or(0)
    };
    assert_eq!(applied(&simulation), 100, "the store knows how far it goes in the input");
    simulation.flush_disk(instance);
    simulation.kill(instance);
    write(simulation.cluster(), 100..150);
    simulation.restart(instance);
    simulation.run_until("the input is processed", is_drained);
    assert!(events.lock().unwrap().is_empty(), "{:?}", events.lock().unwrap());
}

/// What is skipped where it is processed must not come into the store by way of a restore.
#[test]
fn a_record_that_cannot_be_read_is_not_restored() {
    let (mut simulation, _) = simulation(true, 2);
    let instance = simulation.start_instance();
    write(simulation.cluster(), 0..KEYS);
    for n in 0..KEYS {
        let garbage = |key: &[u8], value: &[u8]| MemoryRecord {
            timestamp: 1_000,
            key: Some(key.into()),
            value: Some(value.into()),
            ..MemoryRecord::default()
        };
        let partition = partition_for_key(key(n).as_bytes(), PARTITIONS);
        let records = [garbage(key(n).as_bytes(), b"\xff"), garbage(b"\xff", b"key")];
        for record in records {
            simulation.cluster().append("in", partition, record).unwrap();
        }
    }
    simulation.run_until("the input is processed", is_drained);
    simulation.kill(instance);
    simulation.wipe_disk(instance);
    simulation.restart(instance);
    write(simulation.cluster(), KEYS..2 * KEYS);
    simulation.run_until("the input is processed", is_drained);
    simulation.run_for(Duration::from_secs(2));
    let expected = (0..KEYS).map(|n| (key(n), vec![version(1), version(2)]));
    assert_eq!(output(simulation.cluster()), expected.collect());
}
