//! Reading and writing: markers, gaps, isolation, wake-ups, topics that go and come.

use streams_core::client::{
    ANY_PARTITION, ClientErrorKind, ClientSupplier, CommitOutcome, FetchedBatch, Isolation,
    NewTopic, OffsetSpec, Producer, ProducerRecord, Tag, TopicPartition,
};

use super::support::*;
use crate::embedded::EmbeddedCluster;

const COMMITTED: Isolation = Isolation::ReadCommitted;
const ALL: Isolation = Isolation::ReadUncommitted;

fn ends_at(cluster: &EmbeddedCluster, isolation: Isolation) -> (Vec<String>, FetchedBatch) {
    let mut fetcher = fetcher(cluster, isolation);
    let slot = fetcher.assign(&TopicPartition::new("t", 0), 0).unwrap();
    fetch_all(&mut *fetcher, slot)
}

fn commit(cluster: &EmbeddedCluster, producer: &mut dyn Producer) {
    let member = sole_member(cluster, "g");
    let outcome = done(producer.commit(&[offset("t", 0, 0)], &member)).unwrap();
    assert_eq!(outcome, CommitOutcome::Committed);
}

#[test]
fn the_position_moves_over_a_commit_marker_at_the_end() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 1).unwrap();
    let mut producer = transactional(&cluster, "x");
    producer.begin().unwrap();
    send(&mut *producer, "t", 0, "a");
    let (values, batch) = ends_at(&cluster, COMMITTED);
    assert_eq!((values.len(), batch.next_position, batch.end_offset), (0, 0, Some(0)));
    commit(&cluster, &mut *producer);
    for isolation in [ALL, COMMITTED] {
        let (values, batch) = ends_at(&cluster, isolation);
        assert_eq!((values, batch.next_position), (vec!["a".to_owned()], 2));
        assert!(batch.at_end());
    }
}

#[test]
fn the_position_moves_over_aborted_records_and_their_marker() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 1).unwrap();
    cluster.append("t", 0, record("k", Some("before"))).unwrap();
    let mut producer = transactional(&cluster, "x");
    producer.begin().unwrap();
    send(&mut *producer, "t", 0, "aborted");
    done(producer.abort()).unwrap();
    let (values, batch) = ends_at(&cluster, COMMITTED);
    assert_eq!((values, batch.next_position), (vec!["before".to_owned()], 3));
    assert!(batch.at_end());
    let (values, batch) = ends_at(&cluster, ALL);
    assert_eq!((values.len(), batch.next_position), (2, 3));
}

#[test]
fn the_position_moves_over_a_compacted_gap_at_the_end() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 1).unwrap();
    for value in [Some("old"), Some("new"), None] {
        cluster.append("t", 0, record("k", value)).unwrap();
    }
    cluster.append("t", 0, record("other", Some("x"))).unwrap();
    cluster.append("t", 0, record("other", None)).unwrap();
    cluster.compact("t", false).unwrap();
    assert_eq!(cluster.read("t", 0, 0, ALL).iter().map(|r| r.0).collect::<Vec<_>>(), [2, 4]);
    cluster.compact("t", true).unwrap();
    let (values, batch) = ends_at(&cluster, COMMITTED);
    assert_eq!((values.len(), batch.next_position), (0, 5));
    assert!(batch.at_end());
    assert_eq!(cluster.append("t", 0, record("k", Some("again"))).unwrap(), 5);
}

#[test]
fn an_open_transaction_hides_what_comes_after_it() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 1).unwrap();
    let mut producer = transactional(&cluster, "x");
    producer.begin().unwrap();
    send(&mut *producer, "t", 0, "a");
    cluster.append("t", 0, record("k", Some("plain"))).unwrap();
    let mut reader = fetcher(&cluster, COMMITTED);
    let slot = reader.assign(&TopicPartition::new("t", 0), 0).unwrap();
    assert_eq!(fetch_all(&mut *reader, slot).1.next_position, 0);
    assert_eq!(cluster.end_offset("t", 0, COMMITTED).unwrap(), 0);
    assert_eq!(cluster.end_offset("t", 0, ALL).unwrap(), 2);
    commit(&cluster, &mut *producer);
    assert_eq!(fetch_all(&mut *reader, slot).0, ["a", "plain"]);
}

#[test]
fn a_reader_at_the_end_is_woken_when_its_end_moves() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 2).unwrap();
    let (woken, wake) = wakes();
    let mut reader = cluster.fetcher(options(COMMITTED), wake).unwrap();
    let slots = [0, 1].map(|p| reader.assign(&TopicPartition::new("t", p), 0).unwrap());
    let mut ready = Vec::new();
    reader.ready(&mut ready);
    assert_eq!(ready, slots);
    for slot in slots {
        fetch_all(&mut *reader, slot);
    }
    ready.clear();
    reader.ready(&mut ready);
    assert_eq!(ready, []);

    let before = woken.count();
    let mut producer = transactional(&cluster, "x");
    producer.begin().unwrap();
    send(&mut *producer, "t", 1, "a");
    assert_eq!(woken.count(), before, "nothing to be seen yet");
    commit(&cluster, &mut *producer);
    assert_eq!(woken.count(), before + 1);
    reader.ready(&mut ready);
    assert_eq!(ready, [slots[1]]);
    cluster.append("t", 1, record("k", None)).unwrap();
    assert_eq!(woken.count(), before + 1, "it was told already");

    // Read in part, it stays ready; nobody wakes it again.
    let mut batch = FetchedBatch::default();
    reader.fetch(slots[1], 1, &mut batch).unwrap();
    assert_eq!((batch.records.len(), batch.next_position, batch.at_end()), (1, 2, false));
    ready.clear();
    reader.ready(&mut ready);
    assert_eq!(ready, [slots[1]]);
}

#[test]
fn an_unassigned_slot_is_used_again_and_no_longer_woken() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 2).unwrap();
    let mut reader = fetcher(&cluster, ALL);
    let first = reader.assign(&TopicPartition::new("t", 0), 0).unwrap();
    assert!(reader.assign(&TopicPartition::new("t", 0), 0).is_err());
    reader.unassign(first);
    assert!(reader.fetch(first, 1, &mut FetchedBatch::default()).is_err());
    let second = reader.assign(&TopicPartition::new("t", 1), 0).unwrap();
    assert_eq!(first, second);
    fetch_all(&mut *reader, second);
    cluster.append("t", 0, record("k", None)).unwrap();
    let mut ready = Vec::new();
    reader.ready(&mut ready);
    assert_eq!(ready, []);
}

#[test]
fn positions_outside_of_the_log_are_out_of_range() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 1).unwrap();
    for _ in 0..3 {
        cluster.append("t", 0, record("k", Some("v"))).unwrap();
    }
    let name = TopicPartition::new("t", 0);
    let mut admin = admin(&cluster);
    done(admin.delete_records(vec![(name.clone(), 2)])).unwrap().remove(0).unwrap();
    let mut reader = fetcher(&cluster, ALL);
    let slot = reader.assign(&name, 0).unwrap();
    for position in [0, 1, 4, -1] {
        reader.seek(slot, position).unwrap();
        let error = reader.fetch(slot, 9, &mut FetchedBatch::default()).unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::OffsetOutOfRange, "{position}");
    }
    let earliest = done(admin.list_offsets(vec![(name, OffsetSpec::Earliest)], ALL)).unwrap();
    assert_eq!(earliest, [Ok(2)]);
    reader.seek(slot, 2).unwrap();
    assert_eq!(fetch_all(&mut *reader, slot).0.len(), 1);
}

#[test]
fn a_topic_made_again_has_another_id_and_a_new_log() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 1).unwrap();
    let old_id = cluster.topics()[0].id;
    let mut producer = plain(&cluster);
    send(&mut *producer, "t", 0, "a");
    send(&mut *producer, "t", 0, "b");
    let mut reader = fetcher(&cluster, ALL);
    let slot = reader.assign(&TopicPartition::new("t", 0), 2).unwrap();
    fetch_all(&mut *reader, slot);
    cluster.delete_topic("t").unwrap();
    let mut ready = Vec::new();
    reader.ready(&mut ready);
    assert_eq!(ready, [slot], "a reader learns of the deletion");
    let error = reader.fetch(slot, 9, &mut FetchedBatch::default()).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::UnknownTopic);
    send(&mut *producer, "t", 0, "lost");
    assert_eq!(producer.failure().unwrap().error.kind, ClientErrorKind::UnknownTopic);

    cluster.create_topic("t", 1).unwrap();
    assert_ne!(cluster.topics()[0].id, old_id);
    send(&mut *producer, "t", 0, "c");
    assert_eq!(producer.failure().map(|f| f.error), None);
    let error = reader.fetch(slot, 9, &mut FetchedBatch::default()).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::OffsetOutOfRange);
    reader.seek(slot, 0).unwrap();
    assert_eq!(fetch_all(&mut *reader, slot).0, ["c"]);
}

#[test]
fn a_topic_that_grows_keeps_its_records_and_its_id() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 1).unwrap();
    let id = cluster.topics()[0].id;
    let mut producer = plain(&cluster);
    send(&mut *producer, "t", 0, "a");
    send(&mut *producer, "t", 1, "lost");
    assert!(producer.failure().is_some());
    cluster.grow_topic("t", 2).unwrap();
    send(&mut *producer, "t", 1, "b");
    let slot = producer.topic(&"t".into()).unwrap();
    assert_eq!(producer.partitions(slot).unwrap(), 2);
    assert_eq!(cluster.read("t", 0, 0, ALL).len() + cluster.read("t", 1, 0, ALL).len(), 2);
    assert_eq!(cluster.topics()[0].id, id);
    assert!(cluster.grow_topic("t", 1).is_err());
}

#[test]
fn topics_are_made_only_as_a_broker_would() {
    let (cluster, _) = cluster();
    let topic = |name: &str, partitions: i32, configs: &[(&str, &str)]| NewTopic {
        name: name.into(),
        partitions,
        replication_factor: -1,
        configs: configs.iter().map(|&(k, v)| (k.into(), v.into())).collect(),
    };
    let mut admin = admin(&cluster);
    let wanted = vec![
        topic("good", 1, &[]),
        topic("good", 2, &[]),
        topic("none", 0, &[]),
        topic("bad name", 1, &[]),
        topic("bad-policy", 1, &[("cleanup.policy", "forget")]),
    ];
    let kinds: Vec<_> = done(admin.create_topics(wanted))
        .unwrap()
        .into_iter()
        .map(|answer| answer.map_err(|error| error.kind))
        .collect();
    let invalid = Err(ClientErrorKind::Invalid);
    assert_eq!(kinds, [Ok(()), Err(ClientErrorKind::TopicExists), invalid, invalid, invalid]);
    let described = done(admin.describe_topics(vec!["good".into(), "none".into()])).unwrap();
    assert_eq!(described[0].as_ref().unwrap().partitions, 1);
    assert_eq!(described[1].as_ref().unwrap_err().kind, ClientErrorKind::UnknownTopic);
}

#[test]
fn a_topic_refuses_what_its_configuration_forbids() {
    let (cluster, _) = cluster();
    let configs = [("cleanup.policy", "compact"), ("max.message.bytes", "5")];
    cluster
        .create_topic_with(NewTopic {
            name: "t".into(),
            partitions: 1,
            replication_factor: 1,
            configs: configs.iter().map(|&(k, v)| (k.into(), v.into())).collect(),
        })
        .unwrap();
    let mut producer = plain(&cluster);
    send(&mut *producer, "t", 0, "12345");
    let failure = producer.failure().unwrap();
    assert_eq!((failure.error.kind, failure.tag), (ClientErrorKind::RecordTooLarge, Tag(1)));
    let topic = producer.topic(&"t".into()).unwrap();
    let keyless = ProducerRecord {
        topic,
        partition: 0,
        timestamp: 1,
        key: None,
        value: None,
        headers: &Default::default(),
        tag: Tag::NONE,
    };
    producer.send(keyless).unwrap();
    assert_eq!(producer.failure().unwrap().error.kind, ClientErrorKind::Invalid);
    let deleted = done(admin(&cluster).delete_records(vec![(TopicPartition::new("t", 0), 0)]));
    assert_eq!(deleted.unwrap()[0].as_ref().unwrap_err().kind, ClientErrorKind::Invalid);
    send(&mut *producer, "t", 0, "1234");
    assert_eq!(producer.acknowledged(Tag(1)), Some(0));
}

#[test]
fn records_without_a_partition_stick_to_one_for_a_while() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 3).unwrap();
    let mut producer = plain(&cluster);
    let value = "x".repeat(4096);
    for _ in 0..16 {
        send(&mut *producer, "t", ANY_PARTITION, &value);
    }
    let counts = [0, 1, 2].map(|p| cluster.end_offset("t", p, ALL).unwrap());
    assert_eq!(counts, [8, 4, 4]);
}

#[test]
fn times_and_leader_epochs_are_found() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 1).unwrap();
    for timestamp in [10, 30, 20] {
        let record = streams_core::client::MemoryRecord { timestamp, ..record("k", None) };
        cluster.append("t", 0, record).unwrap();
    }
    let name = TopicPartition::new("t", 0);
    let at = |time| (name.clone(), OffsetSpec::AtTimestamp(time));
    let found =
        done(admin(&cluster).list_offsets(vec![at(0), at(11), at(30), at(31)], COMMITTED)).unwrap();
    assert_eq!(found, [Ok(0), Ok(1), Ok(1), Ok(3)]);

    assert_eq!(cluster.elect_leader("t", 0).unwrap(), 1);
    let mut reader = fetcher(&cluster, ALL);
    let slot = reader.assign(&name, 0).unwrap();
    assert_eq!(fetch_all(&mut *reader, slot).1.leader_epoch, 0);
    assert_eq!(fetch_all(&mut *reader, slot).1.leader_epoch, -1);
    cluster.append("t", 0, record("k", None)).unwrap();
    assert_eq!(fetch_all(&mut *reader, slot).1.leader_epoch, 1);
}
