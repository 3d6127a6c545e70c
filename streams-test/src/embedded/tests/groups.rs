//! Groups under the classic protocol, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use streams_core::client::{
    Call, ClientError, ClientErrorKind, ClientSupplier, CommitOutcome, GroupError, GroupMetadata,
    GroupTransport, JoinRequest, JoinResponse,
};
use streams_core::time::Clock;

use super::support::*;
use crate::embedded::{EmbeddedCluster, Fault, Step, VirtualClock};

/// A member and its line.
struct Member {
    line: Box<dyn GroupTransport>,
    joined: JoinResponse,
}

impl Member {
    fn new(cluster: &EmbeddedCluster) -> Self {
        let mut line = cluster.group_transport("g", nobody()).unwrap();
        let joined = done(line.join(join_request(""))).unwrap();
        assert!(joined.member_id_required);
        Self { line, joined }
    }

    fn join(&mut self) -> Call<JoinResponse> {
        self.line.join(join_request(&self.joined.member_id))
    }

    fn joined(&mut self, mut call: Call<JoinResponse>) {
        self.joined = call.try_take().expect("the rebalance is over").unwrap();
    }

    fn sync(&mut self) -> Call<Vec<u8>> {
        self.line.sync(sync_request(&self.joined))
    }

    fn metadata(&self) -> GroupMetadata {
        metadata("g", &self.joined)
    }

    fn heartbeat(&mut self) -> Result<(), GroupError> {
        let member = self.metadata();
        done(self.line.heartbeat(member)).map_err(|error| group_error(&error))
    }

    fn commit(&mut self, position: i64) -> Result<(), GroupError> {
        let member = self.metadata();
        let each = done(self.line.commit_offsets(member, vec![offset("t", 0, position)]));
        each.map(|each| assert_eq!(each, [Ok(())])).map_err(|error| group_error(&error))
    }
}

fn group_error(error: &ClientError) -> GroupError {
    match error.kind {
        ClientErrorKind::Group(error) => error,
        other => panic!("{other:?}: {error}"),
    }
}

fn prepared() -> (EmbeddedCluster, Arc<VirtualClock>) {
    let (cluster, clock) = cluster();
    cluster.create_topic("t", 1).unwrap();
    (cluster, clock)
}

/// Two members, stable in generation 2; the first one leads.
fn pair(cluster: &EmbeddedCluster) -> (Member, Member) {
    let mut first = Member::new(cluster);
    let call = first.join();
    first.joined(call);
    assert_eq!(done(first.sync()).unwrap(), format!("for {}", first.joined.member_id).as_bytes());
    let mut second = Member::new(cluster);
    let mut joining = second.join();
    assert!(joining.try_take().is_none(), "waits for the first one");
    assert_eq!(first.heartbeat(), Err(GroupError::RebalanceInProgress));
    assert_eq!(first.commit(1), Ok(()), "it still may commit");
    let call = first.join();
    first.joined(call);
    second.joined(joining);
    assert_eq!((first.joined.generation, second.joined.generation), (2, 2));
    let mut syncing = second.sync();
    assert!(syncing.try_take().is_none(), "waits for the leader");
    done(first.sync()).unwrap();
    let assignment = syncing.try_take().unwrap().unwrap();
    assert_eq!(assignment, format!("for {}", second.joined.member_id).as_bytes());
    (first, second)
}

#[test]
fn two_members_join_and_the_first_one_assigns() {
    let (cluster, _) = prepared();
    let (first, second) = pair(&cluster);
    assert!(first.joined.is_leader());
    assert!(!second.joined.is_leader());
    assert_eq!(first.joined.members.len(), 2);
    assert_eq!(first.joined.members[0].1, b"subscription");
    assert!(second.joined.members.is_empty());
}

#[test]
fn a_silent_member_is_out_after_its_session() {
    let (cluster, clock) = prepared();
    let (mut first, mut second) = pair(&cluster);
    clock.advance(SESSION / 2);
    assert_eq!(first.heartbeat(), Ok(()));
    assert_eq!(cluster.next_timer(), Some(clock.now() + SESSION / 2));
    clock.advance(SESSION / 2);
    assert_eq!(first.heartbeat(), Err(GroupError::RebalanceInProgress));
    assert_eq!(second.heartbeat(), Err(GroupError::UnknownMember));
    assert_eq!(second.commit(7), Err(GroupError::UnknownMember));
    let call = first.join();
    first.joined(call);
    assert_eq!((first.joined.generation, first.joined.members.len()), (3, 1));
    let error = done(second.join()).unwrap_err();
    assert_eq!(group_error(&error), GroupError::UnknownMember);
}

#[test]
fn when_the_leader_is_out_the_next_one_leads() {
    let (cluster, clock) = prepared();
    let (_first, mut second) = pair(&cluster);
    clock.advance(SESSION / 2);
    assert_eq!(second.heartbeat(), Ok(()));
    clock.advance(SESSION / 2);
    let call = second.join();
    second.joined(call);
    assert!(second.joined.is_leader());
}

#[test]
fn a_rebalance_waits_no_longer_than_its_timeout() {
    let (cluster, clock) = prepared();
    let (mut first, mut second) = pair(&cluster);
    let mut third = Member::new(&cluster);
    let joining_third = third.join();
    let mut joining_first = first.join();
    let deadline = clock.now() + REBALANCE;
    // The second one lives, but does not join.
    while clock.now() < deadline {
        assert!(joining_first.try_take().is_none());
        clock.advance(SESSION / 2);
        let _ = second.heartbeat();
    }
    cluster.tick();
    first.joined(joining_first);
    third.joined(joining_third);
    assert_eq!(first.joined.members.len(), 2);
    assert_eq!(second.heartbeat(), Err(GroupError::UnknownMember));
}

#[test]
fn old_generations_and_strangers_are_refused() {
    let (cluster, _) = prepared();
    let (mut first, _second) = pair(&cluster);
    first.joined.generation = 1;
    assert_eq!(first.heartbeat(), Err(GroupError::IllegalGeneration));
    assert_eq!(first.commit(1), Err(GroupError::IllegalGeneration));
    let error = done(first.sync()).unwrap_err();
    assert_eq!(group_error(&error), GroupError::IllegalGeneration);
    first.joined.member_id = "stranger".into();
    assert_eq!(first.heartbeat(), Err(GroupError::UnknownMember));
    let error = done(first.sync()).unwrap_err();
    assert_eq!(group_error(&error), GroupError::UnknownMember);
}

#[test]
fn between_join_and_sync_only_transactions_commit() {
    let (cluster, _) = prepared();
    let (mut first, mut second) = pair(&cluster);
    let before = first.metadata();
    let mut third = Member::new(&cluster);
    let _joining = third.join();
    let calls = (first.join(), second.join());
    first.joined(calls.0);
    second.joined(calls.1);
    assert_eq!(second.commit(5), Err(GroupError::RebalanceInProgress));
    assert_eq!(second.heartbeat(), Ok(()));
    let mut producer = transactional(&cluster, "x");
    producer.begin().unwrap();
    let outcome = done(producer.commit(&[offset("t", 0, 5)], &before)).unwrap();
    let CommitOutcome::Aborted(error) = outcome else { panic!("{outcome:?}") };
    assert_eq!(group_error(&error), GroupError::IllegalGeneration);
    done(producer.abort()).unwrap();
    producer.begin().unwrap();
    let outcome = done(producer.commit(&[offset("t", 0, 6)], &second.metadata())).unwrap();
    assert_eq!(outcome, CommitOutcome::Committed);
    done(first.sync()).unwrap();
    assert_eq!(second.commit(7), Ok(()));
    assert_eq!(cluster.committed("g", "t", 0).unwrap().offset, 7);
}

#[test]
fn a_member_that_leaves_starts_a_rebalance() {
    let (cluster, _) = prepared();
    let (mut first, mut second) = pair(&cluster);
    let id = second.joined.member_id.clone();
    done(second.line.leave(&id)).unwrap();
    done(second.line.leave(&id)).unwrap();
    assert_eq!(first.heartbeat(), Err(GroupError::RebalanceInProgress));
    let id = first.joined.member_id.clone();
    done(first.line.leave(&id)).unwrap();
    assert_eq!(cluster.next_timer(), None, "an empty group waits for nothing");
    let mut again = Member::new(&cluster);
    let call = again.join();
    again.joined(call);
    assert_eq!(again.joined.generation, 4);
}

#[test]
fn who_has_no_news_learns_the_generation_without_a_rebalance() {
    let (cluster, _) = prepared();
    let (mut first, mut second) = pair(&cluster);
    let call = second.join();
    second.joined(call);
    assert_eq!(second.joined.generation, 2);
    let changed = JoinRequest {
        protocol: ("ours".into(), b"news".to_vec()),
        ..join_request(&second.joined.member_id)
    };
    let joining = second.line.join(changed);
    assert_eq!(first.heartbeat(), Err(GroupError::RebalanceInProgress));
    let call = first.join();
    first.joined(call);
    second.joined(joining);
    assert_eq!(second.joined.generation, 3);
    assert!(first.joined.members.iter().any(|(_, subscription)| subscription == b"news"));
    // The leader always starts one.
    done(first.sync()).unwrap();
    drop(first.join());
    assert_eq!(second.heartbeat(), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_lost_answer_to_a_join_or_a_sync_is_asked_for_again() {
    let (cluster, _) = prepared();
    let script = Script::new(&cluster);
    let mut member = Member::new(&cluster);
    script.next(Step::Join, Fault::LoseAnswer);
    assert!(done(member.join()).unwrap_err().is_retriable());
    let call = member.join();
    member.joined(call);
    assert_eq!(member.joined.generation, 1);
    script.next(Step::Sync, Fault::LoseAnswer);
    assert!(done(member.sync()).unwrap_err().is_retriable());
    assert!(!done(member.sync()).unwrap().is_empty());
    assert_eq!(member.heartbeat(), Ok(()));
}

#[test]
fn who_does_not_sync_is_out_after_the_rebalance_timeout() {
    let (cluster, clock) = prepared();
    let (mut first, mut second) = pair(&cluster);
    let joining = first.join();
    let call = second.join();
    second.joined(call);
    first.joined(joining);
    let mut syncing = second.sync();
    let deadline = clock.now() + REBALANCE;
    while clock.now() < deadline {
        // The leader lives, but has no assignment.
        let _ = first.heartbeat();
        assert!(syncing.try_take().is_none());
        clock.advance(SESSION / 2);
    }
    cluster.tick();
    let error = syncing.try_take().unwrap().unwrap_err();
    assert_eq!(group_error(&error), GroupError::RebalanceInProgress);
    assert_eq!(first.heartbeat(), Err(GroupError::UnknownMember));
    let call = second.join();
    second.joined(call);
    assert!(second.joined.is_leader());
}

#[test]
fn a_rebalance_waits_for_ids_that_were_handed_out_until_they_expire() {
    let (cluster, clock) = prepared();
    let _ghost = Member::new(&cluster);
    let mut member = Member::new(&cluster);
    let mut joining = member.join();
    assert!(joining.try_take().is_none());
    clock.advance(SESSION);
    cluster.tick();
    member.joined(joining);
    assert_eq!(member.joined.members.len(), 1);
}

#[test]
fn members_must_agree_on_the_protocol_and_have_a_session() {
    let (cluster, _) = prepared();
    let (first, _second) = pair(&cluster);
    let mut line = cluster.group_transport("g", nobody()).unwrap();
    let theirs = JoinRequest { protocol: ("stream".into(), Vec::new()), ..join_request("") };
    let error = done(line.join(theirs)).unwrap_err();
    assert_eq!(group_error(&error), GroupError::InconsistentProtocol);
    let endless = JoinRequest {
        session_timeout: Duration::from_secs(1 << 20),
        ..join_request(&first.joined.member_id)
    };
    let error = done(line.join(endless)).unwrap_err();
    assert_eq!(group_error(&error), GroupError::InvalidSessionTimeout);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let (cluster, _) = prepared();
    let request = || JoinRequest { instance_id: Some("i".into()), ..join_request("") };
    let mut line = cluster.group_transport("g", nobody()).unwrap();
    let leader = {
        let mut leader = Member::new(&cluster);
        let call = leader.join();
        leader.joined(call);
        done(leader.sync()).unwrap();
        leader
    };
    let joining = line.join(request());
    let mut leader = leader;
    let call = leader.join();
    leader.joined(call);
    let mut former = Member { line, joined: leader.joined.clone() };
    former.joined(joining);
    done(leader.sync()).unwrap();
    let assignment = done(former.sync()).unwrap();
    assert!(!assignment.is_empty());

    let mut line = cluster.group_transport("g", nobody()).unwrap();
    let joined = done(line.join(request())).unwrap();
    assert_eq!(joined.generation, former.joined.generation);
    let mut now = Member { line, joined };
    assert_eq!(done(now.sync()).unwrap(), assignment);
    assert_eq!(leader.heartbeat(), Ok(()));
    assert_eq!(now.heartbeat(), Ok(()));
    let stale = JoinRequest { member_id: former.joined.member_id.clone(), ..request() };
    let error = done(former.line.join(stale)).unwrap_err();
    assert_eq!(group_error(&error), GroupError::FencedInstance);
}

#[test]
fn offsets_keep_their_metadata_and_are_checked_one_by_one() {
    let (cluster, _) = prepared();
    let (mut first, _second) = pair(&cluster);
    let mut kept = offset("t", 0, 3);
    kept.metadata = "time".into();
    kept.leader_epoch = 2;
    let mut long = offset("t", 0, 9);
    long.metadata = "x".repeat(5000);
    let offsets = vec![kept, offset("none", 0, 1), offset("t", 1, 1), long];
    let member = first.metadata();
    let each = done(first.line.commit_offsets(member, offsets)).unwrap();
    let kinds: Vec<_> = each.into_iter().map(|each| each.map_err(|error| error.kind)).collect();
    let unknown = Err(ClientErrorKind::UnknownTopic);
    assert_eq!(kinds, [Ok(()), unknown, unknown, Err(ClientErrorKind::Invalid)]);
    let found = cluster.committed("g", "t", 0).unwrap();
    assert_eq!((found.offset, found.leader_epoch, &*found.metadata), (3, 2, "time"));
}
