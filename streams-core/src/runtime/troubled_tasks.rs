//! Tasks that fail again and again: how often, when they are tried again, and when they are well.
//!
//! All tasks of a thread share its transaction, so one that fails takes the work of all others
//! back with it. After [`ISOLATED_AFTER`] failures in a row a task is isolated: it runs alone, in
//! transactions of its own, until it has got over what it failed at. The process remembers, not
//! the thread: a thread that died of such a task is replaced by one that knows it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client::TopicPartition;
use crate::task_id::TaskId;
use crate::time::Instant;

/// Failures in a row after which a task runs alone.
const ISOLATED_AFTER: u32 = 2;
/// Pause after the first failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The tasks of a process that have failed and are not known to be well again.
#[derive(Default)]
pub(crate) struct TroubledTasks {
    /// So that nobody takes the lock as long as all is well.
    count: AtomicUsize,
    tasks: Mutex<BTreeMap<TaskId, Trouble>>,
}

struct Trouble {
    failures: u32,
    since: Instant,
    retry_at: Instant,
    /// Once all of these positions are committed it is over what it failed at.
    well_at: Vec<(TopicPartition, i64)>,
}

/// What is known of a task that has just failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// In a row, this one included.
    pub(crate) failures: u32,
    /// The first of them.
    pub(crate) since: Instant,
    /// It runs alone from now on.
    pub(crate) isolated_now: bool,
}

impl TroubledTasks {
    /// Whether no task is in trouble.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// A task failed, and will have got over it once those positions are committed.
    pub(crate) fn failed(
        &self,
        task: TaskId,
        well_at: Vec<(TopicPartition, i64)>,
        now: Instant,
    ) -> Failed {
        let mut tasks = self.lock();
        let trouble = tasks.entry(task).or_insert_with(|| Trouble {
            failures: 0,
            since: now,
            retry_at: now,
            well_at: Vec::new(),
        });
        trouble.failures = trouble.failures.saturating_add(1);
        trouble.retry_at = now + pause(trouble.failures);
        trouble.well_at = well_at;
        let failed = Failed {
            failures: trouble.failures,
            since: trouble.since,
            isolated_now: trouble.failures == ISOLATED_AFTER,
        };
        self.count.store(tasks.len(), Ordering::Release);
        failed
    }

    /// A commit of the task ended well; `committed` knows its positions. Whether the task is over
    /// its trouble; and if so, whether it had been isolated.
    pub(crate) fn committed(
        &self,
        task: TaskId,
        committed: impl Fn(&TopicPartition) -> Option<i64>,
    ) -> Option<bool> {
        let mut tasks = self.lock();
        let trouble = tasks.get(&task)?;
        let is_past =
            |(partition, at): &(TopicPartition, i64)| committed(partition).is_none_or(|c| c >= *at);
        if !trouble.well_at.iter().all(is_past) {
            return None;
        }
        let was_isolated = trouble.failures >= ISOLATED_AFTER;
        tasks.remove(&task);
        self.count.store(tasks.len(), Ordering::Release);
        Some(was_isolated)
    }

    /// Whether it may only run alone.
    pub(crate) fn is_isolated(&self, task: TaskId) -> bool {
        !self.is_empty() && self.lock().get(&task).is_some_and(|t| t.failures >= ISOLATED_AFTER)
    }

    /// Before then it is not tried again; `None` for a task that is well.
    pub(crate) fn retry_at(&self, task: TaskId) -> Option<Instant> {
        if self.is_empty() { None } else { self.lock().get(&task).map(|trouble| trouble.retry_at) }
    }

    /// It had its turn: the others have theirs until then.
    pub(crate) fn postpone(&self, task: TaskId, until: Instant) {
        if let Some(trouble) = self.lock().get_mut(&task) {
            trouble.retry_at = trouble.retry_at.max(until);
        }
    }

    // No foreign code runs under this lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, Trouble>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskId = TaskId::new(0, 1);

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_task_is_isolated_by_its_second_failure_and_well_past_the_record() {
        let tasks = TroubledTasks::default();
        let record = || vec![(TopicPartition::new("in", 1), 8)];
        assert!(!tasks.failed(TASK, record(), at(1)).isolated_now);
        assert!(!tasks.is_isolated(TASK));
        let failed = tasks.failed(TASK, record(), at(2));
        assert_eq!(failed, Failed { failures: 2, since: at(1), isolated_now: true });
        assert!(tasks.is_isolated(TASK) && !tasks.is_empty());
        assert_eq!(tasks.retry_at(TASK), Some(at(2) + FIRST_PAUSE * 2));
        assert_eq!(tasks.committed(TASK, |_| Some(7)), None, "still before the record");
        assert_eq!(tasks.committed(TASK, |_| Some(8)), Some(true));
        assert!(tasks.is_empty() && !tasks.is_isolated(TASK));
        assert_eq!(tasks.committed(TASK, |_| Some(9)), None, "it was well already");
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(3), FIRST_PAUSE * 4);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn a_task_without_a_record_to_blame_is_well_after_a_commit() {
        let tasks = TroubledTasks::default();
        tasks.failed(TASK, Vec::new(), at(1));
        assert_eq!(tasks.committed(TASK, |_| None), Some(false));
    }
}
