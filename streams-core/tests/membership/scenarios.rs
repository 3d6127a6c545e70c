//! One thing that happens to a group, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use streams_core::client::{ClientErrorKind, GroupError, OffsetToCommit, TopicPartition};
use streams_core::membership::MemberErrorKind;
use streams_core::time::{Clock, Instant};
use streams_test::embedded::{Fault, FaultPlan, Operation, Step};

use crate::harness::{HEARTBEAT, Harness, MAX_POLL, SESSION, all_tasks, topology};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(120);

#[test]
fn one_member_gets_everything_and_makes_the_internal_topics() {
    let mut group = Harness::new();
    let node = group.start(1);
    group.run_until(SECOND, Harness::settled);
    let assignment = group.nodes[node].assignment.clone().unwrap();
    assert_eq!(assignment.active, all_tasks().into_iter().collect::<Vec<_>>());
    assert_eq!(assignment.partition_counts.len(), 3);
    assert!(assignment.partition_counts.values().all(|n| *n == 6));
    let topics = group.cluster.topics();
    assert_eq!(topics.iter().filter(|t| t.partitions == 6).count(), 3, "{topics:?}");
    assert!(group.nodes[node].handle.proven_until() > group.now() + SESSION / 2);
}

#[test]
fn a_second_member_gets_its_share_in_two_rounds_while_work_goes_on() {
    let mut group = Harness::new();
    let first = group.start(1);
    group.nodes[first].release_takes = 2 * SECOND;
    group.run_until(SECOND, Harness::settled);
    let before = group.nodes[first].owned.clone();
    let second = group.start(2);
    group.run_until(10 * SECOND, Harness::settled);
    let kept = &group.nodes[first].owned;
    assert!(kept.is_subset(&before));
    assert_eq!((kept.len(), group.nodes[second].owned.len()), (6, 6));
    for node in &group.nodes {
        assert!(node.lost.is_empty(), "{:?}", node.lost);
    }
    // Both sub-topologies are shared evenly.
    assert_eq!(kept.iter().filter(|task| task.subtopology == 0).count(), 3);
    // Two rounds, and no more afterwards.
    let rounds = group.nodes[first].assigned;
    assert_eq!(rounds, 3);
    group.run(LONG);
    assert_eq!(group.nodes[first].assigned, rounds);
}

#[test]
fn threads_of_one_process_are_members_of_their_own() {
    let mut group = Harness::new();
    for process in [1, 1, 1, 2] {
        group.start(process);
    }
    group.run_until(20 * SECOND, Harness::settled);
    assert!(group.nodes.iter().all(|node| node.owned.len() == 3));
}

#[test]
fn a_frozen_member_loses_its_tasks_and_knows_it_before_anything_else() {
    let mut group = Harness::new();
    let (first, second) = (group.start(1), group.start(2));
    group.run_until(20 * SECOND, Harness::settled);
    group.nodes[first].frozen = true;
    let took = group.run_until(LONG, |g| g.nodes[second].owned.len() == 12);
    assert!(took >= SESSION - 2 * HEARTBEAT && took <= SESSION + 2 * HEARTBEAT, "{took:?}");

    let node = &mut group.nodes[first];
    assert_eq!(node.owned.len(), 6, "it does not know yet");
    node.frozen = false;
    let now = group.clock.now();
    assert!(now >= node.handle.proven_until(), "but it could");
    node.step_member(now);
    node.step_thread(now);
    assert!(node.owned.is_empty());
    assert_eq!(node.lost.len(), 1);
    group.run_until(20 * SECOND, Harness::settled);
}

#[test]
fn an_unreachable_coordinator_ends_the_membership_with_the_session() {
    struct Down(Instant, Instant);
    impl FaultPlan for Down {
        fn decide(&self, _: &Operation<'_>, now: Instant) -> Fault {
            if self.0 <= now && now < self.1 { Fault::LoseRequest } else { Fault::None }
        }
    }
    let mut group = Harness::new();
    let node = group.start(1);
    group.run_until(SECOND, Harness::settled);
    let from = group.now();
    group.cluster.set_faults(Some(Arc::new(Down(from, from + 3 * SESSION))));
    group.run(SESSION - 2 * HEARTBEAT);
    assert!(group.nodes[node].lost.is_empty(), "a short silence is no loss");
    group.run(3 * HEARTBEAT);
    assert!(group.nodes[node].lost[0].contains("could not be reached"));
    assert!(group.nodes[node].owned.is_empty());
    group.run(3 * SESSION);
    assert!(group.settled(), "{}", group.describe());
}

/// Loses the answer of every `n`th operation of a kind.
struct EveryNth {
    step: Step,
    n: u32,
    seen: std::sync::atomic::AtomicU32,
}

impl FaultPlan for EveryNth {
    fn decide(&self, operation: &Operation<'_>, _: Instant) -> Fault {
        if operation.step != self.step {
            return Fault::None;
        }
        let seen = self.seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if seen.is_multiple_of(self.n) { Fault::LoseAnswer } else { Fault::None }
    }
}

#[test]
fn lost_answers_do_no_harm() {
    for step in [
        Step::Join,
        Step::Sync,
        Step::Heartbeat,
        Step::DescribeTopics,
        Step::CreateTopics,
        Step::CommitOffsets,
    ] {
        for n in [2, 3] {
            let mut group = Harness::new();
            let seen = 0.into();
            group.cluster.set_faults(Some(Arc::new(EveryNth { step, n, seen })));
            for process in 1..=3 {
                group.start(process);
                group.run(3 * SECOND);
            }
            group.run_until(LONG, Harness::settled);
        }
    }
}

#[test]
fn a_leader_that_dies_between_join_and_sync_is_replaced() {
    /// The first leader's question about topics is answered too late.
    struct SlowOnce(Instant);
    impl FaultPlan for SlowOnce {
        fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
            if operation.step == Step::DescribeTopics && now < self.0 {
                return Fault::Delay(now + LONG);
            }
            Fault::None
        }
    }
    let mut group = Harness::new();
    let late = group.now() + 2 * SECOND;
    group.cluster.set_faults(Some(Arc::new(SlowOnce(late))));
    let leader = group.start(1);
    group.start(2);
    group.run(2 * SECOND);
    assert!(group.nodes.iter().all(|node| node.assigned == 0));
    drop(group.nodes.remove(leader));
    let took = group.run_until(LONG, Harness::settled);
    assert!(took <= SESSION + 2 * HEARTBEAT, "{took:?}");
}

#[test]
fn a_leader_without_answers_keeps_the_group_and_starts_over() {
    struct NoAdmin(Instant);
    impl FaultPlan for NoAdmin {
        fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
            let admin = operation.step == Step::DescribeTopics;
            if admin && now < self.0 { Fault::LoseRequest } else { Fault::None }
        }
    }
    let mut group = Harness::new();
    let until = group.now() + 2 * MAX_POLL;
    group.cluster.set_faults(Some(Arc::new(NoAdmin(until))));
    group.start(1);
    group.start(2);
    group.run(2 * MAX_POLL);
    group.run_until(MAX_POLL, Harness::settled);
}

#[test]
fn missing_source_topics_reach_all_members() {
    let mut group = Harness::new();
    group.cluster.delete_topic("in").unwrap();
    group.start(1);
    group.start(2);
    group.run(5 * SECOND);
    for node in &group.nodes {
        let error = node.failed.as_ref().unwrap();
        assert_eq!(error.kind, MemberErrorKind::MissingSourceTopics);
        assert!(error.message.contains("missing source topics: in"), "{error}");
        assert!(node.member.is_ended());
    }
}

#[test]
fn an_internal_topic_with_another_count_is_named() {
    let mut group = Harness::new();
    group.cluster.create_topic("app-counts-changelog", 4).unwrap();
    let node = group.start(1);
    group.run(SECOND);
    let error = group.nodes[node].failed.as_ref().unwrap();
    assert_eq!(error.kind, MemberErrorKind::InternalTopics);
    assert!(error.message.contains("app-counts-changelog (expected 6, found 4)"), "{error}");
}

#[test]
fn who_may_not_make_topics_is_told_so() {
    struct Denied;
    impl FaultPlan for Denied {
        fn decide(&self, operation: &Operation<'_>, _: Instant) -> Fault {
            if operation.step != Step::CreateTopics {
                return Fault::None;
            }
            let text = "not authorized to create topics";
            Fault::Fail(streams_core::client::ClientError::new(
                ClientErrorKind::Authorization,
                text,
            ))
        }
    }
    let mut group = Harness::new();
    group.cluster.set_faults(Some(Arc::new(Denied)));
    let node = group.start(1);
    group.run(SECOND);
    let error = group.nodes[node].failed.as_ref().unwrap();
    assert!(error.message.contains("not authorized to create topics"), "{error}");
}

#[test]
fn who_leaves_is_replaced_at_once() {
    let mut group = Harness::new();
    let (first, second) = (group.start(1), group.start(2));
    group.run_until(20 * SECOND, Harness::settled);
    group.nodes[first].owned.clear();
    group.nodes[first].handle.acknowledge(Vec::new());
    let mut left = group.nodes[first].handle.leave();
    let took = group.run_until(SESSION, |g| g.nodes[second].owned.len() == 12);
    assert!(took <= 2 * HEARTBEAT, "{took:?}");
    assert_eq!(left.try_take(), Some(Ok(())));
    assert!(group.nodes[first].member.is_ended());
    assert_eq!(group.nodes[first].handle.leave().try_take(), Some(Ok(())));
}

#[test]
fn a_thread_that_is_gone_leaves_the_group() {
    let mut group = Harness::new();
    let (first, second) = (group.start(1), group.start(2));
    group.run_until(20 * SECOND, Harness::settled);
    let spare = Harness::new().into_spare();
    drop(std::mem::replace(&mut group.nodes[first].handle, spare));
    group.nodes[first].owned.clear();
    group.nodes[first].stuck = true;
    let took = group.run_until(SESSION, |g| g.nodes[second].owned.len() == 12);
    assert!(took <= 2 * HEARTBEAT, "{took:?}");
}

#[test]
fn a_stuck_thread_gives_its_tasks_up_and_comes_back() {
    let mut group = Harness::new();
    let (first, second) = (group.start(1), group.start(2));
    group.run_until(20 * SECOND, Harness::settled);
    group.nodes[first].stuck = true;
    let took = group.run_until(LONG, |g| g.nodes[second].owned.len() == 12);
    assert!(took >= MAX_POLL && took <= MAX_POLL + 2 * HEARTBEAT, "{took:?}");
    assert_eq!(group.nodes[first].owned.len(), 6, "it still believes so");
    assert!(group.now() >= group.nodes[first].handle.proven_until());
    group.run(LONG);
    group.nodes[first].stuck = false;
    group.run_until(20 * SECOND, Harness::settled);
    assert!(group.nodes[first].lost[0].contains("max.poll.interval.ms"));
}

#[test]
fn a_killed_process_is_back_under_its_old_id_before_its_session_ends() {
    let restart = |remember: bool| {
        let mut group = Harness::new();
        group.start(1);
        group.start(2);
        group.run_until(20 * SECOND, Harness::settled);
        let dead = group.nodes.remove(0);
        let mut config = Harness::config(1);
        config.member_id = dead.assignment.map(|a| a.member_id).filter(|_| remember);
        group.start_with(config);
        let took = group.run_until(LONG, Harness::settled);
        assert!(group.nodes[0].lost.is_empty());
        took
    };
    assert!(restart(true) <= 2 * HEARTBEAT);
    assert!(restart(false) >= SESSION - 2 * HEARTBEAT, "without it the group waits for the dead");
}

#[test]
fn an_id_that_nobody_knows_any_more_does_no_harm() {
    let mut group = Harness::new();
    let mut config = Harness::config(1);
    config.member_id = Some("long-gone".into());
    group.start_with(config);
    group.run_until(5 * SECOND, Harness::settled);
}

fn offset(partition: i32) -> OffsetToCommit {
    let partition = TopicPartition::new("in", partition);
    OffsetToCommit { partition, offset: 7, leader_epoch: -1, metadata: String::new() }
}

#[test]
fn commits_pass_with_the_generation_of_the_assignment_and_are_refused_with_another() {
    let mut group = Harness::new();
    let node = group.start(1);
    group.run_until(SECOND, Harness::settled);
    let metadata = group.nodes[node].metadata();
    assert!(group.nodes[node].handle.commits_accepted());
    let mut call = group.nodes[node].handle.commit_offsets(metadata.clone(), vec![offset(0)]);
    group.run(Duration::ZERO);
    assert_eq!(call.try_take(), Some(Ok(vec![Ok(())])));
    assert_eq!(group.cluster.committed("app", "in", 0).unwrap().offset, 7);

    let mut stale = metadata;
    stale.generation -= 1;
    let mut call = group.nodes[node].handle.commit_offsets(stale, vec![offset(0)]);
    group.run(SECOND);
    let error = call.try_take().unwrap().unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Group(GroupError::IllegalGeneration));
    assert!(group.nodes[node].lost.is_empty(), "an old commit says nothing about today");
}

#[test]
fn one_member_can_stop_the_application() {
    let mut group = Harness::new();
    group.start(1);
    group.start(2);
    group.run_until(20 * SECOND, Harness::settled);
    group.nodes[1].handle.shutdown_application();
    group.run(5 * SECOND);
    for node in &group.nodes {
        assert_eq!(node.failed.as_ref().unwrap().kind, MemberErrorKind::Shutdown);
    }
}

#[test]
fn members_of_another_topology_wait_until_one_of_theirs_leads() {
    let mut group = Harness::new();
    group.start(1);
    group.run_until(SECOND, Harness::settled);
    let mut config = Harness::config(2);
    let mut other = topology();
    other.subtopologies[1].changelogs.clear();
    config.topology = Arc::new(other);
    group.start_with(config);
    group.run(20 * SECOND);
    assert_eq!(group.nodes[0].owned.len(), 12);
    assert_eq!(group.nodes[1].assigned, 1);
    drop(group.nodes[0].handle.leave());
    group.nodes[0].owned.clear();
    group.run_until(20 * SECOND, |g| g.nodes[1].owned.len() == 12);
}

#[test]
fn a_request_for_a_rebalance_makes_one() {
    let mut group = Harness::new();
    group.start(1);
    let follower = group.start(2);
    group.run_until(20 * SECOND, Harness::settled);
    group.run(5 * SECOND);
    let generation = group.nodes[follower].assignment.as_ref().unwrap().generation;
    group.nodes[follower].handle.request_rejoin();
    group.run(5 * SECOND);
    assert_eq!(group.nodes[follower].assignment.as_ref().unwrap().generation, generation + 1);
}

#[test]
fn new_partitions_are_noticed() {
    let mut group = Harness::new();
    let mut config = Harness::config(1);
    let mut reading = topology();
    reading.subtopologies.truncate(1);
    config.topology = Arc::new(reading);
    let node = group.start_with(config);
    group.run_until(SECOND, |g| g.nodes[node].owned.len() == 6);
    group.cluster.grow_topic("in", 8).unwrap();
    let took = group.run_until(3 * LONG, |g| g.nodes[node].owned.len() == 8);
    assert!(took > LONG, "{took:?}");
    assert!(group.nodes[node].lost.is_empty());
}

#[test]
fn new_partitions_that_do_not_fit_the_state_are_an_error() {
    let mut group = Harness::new();
    let node = group.start(1);
    group.run_until(SECOND, Harness::settled);
    group.cluster.grow_topic("in", 8).unwrap();
    group.run(3 * LONG);
    let error = group.nodes[node].failed.as_ref().unwrap();
    assert_eq!(error.kind, MemberErrorKind::InternalTopics);
    assert!(error.message.contains("(expected 8, found 6)"), "{error}");
}
