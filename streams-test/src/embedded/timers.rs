//! Work that was put off to a later time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use streams_core::time::Instant;

use super::cluster::Cluster;

type Work = Box<dyn FnOnce(&Cluster) + Send>;

/// Runs by time, then in the order in which it was put off.
#[derive(Default)]
pub(super) struct Timers(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    work: BTreeMap<(Instant, u64), Work>,
    sequence: u64,
}

impl Timers {
    pub(super) fn at(&self, time: Instant, work: impl FnOnce(&Cluster) + Send + 'static) {
        let mut queue = self.lock();
        queue.sequence += 1;
        let key = (time, queue.sequence);
        queue.work.insert(key, Box::new(work));
    }

    /// Takes the first piece of work that is due.
    pub(super) fn take_due(&self, now: Instant) -> Option<Work> {
        let mut queue = self.lock();
        let first = queue.work.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.lock().work.first_key_value().map(|(&(time, _), _)| time)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
