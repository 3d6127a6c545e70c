use std::sync::Arc;
use std::time::Duration;

use rdkafka_sys::rd_kafka_resp_err_t as Code;

use super::mock::{Bell, Mock, answer, options, until};
use crate::client::error::ClientErrorKind;
use crate::client::rdkafka::RdkafkaProducer;
use crate::client::seam::{
    CommitOutcome, FetchedBatch, Fetcher, GroupMetadata, OffsetToCommit, Producer, ProducerOptions,
    ProducerRecord, Tag, TopicPartition, TopicSlot,
};
use crate::record::Headers;
use crate::time::{Clock, SystemClock};

const PRODUCE: i16 = 0;
const END_TXN: i16 = 26;
const TXN_OFFSET_COMMIT: i16 = 28;

fn record<'a>(
    topic: TopicSlot,
    partition: i32,
    value: &'a [u8],
    headers: &'a Headers,
    tag: u32,
) -> ProducerRecord<'a> {
    ProducerRecord {
        topic,
        partition,
        timestamp: 42,
        key: None,
        value: Some(value),
        headers,
        tag: Tag(tag),
    }
}

fn send(producer: &mut RdkafkaProducer, topic: TopicSlot, partition: i32, value: &[u8], tag: u32) {
    producer.send(record(topic, partition, value, &Headers::new(), tag)).unwrap();
}

#[test]
fn each_tag_has_its_highest_offset_and_flush_does_not_linger() {
    let mock = Mock::start().with_topic("out", 2);
    let clients = mock.clients_with(&[("linger.ms", "5000")]);
    let (bell, wake) = Bell::new();
    let mut producer = clients.producer(&ProducerOptions::plain(), wake).unwrap();
    let topic = producer.topic(&Arc::from("out")).unwrap();
    assert_eq!(producer.topic(&Arc::from("out")).unwrap(), topic);
    for number in 0..100u32 {
        send(&mut producer, topic, 0, b"x", 1 + number % 2);
    }
    for _ in 0..10 {
        send(&mut producer, topic, 1, b"x", 0);
    }
    send(&mut producer, topic, 1, b"x", u32::MAX);
    assert_eq!(producer.acknowledged(Tag(7)), None);
    let start = SystemClock.now();
    let flushed = producer.flush();
    answer(&bell, flushed).unwrap();
    assert!(SystemClock.now().since(start) < Duration::from_secs(2), "flush waited for linger.ms");
    assert_eq!(producer.acknowledged(Tag(1)), Some(98));
    assert_eq!(producer.acknowledged(Tag(2)), Some(99));
    assert_eq!(producer.acknowledged(Tag(u32::MAX)), Some(10));
    assert_eq!(producer.acknowledged(Tag::NONE), None);
    let again = producer.flush();
    answer(&bell, again).unwrap();
}

#[test]
fn bytes_arrive_as_they_were_sent() {
    let mock = Mock::start().with_topic("out", 1);
    let clients = mock.clients();
    let (bell, wake) = Bell::new();
    let mut producer = clients.producer(&ProducerOptions::plain(), wake.clone()).unwrap();
    let topic = producer.topic(&Arc::from("out")).unwrap();
    let mut headers = Headers::new();
    headers.push("a", b"1").push("empty", b"").push_null("null").push("a", b"2");
    let variants: [(Option<&[u8]>, Option<&[u8]>); 4] =
        [(None, None), (Some(b""), Some(b"")), (Some(b"k"), None), (None, Some(b"\0v"))];
    for (key, value) in variants {
        let headers = &headers;
        let record = ProducerRecord {
            topic,
            partition: 0,
            timestamp: 42,
            key,
            value,
            headers,
            tag: Tag::NONE,
        };
        producer.send(record).unwrap();
    }
    let flushed = producer.flush();
    answer(&bell, flushed).unwrap();
    let mut fetcher = clients.fetcher(&options(), wake).unwrap();
    let slot = fetcher.assign(&TopicPartition::new("out", 0), 0).unwrap();
    let mut batch = FetchedBatch::default();
    until(&bell, "records", || {
        fetcher.fetch(slot, 10, &mut batch).unwrap();
        (batch.records.len() == 4).then_some(())
    });
    for (record, (key, value)) in batch.records.iter().zip(variants) {
        assert_eq!((record.key(), record.value(), record.timestamp()), (key, value, 42));
        assert_eq!(record.headers(), headers);
        assert_eq!(record.headers(), headers, "headers may be asked for twice");
    }
}

#[test]
fn a_full_queue_blocks_and_loses_nothing() {
    let mock = Mock::start().with_topic("out", 1);
    let clients = mock.clients_with(&[("queue.buffering.max.messages", "10"), ("linger.ms", "5")]);
    let (bell, wake) = Bell::new();
    let mut producer = clients.producer(&ProducerOptions::plain(), wake).unwrap();
    let topic = producer.topic(&Arc::from("out")).unwrap();
    for _ in 0..500 {
        send(&mut producer, topic, 0, b"x", 1);
    }
    let flushed = producer.flush();
    answer(&bell, flushed).unwrap();
    assert_eq!(producer.acknowledged(Tag(1)), Some(499));
}

#[test]
fn failures_are_told_with_topic_partition_and_tag() {
    let mock = Mock::start().with_topic("out", 2);
    let clients = mock.clients();
    let (bell, wake) = Bell::new();
    let mut producer = clients.producer(&ProducerOptions::plain(), wake).unwrap();
    let topic = producer.topic(&Arc::from("out")).unwrap();
    assert_eq!(producer.partitions(topic).unwrap(), 2);
    let large = vec![0; 2_000_000];
    let headers = Headers::new();
    let error = producer.send(record(topic, 0, &large, &headers, 1)).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::RecordTooLarge);
    let error = producer.send(record(topic, 5, b"x", &headers, 1)).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::UnknownTopic);
    assert!(error.message.contains("out-5"), "{error}");
    mock.fail(PRODUCE, &[Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    send(&mut producer, topic, 1, b"a secret", 9);
    let flushed = producer.flush();
    answer(&bell, flushed).unwrap();
    let failure = producer.failure().unwrap();
    let message = &failure.error.message;
    assert!(message.contains("authorization") && !message.contains("secret"), "{message}");
    assert_eq!((&*failure.topic, failure.partition, failure.tag), ("out", 1, Tag(9)));
    assert_eq!(failure.error.kind, ClientErrorKind::Authorization);
    assert!(producer.failure().is_none());
    assert_eq!(producer.acknowledged(Tag(9)), None);
}

#[test]
fn handles_share_a_connection_but_not_their_records() {
    let mock = Mock::start().with_topic("out", 1).with_topic("other", 3);
    let clients = mock.clients_with(&[("linger.ms", "60000")]);
    let (bell, wake) = Bell::new();
    let mut a = clients.producer(&ProducerOptions::plain(), wake.clone()).unwrap();
    let mut b = clients.producer(&ProducerOptions::plain(), wake).unwrap();
    let topic_a = a.topic(&Arc::from("out")).unwrap();
    let topic_b = b.topic(&Arc::from("other")).unwrap();
    assert_eq!((topic_a, topic_b), (TopicSlot(0), TopicSlot(0)));
    assert_eq!((a.partitions(topic_a).unwrap(), b.partitions(topic_b).unwrap()), (1, 3));
    send(&mut a, topic_a, 0, b"x", 1);
    assert!(b.flush().try_take().is_some(), "b has sent nothing");
    send(&mut b, topic_b, 0, b"x", 1);
    let dropped = b.flush();
    drop(b);
    assert!(answer(&bell, dropped).is_err());
    let flushed = a.flush();
    answer(&bell, flushed).unwrap();
    assert_eq!(a.acknowledged(Tag(1)), Some(0));
}

#[test]
fn a_producer_that_died_says_so_and_the_next_handle_gets_a_new_one() {
    let mock = Mock::start().with_topic("out", 1);
    let clients = mock.clients_with(&[("linger.ms", "60000")]);
    let (bell, wake) = Bell::new();
    let mut dying = clients.producer(&ProducerOptions::plain(), wake.clone()).unwrap();
    let topic = dying.topic(&Arc::from("out")).unwrap();
    send(&mut dying, topic, 0, b"x", 1);
    dying.kill();
    let error = until(&bell, "error", || answer(&bell, dying.flush()).err());
    assert_eq!(error.kind, ClientErrorKind::Fatal, "{error}");
    let headers = Headers::new();
    let error = dying.send(record(topic, 0, b"x", &headers, 1)).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Fatal, "{error}");
    let mut next = clients.producer(&ProducerOptions::plain(), wake).unwrap();
    let topic = next.topic(&Arc::from("out")).unwrap();
    send(&mut next, topic, 0, b"x", 1);
    answer(&bell, next.flush()).unwrap();
    assert!(next.acknowledged(Tag(1)).is_some());
}

#[test]
fn a_missing_topic_is_told() {
    let mock = Mock::start();
    let clients = mock.clients();
    let (_, wake) = Bell::new();
    let mut producer = clients.producer(&ProducerOptions::plain(), wake).unwrap();
    assert!(producer.topic(&Arc::from("zero\0inside")).is_err());
    assert!(producer.partitions(TopicSlot(3)).is_err());
}

fn group() -> GroupMetadata {
    GroupMetadata { group: "app".into(), member_id: "m-1".into(), generation: 3 }
}

fn offsets() -> Vec<OffsetToCommit> {
    vec![OffsetToCommit {
        partition: TopicPartition::new("in", 0),
        offset: 5,
        leader_epoch: 0,
        metadata: "AgAAAAA".to_owned(),
    }]
}

/// A producer that is in a transaction with one record.
fn in_transaction(mock: &Mock, bell: &Bell, wake: crate::client::WakeRef) -> RdkafkaProducer {
    let clients = mock.clients_with(&[("transaction.timeout.ms", "3000")]);
    let mut producer = clients.producer(&ProducerOptions::transactional("app-1"), wake).unwrap();
    let ready = producer.init_transactions();
    answer(bell, ready).unwrap();
    let topic = producer.topic(&Arc::from("out")).unwrap();
    producer.begin().unwrap();
    send(&mut producer, topic, 0, b"x", 1);
    producer
}

#[test]
fn transactions_go_one_after_the_other() {
    let mock = Mock::start().with_topic("out", 1).with_topic("in", 1);
    let (bell, wake) = Bell::new();
    let mut producer = in_transaction(&mock, &bell, wake);
    let topic = TopicSlot(0);
    for round in 0..5 {
        let flushed = producer.flush();
        answer(&bell, flushed).unwrap();
        assert_eq!(producer.acknowledged(Tag(1)), Some(round));
        let committed = producer.commit(&offsets(), &group());
        assert_eq!(answer(&bell, committed).unwrap(), CommitOutcome::Committed);
        producer.begin().unwrap();
        send(&mut producer, topic, 0, b"x", 1);
    }
    let aborted = producer.abort();
    answer(&bell, aborted).unwrap();
    assert!(producer.failure().is_none(), "what an abort drops is no failure");
    producer.begin().unwrap();
    assert!(producer.begin().is_err());
}

#[test]
fn an_old_generation_aborts_and_the_producer_goes_on() {
    let mock = Mock::start().with_topic("out", 1).with_topic("in", 1);
    let (bell, wake) = Bell::new();
    let mut producer = in_transaction(&mock, &bell, wake);
    mock.fail(TXN_OFFSET_COMMIT, &[Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION]);
    let committed = producer.commit(&offsets(), &group());
    let CommitOutcome::Aborted(error) = answer(&bell, committed).unwrap() else {
        panic!("an old generation cannot commit");
    };
    let wanted = crate::client::GroupError::IllegalGeneration;
    assert_eq!(error.kind, ClientErrorKind::Group(wanted));
    let aborted = producer.abort();
    answer(&bell, aborted).unwrap();
    producer.begin().unwrap();
    send(&mut producer, TopicSlot(0), 0, b"x", 1);
    let committed = producer.commit(&offsets(), &group());
    assert_eq!(answer(&bell, committed).unwrap(), CommitOutcome::Committed);
}

#[test]
fn a_commit_that_was_refused_is_fatal_and_one_that_was_not_answered_is_unknown() {
    let mock = Mock::start().with_topic("out", 1).with_topic("in", 1);
    let (bell, wake) = Bell::new();
    let mut producer = in_transaction(&mock, &bell, wake.clone());
    mock.fail(END_TXN, &[Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    let committed = producer.commit(&offsets(), &group());
    let CommitOutcome::Fatal(error) = answer(&bell, committed).unwrap() else {
        panic!("a fenced producer is dead");
    };
    assert_eq!(error.kind, ClientErrorKind::ProducerFenced);
    let error = producer.begin().unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::ProducerFenced);

    let mut producer = in_transaction(&mock, &bell, wake);
    let lost = Code::RD_KAFKA_RESP_ERR__TRANSPORT;
    mock.fail(END_TXN, &[lost, lost, Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    let committed = producer.commit(&offsets(), &group());
    let CommitOutcome::Unknown(error) = answer(&bell, committed).unwrap() else {
        panic!("the first attempt may have been obeyed");
    };
    assert_eq!(error.kind, ClientErrorKind::ProducerFenced);
}

#[test]
fn a_commit_without_an_answer_is_unknown_and_can_be_repeated() {
    let mock = Mock::start().with_topic("out", 1).with_topic("in", 1);
    let (bell, wake) = Bell::new();
    let mut producer = in_transaction(&mock, &bell, wake);
    let flushed = producer.flush();
    answer(&bell, flushed).unwrap();
    mock.fail(END_TXN, &[Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 1000]);
    let committed = producer.commit(&offsets(), &group());
    let CommitOutcome::Unknown(error) = answer(&bell, committed).unwrap() else {
        panic!("nobody knows");
    };
    assert_eq!(error.kind, ClientErrorKind::Retriable, "{error}");
    mock.fail(END_TXN, &[]);
    let committed = producer.commit(&offsets(), &group());
    assert!(matches!(
        answer(&bell, committed).unwrap(),
        CommitOutcome::Committed | CommitOutcome::Unknown(_)
    ));
}

#[test]
fn nobody_commits_without_an_identity() {
    let mock = Mock::start().with_topic("out", 1).with_topic("in", 1);
    let (bell, wake) = Bell::new();
    let mut producer = in_transaction(&mock, &bell, wake.clone());
    for (member, generation) in [("", 3), ("m", -1), ("", -1)] {
        let group = GroupMetadata { member_id: member.into(), generation, ..group() };
        let committed = producer.commit(&offsets(), &group);
        let CommitOutcome::Aborted(error) = answer(&bell, committed).unwrap() else {
            panic!("({generation}, {member:?}) fences nobody");
        };
        assert_eq!(error.kind, ClientErrorKind::Invalid);
    }
    let mut plain = mock.clients().producer(&ProducerOptions::plain(), wake).unwrap();
    let ready = plain.init_transactions();
    assert_eq!(answer(&bell, ready).unwrap_err().kind, ClientErrorKind::Invalid);
}

#[test]
fn dropping_with_records_and_calls_under_way_is_safe_and_quick() {
    let mock = Mock::start().with_topic("out", 1).with_topic("in", 1);
    let (_, wake) = Bell::new();
    let clients = mock.clients_with(&[("linger.ms", "0")]);
    for round in 0..10 {
        let mut producer = clients.producer(&ProducerOptions::plain(), wake.clone()).unwrap();
        let topic = producer.topic(&Arc::from("out")).unwrap();
        for _ in 0..round * 50 {
            send(&mut producer, topic, 0, b"x", 1);
        }
        drop(producer.flush());
    }
    mock.set_down(true);
    let start = SystemClock.now();
    let mut producer = clients.producer(&ProducerOptions::transactional("app-1"), wake).unwrap();
    let ready = producer.init_transactions();
    drop(producer);
    drop(ready);
    assert!(SystemClock.now().since(start) < Duration::from_secs(5));
}
