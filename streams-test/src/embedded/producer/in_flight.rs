//! Records on their way: what a fault plan delays arrives later, in the order of its partition.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streams_core::client::{ClientError, MemoryRecord, Tag};
use streams_core::time::Instant;

use super::transaction_handle::Refused;
use crate::embedded::cluster::Cluster;
use crate::embedded::partition::Partition;
use crate::embedded::transactions::{Transaction, fenced};

/// Whether the process of a producer lives. What a dead one has not sent yet is never written.
pub(crate) type Alive = Arc<AtomicBool>;

/// A record that was accepted, with all that is needed to write it.
pub(super) struct Accepted {
    pub(super) slot: usize,
    pub(super) partition: Arc<Partition>,
    pub(super) record: Arc<MemoryRecord>,
    pub(super) transaction: Option<Transaction>,
    pub(super) tag: Tag,
}

/// The records of a producer that were not written yet.
#[derive(Clone)]
pub(super) struct InFlight {
    queue: Arc<Mutex<Queue>>,
    alive: Alive,
}

#[derive(Default)]
struct Queue {
    /// In the order in which they were sent.
    waiting: VecDeque<Waiting>,
    /// What became of those that have arrived.
    arrived: Vec<(Accepted, Result<i64, Refused>)>,
}

struct Waiting {
    time: Instant,
    /// It fails at that time, instead of being written.
    expires: bool,
    accepted: Accepted,
}

impl InFlight {
    pub(super) fn new(alive: Alive) -> Self {
        Self { queue: Arc::default(), alive }
    }

    /// When a record that is sent now may arrive at the earliest; `None` if nothing is before it.
    pub(super) fn behind(&self, partition: &Arc<Partition>) -> Option<Instant> {
        let queue = self.lock();
        let same = queue.waiting.iter().filter(|of| Arc::ptr_eq(&of.accepted.partition, partition));
        same.map(|waiting| waiting.time).max()
    }

    /// When the last one arrives.
    pub(super) fn until(&self) -> Option<Instant> {
        self.lock().waiting.iter().map(|waiting| waiting.time).max()
    }

    /// Writes it at `time`; but if that is after `latest`, it fails then.
    pub(super) fn delay(
        &self,
        cluster: &Cluster,
        time: Instant,
        latest: Option<Instant>,
        accepted: Accepted,
    ) {
        let expires = latest.filter(|latest| *latest < time);
        let time = expires.unwrap_or(time);
        self.lock().waiting.push_back(Waiting { time, expires: expires.is_some(), accepted });
        let queue = Arc::downgrade(&self.queue);
        let alive = self.alive.clone();
        cluster.timers.at(time, move |cluster| {
            let Some(queue) = queue.upgrade() else { return };
            let in_flight = Self { queue, alive };
            in_flight.arrive(cluster);
        });
    }

    /// The transaction ends, and with it what was not written yet.
    pub(super) fn purge(&self) {
        self.lock().waiting.clear();
    }

    /// What has arrived since this was last asked.
    pub(super) fn take_arrived(&self) -> Vec<(Accepted, Result<i64, Refused>)> {
        std::mem::take(&mut self.lock().arrived)
    }

    fn arrive(&self, cluster: &Cluster) {
        let now = cluster.clock.now();
        let mut queue = self.lock();
        if !self.alive.load(Ordering::SeqCst) {
            queue.waiting.clear();
            return;
        }
        let waiting = std::mem::take(&mut queue.waiting);
        for waiting in waiting {
            if waiting.time > now {
                queue.waiting.push_back(waiting);
                continue;
            }
            let Waiting { expires, accepted, .. } = waiting;
            let written = if expires { Err(expired()) } else { accepted.write() };
            queue.arrived.push((accepted, written));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expired() -> Refused {
    Refused::Transaction(ClientError::retriable("the record was not written in time"))
}

impl Accepted {
    /// Writes it; its offset.
    pub(super) fn write(&self) -> Result<i64, Refused> {
        let record = self.record.clone();
        let Some(transaction) = &self.transaction else {
            return self.partition.with_log(|log| log.append(record)).map_err(Refused::Transaction);
        };
        self.partition
            .with_log(|log| log.append_transactional(transaction.identity, record))
            .map_err(Refused::Transaction)?
            .map_err(|_| Refused::Producer(fenced(transaction.id.name())))
    }
}
