//! Faults: what is late comes late, what is lost is lost.

use std::time::Duration;

use streams_core::client::{
    ClientError, ClientErrorKind, ClientSupplier, FetchedBatch, Isolation, Tag, TopicPartition,
};
use streams_core::time::Clock;

use super::support::*;
use crate::embedded::{Fault, Step};

const LATER: Duration = Duration::from_secs(3);

#[test]
fn an_acknowledgement_may_come_late_and_the_flush_waits_for_it() {
    let (cluster, clock) = cluster();
    cluster.create_topic("t", 1).unwrap();
    let script = Script::new(&cluster);
    let mut producer = plain(&cluster);
    script.next(Step::Produce, Fault::DelayAnswer(clock.now() + LATER));
    send(&mut *producer, "t", 0, "late");
    let mut flush = producer.flush();
    assert!(flush.try_take().is_none());
    assert_eq!(producer.acknowledged(Tag(1)), None);
    assert_eq!(cluster.next_timer(), Some(clock.now() + LATER));
    clock.advance(LATER);
    cluster.tick();
    assert!(flush.try_take().unwrap().is_ok());
    assert_eq!(producer.acknowledged(Tag(1)), Some(0));
    done(producer.flush()).unwrap();
}

#[test]
fn a_record_may_be_written_and_reported_as_lost() {
    let (cluster, _) = cluster();
    cluster.create_topic("t", 1).unwrap();
    let script = Script::new(&cluster);
    let mut producer = plain(&cluster);
    script.next(Step::Produce, Fault::LoseAnswer);
    script.next(Step::Produce, Fault::LoseRequest);
    send(&mut *producer, "t", 0, "written");
    send(&mut *producer, "t", 0, "not written");
    assert!(producer.failure().unwrap().error.is_retriable());
    assert!(producer.failure().unwrap().error.is_retriable());
    assert!(producer.failure().is_none());
    assert_eq!(cluster.end_offset("t", 0, Isolation::ReadUncommitted).unwrap(), 1);
}

#[test]
fn a_partition_may_be_silent_for_a_while() {
    let (cluster, clock) = cluster();
    cluster.create_topic("t", 1).unwrap();
    cluster.append("t", 0, record("k", Some("v"))).unwrap();
    let script = Script::new(&cluster);
    let (woken, wake) = wakes();
    let mut reader = cluster.fetcher(options(Isolation::ReadCommitted), wake).unwrap();
    let slot = reader.assign(&TopicPartition::new("t", 0), 0).unwrap();
    let failure = ClientError::retriable("the broker is gone");
    script.next(Step::Fetch, Fault::Fail(failure.clone()));
    assert_eq!(reader.fetch(slot, 9, &mut FetchedBatch::default()), Err(failure));
    script.next(Step::Fetch, Fault::Delay(clock.now() + LATER));
    let (values, batch) = fetch_all(&mut *reader, slot);
    assert_eq!((values.len(), batch.next_position, batch.at_end()), (0, 0, false));
    let (mut ready, before) = (Vec::new(), woken.count());
    reader.ready(&mut ready);
    assert_eq!(ready, []);
    clock.advance(LATER);
    cluster.tick();
    assert_eq!(woken.count(), before + 1);
    reader.ready(&mut ready);
    assert_eq!(ready, [slot]);
    assert_eq!(fetch_all(&mut *reader, slot).0, ["v"]);
}

#[test]
fn requests_arrive_late_and_answers_get_lost() {
    let (cluster, clock) = cluster();
    let script = Script::new(&cluster);
    let (woken, wake) = wakes();
    let mut admin = cluster.admin(wake).unwrap();
    script.next(Step::DescribeTopics, Fault::Delay(clock.now() + LATER));
    script.next(Step::DescribeTopics, Fault::DelayAnswer(clock.now() + LATER));
    let mut late_request = admin.describe_topics(vec!["t".into()]);
    let mut late_answer = admin.describe_topics(vec!["t".into()]);
    cluster.create_topic("t", 1).unwrap();
    assert!(late_request.try_take().is_none());
    clock.advance(LATER);
    cluster.tick();
    assert_eq!(woken.count(), 2);
    assert!(late_request.try_take().unwrap().unwrap()[0].is_ok());
    let error = late_answer.try_take().unwrap().unwrap().remove(0).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::UnknownTopic);

    script.next(Step::DeleteRecords, Fault::LoseAnswer);
    cluster.append("t", 0, record("k", None)).unwrap();
    let lost = done(admin.delete_records(vec![(TopicPartition::new("t", 0), 1)]));
    assert!(lost.unwrap_err().is_retriable());
    assert!(cluster.read("t", 0, 0, Isolation::ReadUncommitted).is_empty());
}
