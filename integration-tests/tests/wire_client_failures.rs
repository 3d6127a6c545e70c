//! Our own connections while brokers die, come back, or were never there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use integration_tests::{Kafka, KafkaOptions};
use streams_core::client::*;

/// Far below the request timeout of 30 s, and enough for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn a_killed_broker_fails_calls_at_once_and_is_found_again() {
    let kafka = Kafka::start(&KafkaOptions::default());
    let clients = clients_of(&kafka.bootstrap());
    let mut admin = clients.admin(wake());
    let topics = [make_topic(&mut *admin, 1)];
    let partition = TopicPartition::new(topics[0].clone(), 0);
    let group = unique("killed");
    let (mut a, mut b) = (Member::new(&clients, &group), Member::new(&clients, &group));
    a.settle_alone(&topics, &partition);
    a.commit(&partition, 1).unwrap();
    b.learn_id(&topics);
    let held_back = b.start_join(&topics);
    until("the join has arrived", || a.heartbeat().err());

    kafka.kill_broker(1);
    let killed = Instant::now();
    let error = wait(held_back).unwrap_err();
    assert!(error.is_retriable(), "{error}");
    assert!(killed.elapsed() < AT_ONCE, "a pending call fails at once");
    for _ in 0..3 {
        let began = Instant::now();
        let error = a.heartbeat().unwrap_err();
        assert!(error.is_retriable(), "{error}");
        assert!(error.message.contains(&kafka.bootstrap()), "{error}");
        assert!(one(admin.describe_topics(topics.to_vec())).unwrap_err().is_retriable());
        assert!(a.commit(&partition, 2).unwrap_err().is_retriable());
        assert!(began.elapsed() < AT_ONCE, "nobody is there: no call waits for the timeout");
    }

    kafka.restart_broker(1);
    // The group is in the log: the member is still one, or is told that it is not.
    until("the coordinator answers", || match a.heartbeat() {
        Err(error) if error.is_retriable() => None,
        _ => Some(()),
    });
    // Of the pending member the group may or may not know.
    let joining = a.start_join(&topics);
    a.joined(joining);
    let id = a.id.clone();
    let syncing = a.start_sync(vec![(id.clone(), vec![])], &[(&id, partition.clone())]);
    wait(syncing).unwrap();
    a.commit(&partition, 3).unwrap();
    let committed = one(admin.committed_offsets(&group, vec![partition.clone()], true)).unwrap();
    assert_eq!(committed.unwrap().offset, 3);
    let asked = vec![(partition, OffsetSpec::Latest)];
    assert_eq!(one(admin.list_offsets(asked, Isolation::default())), Ok(0));
}

#[test]
fn where_nothing_listens_the_error_names_the_address_and_comes_soon() {
    let clients = clients_of("127.0.0.1:1,localhost:2");
    let began = Instant::now();
    let error = wait(clients.admin(wake()).describe_topics(vec!["t".into()])).unwrap_err();
    assert!(error.is_retriable());
    for part in ["127.0.0.1:1 refuses connections", "localhost:2", "bootstrap.servers"] {
        assert!(error.message.contains(part), "{error}");
    }
    let mut member = Member::new(&clients, &unique("nobody"));
    assert!(member.heartbeat().unwrap_err().is_retriable());
    assert!(began.elapsed() < AT_ONCE);
}

#[test]
fn a_host_without_a_name_is_told() {
    let clients = clients_of("no-such-host.invalid:9092");
    let error = wait(clients.admin(wake()).describe_topics(vec!["t".into()])).unwrap_err();
    assert!(error.message.contains("no-such-host.invalid:9092"), "{error}");
}

#[test]
fn leaders_and_coordinators_are_found_where_they_moved() {
    let three = KafkaOptions { brokers: 3, ..KafkaOptions::default() };
    let kafka = Kafka::start(&three);
    let clients = clients_of(&kafka.bootstrap());
    let mut admin = clients.admin(wake());
    let topics = [make_topic(&mut *admin, 6)];
    let partitions: Vec<_> = (0..6).map(|i| TopicPartition::new(topics[0].clone(), i)).collect();
    let asked = || partitions.iter().map(|p| (p.clone(), OffsetSpec::Latest)).collect::<Vec<_>>();
    let ends = wait(admin.list_offsets(asked(), Isolation::default())).unwrap();
    assert_eq!(ends, vec![Ok(0); 6]);
    // Enough groups that every broker coordinates some.
    let mut members: Vec<_> = (0..6).map(|_| Member::new(&clients, &unique("moved"))).collect();
    for member in &mut members {
        member.settle_alone(&topics, &partitions[0]);
        member.commit(&partitions[0], 1).unwrap();
    }

    kafka.kill_broker(2);
    let killed = Instant::now();
    // One call: it finds the new leaders within its deadline. The members beat meanwhile.
    let mut listing = admin.list_offsets(asked(), Isolation::default());
    let ends = until("the new leaders are found", || {
        for member in &mut members {
            beat_or_retry(member);
        }
        listing.try_take()
    });
    assert_eq!(ends.unwrap(), vec![Ok(0); 6]);
    until("all members go on at their coordinators", || {
        let beating = members.iter_mut().filter_map(|member| beat_or_retry(member).then_some(()));
        (beating.count() == 6).then_some(())
    });
    println!("all found again after {:?}", killed.elapsed());
    for member in &mut members {
        member.commit(&partitions[0], 2).unwrap();
        let fetched = admin.committed_offsets(&member.group, vec![partitions[0].clone()], true);
        assert_eq!(one(fetched).unwrap().unwrap().offset, 2);
    }
    let name = unique("while-one-is-down");
    one(admin.create_topics(vec![NewTopic { replication_factor: 2, ..new_topic(&name, 2) }]))
        .unwrap();
}

/// Whether the coordinator knows the member; not yet reached is no failure.
#[track_caller]
fn beat_or_retry(member: &mut Member) -> bool {
    match member.heartbeat() {
        Ok(()) => true,
        Err(error) if error.is_retriable() => false,
        Err(error) => panic!("{error}"),
    }
}
