//! [`Fetcher`] on a shared consumer.
//!
//! **Position.** The next position is the highest of: the offset after the last record; the offset
//! of the last end-of-partition notice (exact: it has passed markers, aborted records and gaps of
//! compaction); and librdkafka's own position, which moves over transaction markers when they are
//! taken from the queue, `fetch.wait.max.ms` before the notice. The notice itself
//! moves librdkafka's position one too far (fixed in 2.13.2), so exactly that value is not
//! believed.
//!
//! **End.** The cached high watermark of the last fetch. Under read-committed the log ends at the
//! last stable offset, which librdkafka does not tell; but it gives the end-of-partition notice
//! there, so while nothing came after a notice, its offset is the end. Until then the high
//! watermark stands in: an upper bound.

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::consumer::{Claim, ConsumerPool, SharedConsumer, catch_errors};
use super::errors;
use super::message::{Message, MessageOwner};
use super::native::{self, PartitionList, Queue, Topic};
use super::ready::{ReadySet, Signal, on_queue_event};
use crate::client::call::WakeRef;
use crate::client::error::{ClientError, ClientErrorKind};
use crate::client::raw_record::RawRecord;
use crate::client::seam::{FetchSlot, FetchedBatch, Fetcher, Isolation, TopicPartition};

/// A reader of partitions for one thread, on a consumer that others share.
pub struct RdkafkaFetcher {
    pool: Arc<ConsumerPool>,
    // Before the first assignment there is a consumer already: it connects meanwhile, and bad
    // settings show at once.
    home: Arc<SharedConsumer>,
    ready: Arc<ReadySet>,
    slots: Vec<Option<Reading>>,
    // Slots that may be raised; a slot is here at most once (`Reading::listed`).
    candidates: Vec<FetchSlot>,
    raised: Vec<FetchSlot>,
    batch: Vec<*mut sys::rd_kafka_message_t>,
}

// SAFETY: the pointers in `batch` are scratch of one call; everything else is `Send`.
unsafe impl Send for RdkafkaFetcher {}

impl RdkafkaFetcher {
    pub(super) fn new(pool: Arc<ConsumerPool>, wake: WakeRef) -> Result<Self, ClientError> {
        let home = pool.any()?;
        let ready = ReadySet::new(wake);
        home.listen(&ready);
        Ok(Self {
            pool,
            home,
            ready,
            slots: Vec::new(),
            candidates: Vec::new(),
            raised: Vec::new(),
            batch: Vec::new(),
        })
    }

    fn free_slot(&mut self) -> Result<usize, ClientError> {
        let index = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        u32::try_from(index).map_err(|_| invalid("too many partitions"))?;
        if index == self.slots.len() {
            self.slots.push(None);
        }
        Ok(index)
    }

    fn reading(&mut self, slot: FetchSlot) -> Result<&mut Reading, ClientError> {
        let reading = self.slots.get_mut(slot.0 as usize).and_then(Option::as_mut);
        reading.ok_or_else(|| invalid(format!("fetch slot {} is not assigned", slot.0)))
    }
}

impl Fetcher for RdkafkaFetcher {
    fn assign(
        &mut self,
        partition: &TopicPartition,
        position: i64,
    ) -> Result<FetchSlot, ClientError> {
        let index = self.free_slot()?;
        let slot = FetchSlot(index as u32);
        let claim = self.pool.claim(partition)?;
        if !Arc::ptr_eq(&claim.consumer, &self.home) {
            claim.consumer.listen(&self.ready);
        }
        let signal = Signal::new(slot, self.ready.clone());
        let reading = Reading::start(claim, position, signal)?;
        reading.signal.raise();
        self.slots[index] = Some(reading);
        Ok(slot)
    }

    fn unassign(&mut self, slot: FetchSlot) {
        if let Some(entry) = self.slots.get_mut(slot.0 as usize) {
            *entry = None;
            self.candidates.retain(|candidate| *candidate != slot);
        }
    }

    fn seek(&mut self, slot: FetchSlot, position: i64) -> Result<(), ClientError> {
        self.reading(slot)?.seek(position)
    }

    fn ready(&mut self, into: &mut Vec<FetchSlot>) {
        self.ready.drain(&mut self.raised);
        for slot in self.raised.drain(..) {
            if let Some(Some(reading)) = self.slots.get_mut(slot.0 as usize)
                && !reading.listed
            {
                reading.listed = true;
                self.candidates.push(slot);
            }
        }
        let slots = &mut self.slots;
        self.candidates.retain(|slot| {
            let Some(reading) = slots[slot.0 as usize].as_mut() else { return false };
            reading.listed = reading.signal.is_raised();
            reading.listed
        });
        into.extend_from_slice(&self.candidates);
        if self.candidates.is_empty() && self.ready.in_trouble() {
            // Somebody has to fetch for the trouble to be told.
            let any = self.slots.iter().position(Option::is_some);
            into.extend(any.map(|index| FetchSlot(index as u32)));
        }
    }

    fn fetch(
        &mut self,
        slot: FetchSlot,
        records_max: usize,
        into: &mut FetchedBatch,
    ) -> Result<(), ClientError> {
        if let Some(trouble) = self.ready.take_trouble() {
            return Err(trouble);
        }
        let isolation = self.pool.options().isolation;
        let mut batch = std::mem::take(&mut self.batch);
        let result = self
            .reading(slot)
            .and_then(|reading| reading.fetch(records_max, isolation, &mut batch, into));
        self.batch = batch;
        result
    }
}

/// A partition that is being read.
struct Reading {
    topic: Topic,
    topic_name: CString,
    queue: Queue,
    signal: Arc<Signal>,
    // Whether the slot is among the fetcher's candidates.
    listed: bool,
    // This partition alone, to ask for its position.
    list: PartitionList,
    position: i64,
    // Where the last end-of-partition notice was.
    end_notice: i64,
    end_offset: Option<i64>,
    leader_epoch: i32,
    error: Option<ClientError>,
    owner: Arc<MessageOwner>,
    // Last: whoever claims the partition next must find it stopped.
    claim: Claim,
}

impl Reading {
    fn start(claim: Claim, position: i64, signal: Arc<Signal>) -> Result<Self, ClientError> {
        let TopicPartition { topic: name, partition } = &claim.partition;
        if *partition < 0 {
            return Err(invalid(format!("{} is no partition", claim.partition)));
        }
        check_position(&claim.partition, position)?;
        let client = claim.consumer.client();
        let topic = Topic::new(client, name)?;
        let topic_name = native::c_string(name, "the name of a topic")?;
        let queue = Queue::partition(client, &topic_name, *partition)
            .ok_or_else(|| invalid(format!("{} cannot be read", claim.partition)))?;
        let mut list = PartitionList::with_capacity(1);
        list.add(&topic_name, *partition);
        let reading = Self {
            topic,
            topic_name,
            queue,
            signal,
            listed: false,
            list,
            position,
            end_notice: -1,
            end_offset: None,
            leader_epoch: -1,
            error: None,
            owner: MessageOwner::new(claim.consumer.clone()),
            claim,
        };
        // SAFETY: the queue is live, and the signal lives until `drop` removed the callback.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(
                reading.queue.as_ptr(),
                Some(on_queue_event),
                native::opaque(&reading.signal),
            );
        }
        reading.start_at(position)?;
        Ok(reading)
    }

    fn start_at(&self, position: i64) -> Result<(), ClientError> {
        let partition = &self.claim.partition;
        // SAFETY: the topic is live.
        let started = unsafe {
            sys::rd_kafka_consume_start(self.topic.as_ptr(), partition.partition, position)
        };
        if started == 0 {
            return Ok(());
        }
        Err(errors::from_code(native::last_error(), &format!("reading {partition}")))
    }

    /// Stops, and drops what was fetched ahead. Waits for librdkafka's main thread, not for the
    /// network.
    fn stop(&self) {
        // SAFETY: the topic is live; a partition that was not started is an error code.
        unsafe { sys::rd_kafka_consume_stop(self.topic.as_ptr(), self.claim.partition.partition) };
        let mut batch = [ptr::null_mut(); 64];
        let mut left = true;
        while left {
            let taken = take(&self.queue, &mut batch).0;
            left = !taken.is_empty();
            for message in taken {
                // SAFETY: just taken, and ours.
                unsafe { sys::rd_kafka_message_destroy(*message) };
            }
        }
    }

    fn seek(&mut self, position: i64) -> Result<(), ClientError> {
        check_position(&self.claim.partition, position)?;
        // Not `rd_kafka_seek`: it is refused after an offset that is out of range.
        self.stop();
        self.start_at(position)?;
        self.position = position;
        self.end_notice = -1;
        self.end_offset = None;
        self.leader_epoch = -1;
        self.error = None;
        Ok(())
    }

    fn fetch(
        &mut self,
        records_max: usize,
        isolation: Isolation,
        batch: &mut Vec<*mut sys::rd_kafka_message_t>,
        into: &mut FetchedBatch,
    ) -> Result<(), ClientError> {
        self.signal.lower();
        if let Some(error) = self.error.take() {
            // Records may lie behind it.
            self.signal.raise();
            return Err(error);
        }
        batch.resize(records_max, ptr::null_mut());
        let (taken, caught) = take(&self.queue, batch);
        let count = taken.len();
        for message in taken {
            if let Some(message) = NonNull::new(*message) {
                self.accept(message, &mut into.records);
            }
        }
        for (code, text) in caught {
            self.error = Some(errors::with_text(code, &self.claim.partition.to_string(), &text));
        }
        if count == records_max || self.error.is_some() {
            self.signal.raise();
        }
        if count < records_max {
            self.look_around(isolation);
        }
        into.next_position = self.position;
        into.end_offset = self.end_offset;
        into.leader_epoch = self.leader_epoch;
        match self.error.take_if(|_| count == 0) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn accept(&mut self, message: NonNull<sys::rd_kafka_message_t>, records: &mut Vec<RawRecord>) {
        let raw = message.as_ptr();
        // SAFETY: the message was just taken. Its code is read as the integer that it is, because
        // it may be a broker's that the enum lacks.
        let (code, offset) =
            unsafe { ((&raw const (*raw).err).cast::<i32>().read(), (*raw).offset) };
        if code == 0 {
            // SAFETY: live, without error, of this consumer, and ours.
            let message = unsafe { Message::new(message, self.owner.clone()) };
            self.leader_epoch = message.leader_epoch();
            self.position = self.position.max(offset + 1);
            records.push(RawRecord::from_rdkafka(message));
            return;
        }
        if errors::is(code, Code::RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            self.end_notice = offset;
            self.position = self.position.max(offset);
        } else {
            // SAFETY: an error's payload is its text; null or ending in zero.
            let text = unsafe { native::text((*raw).payload.cast()) };
            self.error = Some(errors::with_text(code, &self.claim.partition.to_string(), &text));
        }
        // SAFETY: taken, and ours.
        unsafe { sys::rd_kafka_message_destroy(raw) };
    }

    /// Where the position and the end are, when the queue is empty. Looks at what librdkafka has,
    /// asks nobody.
    fn look_around(&mut self, isolation: Isolation) {
        let client = self.claim.consumer.client();
        let (mut low, mut high) = (-1, -1);
        // SAFETY: instance, list and name are live, the results are our locals.
        unsafe {
            sys::rd_kafka_position(client.as_ptr(), self.list.as_ptr());
            sys::rd_kafka_get_watermark_offsets(
                client.as_ptr(),
                self.topic_name.as_ptr(),
                self.claim.partition.partition,
                &raw mut low,
                &raw mut high,
            );
        }
        let position = self.list.first_offset();
        let overshot = self.end_notice >= 0 && position == self.end_notice + 1;
        if position > self.position && !overshot {
            self.position = position;
        }
        // Nothing was heard of this assignment yet: the watermark may be of an earlier one.
        let heard = position >= 0 || self.end_notice >= 0;
        self.end_offset = match isolation {
            Isolation::ReadCommitted if self.end_notice == self.position => Some(self.end_notice),
            _ if heard && high >= 0 => Some(high.max(self.position)),
            _ => self.end_offset,
        };
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // SAFETY: the queue is live. The callback runs under the queue's lock, which this takes:
        // afterwards nobody uses the signal.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
        }
        self.stop();
    }
}

/// Takes what a queue has, without waiting, and the errors in it.
fn take<'a>(
    queue: &Queue,
    batch: &'a mut [*mut sys::rd_kafka_message_t],
) -> (&'a [*mut sys::rd_kafka_message_t], Vec<(i32, String)>) {
    let (count, caught) = catch_errors(|| {
        // SAFETY: the queue is live, and the batch has as many places as are passed.
        unsafe {
            sys::rd_kafka_consume_batch_queue(queue.as_ptr(), 0, batch.as_mut_ptr(), batch.len())
        }
    });
    let count = usize::try_from(count).unwrap_or(0);
    (&batch[..count], caught)
}

/// Negative offsets have meanings of their own to librdkafka.
fn check_position(partition: &TopicPartition, position: i64) -> Result<(), ClientError> {
    if position >= 0 {
        return Ok(());
    }
    Err(invalid(format!("{partition} cannot be read from offset {position}")))
}

fn invalid(message: impl Into<String>) -> ClientError {
    ClientError::new(ClientErrorKind::Invalid, message)
}
