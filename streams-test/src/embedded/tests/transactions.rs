//! Transactions: fencing, outcomes that nobody knows, offsets that are not stable yet.

use std::time::Duration;

use streams_core::client::{
    Call, ClientError, ClientErrorKind, ClientSupplier, CommitOutcome, CommittedOffset, GroupError,
    GroupMetadata, Isolation, Producer, ProducerOptions, TopicPartition,
};
use streams_core::time::Clock;

use super::support::*;
use crate::embedded::{EmbeddedCluster, Fault, Step};

const COMMITTED: Isolation = Isolation::ReadCommitted;

fn values(cluster: &EmbeddedCluster) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let records = cluster.read("t", 0, 0, COMMITTED);
    records.iter().map(|(_, record)| text(record.value.as_deref().unwrap())).collect()
}

fn begun(producer: &mut dyn Producer, value: &str) {
    producer.begin().unwrap();
    send(producer, "t", 0, value);
}

fn commit(producer: &mut dyn Producer, position: i64, member: &GroupMetadata) -> CommitOutcome {
    done(producer.commit(&[offset("t", 0, position)], member)).unwrap()
}

fn stable(cluster: &EmbeddedCluster) -> Result<Option<i64>, ClientErrorKind> {
    let partition = TopicPartition::new("t", 0);
    let mut answer = done(admin(cluster).committed_offsets("g", vec![partition], true)).unwrap();
    let answer: Result<Option<CommittedOffset>, ClientError> = answer.remove(0);
    answer.map(|found| found.map(|found| found.offset)).map_err(|error| error.kind)
}

fn prepared() -> (EmbeddedCluster, std::sync::Arc<crate::embedded::VirtualClock>, GroupMetadata) {
    let (cluster, clock) = cluster();
    cluster.create_topic("t", 1).unwrap();
    cluster.set_transaction_timeout(Duration::from_secs(5));
    let member = sole_member(&cluster, "g");
    (cluster, clock, member)
}

const UNSTABLE: Result<Option<i64>, ClientErrorKind> =
    Err(ClientErrorKind::Group(GroupError::UnstableOffset));

#[test]
fn records_and_offsets_become_visible_together() {
    let (cluster, _, member) = prepared();
    let mut producer = transactional(&cluster, "x");
    begun(&mut *producer, "a");
    assert_eq!((values(&cluster).len(), stable(&cluster)), (0, Ok(None)));
    assert_eq!(commit(&mut *producer, 3, &member), CommitOutcome::Committed);
    assert_eq!((values(&cluster), stable(&cluster)), (vec!["a".to_owned()], Ok(Some(3))));
    assert_eq!(producer.acknowledged(streams_core::client::Tag(1)), Some(0));

    begun(&mut *producer, "b");
    done(producer.abort()).unwrap();
    assert_eq!((values(&cluster), stable(&cluster)), (vec!["a".to_owned()], Ok(Some(3))));
}

#[test]
fn a_new_producer_fences_the_old_one_and_aborts_what_it_left_open() {
    let (cluster, _, member) = prepared();
    cluster.create_topic("untouched", 1).unwrap();
    let mut old = transactional(&cluster, "x");
    begun(&mut *old, "zombie");
    let mut new = transactional(&cluster, "x");
    assert_eq!(cluster.end_offset("t", 0, COMMITTED).unwrap(), 2, "aborted, marker written");

    // It notices at its next record, also in a partition that the abort did not touch.
    send(&mut *old, "untouched", 0, "zombie");
    assert_eq!(old.failure().unwrap().error.kind, ClientErrorKind::ProducerFenced);
    let fenced = ClientErrorKind::ProducerFenced;
    assert_eq!(try_send(&mut *old, "t", 0, "zombie").unwrap_err().kind, fenced);
    assert!(matches!(commit(&mut *old, 1, &member), CommitOutcome::Fatal(e) if e.kind == fenced));
    assert_eq!(done(old.abort()).unwrap_err().kind, fenced);
    assert_eq!(old.begin().unwrap_err().kind, fenced);

    begun(&mut *new, "new");
    assert_eq!(commit(&mut *new, 1, &member), CommitOutcome::Committed);
    assert_eq!(values(&cluster), ["new"]);
    assert_eq!(cluster.end_offset("untouched", 0, COMMITTED).unwrap(), 0);
}

#[test]
fn the_log_itself_refuses_an_old_epoch() {
    let (cluster, _, _) = prepared();
    let mut old = transactional(&cluster, "x");
    begun(&mut *old, "first");
    let _new = transactional(&cluster, "x");
    send(&mut *old, "t", 0, "in a partition that it had added");
    assert_eq!(old.failure().unwrap().error.kind, ClientErrorKind::ProducerFenced);
    assert_eq!(values(&cluster).len(), 0);
    assert_eq!(cluster.end_offset("t", 0, Isolation::ReadUncommitted).unwrap(), 2);
}

#[test]
fn a_fenced_commit_is_fatal_and_changes_nothing() {
    let (cluster, _, member) = prepared();
    let mut old = transactional(&cluster, "x");
    begun(&mut *old, "zombie");
    let _new = transactional(&cluster, "x");
    assert!(matches!(commit(&mut *old, 9, &member), CommitOutcome::Fatal(_)));
    assert_eq!((values(&cluster).len(), stable(&cluster)), (0, Ok(None)));
    assert_eq!(old.begin().unwrap_err().kind, ClientErrorKind::ProducerFenced);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let (cluster, clock, member) = prepared();
    let mut producer = transactional(&cluster, "x");
    begun(&mut *producer, "slow");
    let deadline = clock.now() + Duration::from_secs(5);
    assert_eq!(cluster.next_timer(), Some(deadline));
    clock.advance_to(deadline);
    let mut reader = fetcher(&cluster, COMMITTED);
    let slot = reader.assign(&TopicPartition::new("t", 0), 0).unwrap();
    assert_eq!(fetch_all(&mut *reader, slot).1.next_position, 0);
    let mut ready = Vec::new();
    reader.ready(&mut ready);
    assert_eq!(ready, [slot], "an idle reader lets the transaction expire");
    assert_eq!(fetch_all(&mut *reader, slot).1.next_position, 2);
    assert!(matches!(commit(&mut *producer, 1, &member), CommitOutcome::Fatal(_)));
}

#[test]
fn the_group_refuses_strangers_and_old_generations_and_the_producer_goes_on() {
    let (cluster, _, member) = prepared();
    let mut producer = transactional(&cluster, "x");
    let stranger = GroupMetadata { member_id: "stranger".into(), ..member.clone() };
    let old = GroupMetadata { generation: 0, ..member.clone() };
    let elsewhere = GroupMetadata { group: "none".into(), ..member.clone() };
    let cases = [
        (stranger, GroupError::UnknownMember),
        (old, GroupError::IllegalGeneration),
        (elsewhere, GroupError::IllegalGeneration),
    ];
    for (who, why) in cases {
        begun(&mut *producer, "refused");
        // A repeated commit repeats the answer, even with the right member.
        for who in [&who, &member] {
            let outcome = commit(&mut *producer, 1, who);
            let CommitOutcome::Aborted(error) = outcome else { panic!("{outcome:?}") };
            assert_eq!(error.kind, ClientErrorKind::Group(why));
        }
        assert_eq!(producer.begin().unwrap_err().kind, ClientErrorKind::Invalid);
        done(producer.abort()).unwrap();
    }
    begun(&mut *producer, "fine");
    assert_eq!(commit(&mut *producer, 2, &member), CommitOutcome::Committed);
    assert_eq!((values(&cluster), stable(&cluster)), (vec!["fine".to_owned()], Ok(Some(2))));
}

#[test]
fn a_commit_that_would_not_be_fenced_is_refused() {
    let (cluster, _, member) = prepared();
    let mut producer = transactional(&cluster, "x");
    begun(&mut *producer, "a");
    let nobody = GroupMetadata { member_id: "".into(), generation: -1, ..member.clone() };
    let error = done(producer.commit(&[offset("t", 0, 1)], &nobody)).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Invalid);
    let error = done(producer.commit(&[], &member)).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Invalid);
    let mut line = cluster.group_transport("g", super::support::nobody()).unwrap();
    let error = done(line.commit_offsets(nobody, vec![offset("t", 0, 1)])).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Invalid);
    assert_eq!(commit(&mut *producer, 1, &member), CommitOutcome::Committed);
}

#[test]
fn an_unknown_outcome_that_was_a_commit_is_told_to_who_asks_again() {
    let (cluster, _, member) = prepared();
    let script = Script::new(&cluster);
    let mut producer = transactional(&cluster, "x");
    begun(&mut *producer, "a");
    script.next(Step::Commit, Fault::LoseAnswer);
    assert!(matches!(commit(&mut *producer, 4, &member), CommitOutcome::Unknown(_)));
    assert_eq!((values(&cluster), stable(&cluster)), (vec!["a".to_owned()], Ok(Some(4))));
    assert_eq!(commit(&mut *producer, 4, &member), CommitOutcome::Committed);
    assert_eq!(cluster.end_offset("t", 0, COMMITTED).unwrap(), 2, "one marker only");
    begun(&mut *producer, "b");
    assert_eq!(commit(&mut *producer, 5, &member), CommitOutcome::Committed);
}

#[test]
fn an_unknown_outcome_that_was_none_is_committed_by_who_asks_again() {
    let (cluster, _, member) = prepared();
    let script = Script::new(&cluster);
    let mut producer = transactional(&cluster, "x");
    for step in [Step::TransactionOffsets, Step::Commit] {
        let before = stable(&cluster);
        begun(&mut *producer, "a");
        script.next(step, Fault::LoseRequest);
        assert!(matches!(commit(&mut *producer, 4, &member), CommitOutcome::Unknown(_)));
        assert_eq!(producer.begin().unwrap_err().kind, ClientErrorKind::Invalid, "unresolved");
        let expected = if step == Step::Commit { UNSTABLE } else { before };
        assert_eq!(stable(&cluster), expected);
        assert_eq!(commit(&mut *producer, 4, &member), CommitOutcome::Committed);
        assert_eq!(stable(&cluster), Ok(Some(4)));
    }
    assert_eq!(values(&cluster), ["a", "a"]);
}

#[test]
fn a_new_producer_settles_an_unknown_outcome_either_way() {
    for (fault, committed) in [(Fault::LoseAnswer, true), (Fault::LoseRequest, false)] {
        let (cluster, _, member) = prepared();
        let script = Script::new(&cluster);
        let mut producer = transactional(&cluster, "x");
        begun(&mut *producer, "a");
        script.next(Step::Commit, fault);
        assert!(matches!(commit(&mut *producer, 4, &member), CommitOutcome::Unknown(_)));
        drop(producer);
        assert_eq!(stable(&cluster), if committed { Ok(Some(4)) } else { UNSTABLE });
        let _new = transactional(&cluster, "x");
        assert_eq!(stable(&cluster), Ok(committed.then_some(4)));
        assert_eq!(values(&cluster).len(), usize::from(committed));
    }
}

#[test]
fn an_unknown_outcome_ends_as_aborted_when_the_transaction_times_out() {
    let (cluster, clock, member) = prepared();
    let script = Script::new(&cluster);
    let mut producer = transactional(&cluster, "x");
    begun(&mut *producer, "a");
    script.next(Step::Commit, Fault::LoseRequest);
    assert!(matches!(commit(&mut *producer, 4, &member), CommitOutcome::Unknown(_)));
    clock.advance(Duration::from_secs(5));
    assert_eq!(stable(&cluster), Ok(None), "any request lets time pass");
    assert!(matches!(commit(&mut *producer, 4, &member), CommitOutcome::Fatal(_)));
}

#[test]
fn a_commit_that_arrives_late_ends_its_own_transaction_only() {
    let (cluster, clock, member) = prepared();
    let script = Script::new(&cluster);
    let mut producer = transactional(&cluster, "x");
    begun(&mut *producer, "aborted");
    script.next(Step::Commit, Fault::Delay(clock.now() + Duration::from_secs(1)));
    let mut late = producer.commit(&[offset("t", 0, 1)], &member);
    assert!(late.try_take().is_none());
    assert_eq!(stable(&cluster), UNSTABLE);
    done(producer.abort()).unwrap();
    begun(&mut *producer, "open");
    clock.advance(Duration::from_secs(1));
    cluster.tick();
    assert!(matches!(late.try_take().unwrap().unwrap(), CommitOutcome::Aborted(_)));
    assert_eq!((values(&cluster).len(), stable(&cluster)), (0, Ok(None)));
    assert_eq!(commit(&mut *producer, 2, &member), CommitOutcome::Committed);
    assert_eq!(values(&cluster), ["open"]);
}

#[test]
fn a_committed_transaction_cannot_be_aborted() {
    let (cluster, _, member) = prepared();
    let script = Script::new(&cluster);
    let mut producer = transactional(&cluster, "x");
    begun(&mut *producer, "a");
    script.next(Step::Commit, Fault::LoseAnswer);
    assert!(matches!(commit(&mut *producer, 4, &member), CommitOutcome::Unknown(_)));
    assert_eq!(done(producer.abort()).unwrap_err().kind, ClientErrorKind::Invalid);
    assert_eq!(values(&cluster), ["a"]);
}

#[test]
fn an_abort_may_be_repeated() {
    let (cluster, _, _) = prepared();
    let script = Script::new(&cluster);
    let mut producer = transactional(&cluster, "x");
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        begun(&mut *producer, "a");
        script.next(Step::Abort, fault);
        assert!(done(producer.abort()).unwrap_err().is_retriable());
        done(producer.abort()).unwrap();
        producer.begin().unwrap();
        done(producer.abort()).unwrap();
    }
    assert_eq!(cluster.end_offset("t", 0, COMMITTED).unwrap(), 4);
}

#[test]
fn a_lost_record_spoils_its_transaction_and_a_refused_one_does_not() {
    let (cluster, _, member) = prepared();
    let script = Script::new(&cluster);
    let mut producer = transactional(&cluster, "x");
    producer.begin().unwrap();
    send(&mut *producer, "t", 0, &"x".repeat(2_000_000));
    assert_eq!(producer.failure().unwrap().error.kind, ClientErrorKind::RecordTooLarge);
    send(&mut *producer, "t", 0, "a");
    assert_eq!(commit(&mut *producer, 1, &member), CommitOutcome::Committed);

    producer.begin().unwrap();
    script.next(Step::Produce, Fault::LoseRequest);
    send(&mut *producer, "t", 0, "lost");
    assert!(producer.failure().unwrap().error.is_retriable());
    let error = try_send(&mut *producer, "t", 0, "b").unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::AbortTransaction);
    assert!(matches!(commit(&mut *producer, 1, &member), CommitOutcome::Aborted(_)));
    done(producer.abort()).unwrap();
    begun(&mut *producer, "c");
    assert_eq!(commit(&mut *producer, 2, &member), CommitOutcome::Committed);
    assert_eq!(values(&cluster), ["a", "c"]);
}

#[test]
fn a_lost_init_is_repeated_and_a_producer_without_one_is_refused() {
    let (cluster, _, _) = prepared();
    let script = Script::new(&cluster);
    let mut producer = cluster.producer(ProducerOptions::transactional("x"), nobody()).unwrap();
    assert_eq!(producer.begin().unwrap_err().kind, ClientErrorKind::Invalid);
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let mut producer = cluster.producer(ProducerOptions::transactional("x"), nobody()).unwrap();
        script.next(Step::InitTransactions, fault);
        assert!(done(producer.init_transactions()).unwrap_err().is_retriable());
        done(producer.init_transactions()).unwrap();
        producer.begin().unwrap();
    }
    let mut plain = plain(&cluster);
    assert_eq!(plain.begin().unwrap_err().kind, ClientErrorKind::Invalid);
    let call: Call<()> = plain.abort();
    assert_eq!(done(call).unwrap_err().kind, ClientErrorKind::Invalid);
    let mut producer = transactional(&cluster, "y");
    let error = try_send(&mut *producer, "t", 0, "not begun").unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Invalid);
}

#[test]
fn a_topic_deleted_in_a_transaction_does_not_hold_up_its_end() {
    let (cluster, _, member) = prepared();
    cluster.create_topic("gone", 1).unwrap();
    let mut producer = transactional(&cluster, "x");
    begun(&mut *producer, "a");
    send(&mut *producer, "gone", 0, "b");
    cluster.delete_topic("gone").unwrap();
    assert_eq!(commit(&mut *producer, 1, &member), CommitOutcome::Committed);
    assert_eq!(values(&cluster), ["a"]);
    cluster.delete_topic("t").unwrap();
    assert_eq!(cluster.committed("g", "t", 0), None, "its offsets go with it");
}
