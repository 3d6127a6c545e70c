//! From what the members said to what each one is told: the assignor's target, less the tasks
//! that others have not released yet. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::leader::Subscriptions;
use super::messages::{AssignmentError, AssignmentMessage, HostTasks, Subscription};
use crate::assignment::assignor::{AssignorInput, Candidate, StateOnDisk, Target, assign};
use crate::assignment::{GroupTopology, PartitionPlan};
use crate::client::TopicPartition;
use crate::task_id::TaskId;

/// Everything that the leader knows.
#[derive(Clone, Copy)]
pub(super) struct GroupView<'a> {
    /// With the topics that its patterns match.
    pub(super) topology: &'a GroupTopology,
    /// Of the topology as it was declared.
    pub(super) fingerprint: u64,
    pub(super) plan: &'a PartitionPlan,
    pub(super) subscriptions: &'a Subscriptions,
    pub(super) standby_replicas: usize,
}

/// What each member is told.
pub(super) fn share_out(view: GroupView<'_>) -> BTreeMap<&Arc<str>, AssignmentMessage> {
    let owners = Owners::new(view);
    let candidates = view.candidates(&owners);
    let targets = assign(AssignorInput {
        members: &candidates,
        tasks: &view.plan.tasks,
        stateful: &view.plan.stateful,
        on_disk: &view.on_disk(),
        standby_replicas: view.standby_replicas,
    });
    let mut follow_up = false;
    let mut messages: BTreeMap<&Arc<str>, AssignmentMessage> = BTreeMap::new();
    for (id, subscription) in view.subscriptions {
        let message = match (subscription, targets.get(id)) {
            (Err(error), _) => {
                let code = AssignmentError::UnreadableSubscription;
                AssignmentMessage::refusal(code, error.to_string())
            }
            (Ok(_), None) => AssignmentMessage::refusal(
                AssignmentError::OtherTopology,
                "the leader of the group runs another topology: this member gets no tasks until \
                 a member with its own topology leads",
            ),
            (Ok(subscription), Some(target)) => {
                let (active, withheld) = owners.released(id, target);
                follow_up |= withheld;
                let standby = owners.standbys(subscription.process, target);
                AssignmentMessage { active, standby, ..AssignmentMessage::default() }
            }
        };
        messages.insert(id, message);
    }
    let hosts = view.hosts(&messages);
    for message in messages.values_mut() {
        message.follow_up = follow_up;
        message.partition_counts = view.plan.counts.clone();
        message.hosts = hosts.clone();
    }
    messages
}

impl<'a> GroupView<'a> {
    /// The partitions that `tasks` read.
    pub(super) fn partitions(&self, tasks: &[TaskId]) -> Vec<TopicPartition> {
        let mut partitions = Vec::new();
        for sub in &self.topology.subtopologies {
            for task in tasks.iter().filter(|task| task.subtopology == sub.subtopology) {
                for topic in sub.source_topics.iter().chain(sub.repartition_sources.keys()) {
                    if self.plan.counts.get(topic).is_some_and(|n| task.partition < *n) {
                        partitions.push(TopicPartition::new(topic.clone(), task.partition));
                    }
                }
            }
        }
        partitions
    }

    fn readable(self) -> impl Iterator<Item = (&'a Arc<str>, &'a Subscription)> {
        self.subscriptions.iter().filter_map(|(id, s)| Some((id, s.as_ref().ok()?)))
    }

    /// Members that run the leader's topology, and what they keep unless it has to move.
    fn candidates(&self, owners: &Owners<'_>) -> BTreeMap<Arc<str>, Candidate> {
        let topology = self.fingerprint;
        let eligible = self.readable().filter(|(_, s)| s.topology == topology);
        let candidate = |(id, s): (&Arc<str>, &Subscription)| {
            let owned = s.owned.iter().filter(|task| owners.owner(task) == Some(id)).copied();
            (id.clone(), Candidate { process: s.process, owned: owned.collect() })
        };
        eligible.map(candidate).collect()
    }

    fn on_disk(&self) -> StateOnDisk {
        let mut disks = StateOnDisk::new();
        for (_, subscription) in self.readable() {
            let disk = disks.entry(subscription.process).or_default();
            // What runs is as fresh as can be, whatever was reported of it.
            let running = subscription.owned.iter().map(|task| (*task, i64::MAX));
            let reported = subscription.on_disk.iter().map(|s| (s.task, s.offset_sum));
            for (task, offset_sum) in
                running.chain(reported).filter(|(task, _)| self.plan.stateful.contains(task))
            {
                let known = disk.entry(task).or_insert(offset_sum);
                *known = offset_sum.max(*known);
            }
        }
        disks
    }

    fn hosts(&self, messages: &BTreeMap<&Arc<str>, AssignmentMessage>) -> Vec<HostTasks> {
        let mut hosts: BTreeMap<&str, HostTasks> = BTreeMap::new();
        for (id, subscription) in self.readable() {
            let Some(endpoint) = &subscription.user_endpoint else { continue };
            let host = hosts.entry(endpoint).or_default();
            host.endpoint.clone_from(endpoint);
            host.active.extend(&messages[id].active);
            host.standby.extend(&messages[id].standby);
        }
        for host in hosts.values_mut() {
            host.active.sort_unstable();
            host.standby.sort_unstable();
        }
        hosts.into_values().collect()
    }
}

/// Who may be working on which task.
struct Owners<'a> {
    claims: BTreeMap<TaskId, Vec<(&'a Arc<str>, &'a Subscription)>>,
}

impl<'a> Owners<'a> {
    fn new(view: GroupView<'a>) -> Self {
        let mut claims: BTreeMap<TaskId, Vec<(&Arc<str>, &Subscription)>> = BTreeMap::new();
        for (id, subscription) in view.readable() {
            for task in subscription.owned.iter().collect::<BTreeSet<_>>() {
                claims.entry(*task).or_default().push((id, subscription));
            }
        }
        Self { claims }
    }

    /// Of several claims, which cannot come from members that follow the protocol, the one of
    /// the newest generation counts.
    fn owner(&self, task: &TaskId) -> Option<&'a Arc<str>> {
        let claims = self.claims.get(task)?.iter();
        claims.min_by_key(|(id, s)| (Reverse(s.owned_generation), *id)).map(|(id, _)| *id)
    }

    /// The part of the target that nobody else works on, and whether that is not all.
    fn released(&self, id: &Arc<str>, target: &Target) -> (Vec<TaskId>, bool) {
        let free = |task: &&TaskId| self.owner(task).is_none_or(|owner| owner == id);
        let active: Vec<TaskId> = target.active.iter().filter(free).copied().collect();
        let withheld = active.len() < target.active.len();
        (active, withheld)
    }

    /// A process never has an active and a standby task on the same disk.
    fn standbys(&self, process: Uuid, target: &Target) -> Vec<TaskId> {
        let works_here = |task: &TaskId| {
            self.claims.get(task).is_some_and(|c| c.iter().any(|(_, s)| s.process == process))
        };
        target.standby.iter().filter(|task| !works_here(task)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::assignment::SubtopologyTopics;
    use crate::assignment::partition_counts::Counts;
    use crate::membership::messages::MessageError;

    fn topology() -> GroupTopology {
        let sub = SubtopologyTopics {
            source_topics: BTreeSet::from(["in".into(), "more".into()]),
            changelogs: BTreeMap::from([("log".into(), Default::default())]),
            ..SubtopologyTopics::default()
        };
        GroupTopology { subtopologies: vec![sub], ..GroupTopology::default() }
    }

    fn plan() -> PartitionPlan {
        let users = Counts::from([("in".into(), 4), ("more".into(), 2)]);
        PartitionPlan::new(&topology(), &users).unwrap()
    }

    fn subscription(process: u128, owned_generation: i32, owned: &[i32]) -> Subscription {
        Subscription {
            process: Uuid::from_u128(process),
            owned_generation,
            owned: tasks(owned),
            topology: topology().fingerprint(),
            ..Subscription::default()
        }
    }

    fn tasks(partitions: &[i32]) -> Vec<TaskId> {
        partitions.iter().map(|p| TaskId::new(0, *p)).collect()
    }

    fn shared(
        subscriptions: &Subscriptions,
        standby_replicas: usize,
    ) -> BTreeMap<String, AssignmentMessage> {
        let (topology, plan) = (topology(), plan());
        let view = GroupView {
            topology: &topology,
            fingerprint: topology.fingerprint(),
            plan: &plan,
            subscriptions,
            standby_replicas,
        };
        share_out(view).into_iter().map(|(id, m)| (id.to_string(), m)).collect()
    }

    #[test]
    fn what_another_member_works_on_is_withheld() {
        let group = Subscriptions::from([
            ("a".into(), Ok(subscription(1, 3, &[0, 1, 2, 3]))),
            ("b".into(), Ok(subscription(2, -1, &[]))),
        ]);
        let told = shared(&group, 0);
        assert_eq!((told["a"].active.len(), told["b"].active.len()), (2, 0));
        assert!(told["a"].follow_up && told["b"].follow_up);

        let group = Subscriptions::from([
            (
                "a".into(),
                Ok(Subscription { owned: told["a"].active.clone(), ..subscription(1, 4, &[]) }),
            ),
            ("b".into(), Ok(subscription(2, -1, &[]))),
        ]);
        let told = shared(&group, 0);
        assert_eq!((told["a"].active.len(), told["b"].active.len()), (2, 2));
        assert!(!told["a"].follow_up);
    }

    #[test]
    fn of_two_claims_the_newer_counts() {
        let group = Subscriptions::from([
            ("a".into(), Ok(subscription(1, 3, &[0, 1]))),
            ("b".into(), Ok(subscription(2, 4, &[1, 2]))),
        ]);
        let told = shared(&group, 0);
        assert!(told["b"].active.contains(&TaskId::new(0, 1)));
        assert!(!told["a"].active.contains(&TaskId::new(0, 1)));
    }

    #[test]
    fn members_with_another_topology_get_nothing_but_are_waited_for() {
        let other = Subscription { topology: 1, ..subscription(2, 3, &[0, 1]) };
        let unreadable = MessageError::TooNew { message: "subscription", version: 9 };
        let group = Subscriptions::from([
            ("a".into(), Ok(subscription(1, 3, &[2, 3]))),
            ("b".into(), Ok(other)),
            ("c".into(), Err(unreadable)),
        ]);
        let told = shared(&group, 0);
        assert_eq!(told["b"].error, AssignmentError::OtherTopology);
        assert_eq!(told["c"].error, AssignmentError::UnreadableSubscription);
        assert_eq!(told["a"].active, tasks(&[2, 3]));
        assert!(told["b"].active.is_empty() && told["b"].follow_up);
    }

    #[test]
    fn a_process_has_no_standby_of_what_it_still_works_on() {
        let group = Subscriptions::from([
            ("a".into(), Ok(subscription(1, 3, &[0, 1, 2, 3]))),
            ("b".into(), Ok(subscription(2, -1, &[]))),
        ]);
        let told = shared(&group, 1);
        assert!(told["a"].standby.is_empty(), "{told:?}");
        assert_eq!(told["b"].standby.len(), 2);
    }

    #[test]
    fn endpoints_and_partitions_are_listed() {
        let endpoint = |s: Subscription| Subscription { user_endpoint: Some("h:1".into()), ..s };
        let group = Subscriptions::from([
            ("a".into(), Ok(endpoint(subscription(1, -1, &[])))),
            ("b".into(), Ok(endpoint(subscription(1, -1, &[])))),
        ]);
        let told = shared(&group, 0);
        assert_eq!(told["a"].hosts.len(), 1);
        assert_eq!(told["a"].hosts[0].active, tasks(&[0, 1, 2, 3]));

        let (topology, plan) = (topology(), plan());
        let view = GroupView {
            topology: &topology,
            fingerprint: topology.fingerprint(),
            plan: &plan,
            subscriptions: &group,
            standby_replicas: 0,
        };
        let shown: Vec<_> =
            view.partitions(&tasks(&[1, 3])).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["in-1", "more-1", "in-3"]);
    }
}
