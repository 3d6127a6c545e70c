//! Our own connections against a real Kafka, of the newest and of the oldest supported version.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "tests of real connections take real time")]

mod common;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::rdkafka::consumer::ConsumerGroupMetadata;
use ::rdkafka::producer::Producer;
use common::*;
use integration_tests::{Kafka, KafkaOptions};
use streams_core::client::*;

fn start(version: &str) -> Kafka {
    Kafka::start(&KafkaOptions { version: version.to_owned(), ..KafkaOptions::default() })
}

// Ended by the script when this process is gone.
static NEWEST: LazyLock<Kafka> = LazyLock::new(|| start("4.3"));
static OLDEST: LazyLock<Kafka> = LazyLock::new(|| start("3.9"));

macro_rules! against_both {
    ($($test:ident,)*) => {
        mod newest { $( #[test] fn $test() { super::$test(&super::NEWEST) } )* }
        mod oldest { $( #[test] fn $test() { super::$test(&super::OLDEST) } )* }
    };
}

against_both! {
    topics_are_made_and_described,
    what_is_wrong_with_a_topic_is_told_of_that_topic,
    positions_are_found_by_place_and_time,
    records_are_deleted_up_to_an_offset,
    open_transactions_hide_their_end_and_their_offsets,
    two_members_form_a_group_and_part,
    the_group_refuses_strangers_and_the_past,
    offsets_come_back_as_they_were_committed,
    kafkas_tools_show_members_and_offsets,
    a_dropped_handle_fails_its_calls,
}

fn topics_are_made_and_described(kafka: &Kafka) {
    let mut admin = clients_of(&kafka.bootstrap()).admin(wake());
    let (a, b) = (unique("made"), unique("made"));
    let mut with_config = new_topic(&b, 1);
    with_config.configs.insert("cleanup.policy".into(), "compact".into());
    let made = wait(admin.create_topics(vec![new_topic(&a, 3), with_config])).unwrap();
    assert_eq!(made, [Ok(()), Ok(())]);
    let described = until("topics are known", || {
        let all = wait(admin.describe_topics(vec![b.clone(), a.clone()])).unwrap();
        all.into_iter().collect::<Result<Vec<_>, _>>().ok()
    });
    assert_eq!(described[0].name, b);
    assert_eq!((described[0].partitions, described[1].partitions), (1, 3));
    assert!(!described[0].id.is_nil() && described[0].id != described[1].id);
    assert!(wait(admin.describe_topics(vec![])).unwrap().is_empty());
    let listed = wait(admin.list_topics()).unwrap();
    assert!(listed.contains(&a) && listed.contains(&b), "{listed:?}");
}

fn what_is_wrong_with_a_topic_is_told_of_that_topic(kafka: &Kafka) {
    let mut admin = clients_of(&kafka.bootstrap()).admin(wake());
    let there = make_topic(&mut *admin, 1);
    let new = unique("new");
    let mut bad_config = new_topic(&unique("bad"), 1);
    bad_config.configs.insert("no.such.config".into(), "1".into());
    let mut bad_factor = new_topic(&unique("bad"), 1);
    bad_factor.replication_factor = 7;
    let all = vec![new_topic(&there, 1), new_topic(&new, 1), bad_config, bad_factor];
    let made = wait(admin.create_topics(all)).unwrap();
    let kinds: Vec<_> = made.iter().map(|made| made.as_ref().map_err(|e| e.kind)).collect();
    assert_eq!(kinds[0], Err(ClientErrorKind::TopicExists));
    assert_eq!(kinds[1], Ok(&()));
    assert_eq!(kinds[2..], [Err(ClientErrorKind::Invalid), Err(ClientErrorKind::Invalid)]);
    let message = &made[2].as_ref().unwrap_err().message;
    assert!(message.contains("no.such.config") && message.contains("bad-"), "{message}");

    let missing = unique("missing");
    for _ in 0..2 {
        // Asking must not make it, though the broker makes topics by itself.
        let described =
            wait(admin.describe_topics(vec![there.clone(), missing.clone(), there.clone()]))
                .unwrap();
        assert_eq!(described[0].as_ref().unwrap().name, there);
        assert_eq!(described[2], described[0]);
        let error = described[1].as_ref().unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::UnknownTopic);
        assert!(error.message.contains(&*missing), "{}", error.message);
    }
    let positions = vec![(TopicPartition::new(missing, 0), OffsetSpec::Latest)];
    let error = one(admin.list_offsets(positions, Isolation::default())).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::UnknownTopic);
    let positions = vec![(TopicPartition::new(there, 5), OffsetSpec::Latest)];
    let error = one(admin.list_offsets(positions, Isolation::default())).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::UnknownTopic);
}

fn positions_are_found_by_place_and_time(kafka: &Kafka) {
    let mut admin = clients_of(&kafka.bootstrap()).admin(wake());
    let topic = make_topic(&mut *admin, 2);
    let start = 1_700_000_000_000;
    let times: Vec<i64> = (0..10).map(|i| start + i * 1000).collect();
    produce(&producer(&kafka.bootstrap(), None), &topic, 0, &times);
    let (p0, p1) = (TopicPartition::new(topic.clone(), 0), TopicPartition::new(topic, 1));
    let asked = vec![
        (p0.clone(), OffsetSpec::Latest),
        (p1.clone(), OffsetSpec::AtTimestamp(start)),
        (p0.clone(), OffsetSpec::Earliest),
        (p1, OffsetSpec::Latest),
    ];
    let found = wait(admin.list_offsets(asked, Isolation::ReadCommitted)).unwrap();
    assert_eq!(found, [Ok(10), Ok(0), Ok(0), Ok(0)]);
    for (time, offset) in [(i64::MIN, 0), (start, 0), (start + 4500, 5), (start + 99_000, 10)] {
        let asked = vec![(p0.clone(), OffsetSpec::AtTimestamp(time))];
        assert_eq!(one(admin.list_offsets(asked, Isolation::default())), Ok(offset), "{time}");
    }
}

fn records_are_deleted_up_to_an_offset(kafka: &Kafka) {
    let mut admin = clients_of(&kafka.bootstrap()).admin(wake());
    let topic = make_topic(&mut *admin, 1);
    produce(&producer(&kafka.bootstrap(), None), &topic, 0, &[1, 2, 3, 4, 5]);
    let partition = TopicPartition::new(topic, 0);
    one(admin.delete_records(vec![(partition.clone(), 3)])).unwrap();
    let asked = vec![(partition.clone(), OffsetSpec::Earliest)];
    assert_eq!(one(admin.list_offsets(asked, Isolation::default())), Ok(3));
    let error = one(admin.delete_records(vec![(partition.clone(), 99)])).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::OffsetOutOfRange);
    assert!(error.message.contains(&partition.to_string()), "{}", error.message);
}

fn open_transactions_hide_their_end_and_their_offsets(kafka: &Kafka) {
    let clients = clients_of(&kafka.bootstrap());
    let mut admin = clients.admin(wake());
    let topic = make_topic(&mut *admin, 1);
    let partition = TopicPartition::new(topic.clone(), 0);
    let group = unique("stable");
    let mut member = Member::new(&clients, &group);
    member.settle_alone(std::slice::from_ref(&topic), &partition);
    member.commit(&partition, 1).unwrap();

    let producer = producer(&kafka.bootstrap(), Some(&unique("transactional")));
    let timeout = Duration::from_secs(30);
    producer.init_transactions(timeout).unwrap();
    producer.begin_transaction().unwrap();
    produce(&producer, &topic, 0, &[1, 2]);
    send_offsets(&producer, &member, &partition, 5);

    let mut fetch = |stable| {
        let fetched = one(admin.committed_offsets(&group, vec![partition.clone()], stable));
        fetched.map(|committed| committed.unwrap().offset).map_err(|error| error.kind)
    };
    assert_eq!(fetch(false), Ok(1));
    assert_eq!(fetch(true), Err(ClientErrorKind::Group(GroupError::UnstableOffset)));
    let end = |isolation| {
        let asked = vec![(partition.clone(), OffsetSpec::Latest)];
        one(clients.admin(wake()).list_offsets(asked, isolation)).unwrap()
    };
    assert_eq!((end(Isolation::ReadCommitted), end(Isolation::ReadUncommitted)), (0, 2));
    producer.commit_transaction(timeout).unwrap();
    until("the offset is stable", || fetch(true).ok().filter(|offset| *offset == 5));
    // The marker takes an offset.
    until("the end is visible", || (end(Isolation::ReadCommitted) == 3).then_some(()));
}

fn send_offsets(
    producer: &::rdkafka::producer::BaseProducer,
    member: &Member,
    partition: &TopicPartition,
    offset: i64,
) {
    // rdkafka makes group metadata only from a consumer: one with the group's id is enough here.
    let consumer: ::rdkafka::consumer::BaseConsumer = ::rdkafka::ClientConfig::new()
        .set("bootstrap.servers", "127.0.0.1:1")
        .set("group.id", &*member.group)
        .create()
        .unwrap();
    let metadata: ConsumerGroupMetadata =
        ::rdkafka::consumer::Consumer::group_metadata(&consumer).unwrap();
    let mut offsets = ::rdkafka::TopicPartitionList::new();
    let offset = ::rdkafka::Offset::Offset(offset);
    offsets.add_partition_offset(&partition.topic, partition.partition, offset).unwrap();
    producer.send_offsets_to_transaction(&offsets, &metadata, Duration::from_secs(30)).unwrap();
}

fn two_members_form_a_group_and_part(kafka: &Kafka) {
    let clients = clients_of(&kafka.bootstrap());
    let mut admin = clients.admin(wake());
    let topics = [make_topic(&mut *admin, 2)];
    let (p0, p1) =
        (TopicPartition::new(topics[0].clone(), 0), TopicPartition::new(topics[0].clone(), 1));
    let group = unique("two");
    let (mut a, mut b) = (Member::new(&clients, &group), Member::new(&clients, &group));
    a.settle_alone(&topics, &p0);
    a.heartbeat().unwrap();

    b.learn_id(&topics);
    let b_joins = b.start_join(&topics);
    let error = until("the rebalance is told", || a.heartbeat().err());
    assert_eq!(error.kind, ClientErrorKind::Group(GroupError::RebalanceInProgress));
    // A commit still counts, while the join of the other one is held back.
    a.commit(&p0, 3).unwrap();
    let a_joins = a.start_join(&topics);
    let (a_joined, b_joined) = (a.joined(a_joins), b.joined(b_joins));
    assert_eq!(a.generation, b.generation);
    assert!(a_joined.is_leader() && !b_joined.is_leader());
    assert!(b_joined.members.is_empty());
    let mut ids: Vec<_> = a_joined.members.into_iter().map(|(id, _)| id).collect();
    ids.sort();
    let mut expected = [a.id.clone(), b.id.clone()];
    expected.sort();
    assert_eq!(ids, expected);

    let b_syncs = b.start_sync(vec![], &[]);
    let assignments = vec![(a.id.clone(), b"for a".to_vec()), (b.id.clone(), vec![])];
    let (a_id, b_id) = (a.id.clone(), b.id.clone());
    let a_syncs = a.start_sync(assignments, &[(&a_id, p0.clone()), (&b_id, p1.clone())]);
    assert_eq!(wait(a_syncs).unwrap(), b"for a");
    assert_eq!(wait(b_syncs).unwrap(), b"");
    a.heartbeat().unwrap();
    b.heartbeat().unwrap();
    b.commit(&p1, 4).unwrap();

    let (a_id, b_id) = (a.id.clone(), b.id.clone());
    wait(b.transport.leave(&b_id)).unwrap();
    until("the other one is told", || a.heartbeat().err());
    wait(a.transport.leave(&a_id)).unwrap();
    let committed = wait(admin.committed_offsets(&group, vec![p1, p0], true)).unwrap();
    let offsets: Vec<_> = committed.into_iter().map(|c| c.unwrap().unwrap().offset).collect();
    assert_eq!(offsets, [4, 3]);
}

fn the_group_refuses_strangers_and_the_past(kafka: &Kafka) {
    let clients = clients_of(&kafka.bootstrap());
    let topics = [make_topic(&mut *clients.admin(wake()), 1)];
    let partition = TopicPartition::new(topics[0].clone(), 0);
    let group = unique("refusals");
    let mut member = Member::new(&clients, &group);
    member.settle_alone(&topics, &partition);
    let kind = |result: Result<(), ClientError>| result.unwrap_err().kind;

    let (id, generation) = (member.id.clone(), member.generation);
    member.generation -= 1;
    let stale = ClientErrorKind::Group(GroupError::IllegalGeneration);
    assert_eq!(kind(member.heartbeat()), stale);
    assert_eq!(kind(member.commit(&partition, 1)), stale);
    let synced = member.start_sync(vec![], &[]);
    assert_eq!(wait(synced).unwrap_err().kind, stale);

    member.generation = generation;
    member.id = "nobody".to_owned();
    let unknown = ClientErrorKind::Group(GroupError::UnknownMember);
    assert_eq!(kind(member.heartbeat()), unknown);
    assert_eq!(kind(member.commit(&partition, 1)), unknown);
    let joined = member.start_join(&topics);
    assert_eq!(wait(joined).unwrap_err().kind, unknown);
    wait(member.transport.leave("nobody")).unwrap();

    member.id = id;
    member.heartbeat().unwrap();
    let topics_of_nobody = TopicPartition::new(unique("no-topic"), 0);
    let error = member.commit(&topics_of_nobody, 1).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::UnknownTopic, "one partition's error is its own");

    let mut stranger = Member::new(&clients, &group);
    let joined = stranger.transport.join(JoinRequest {
        member_id: String::new(),
        instance_id: None,
        session_timeout: Duration::from_millis(1),
        rebalance_timeout: Duration::from_secs(1),
        protocol: ("test-assignor".to_owned(), vec![]),
        topics: vec![],
    });
    let invalid = ClientErrorKind::Group(GroupError::InvalidSessionTimeout);
    assert_eq!(wait(joined).unwrap_err().kind, invalid);
    let joined = stranger.transport.join(JoinRequest {
        member_id: String::new(),
        instance_id: None,
        session_timeout: SESSION,
        rebalance_timeout: Duration::from_secs(1),
        protocol: ("another-assignor".to_owned(), vec![]),
        topics: vec![],
    });
    let mixed = ClientErrorKind::Group(GroupError::InconsistentProtocol);
    assert_eq!(wait(joined).unwrap_err().kind, mixed);
}

fn offsets_come_back_as_they_were_committed(kafka: &Kafka) {
    let clients = clients_of(&kafka.bootstrap());
    let mut admin = clients.admin(wake());
    let topic = make_topic(&mut *admin, 3);
    let partition = |index| TopicPartition::new(topic.clone(), index);
    let group = unique("committed");
    let nothing = wait(admin.committed_offsets(&group, vec![partition(0)], true)).unwrap();
    assert_eq!(nothing, [Ok(None)], "a group that does not exist committed nothing");

    let mut member = Member::new(&clients, &group);
    member.settle_alone(std::slice::from_ref(&topic), &partition(0));
    let commit = |index: i32, offset, metadata: &str| OffsetToCommit {
        partition: partition(index),
        offset,
        leader_epoch: index - 1,
        metadata: metadata.to_owned(),
    };
    // Many in a row, none waited for: the last one counts.
    let calls: Vec<_> = (0..50)
        .map(|i| {
            let offsets = vec![commit(0, i, ""), commit(2, 100 + i, "AgAAAAAAAAAB")];
            member.transport.commit_offsets(member.metadata(), offsets)
        })
        .collect();
    for call in calls {
        assert_eq!(wait(call).unwrap(), [Ok(()), Ok(())]);
    }
    let asked = vec![partition(2), partition(1), partition(0), partition(2)];
    let fetched = wait(admin.committed_offsets(&group, asked, true)).unwrap();
    let expected = |offset, leader_epoch, metadata: &str| CommittedOffset {
        offset,
        leader_epoch,
        metadata: metadata.to_owned(),
    };
    assert_eq!(fetched[0], Ok(Some(expected(149, 1, "AgAAAAAAAAAB"))));
    assert_eq!(fetched[3], fetched[0], "asked twice, answered twice");
    assert_eq!(fetched[1], Ok(None));
    assert_eq!(fetched[2], Ok(Some(expected(49, -1, ""))));
}

fn kafkas_tools_show_members_and_offsets(kafka: &Kafka) {
    let clients = clients_of(&kafka.bootstrap());
    let topic = make_topic(&mut *clients.admin(wake()), 1);
    let partition = TopicPartition::new(topic.clone(), 0);
    let group = unique("shown");
    let mut member = Member::new(&clients, &group);
    member.settle_alone(std::slice::from_ref(&topic), &partition);
    member.commit(&partition, 42).unwrap();
    let bootstrap = kafka.bootstrap();
    let describe = ["--bootstrap-server", &bootstrap, "--describe", "--group", &group];
    let shown = until("the tool shows the member", || {
        member.heartbeat().unwrap();
        Some(kafka.tool("consumer-groups", &describe)).filter(|text| text.contains(&member.id))
    });
    let line = shown.lines().find(|line| line.contains(&*topic)).unwrap();
    assert!(line.contains(" 42 ") && line.contains("wire-test"), "{shown}");
}

fn a_dropped_handle_fails_its_calls(kafka: &Kafka) {
    let clients = clients_of(&kafka.bootstrap());
    let topics: [Arc<str>; 1] = [make_topic(&mut *clients.admin(wake()), 1)];
    let group = unique("dropped");
    let (mut a, mut b) = (Member::new(&clients, &group), Member::new(&clients, &group));
    a.settle_alone(&topics, &TopicPartition::new(topics[0].clone(), 0));
    b.learn_id(&topics);
    let held_back = b.start_join(&topics);
    until("the join has arrived", || a.heartbeat().err());
    drop(b);
    let error = wait(held_back).unwrap_err();
    assert!(error.is_retriable(), "{error}");
}
