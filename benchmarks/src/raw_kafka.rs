//! librdkafka as bare as it can be called: batches, topic handles, no wrapper in between.

#![allow(unsafe_code, reason = "the floor is the C interface itself")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;
use sys::rd_kafka_vtype_t as V;

use crate::Result;
use crate::broker::PARTITIONS;

const BATCH: usize = 1000;
const WAIT_MS: c_int = 1000;
const FLUSH_MS: c_int = 60_000;

/// Records that were not written, of all producers of the process.
static FAILED: AtomicU64 = AtomicU64::new(0);

/// Reads all partitions of a topic from their beginning.
pub(crate) struct RawConsumer {
    rk: *mut sys::rd_kafka_t,
    queue: *mut sys::rd_kafka_queue_t,
    topic: CString,
    batch: Vec<*mut sys::rd_kafka_message_t>,
    next: [i64; PARTITIONS as usize],
}

/// A record in librdkafka's memory.
pub(crate) struct RawMessage<'a> {
    pub(crate) partition: i32,
    pub(crate) time: i64,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

// SAFETY: librdkafka's instances may be used by any thread; only the batch is ours alone.
unsafe impl Send for RawConsumer {}
// SAFETY: the same.
unsafe impl Send for RawProducer {}

impl RawConsumer {
    pub(crate) fn new(bootstrap: &str, group: &str, topic: &str) -> Result<Self> {
        let rk = start(
            sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
            &[
                ("bootstrap.servers", bootstrap),
                ("group.id", group),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"),
                ("isolation.level", "read_committed"),
                ("queued.max.messages.kbytes", "16384"),
                ("fetch.queue.backoff.ms", "5"),
            ],
            None,
        )?;
        let topic = CString::new(topic)?;
        // SAFETY: the instance and the list are live; the list is copied, and destroyed once.
        let queue = unsafe {
            let list = sys::rd_kafka_topic_partition_list_new(PARTITIONS);
            for partition in 0..PARTITIONS {
                sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), partition);
                sys::rd_kafka_topic_partition_list_set_offset(list, topic.as_ptr(), partition, 0);
            }
            sys::rd_kafka_assign(rk, list);
            sys::rd_kafka_topic_partition_list_destroy(list);
            sys::rd_kafka_queue_get_consumer(rk)
        };
        let batch = vec![ptr::null_mut(); BATCH];
        Ok(Self { rk, queue, topic, batch, next: [0; PARTITIONS as usize] })
    }

    /// Gives the next records to `each`; how many.
    pub(crate) fn batch(
        &mut self,
        each: impl FnMut(RawMessage<'_>) -> Result<()>,
    ) -> Result<usize> {
        self.batch_within(WAIT_MS, each)
    }

    /// The same, with the time that it waits for a batch to become full.
    pub(crate) fn batch_within(
        &mut self,
        wait_ms: c_int,
        mut each: impl FnMut(RawMessage<'_>) -> Result<()>,
    ) -> Result<usize> {
        // SAFETY: the queue is live, the batch has as many places as are passed.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue, wait_ms, self.batch.as_mut_ptr(), BATCH)
        };
        let count = usize::try_from(count).unwrap_or(0);
        let mut result = Ok(());
        for &message in &self.batch[..count] {
            // SAFETY: librdkafka's message is live until it is destroyed below, once. Its code is
            // read as the integer that it is.
            unsafe {
                let code = (&raw const (*message).err).cast::<i32>().read();
                if result.is_ok() && code == 0 {
                    let raw = &*message;
                    self.next[raw.partition as usize] = raw.offset + 1;
                    result = each(RawMessage {
                        partition: raw.partition,
                        time: sys::rd_kafka_message_timestamp(message, ptr::null_mut()),
                        key: bytes(raw.key, raw.key_len),
                        value: bytes(raw.payload, raw.len),
                    });
                } else if code != 0 {
                    result = Err(format!("reading failed with code {code}").into());
                }
                sys::rd_kafka_message_destroy(message);
            }
        }
        result.map(|()| count)
    }

    /// Commits the positions of what was read.
    fn commit(&self) -> Result<()> {
        let positions = self.positions();
        // SAFETY: instance and list are live.
        let code = unsafe { sys::rd_kafka_commit(self.rk, positions.0, 0) };
        succeeded(code, "commit")
    }

    fn positions(&self) -> List {
        let topic = self.topic.as_ptr();
        // SAFETY: the list is live, the name is copied.
        unsafe {
            let list = sys::rd_kafka_topic_partition_list_new(PARTITIONS);
            for (partition, &next) in (0..).zip(&self.next) {
                sys::rd_kafka_topic_partition_list_add(list, topic, partition);
                sys::rd_kafka_topic_partition_list_set_offset(list, topic, partition, next);
            }
            List(list)
        }
    }
}

struct List(*mut sys::rd_kafka_topic_partition_list_t);

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: owned.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.0) };
    }
}

impl Drop for RawConsumer {
    fn drop(&mut self) {
        // SAFETY: both are owned, and all messages were destroyed.
        unsafe {
            sys::rd_kafka_queue_destroy(self.queue);
            sys::rd_kafka_destroy(self.rk);
        }
    }
}

/// An idempotent or transactional producer.
pub(crate) struct RawProducer {
    rk: *mut sys::rd_kafka_t,
    topics: Vec<*mut sys::rd_kafka_topic_t>,
    transactional: bool,
}

/// A topic of a producer.
#[derive(Clone, Copy)]
pub(crate) struct RawTopic(usize);

impl RawProducer {
    /// With an id it is in a transaction from now on.
    pub(crate) fn new(bootstrap: &str, transactional_id: Option<&str>) -> Result<Self> {
        Self::lingering(bootstrap, transactional_id, "100")
    }

    /// The same with another `linger.ms`.
    pub(crate) fn lingering(
        bootstrap: &str,
        transactional_id: Option<&str>,
        linger_ms: &str,
    ) -> Result<Self> {
        let mut settings = vec![
            ("bootstrap.servers", bootstrap),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("linger.ms", linger_ms),
            ("queue.buffering.max.messages", "500000"),
            ("queue.buffering.max.kbytes", "65536"),
        ];
        if let Some(id) = transactional_id {
            settings.extend([("transactional.id", id), ("retry.backoff.ms", "10")]);
        }
        let rk = start(sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, &settings, Some(on_delivery))?;
        let producer = Self { rk, topics: Vec::new(), transactional: transactional_id.is_some() };
        if producer.transactional {
            // SAFETY: the instance is live.
            unsafe {
                fine(sys::rd_kafka_init_transactions(rk, FLUSH_MS), "init")?;
                fine(sys::rd_kafka_begin_transaction(rk), "begin")?;
            }
        }
        Ok(producer)
    }

    /// Everything is written and the consumer's positions are committed, in one transaction if
    /// there are any; then the next one begins.
    pub(crate) fn commit(&self, consumer: &RawConsumer) -> Result<()> {
        self.flush()?;
        if !self.transactional {
            return consumer.commit();
        }
        let positions = consumer.positions();
        // SAFETY: the instances and the list are live, the metadata is destroyed once.
        unsafe {
            let group = sys::rd_kafka_consumer_group_metadata(consumer.rk);
            let sent =
                sys::rd_kafka_send_offsets_to_transaction(self.rk, positions.0, group, FLUSH_MS);
            sys::rd_kafka_consumer_group_metadata_destroy(group);
            fine(sent, "positions")?;
            fine(sys::rd_kafka_commit_transaction(self.rk, FLUSH_MS), "commit")?;
            fine(sys::rd_kafka_begin_transaction(self.rk), "begin")
        }
    }

    pub(crate) fn topic(&mut self, name: &str) -> Result<RawTopic> {
        let name = CString::new(name)?;
        // SAFETY: the instance is live; the name is copied.
        let topic = unsafe { sys::rd_kafka_topic_new(self.rk, name.as_ptr(), ptr::null_mut()) };
        if topic.is_null() {
            return Err("cannot make a topic handle".into());
        }
        self.topics.push(topic);
        Ok(RawTopic(self.topics.len() - 1))
    }

    /// Copies; waits while the queue is full.
    #[inline]
    pub(crate) fn send(
        &mut self,
        topic: RawTopic,
        partition: i32,
        time: i64,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<()> {
        let topic = self.topics[topic.0];
        let (data, size) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
        loop {
            // SAFETY: instance and topic are live; each tag is followed by what the C interface
            // says, and the bytes are copied.
            let code = unsafe {
                sys::rd_kafka_producev(
                    self.rk,
                    V::RD_KAFKA_VTYPE_RKT,
                    topic,
                    V::RD_KAFKA_VTYPE_PARTITION,
                    partition,
                    V::RD_KAFKA_VTYPE_MSGFLAGS,
                    sys::RD_KAFKA_MSG_F_COPY as c_int,
                    V::RD_KAFKA_VTYPE_TIMESTAMP,
                    time,
                    V::RD_KAFKA_VTYPE_KEY,
                    key.as_ptr().cast::<c_void>(),
                    key.len(),
                    V::RD_KAFKA_VTYPE_VALUE,
                    data.cast::<c_void>(),
                    size,
                    V::RD_KAFKA_VTYPE_END,
                )
            };
            if code != Code::RD_KAFKA_RESP_ERR__QUEUE_FULL {
                return succeeded(code, "send");
            }
            // SAFETY: the instance is live.
            unsafe { sys::rd_kafka_poll(self.rk, 10) };
        }
    }

    /// Serves delivery reports.
    pub(crate) fn poll(&self) {
        // SAFETY: the instance is live.
        unsafe { sys::rd_kafka_poll(self.rk, 0) };
    }

    /// Waits until everything was written.
    pub(crate) fn flush(&self) -> Result<()> {
        // SAFETY: the instance is live.
        let code = unsafe { sys::rd_kafka_flush(self.rk, FLUSH_MS) };
        succeeded(code, "flush")?;
        match FAILED.load(Ordering::Relaxed) {
            0 => Ok(()),
            failed => Err(format!("{failed} records were not written").into()),
        }
    }
}

impl Drop for RawProducer {
    fn drop(&mut self) {
        // SAFETY: owned; topics go before their instance.
        unsafe {
            self.topics.iter().for_each(|topic| sys::rd_kafka_topic_destroy(*topic));
            sys::rd_kafka_destroy(self.rk);
        }
    }
}

type OnDelivery =
    unsafe extern "C" fn(*mut sys::rd_kafka_t, *const sys::rd_kafka_message_t, *mut c_void);

unsafe extern "C" fn on_delivery(
    _: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    _: *mut c_void,
) {
    // SAFETY: a live report; its code is read as the integer that it is.
    let code = unsafe { (&raw const (*message).err).cast::<i32>().read() };
    if code != 0 {
        FAILED.fetch_add(1, Ordering::Relaxed);
    }
}

fn start(
    kind: sys::rd_kafka_type_t,
    settings: &[(&str, &str)],
    on_delivery: Option<OnDelivery>,
) -> Result<*mut sys::rd_kafka_t> {
    let mut text = [0 as c_char; 256];
    // SAFETY: all pointers are live through their calls; the instance takes the configuration,
    // unless it fails, and then the process ends.
    unsafe {
        let conf = sys::rd_kafka_conf_new();
        for (name, value) in settings {
            let (key, value) = (CString::new(*name)?, CString::new(*value)?);
            let (key, value) = (key.as_ptr(), value.as_ptr());
            let set = sys::rd_kafka_conf_set(conf, key, value, text.as_mut_ptr(), text.len());
            if set != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                return Err(format!("setting {name} is refused").into());
            }
        }
        if on_delivery.is_some() {
            sys::rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        }
        let rk = sys::rd_kafka_new(kind, conf, text.as_mut_ptr(), text.len());
        if rk.is_null() {
            return Err(CStr::from_ptr(text.as_ptr()).to_string_lossy().into());
        }
        Ok(rk)
    }
}

/// # Safety
/// `data` is null, or points to `len` bytes that live as long as `'a`.
unsafe fn bytes<'a>(data: *mut c_void, len: usize) -> &'a [u8] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) }
}

/// # Safety
/// The error is null, or live and not used otherwise.
unsafe fn fine(error: *mut sys::rd_kafka_error_t, what: &str) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: live (the caller's promise), destroyed once, after its text was copied.
    let text = unsafe {
        let text = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        text
    };
    Err(format!("{what}: {text}").into())
}

#[inline]
fn succeeded(code: Code, what: &str) -> Result<()> {
    if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    Err(format!("{what} failed with code {}", code as i32).into())
}
