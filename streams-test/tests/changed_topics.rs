//! While an application is down its topics may change under it: local state may speak of another
//! changelog, positions of records that are no more.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use streams_core::client::{ClientSupplier, NewTopic, OffsetToCommit, TopicPartition, Wake};
use streams_core::config::State;
use streams_core::error::BoxError;
use streams_core::partitioning::partition_for_key;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::{StreamsConfig, Topology};
use streams_test::{EmbeddedCluster, InstanceId, Simulation};

use common::{
    CHANGELOG, INPUT, OUTPUT, PARTITIONS, WORDS, Written, append, end, is_drained, table, topology,
};

fn config() -> StreamsConfig {
    StreamsConfig::new("app", "embedded")
        .commit_interval(Duration::from_millis(100))
        .set("session.timeout.ms", 6_000)
        .set("heartbeat.interval.ms", 1_000)
        .set("state.flush.interval.ms", 500)
}

/// One instance that has processed each word `rounds` times.
fn running(config: StreamsConfig, rounds: u64) -> (Simulation, InstanceId, Written) {
    let mut simulation = Simulation::new(topology(), config, 1);
    simulation.cluster().create_topic(INPUT, PARTITIONS).unwrap();
    simulation.cluster().create_topic(OUTPUT, PARTITIONS).unwrap();
    let first = simulation.start_instance();
    let mut written = Written::default();
    write_rounds(&simulation, &mut written, rounds);
    simulation.run_until("the input is processed", is_drained);
    (simulation, first, written)
}

fn write_rounds(simulation: &Simulation, written: &mut Written, rounds: u64) {
    for _ in 0..rounds {
        (0..WORDS).for_each(|word| written.write(simulation.cluster(), word));
    }
}

/// Killed, with everything so far in its engine and on its disk.
fn kill_with_disk(simulation: &mut Simulation, instance: InstanceId) {
    simulation.run_for(Duration::from_secs(5));
    simulation.flush_disk(instance);
    simulation.kill(instance);
}

fn recreate(cluster: &EmbeddedCluster, topic: &str) {
    let configs = cluster.topic_configs(topic).unwrap();
    cluster.delete_topic(topic).unwrap();
    let name = topic.into();
    let topic = NewTopic { name, partitions: PARTITIONS, replication_factor: -1, configs };
    cluster.create_topic_with(topic).unwrap();
}

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

/// Deletes the records of a partition below `offset`.
fn truncate(cluster: &EmbeddedCluster, topic: &str, partition: i32, offset: i64) {
    let mut admin = cluster.admin(std::sync::Arc::new(Nobody)).unwrap();
    let before = vec![(TopicPartition::new(topic, partition), offset)];
    let answer = admin.delete_records(before).try_take().unwrap().unwrap();
    answer.into_iter().for_each(|deleted| deleted.unwrap());
}

/// I10: state is what its changelog says. One that is new and empty says that there is none.
#[test]
fn state_is_rebuilt_when_its_changelog_was_recreated() {
    let (mut simulation, first, mut written) = running(config(), 10);
    kill_with_disk(&mut simulation, first);
    recreate(simulation.cluster(), CHANGELOG);
    let known = written.numbers.clone();
    simulation.restart(first);
    write_rounds(&simulation, &mut written, 1);
    simulation.run_until("the input is processed", is_drained);
    let changelog = table(simulation.cluster(), CHANGELOG);
    for (key, (count, seen)) in &changelog {
        let new: BTreeSet<u64> = written.numbers[key].difference(&known[key]).copied().collect();
        assert_eq!((*count, seen), (1, &new), "{key}: of the old changelog");
    }
    assert_eq!(changelog.len() as u64, WORDS);
}

/// The same where the new changelog is longer than the old one was: only its id tells.
#[test]
fn state_is_rebuilt_when_its_changelog_was_recreated_and_filled() {
    let (mut simulation, first, mut written) = running(config(), 10);
    kill_with_disk(&mut simulation, first);
    recreate(simulation.cluster(), CHANGELOG);
    for _ in 0..100 {
        for word in 0..WORDS {
            append(simulation.cluster(), CHANGELOG, &format!("word-{word}"), "500:7000");
        }
    }
    simulation.restart(first);
    write_rounds(&simulation, &mut written, 1);
    simulation.run_until("the input is processed", is_drained);
    for (key, (count, seen)) in table(simulation.cluster(), CHANGELOG) {
        assert_eq!((count, seen.len()), (501, 2), "{key}: {seen:?}");
    }
}

/// What was only at the start of the new changelog is not in local state, whatever its offset.
#[test]
fn keys_from_before_the_local_offset_come_from_the_new_changelog() {
    let (mut simulation, first, mut written) = running(config(), 10);
    kill_with_disk(&mut simulation, first);
    let ends: Vec<_> =
        (0..PARTITIONS).map(|partition| end(simulation.cluster(), CHANGELOG, partition)).collect();
    recreate(simulation.cluster(), CHANGELOG);
    for word in 0..WORDS {
        append(simulation.cluster(), CHANGELOG, &format!("word-{word}"), "500:7000");
    }
    for (partition, old_end) in (0..PARTITIONS).zip(ends) {
        for other in 0.. {
            if end(simulation.cluster(), CHANGELOG, partition) > old_end {
                break;
            }
            let key = format!("other-{other}");
            if partition_for_key(key.as_bytes(), PARTITIONS) == partition {
                append(simulation.cluster(), CHANGELOG, &key, "1:7001");
            }
        }
    }
    simulation.restart(first);
    write_rounds(&simulation, &mut written, 1);
    simulation.run_until("the input is processed", is_drained);
    let changelog = table(simulation.cluster(), CHANGELOG);
    for key in written.numbers.keys() {
        assert_eq!(changelog[key].0, 501, "{key}: {:?}", changelog[key]);
    }
}

/// Local state that ends before the changelog begins lacks what is between.
#[test]
fn state_is_rebuilt_when_its_changelog_begins_after_it() {
    let mut simulation = Simulation::new(topology(), config(), 1);
    for topic in [INPUT, OUTPUT] {
        simulation.cluster().create_topic(topic, PARTITIONS).unwrap();
    }
    let configs = [("cleanup.policy".to_owned(), "compact,delete".to_owned())].into();
    let name = CHANGELOG.into();
    let topic = NewTopic { name, partitions: PARTITIONS, replication_factor: -1, configs };
    simulation.cluster().create_topic_with(topic).unwrap();
    let first = simulation.start_instance();
    let mut written = Written::default();
    write_rounds(&simulation, &mut written, 3);
    simulation.run_until("the input is processed", is_drained);
    kill_with_disk(&mut simulation, first);

    let second = simulation.start_instance();
    write_rounds(&simulation, &mut written, 3);
    simulation.run_until("the other one goes on", is_drained);
    let starts: Vec<_> =
        (0..PARTITIONS).map(|partition| end(simulation.cluster(), CHANGELOG, partition)).collect();
    write_rounds(&simulation, &mut written, 1);
    simulation.run_until("each key was written once more", is_drained);
    simulation.kill(second);
    for (partition, start) in (0..PARTITIONS).zip(starts) {
        truncate(simulation.cluster(), CHANGELOG, partition, start);
    }
    simulation.restart(first);
    write_rounds(&simulation, &mut written, 1);
    simulation.run_until("the first one goes on", is_drained);
    for (key, (count, seen)) in table(simulation.cluster(), CHANGELOG) {
        assert_eq!(seen, written.numbers[&key], "{key}");
        assert_eq!(count, 8, "{key}");
    }
}

/// Keeps the last value of each key; an empty value deletes it. Forwards what it finds.
struct Keep(KeyValueHandle<String, String>);

impl Processor for Keep {
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
        let mut store = cx.store(&self.0);
        let known = store.get(&key)?.cloned();
        match value.as_str() {
            "" => drop(store.delete(&key)?),
            "?" => {}
            _ => store.put(&key, value)?,
        }
        cx.forward(key, known.unwrap_or_else(|| "nothing".to_owned()))
    }
}

/// I10, KIP-1259: deletions that an old local state has missed may be compacted away.
#[test]
fn local_state_of_yesterday_does_not_raise_the_dead() {
    let mut builder = Topology::builder();
    let words = builder.add_source::<String, String>("words", INPUT);
    let stores = Stores::key_value::<String, String>("kept");
    let keep = builder.add_processor("keep", &[&words], stores, |kept, _| Keep(kept));
    builder.add_sink("out", &[&keep], OUTPUT);
    let mut simulation = Simulation::new(builder.build().unwrap(), config(), 1);
    for topic in [INPUT, OUTPUT] {
        simulation.cluster().create_topic(topic, PARTITIONS).unwrap();
    }
    let last = |simulation: &mut Simulation, value: &str| {
        append(simulation.cluster(), INPUT, "key", value);
        simulation.run_until("the input is processed", is_drained);
        let partition = partition_for_key(b"key", PARTITIONS);
        let isolation = streams_core::client::Isolation::ReadCommitted;
        let (_, record) = simulation.cluster().read(OUTPUT, partition, 0, isolation).pop().unwrap();
        String::from_utf8(record.value.clone().unwrap().into_vec()).unwrap()
    };
    let first = simulation.start_instance();
    last(&mut simulation, "alive");
    kill_with_disk(&mut simulation, first);
    let second = simulation.start_instance();
    assert_eq!(last(&mut simulation, ""), "alive");
    append(simulation.cluster(), INPUT, "other", "value");
    simulation.run_until("the input is processed", is_drained);
    simulation.kill(second);
    simulation.run_for(Duration::from_secs(25 * 3600));
    simulation.cluster().compact("app-kept-changelog", true).unwrap();
    simulation.restart(first);
    assert_eq!(last(&mut simulation, "?"), "nothing");
}

/// The log has lost its start, and with it records that were not processed: the rest is.
#[test]
fn a_position_before_the_log_goes_on_at_its_start() {
    let (mut simulation, first, mut written) = running(config(), 5);
    simulation.kill(first);
    let known = written.numbers.clone();
    write_rounds(&simulation, &mut written, 5);
    let starts: Vec<_> =
        (0..PARTITIONS).map(|partition| end(simulation.cluster(), INPUT, partition)).collect();
    let lost = written.numbers.clone();
    write_rounds(&simulation, &mut written, 5);
    for (partition, start) in (0..PARTITIONS).zip(starts) {
        truncate(simulation.cluster(), INPUT, partition, start);
    }
    simulation.restart(first);
    simulation.run_until("the input is processed", is_drained);
    for (key, (count, seen)) in table(simulation.cluster(), OUTPUT) {
        let lost: BTreeSet<u64> = lost[&key].difference(&known[&key]).copied().collect();
        let left: BTreeSet<u64> = written.numbers[&key].difference(&lost).copied().collect();
        assert_eq!((count, seen), (10, left), "{key}");
    }
}

/// The log has lost its end, or was recreated: by `earliest` everything is processed again.
#[test]
fn a_position_past_the_log_goes_on_at_its_start_by_earliest() {
    let (mut simulation, first, mut written) = running(config(), 5);
    simulation.kill(first);
    commit_past_the_end(simulation.cluster());
    simulation.restart(first);
    write_rounds(&simulation, &mut written, 1);
    simulation.run_until("the input is processed", is_drained);
    for (key, (count, seen)) in table(simulation.cluster(), OUTPUT) {
        assert_eq!((count, &seen), (11, &written.numbers[&key]), "{key}");
    }
}

/// By `latest` the application goes on at the end that it found. It remembers that: what comes
/// after is not skipped, even if it dies before it has processed anything.
#[test]
fn a_position_by_latest_is_kept() {
    let latest = config().set("auto.offset.reset", "latest");
    let (mut simulation, first, mut written) = running(latest, 0);
    // The group has never committed anything; now it has an end to go on from.
    simulation.run_for(Duration::from_secs(10));
    kill_with_disk(&mut simulation, first);
    write_rounds(&simulation, &mut written, 3);
    simulation.restart(first);
    simulation.run_until("what came meanwhile is processed", |cluster| {
        table(cluster, OUTPUT).values().map(|(count, _)| count).sum::<u64>() == 3 * WORDS
    });
    simulation.run_until("and committed", is_drained);

    simulation.kill(first);
    commit_past_the_end(simulation.cluster());
    simulation.restart(first);
    simulation.run_for(Duration::from_secs(10));
    simulation.kill(first);
    write_rounds(&simulation, &mut written, 2);
    simulation.restart(first);
    simulation.run_until("the input is processed", is_drained);
    for (key, (count, seen)) in table(simulation.cluster(), OUTPUT) {
        assert_eq!((count, &seen), (5, &written.numbers[&key]), "{key}");
    }
}

/// By `none` only a person can decide.
#[test]
fn a_position_out_of_range_is_an_error_by_none() {
    let mut none = Simulation::new(topology(), config().set("auto.offset.reset", "none"), 1);
    for topic in [INPUT, OUTPUT] {
        none.cluster().create_topic(topic, PARTITIONS).unwrap();
    }
    commit_past_the_end(none.cluster());
    let first = none.start_instance();
    let failure = (0..100_000).find_map(|_| {
        none.step();
        none.take_failure(first)
    });
    let message = failure.expect("it fails").to_string();
    assert!(message.contains("reset policy is `none`"), "{message}");
    assert_ne!(none.state(first), Some(State::Running));
}

fn commit_past_the_end(cluster: &EmbeddedCluster) {
    for partition in 0..PARTITIONS {
        let offset = end(cluster, INPUT, partition) + 1_000;
        let partition = TopicPartition::new(INPUT, partition);
        let metadata = String::new();
        cluster.commit("app", OffsetToCommit { partition, offset, leader_epoch: -1, metadata });
    }
}
