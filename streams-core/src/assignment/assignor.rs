//! Which member gets which task: sticky, balanced, deterministic.
//!
//! Members (stream threads) are the unit of capacity: a process with four threads gets four
//! shares. A task stays where it is unless its member has more than its share; what moves goes
//! to a process that has its state on disk, the most complete first. Tasks bind all topics of a
//! sub-topology at one partition number, so co-partitioning needs no care here.
//!
//! The result is the target. While a task is still owned elsewhere, whoever publishes the target
//! has to withhold it (see `membership::leader`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::task_id::TaskId;

/// A member, as the assignor sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Members of one process share its disk.
    pub process: Uuid,
    /// The active tasks that it runs. No task is owned by two candidates.
    pub owned: BTreeSet<TaskId>,
}

/// State on the disk of a process: per task the sum of its stores' offsets. More is fresher.
pub type StateOnDisk = BTreeMap<Uuid, BTreeMap<TaskId, i64>>;

/// What is to be shared out.
#[derive(Clone, Copy, Debug)]
pub struct AssignorInput<'a> {
    /// By member id.
    pub members: &'a BTreeMap<Arc<str>, Candidate>,
    /// Each once.
    pub tasks: &'a [TaskId],
    /// Those of them that have state: only they have standbys.
    pub stateful: &'a BTreeSet<TaskId>,
    /// What a process would not have to restore.
    pub on_disk: &'a StateOnDisk,
    /// Copies of each stateful task beside its active one.
    pub standby_replicas: usize,
}

/// What a member should run in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// To process.
    pub active: BTreeSet<TaskId>,
    /// To keep warm.
    pub standby: BTreeSet<TaskId>,
}

/// Shares the tasks out; every member is in the result. Without members nobody gets anything.
pub fn assign(input: AssignorInput<'_>) -> BTreeMap<Arc<str>, Target> {
    if input.members.is_empty() {
        return BTreeMap::new();
    }
    let mut shares = Shares::new(input);
    shares.keep_owned();
    shares.place_free();
    shares.place_standbys();
    let targets = shares.members.into_iter();
    targets.map(|share| (share.id.clone(), share.target)).collect()
}

/// The assignment in the making.
struct Shares<'a> {
    input: AssignorInput<'a>,
    members: Vec<Share<'a>>,
    /// Every member gets at least that many tasks...
    base: usize,
    /// ...and so many members may have one more.
    extra: usize,
    free: BTreeSet<TaskId>,
}

struct Share<'a> {
    id: &'a Arc<str>,
    process: Uuid,
    target: Target,
    per_subtopology: BTreeMap<u32, usize>,
}

impl<'a> Shares<'a> {
    fn new(input: AssignorInput<'a>) -> Self {
        let members = input.members.iter().map(|(id, candidate)| Share {
            id,
            process: candidate.process,
            target: Target::default(),
            per_subtopology: BTreeMap::new(),
        });
        Self {
            members: members.collect(),
            base: input.tasks.len() / input.members.len(),
            extra: input.tasks.len() % input.members.len(),
            free: input.tasks.iter().copied().collect(),
            input,
        }
    }

    /// Leaves to each member what it has, up to its share. Who has most gets the larger shares.
    fn keep_owned(&mut self) {
        for (index, candidate) in self.input.members.values().enumerate() {
            for task in &candidate.owned {
                if self.free.remove(task) {
                    self.members[index].add(*task);
                }
            }
        }
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        order.sort_by_key(|&index| Reverse(self.members[index].load()));
        for index in order {
            let mut share = self.base;
            if self.members[index].load() > self.base && self.extra > 0 {
                self.extra -= 1;
                share += 1;
            }
            while self.members[index].load() > share {
                let task = self.cheapest_to_give(index);
                self.members[index].remove(task);
                self.free.insert(task);
            }
        }
    }

    /// Of a member with too many tasks: one that a process with room has fresh state of, of the
    /// sub-topology that it has most of, the last one.
    fn cheapest_to_give(&self, index: usize) -> TaskId {
        let member = &self.members[index];
        let wanted = |task: &TaskId| {
            let others = self.members.iter().enumerate();
            let mut takers = others.filter(|(i, m)| *i != index && m.load() < self.base);
            takers.any(|(_, m)| self.freshness(m.process, task).is_some())
        };
        let tasks = member.target.active.iter();
        let cheapest = tasks.max_by_key(|t| (wanted(t), member.count_of(t.subtopology), **t));
        *cheapest.expect("a member with more tasks than its share has one")
    }

    /// Gives out what nobody has: first the tasks that few processes have on disk, so that their
    /// places are not taken by others.
    fn place_free(&mut self) {
        let mut order: Vec<TaskId> = std::mem::take(&mut self.free).into_iter().collect();
        order.sort_by_key(|task| match self.processes_with_state(task) {
            0 => (usize::MAX, *task),
            n => (n, *task),
        });
        for task in order {
            let index = self.best_place(&task);
            if self.members[index].load() >= self.base {
                self.extra -= 1;
            }
            self.members[index].add(task);
        }
    }

    fn best_place(&self, task: &TaskId) -> usize {
        let with_room = self.members.iter().enumerate().filter(|(_, m)| self.has_room(m));
        let best = with_room.min_by_key(|(index, m)| {
            let freshest = Reverse(self.freshness(m.process, task));
            (freshest, m.count_of(task.subtopology), m.load(), *index)
        });
        best.expect("shares add up to the number of tasks").0
    }

    fn has_room(&self, member: &Share<'_>) -> bool {
        member.load() < self.base || (member.load() == self.base && self.extra > 0)
    }

    fn place_standbys(&mut self) {
        if self.input.standby_replicas == 0 {
            return;
        }
        for task in self.input.tasks.iter().filter(|task| self.input.stateful.contains(task)) {
            let active = self.members.iter().filter(|m| m.target.active.contains(task));
            let mut taken: BTreeSet<Uuid> = active.map(|m| m.process).collect();
            for _ in 0..self.input.standby_replicas {
                let places = self.members.iter().enumerate();
                let best =
                    places.filter(|(_, m)| !taken.contains(&m.process)).min_by_key(|(index, m)| {
                        let freshest = Reverse(self.freshness(m.process, task));
                        (freshest, m.target.standby.len(), m.load(), *index)
                    });
                let Some((index, _)) = best else { break };
                taken.insert(self.members[index].process);
                self.members[index].target.standby.insert(*task);
            }
        }
    }

    fn freshness(&self, process: Uuid, task: &TaskId) -> Option<i64> {
        self.input.on_disk.get(&process)?.get(task).copied()
    }

    fn processes_with_state(&self, task: &TaskId) -> usize {
        self.input.on_disk.values().filter(|tasks| tasks.contains_key(task)).count()
    }
}

impl Share<'_> {
    fn load(&self) -> usize {
        self.target.active.len()
    }

    fn count_of(&self, subtopology: u32) -> usize {
        self.per_subtopology.get(&subtopology).copied().unwrap_or(0)
    }

    fn add(&mut self, task: TaskId) {
        self.target.active.insert(task);
        *self.per_subtopology.entry(task.subtopology).or_default() += 1;
    }

    fn remove(&mut self, task: TaskId) {
        self.target.active.remove(&task);
        if let Some(count) = self.per_subtopology.get_mut(&task.subtopology) {
            *count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    type Members = BTreeMap<Arc<str>, Candidate>;

    fn all_tasks(subtopologies: &[i32]) -> Vec<TaskId> {
        let subs = (0..).zip(subtopologies);
        subs.flat_map(|(sub, n)| (0..*n).map(move |p| TaskId::new(sub, p))).collect()
    }

    fn members(processes: &[u8]) -> Members {
        let member = |(index, process): (usize, &u8)| {
            let process = Uuid::from_u128(u128::from(*process));
            (Arc::from(format!("m{index:02}")), Candidate { process, owned: BTreeSet::new() })
        };
        processes.iter().enumerate().map(member).collect()
    }

    fn run(members: &Members, tasks: &[TaskId], on_disk: &StateOnDisk) -> Members {
        let stateful = tasks.iter().copied().collect();
        let input =
            AssignorInput { members, tasks, stateful: &stateful, on_disk, standby_replicas: 0 };
        let targets = assign(input);
        let own = |(id, t): (Arc<str>, Target)| {
            let process = members[&id].process;
            (id, Candidate { process, owned: t.active })
        };
        targets.into_iter().map(own).collect()
    }

    fn moved(from: &Members, to: &Members) -> usize {
        let had =
            |id: &Arc<str>, task: &TaskId| from.get(id).is_some_and(|m| m.owned.contains(task));
        to.iter().flat_map(|(id, m)| m.owned.iter().filter(move |t| !had(id, t))).count()
    }

    fn check_complete_and_balanced(members: &Members, tasks: &[TaskId]) {
        let mut given: Vec<TaskId> = members.values().flat_map(|m| m.owned.clone()).collect();
        given.sort_unstable();
        assert_eq!(given, tasks, "every task exactly once");
        let loads = || members.values().map(|m| m.owned.len());
        assert!(loads().max().unwrap() - loads().min().unwrap() <= 1, "{members:?}");
    }

    fn groups() -> impl Strategy<Value = (Vec<u8>, Vec<i32>)> {
        (prop::collection::vec(0u8..5, 1..9), prop::collection::vec(0i32..12, 0..5))
    }

    /// Any disk contents, of living and of gone processes.
    fn disks() -> impl Strategy<Value = StateOnDisk> {
        let entry = (0u128..7, (0u32..5, 0i32..12), 0i64..1000);
        prop::collection::vec(entry, 0..40).prop_map(|entries| {
            let mut disks = StateOnDisk::new();
            for (process, (sub, partition), offsets) in entries {
                let disk = disks.entry(Uuid::from_u128(process)).or_default();
                disk.insert(TaskId::new(sub, partition), offsets);
            }
            disks
        })
    }

    proptest! {
        #[test]
        fn every_task_once_balanced_and_deterministic(
            (processes, subs) in groups(),
            disks in disks(),
            owners in prop::collection::vec(0usize..12, 0..60),
        ) {
            let tasks = all_tasks(&subs);
            let mut members = members(&processes);
            // Any history: each task owned by anyone or nobody, and tasks that are no more.
            let ghosts = [TaskId::new(9, 0)];
            let ids: Vec<_> = members.keys().cloned().collect();
            for (task, owner) in tasks.iter().chain(&ghosts).zip(owners) {
                if let Some(id) = ids.get(owner) {
                    members.get_mut(id).unwrap().owned.insert(*task);
                }
            }
            let result = run(&members, &tasks, &disks);
            check_complete_and_balanced(&result, &tasks);
            prop_assert_eq!(&result, &run(&members, &tasks, &disks));
            // Who is within its share keeps all; and no more moves than to reach the shares.
            let share = tasks.len() / members.len();
            for (id, member) in &members {
                let valid: BTreeSet<_> =
                    member.owned.iter().filter(|t| tasks.contains(t)).copied().collect();
                let kept = result[id].owned.intersection(&valid).count();
                prop_assert!(kept >= valid.len().min(share));
            }
            // A balanced assignment is left alone, whatever lies on disks.
            prop_assert_eq!(&result, &run(&result, &tasks, &disks));
        }

        #[test]
        fn what_was_withheld_goes_where_the_first_round_meant(
            (processes, subs) in groups(),
            disks in disks(),
            owners in prop::collection::vec(0usize..12, 0..60),
        ) {
            let tasks = all_tasks(&subs);
            let mut members = members(&processes);
            let ids: Vec<_> = members.keys().cloned().collect();
            for (task, owner) in tasks.iter().zip(owners) {
                if let Some(id) = ids.get(owner) {
                    members.get_mut(id).unwrap().owned.insert(*task);
                }
            }
            let first = run(&members, &tasks, &disks);
            let mut between = first.clone();
            for (id, member) in &mut between {
                member.owned.retain(|t| {
                    !members.iter().any(|(other, m)| other != id && m.owned.contains(t))
                });
            }
            let second = run(&between, &tasks, &disks);
            prop_assert_eq!(moved(&between, &second), moved(&between, &first));
            check_complete_and_balanced(&second, &tasks);
        }

        #[test]
        fn one_member_more_or_less_moves_only_its_share((processes, subs) in groups()) {
            let tasks = all_tasks(&subs);
            let none = StateOnDisk::new();
            let before = run(&members(&processes), &tasks, &none);
            let share = tasks.len().div_ceil(before.len());

            let mut joined = before.clone();
            joined.insert("new".into(), Candidate { process: Uuid::from_u128(99), owned: BTreeSet::new() });
            prop_assert!(moved(&joined, &run(&joined, &tasks, &none)) <= share);

            let mut left = before.clone();
            left.pop_first();
            if !left.is_empty() {
                prop_assert!(moved(&left, &run(&left, &tasks, &none)) <= share);
            }
        }

        #[test]
        fn fresh_tasks_are_balanced_per_subtopology((processes, subs) in groups()) {
            let tasks = all_tasks(&subs);
            let result = run(&members(&processes), &tasks, &StateOnDisk::new());
            for sub in 0..subs.len() as u32 {
                let counts: Vec<usize> = result
                    .values()
                    .map(|m| m.owned.iter().filter(|t| t.subtopology == sub).count())
                    .collect();
                let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
                prop_assert!(spread <= 1, "sub-topology {} is spread {:?}", sub, counts);
            }
        }

        #[test]
        fn standbys_are_on_other_processes((processes, subs) in groups(), replicas in 0usize..4) {
            let tasks = all_tasks(&subs);
            let members = members(&processes);
            let distinct = processes.iter().collect::<BTreeSet<_>>().len();
            let stateful = tasks.iter().copied().collect();
            let on_disk = &StateOnDisk::new();
            let input = AssignorInput {
                members: &members, tasks: &tasks, stateful: &stateful, on_disk,
                standby_replicas: replicas,
            };
            let targets = assign(input);
            for task in &tasks {
                let with = |f: fn(&Target) -> &BTreeSet<TaskId>| -> Vec<Uuid> {
                    let holders = targets.iter().filter(|(_, t)| f(t).contains(task));
                    holders.map(|(id, _)| members[id].process).collect()
                };
                let mut all = with(|t| &t.active);
                all.extend(with(|t| &t.standby));
                prop_assert_eq!(all.len(), 1 + replicas.min(distinct - 1));
                prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
            }
        }
    }

    #[test]
    fn a_restarted_process_gets_back_what_it_has_on_disk() {
        let tasks = all_tasks(&[6]);
        let mut group = members(&[1, 2, 3]);
        let none = StateOnDisk::new();
        let before = run(&group, &tasks, &none);
        // m02 dies; the others take its tasks; then it is back, with an old state.
        let lost = before["m02"].owned.clone();
        group = before.clone();
        group.remove("m02");
        let survivors = run(&group, &tasks, &none);
        let mut back = survivors;
        let process = Uuid::from_u128(3);
        back.insert("m99".into(), Candidate { process, owned: BTreeSet::new() });
        let disk = lost.iter().map(|t| (*t, 10)).collect();
        let after = run(&back, &tasks, &StateOnDisk::from([(process, disk)]));
        assert_eq!(after["m99"].owned, lost);
    }

    #[test]
    fn the_freshest_state_wins() {
        let tasks = all_tasks(&[1]);
        let group = members(&[1, 2, 3]);
        let disk = |offsets| BTreeMap::from([(tasks[0], offsets)]);
        let disks = StateOnDisk::from([
            (Uuid::from_u128(1), disk(5)),
            (Uuid::from_u128(2), disk(900)),
            (Uuid::from_u128(3), disk(899)),
        ]);
        assert_eq!(run(&group, &tasks, &disks)["m01"].owned.len(), 1);
    }
}
