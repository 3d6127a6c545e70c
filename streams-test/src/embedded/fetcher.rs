//! Reading partitions.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use streams_core::client::{
    ClientError, ClientErrorKind, FetchSlot, FetchedBatch, Fetcher, FetcherOptions, RawRecord,
    TopicPartition, WakeRef,
};
use streams_core::time::Instant;

use super::cluster::Cluster;
use super::faults::{Fault, Operation, Step};
use super::log::{Log, OutOfRange};
use super::partition::{Inbox, Partition};
use super::topic::invalid;

/// Reads straight out of the logs: nothing is fetched ahead, so the buffer option means nothing.
///
/// A slot that answered an error stays ready: the error comes again until somebody seeks,
/// unassigns, or the reason goes away.
pub(super) struct EmbeddedFetcher {
    cluster: Arc<Cluster>,
    options: FetcherOptions,
    inbox: Arc<Inbox>,
    slots: Vec<Option<Assigned>>,
    free: VecDeque<FetchSlot>,
    ready: BTreeSet<FetchSlot>,
}

struct Assigned {
    name: TopicPartition,
    partition: Arc<Partition>,
    position: i64,
}

/// What one look into the log gave.
struct Seen {
    next_position: i64,
    end_offset: i64,
    leader_epoch: i32,
}

impl EmbeddedFetcher {
    pub(super) fn new(cluster: Arc<Cluster>, options: FetcherOptions, wake: WakeRef) -> Self {
        Self {
            cluster,
            options,
            inbox: Inbox::new(wake),
            slots: Vec::new(),
            free: VecDeque::new(),
            ready: BTreeSet::new(),
        }
    }

    fn assigned(&mut self, slot: FetchSlot) -> Result<&mut Assigned, ClientError> {
        self.slots
            .get_mut(slot.0 as usize)
            .and_then(Option::as_mut)
            .ok_or_else(|| invalid(format!("fetch slot {} is not assigned", slot.0)))
    }

    /// What the fault plan makes of a fetch: `None` to go on, else the answer.
    fn fault(
        &mut self,
        slot: FetchSlot,
        into: &mut FetchedBatch,
    ) -> Option<Result<(), ClientError>> {
        if !self.cluster.faults.active() {
            return None;
        }
        let assigned = self.slots.get(slot.0 as usize)?.as_ref()?;
        let operation = Operation {
            step: Step::Fetch,
            client: &self.options.client_id,
            partition: Some((&assigned.name.topic, assigned.name.partition)),
        };
        let now = self.cluster.clock.now();
        let position = assigned.position;
        match self.cluster.faults.decide(&operation, now) {
            // Records never come twice: the client knows its position.
            Fault::None | Fault::Twice(_) => return None,
            Fault::Fail(error) | Fault::FailLate(error, _) => return Some(Err(error)),
            Fault::Delay(time) | Fault::DelayAnswer(time) | Fault::Block(time) => {
                self.silence(slot, time);
            }
            // The reader asks again: one that waits to be woken would wait for ever.
            Fault::LoseAnswer | Fault::LoseRequest => self.inbox.push(slot),
        }
        into.next_position = position;
        into.end_offset = None;
        into.leader_epoch = -1;
        Some(Ok(()))
    }

    /// Nothing is ready in the slot until `time`.
    fn silence(&mut self, slot: FetchSlot, time: Instant) {
        self.ready.remove(&slot);
        let inbox = self.inbox.clone();
        self.cluster.timers.at(time, move |_| inbox.push(slot));
    }

    fn take(
        &mut self,
        slot: FetchSlot,
        records_max: usize,
        into: &mut FetchedBatch,
    ) -> Result<(), ClientError> {
        let isolation = self.options.isolation;
        let inbox = self.inbox.clone();
        let assigned = self.assigned(slot)?;
        let position = assigned.position;
        let look = |log: &Log| {
            let mut last = None;
            let read = log.read(position, records_max, isolation, |offset, record| {
                last = Some(offset);
                into.records.push(RawRecord::from_memory(offset, record.clone()));
            });
            let end_offset = log.end(isolation);
            let leader_epoch = last.map_or(-1, |offset| log.epoch_of(offset));
            let seen = read.map(|next_position| Seen { next_position, end_offset, leader_epoch });
            let at_end = seen.as_ref().is_ok_and(|seen| seen.next_position >= end_offset);
            (seen, at_end)
        };
        let (seen, at_end) = assigned.partition.fetch(&inbox, slot, look)?;
        let seen = seen.map_err(|OutOfRange| out_of_range(&assigned.name, position))?;
        assigned.position = seen.next_position;
        if at_end {
            self.ready.remove(&slot);
        }
        into.next_position = seen.next_position;
        into.end_offset = Some(seen.end_offset);
        into.leader_epoch = seen.leader_epoch;
        Ok(())
    }

    /// Follows the name to the topic's new incarnation, as a client that knows only names.
    fn follow(&mut self, slot: FetchSlot) -> Result<(), ClientError> {
        let cluster = self.cluster.clone();
        let (inbox, isolation) = (self.inbox.clone(), self.options.isolation);
        let assigned = self.assigned(slot)?;
        let partition = cluster.partition(&assigned.name.topic, assigned.name.partition)?;
        assigned.partition.unsubscribe(&inbox, slot);
        partition.subscribe(&inbox, slot, isolation);
        assigned.partition = partition;
        Ok(())
    }

    fn take_hints(&mut self) {
        let Self { inbox, slots, ready, .. } = self;
        // A hint may be older than its slot's current use: then the next fetch finds nothing.
        inbox.drain(|slot| {
            if slots.get(slot.0 as usize).is_some_and(Option::is_some) {
                ready.insert(slot);
            }
        });
    }
}

impl Fetcher for EmbeddedFetcher {
    fn assign(
        &mut self,
        partition: &TopicPartition,
        position: i64,
    ) -> Result<FetchSlot, ClientError> {
        if self.slots.iter().flatten().any(|assigned| assigned.name == *partition) {
            return Err(invalid(format!("partition {partition} is assigned already")));
        }
        let found = self.cluster.partition(&partition.topic, partition.partition)?;
        let slot = match self.free.pop_front() {
            Some(slot) => slot,
            None => {
                let index = u32::try_from(self.slots.len())
                    .map_err(|_| invalid("too many partitions are assigned"))?;
                self.slots.push(None);
                FetchSlot(index)
            }
        };
        found.subscribe(&self.inbox, slot, self.options.isolation);
        self.slots[slot.0 as usize] =
            Some(Assigned { name: partition.clone(), partition: found, position });
        self.ready.insert(slot);
        self.inbox.wake();
        Ok(slot)
    }

    fn unassign(&mut self, slot: FetchSlot) {
        if let Some(assigned) = self.slots.get_mut(slot.0 as usize).and_then(Option::take) {
            assigned.partition.unsubscribe(&self.inbox, slot);
            self.ready.remove(&slot);
            self.free.push_back(slot);
        }
    }

    fn seek(&mut self, slot: FetchSlot, position: i64) -> Result<(), ClientError> {
        self.assigned(slot)?.position = position;
        self.ready.insert(slot);
        self.inbox.wake();
        Ok(())
    }

    fn ready(&mut self, into: &mut Vec<FetchSlot>) {
        self.take_hints();
        if self.ready.is_empty() {
            // An idle reader lets time pass, so that a dead producer's transaction ends.
            self.cluster.tick();
            self.take_hints();
        }
        into.extend(&self.ready);
    }

    fn fetch(
        &mut self,
        slot: FetchSlot,
        records_max: usize,
        into: &mut FetchedBatch,
    ) -> Result<(), ClientError> {
        if let Some(answer) = self.fault(slot, into) {
            return answer;
        }
        match self.take(slot, records_max, into) {
            Err(error) if error.kind == ClientErrorKind::UnknownTopic => {
                self.follow(slot)?;
                self.take(slot, records_max, into)
            }
            answer => answer,
        }
    }
}

impl Drop for EmbeddedFetcher {
    fn drop(&mut self) {
        for index in 0..self.slots.len() {
            if let Ok(index) = u32::try_from(index) {
                self.unassign(FetchSlot(index));
            }
        }
    }
}

fn out_of_range(partition: &TopicPartition, position: i64) -> ClientError {
    ClientError::new(
        ClientErrorKind::OffsetOutOfRange,
        format!("offset {position} is not in the log of {partition}; reset the position"),
    )
}
