//! [`Producer`] on a connection that at-least-once handles share, and transactional ones own.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;
use sys::rd_kafka_vtype_t as V;

use super::connection::{Command, Connection};
use super::delivery::{Deliveries, HandleId, Round, Ticket};
use super::errors;
use super::native::{self, Topic};
use super::partitions::{Count, wait_for_count};
use super::transaction;
use crate::client::call::{Call, WakeRef};
use crate::client::error::{ClientError, ClientErrorKind};
use crate::client::seam::{
    CommitOutcome, DeliveryFailure, GroupMetadata, OffsetToCommit, Producer, ProducerRecord, Tag,
    TopicSlot,
};
use crate::record::Headers;

/// A writer for one thread.
pub struct RdkafkaProducer {
    // Topics before the connection whose instance they belong to.
    topics: Vec<WrittenTopic>,
    connection: Arc<Connection>,
    id: HandleId,
    deliveries: Arc<Deliveries>,
    wake: WakeRef,
    // Since the last flush.
    sent: u64,
    round: Round,
    trouble_seen: u64,
}

struct WrittenTopic {
    name: Arc<str>,
    native: Topic,
    count: Count,
}

impl RdkafkaProducer {
    pub(super) fn new(connection: Arc<Connection>, wake: WakeRef) -> Self {
        let (id, deliveries) = connection.shared().register(wake.clone());
        Self {
            topics: Vec::new(),
            connection,
            id,
            deliveries,
            wake,
            sent: 0,
            round: Round::default(),
            trouble_seen: 0,
        }
    }

    /// Lets librdkafka believe in an error that nothing cures.
    #[cfg(test)]
    pub(super) fn kill(&self) {
        let code = Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        // SAFETY: the instance is live, the text is copied.
        unsafe {
            let rk = self.connection.shared().client().as_ptr();
            sys::rd_kafka_test_fatal_error(rk, code, c"killed by a test".as_ptr());
        }
    }

    fn written(&self, slot: TopicSlot) -> Result<&WrittenTopic, ClientError> {
        self.topics.get(slot.0 as usize).ok_or_else(|| {
            let message = format!("topic slot {} is not this producer's", slot.0);
            ClientError::new(ClientErrorKind::Invalid, message)
        })
    }

    fn refused(&self, code: i32, record: &ProducerRecord<'_>) -> ClientError {
        let shared = self.connection.shared();
        if let Some(error) = shared.client().fatal_error() {
            shared.die(&error);
            return error;
        }
        if errors::is(code, Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) {
            shared.counts().doubt();
            self.connection.call(Command::Refresh);
        }
        let place = match self.topics.get(record.topic.0 as usize) {
            Some(topic) => format!("record to {}-{}", topic.name, record.partition),
            None => "record".to_owned(),
        };
        let mut error = errors::from_code(code, &place);
        let in_doubt = errors::is(code, Code::RD_KAFKA_RESP_ERR__STATE);
        if in_doubt && self.connection.is_transactional() {
            // The transaction failed in the background, or was never begun.
            error.kind = ClientErrorKind::AbortTransaction;
        }
        error
    }

    /// A call of transactions, on the thread that may block.
    fn transactional<T>(
        &self,
        command: impl FnOnce(crate::client::call::Reply<T>) -> Command,
    ) -> Call<T> {
        if !self.connection.is_transactional() {
            let message = "this producer has no transactional id";
            return Call::ready(Err(ClientError::new(ClientErrorKind::Invalid, message)));
        }
        let (reply, call) = Call::pair(Some(self.wake.clone()));
        self.connection.call(command(reply));
        call
    }
}

impl Producer for RdkafkaProducer {
    fn topic(&mut self, name: &Arc<str>) -> Result<TopicSlot, ClientError> {
        let known = self.topics.iter().position(|topic| topic.name == *name);
        let index = match known {
            Some(index) => index,
            None => {
                let shared = self.connection.shared();
                let native = Topic::new(shared.client(), name)?;
                let count = shared.counts().of(name);
                if count.load(Ordering::Acquire) == 0 {
                    self.connection.call(Command::LookUp(name.clone()));
                }
                self.topics.push(WrittenTopic { name: name.clone(), native, count });
                self.topics.len() - 1
            }
        };
        u32::try_from(index)
            .map(TopicSlot)
            .map_err(|_| ClientError::new(ClientErrorKind::Invalid, "too many topics"))
    }

    #[inline]
    fn partitions(&mut self, topic: TopicSlot) -> Result<i32, ClientError> {
        let count = self.written(topic)?.count.load(Ordering::Acquire);
        if count > 0 {
            return Ok(count);
        }
        let shared = self.connection.shared().clone();
        if let Some(error) = shared.trouble().newer_than(&mut self.trouble_seen) {
            return Err(error);
        }
        let mut seen = self.trouble_seen;
        let topic = self.written(topic)?;
        let told = wait_for_count(shared.client(), &topic.native, &topic.name, |pause| {
            shared.wait(pause);
            shared.trouble().newer_than(&mut seen).map_or(Ok(()), Err)
        });
        if let Ok(told) = told {
            topic.count.store(told, Ordering::Release);
        }
        self.trouble_seen = seen;
        told
    }

    fn send(&mut self, record: ProducerRecord<'_>) -> Result<(), ClientError> {
        let shared = self.connection.shared();
        if let Some(error) = shared.trouble().newer_than(&mut self.trouble_seen) {
            return Err(error);
        }
        let rk = shared.client().as_ptr();
        let rkt = self.written(record.topic)?.native.as_ptr();
        let ticket = Ticket { handle: self.id, round: self.round, tag: record.tag };
        let headers = NativeHeaders::new(record.headers);
        loop {
            // SAFETY: instance and topic are live; the bytes live through the call, which copies.
            let code = unsafe { produce(rk, rkt, &record, headers.0, ticket) };
            if code == 0 {
                headers.given_away();
                self.sent += 1;
                return Ok(());
            }
            if !errors::is(code, Code::RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                return Err(self.refused(code, &record));
            }
            self.connection.shared().wait_for_space();
        }
    }

    fn flush(&mut self) -> Call<()> {
        let (call, open, round) = self.deliveries.flush(self.sent);
        if round != self.round {
            self.round = round;
            self.sent = 0;
        }
        if open {
            self.connection.call(Command::Flush);
        }
        call
    }

    fn failure(&mut self) -> Option<DeliveryFailure> {
        self.deliveries.failure()
    }

    fn acknowledged(&self, tag: Tag) -> Option<i64> {
        self.deliveries.acknowledged(tag)
    }

    fn init_transactions(&mut self) -> Call<()> {
        self.transactional(Command::Init)
    }

    fn begin(&mut self) -> Result<(), ClientError> {
        let shared = self.connection.shared();
        transaction::begin(shared.client())
    }

    fn commit(&mut self, offsets: &[OffsetToCommit], group: &GroupMetadata) -> Call<CommitOutcome> {
        let (offsets, group) = (offsets.to_vec(), group.clone());
        self.transactional(|reply| Command::Commit(offsets, group, reply))
    }

    fn abort(&mut self) -> Call<()> {
        self.transactional(Command::Abort)
    }
}

impl Drop for RdkafkaProducer {
    fn drop(&mut self) {
        self.connection.shared().deregister(self.id);
    }
}

/// # Safety
/// Instance and topic are live. On success (zero) librdkafka owns the headers.
#[inline]
unsafe fn produce(
    rk: *mut sys::rd_kafka_t,
    rkt: *mut sys::rd_kafka_topic_t,
    record: &ProducerRecord<'_>,
    headers: *mut sys::rd_kafka_headers_t,
    ticket: Ticket,
) -> i32 {
    let (key, key_len) = pointer(record.key);
    let (value, value_len) = pointer(record.value);
    // SAFETY: pairs of a type and its arguments, in the types that rdkafka.h names, then END.
    unsafe {
        native::rd_kafka_producev(
            rk,
            V::RD_KAFKA_VTYPE_RKT as c_int,
            rkt,
            V::RD_KAFKA_VTYPE_PARTITION as c_int,
            record.partition,
            V::RD_KAFKA_VTYPE_MSGFLAGS as c_int,
            sys::RD_KAFKA_MSG_F_COPY as c_int,
            V::RD_KAFKA_VTYPE_TIMESTAMP as c_int,
            record.timestamp,
            V::RD_KAFKA_VTYPE_KEY as c_int,
            key,
            key_len,
            V::RD_KAFKA_VTYPE_VALUE as c_int,
            value,
            value_len,
            V::RD_KAFKA_VTYPE_HEADERS as c_int,
            headers,
            V::RD_KAFKA_VTYPE_OPAQUE as c_int,
            ticket.to_opaque(),
            V::RD_KAFKA_VTYPE_END as c_int,
        )
    }
}

/// Null, or a pointer that is not null even when nothing is behind it: librdkafka tells a null key
/// from an empty one by that.
#[inline]
fn pointer(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

/// Headers in librdkafka's form; null when there are none.
struct NativeHeaders(*mut sys::rd_kafka_headers_t);

impl NativeHeaders {
    #[inline]
    fn new(headers: &Headers) -> Self {
        if headers.is_empty() {
            return Self(ptr::null_mut());
        }
        // SAFETY: no requirements. Names and values are copied, with their lengths.
        unsafe {
            let list = sys::rd_kafka_headers_new(headers.iter().len());
            for (name, value) in headers.iter() {
                let (data, len) = pointer(value);
                sys::rd_kafka_header_add(
                    list,
                    name.as_ptr().cast::<c_char>(),
                    name.len() as isize,
                    data,
                    len as isize,
                );
            }
            Self(list)
        }
    }

    fn given_away(self) {
        std::mem::forget(self);
    }
}

impl Drop for NativeHeaders {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: not given away (that forgets this object), destroyed once.
            unsafe { sys::rd_kafka_headers_destroy(self.0) };
        }
    }
}
