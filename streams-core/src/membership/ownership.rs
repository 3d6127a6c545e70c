//! Which tasks the stream thread may be working on, as far as the member knows.
//!
//! The thread takes assignments when it has time, and says what it owns when it has released the
//! rest. In between, the member must claim too much rather than too little: what it does not
//! claim, the leader gives to others.

use std::collections::BTreeSet;

use crate::task_id::TaskId;

#[derive(Debug)]
pub(super) struct Ownership {
    /// Of the last event that was posted to the thread.
    number: u64,
    /// Of the last loss: what the thread says without having seen it is void.
    lost: u64,
    posted: Option<Posted>,
    claims: BTreeSet<TaskId>,
    /// The claims of the last join: by them the leader decides what to withhold.
    joined_with: BTreeSet<TaskId>,
    generation: i32,
}

#[derive(Debug)]
struct Posted {
    number: u64,
    active: BTreeSet<TaskId>,
    /// The leader waits until we have released something, and joined again.
    awaited: bool,
}

impl Ownership {
    pub(super) fn new() -> Self {
        Self {
            number: 0,
            lost: 0,
            posted: None,
            claims: BTreeSet::new(),
            joined_with: BTreeSet::new(),
            generation: -1,
        }
    }

    /// What the thread may be working on.
    pub(super) fn claims(&self) -> &BTreeSet<TaskId> {
        &self.claims
    }

    /// The same, to be told to the leader now.
    pub(super) fn join(&mut self) -> Vec<TaskId> {
        self.joined_with.clone_from(&self.claims);
        self.claims.iter().copied().collect()
    }

    /// Which generation gave it that.
    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// The group gave us `active`. Returns the number of the event to post.
    pub(super) fn assigned(
        &mut self,
        generation: i32,
        active: BTreeSet<TaskId>,
        follow_up: bool,
    ) -> u64 {
        self.number += 1;
        let awaited = follow_up && !self.joined_with.is_subset(&active);
        self.claims.extend(active.iter().copied());
        self.generation = generation;
        self.posted = Some(Posted { number: self.number, active, awaited });
        self.number
    }

    /// Everything is lost. Returns the number of the event to post, if there was anything.
    pub(super) fn lose(&mut self) -> Option<u64> {
        self.generation = -1;
        self.posted = None;
        if self.claims.is_empty() {
            return None;
        }
        self.claims.clear();
        self.number += 1;
        self.lost = self.number;
        Some(self.number)
    }

    /// The thread, having taken the event `seen`, owns `owned`. Returns whether the group waits
    /// for us to join again now.
    pub(super) fn acknowledge(&mut self, seen: u64, owned: &[TaskId]) -> bool {
        let Some(posted) = self.posted.as_mut().filter(|_| seen >= self.lost) else { return false };
        let taken = seen >= posted.number;
        self.claims.retain(|t| owned.contains(t) || (!taken && posted.active.contains(t)));
        let released = taken && self.claims.is_subset(&posted.active);
        released && std::mem::take(&mut posted.awaited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TaskId = TaskId::new(0, 0);
    const B: TaskId = TaskId::new(0, 1);

    fn set(tasks: &[TaskId]) -> BTreeSet<TaskId> {
        tasks.iter().copied().collect()
    }

    #[test]
    fn a_task_is_claimed_until_its_release_is_acknowledged() {
        let mut own = Ownership::new();
        let first = own.assigned(1, set(&[A, B]), false);
        assert!(!own.acknowledge(first, &[A, B]));
        assert_eq!(own.join(), [A, B]);
        let second = own.assigned(2, set(&[A]), true);
        assert_eq!(*own.claims(), set(&[A, B]));
        // Late word about the first assignment, then a release that takes two steps.
        assert!(!own.acknowledge(first, &[A, B]));
        assert!(!own.acknowledge(second, &[A, B]));
        assert_eq!(*own.claims(), set(&[A, B]));
        assert!(own.acknowledge(second, &[A]));
        assert_eq!(*own.claims(), set(&[A]));
        assert!(!own.acknowledge(second, &[A]), "joins again only once");
    }

    #[test]
    fn a_release_while_joining_is_told_by_one_more_join() {
        let mut own = Ownership::new();
        let first = own.assigned(1, set(&[A, B]), false);
        own.acknowledge(first, &[A, B]);
        own.join();
        let second = own.assigned(2, set(&[A]), true);
        own.join();
        // The leader of generation 3 believes that B is still ours.
        own.acknowledge(second, &[A]);
        let third = own.assigned(3, set(&[A]), true);
        assert!(own.acknowledge(third, &[A]));
    }

    #[test]
    fn an_assignment_that_the_thread_has_not_taken_is_claimed() {
        let mut own = Ownership::new();
        let first = own.assigned(1, set(&[A]), false);
        let second = own.assigned(2, set(&[A, B]), false);
        assert!(!own.acknowledge(first, &[]));
        assert_eq!(*own.claims(), set(&[A, B]));
        own.acknowledge(second, &[B]);
        assert_eq!(*own.claims(), set(&[B]));
    }

    #[test]
    fn what_the_thread_says_without_knowing_of_a_loss_is_void() {
        let mut own = Ownership::new();
        let first = own.assigned(1, set(&[A]), false);
        let lost = own.lose();
        assert_eq!(lost, Some(2));
        assert_eq!(own.lose(), None);
        own.assigned(5, set(&[B]), false);
        own.acknowledge(first, &[A]);
        assert_eq!(*own.claims(), set(&[B]));
        own.acknowledge(2, &[]);
        assert_eq!(*own.claims(), set(&[B]), "not taken yet");
    }
}
