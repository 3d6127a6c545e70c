//! Owners of librdkafka's objects, each destroyed once, and its log turned into `tracing` events.

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka_sys as sys;

use super::errors;
use crate::client::error::{ClientError, ClientErrorKind};

// librdkafka passes codes of brokers through that its own enum does not list, which a Rust enum
// must never hold; so the functions that return codes are declared here with integers.
unsafe extern "C" {
    pub(super) fn rd_kafka_error_code(error: *const sys::rd_kafka_error_t) -> i32;
    pub(super) fn rd_kafka_last_error() -> i32;
    pub(super) fn rd_kafka_err2str(code: i32) -> *const c_char;
    pub(super) fn rd_kafka_fatal_error(
        rk: *mut sys::rd_kafka_t,
        text: *mut c_char,
        text_size: usize,
    ) -> i32;
    pub(super) fn rd_kafka_event_error(event: *mut sys::rd_kafka_event_t) -> i32;
    pub(super) fn rd_kafka_metadata(
        rk: *mut sys::rd_kafka_t,
        all_topics: c_int,
        only_topic: *mut sys::rd_kafka_topic_t,
        answer: *mut *const sys::rd_kafka_metadata_t,
        timeout_ms: c_int,
    ) -> i32;
    pub(super) fn rd_kafka_producev(rk: *mut sys::rd_kafka_t, ...) -> i32;
}

/// A librdkafka instance. Its functions may be called from any thread.
pub(super) struct Client {
    rk: NonNull<sys::rd_kafka_t>,
    // What callbacks point to: freed after the instance, which runs them until its end.
    _opaque: Arc<dyn Any + Send + Sync>,
}

// SAFETY: librdkafka's handles are made for use by many threads at once (rdkafka.h, "Threads").
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

/// What an instance is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Consumer,
    Producer,
}

impl Client {
    /// Starts an instance; bad combinations of settings are found here. `opaque` is what the
    /// callbacks of `conf` point to.
    pub(super) fn start(
        side: Side,
        conf: Conf,
        opaque: Arc<dyn Any + Send + Sync>,
    ) -> Result<Self, ClientError> {
        let mut text = [0 as c_char; 512];
        let kind = match side {
            Side::Consumer => sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
            Side::Producer => sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
        };
        // SAFETY: `conf` is live; the text buffer has the size that is passed.
        let rk = unsafe { sys::rd_kafka_new(kind, conf.0.as_ptr(), text.as_mut_ptr(), text.len()) };
        let Some(rk) = NonNull::new(rk) else {
            return Err(ClientError::new(ClientErrorKind::Invalid, buffer_text(&text)));
        };
        // librdkafka owns the configuration now.
        std::mem::forget(conf);
        Ok(Self { rk, _opaque: opaque })
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_t {
        self.rk.as_ptr()
    }

    /// The error that killed this instance, if one did.
    pub(super) fn fatal_error(&self) -> Option<ClientError> {
        let mut text = [0 as c_char; 512];
        // SAFETY: the instance is live; the text buffer has the size that is passed.
        let code = unsafe { rd_kafka_fatal_error(self.as_ptr(), text.as_mut_ptr(), text.len()) };
        (code != 0).then(|| errors::fatal(code, buffer_text(&text)))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: the last owner destroys; everything made of this instance holds an `Arc` of it.
        unsafe { sys::rd_kafka_destroy(self.as_ptr()) };
    }
}

/// A configuration that no instance took yet.
pub(super) struct Conf(NonNull<sys::rd_kafka_conf_t>);

impl Conf {
    pub(super) fn new() -> Self {
        // SAFETY: no requirements; the call aborts rather than return null.
        let conf = unsafe { sys::rd_kafka_conf_new() };
        let conf = NonNull::new(conf).expect("librdkafka aborts when memory is out");
        // SAFETY: `conf` is live, and the callback has static lifetime.
        unsafe { sys::rd_kafka_conf_set_log_cb(conf.as_ptr(), Some(log)) };
        Self(conf)
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_conf_t {
        self.0.as_ptr()
    }

    /// Sets a value; an unknown key or a bad value names the key.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), ClientError> {
        let name = c_string(key, "the name of a setting")?;
        let value = c_string(value, key)?;
        let mut text = [0 as c_char; 512];
        // SAFETY: all pointers are live through the call, which copies; sizes are right.
        let result = unsafe {
            sys::rd_kafka_conf_set(
                self.as_ptr(),
                name.as_ptr(),
                value.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
            )
        };
        if result == sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return Ok(());
        }
        let message = format!("setting {key}: {}", buffer_text(&text));
        Err(ClientError::new(ClientErrorKind::Invalid, message))
    }

    /// The value in force, after aliases and defaults.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        let name = CString::new(key).ok()?;
        let mut value = [0 as c_char; 512];
        let mut size = value.len();
        // SAFETY: all pointers are live through the call, `size` is the buffer's.
        let result = unsafe {
            sys::rd_kafka_conf_get(self.as_ptr(), name.as_ptr(), value.as_mut_ptr(), &raw mut size)
        };
        (result == sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK).then(|| buffer_text(&value))
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: owned, and not taken by an instance (that forgets this object).
        unsafe { sys::rd_kafka_conf_destroy(self.as_ptr()) };
    }
}

/// A topic of an instance.
pub(super) struct Topic {
    rkt: NonNull<sys::rd_kafka_topic_t>,
    _client: Arc<Client>,
}

// SAFETY: topic handles are reference counted and internally locked.
unsafe impl Send for Topic {}

impl Topic {
    pub(super) fn new(client: &Arc<Client>, name: &str) -> Result<Self, ClientError> {
        let c_name = c_string(name, "the name of a topic")?;
        // SAFETY: the instance is live, the name is copied, a null configuration is the default.
        let rkt =
            unsafe { sys::rd_kafka_topic_new(client.as_ptr(), c_name.as_ptr(), ptr::null_mut()) };
        match NonNull::new(rkt) {
            Some(rkt) => Ok(Self { rkt, _client: client.clone() }),
            None => Err(errors::from_code(last_error(), &format!("topic {name}"))),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_topic_t {
        self.rkt.as_ptr()
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: owned reference, dropped once, before the instance.
        unsafe { sys::rd_kafka_topic_destroy(self.rkt.as_ptr()) };
    }
}

/// A queue of an instance.
pub(super) struct Queue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    _client: Arc<Client>,
}

// SAFETY: queues are reference counted and internally locked.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// The queue of events of the whole instance.
    pub(super) fn main(client: &Arc<Client>) -> Self {
        // SAFETY: the instance is live; its main queue always exists.
        let queue = unsafe { sys::rd_kafka_queue_get_main(client.as_ptr()) };
        let queue = NonNull::new(queue).expect("an instance has a main queue");
        Self { queue, _client: client.clone() }
    }

    /// The queue into which one partition is fetched.
    pub(super) fn partition(client: &Arc<Client>, topic: &CStr, partition: i32) -> Option<Self> {
        // SAFETY: the instance is live, and the name is copied.
        let queue = unsafe {
            sys::rd_kafka_queue_get_partition(client.as_ptr(), topic.as_ptr(), partition)
        };
        NonNull::new(queue).map(|queue| Self { queue, _client: client.clone() })
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// Makes the current or next wait for this queue return at once.
    pub(super) fn interrupt(&self) {
        // SAFETY: the queue is live.
        unsafe { sys::rd_kafka_queue_yield(self.as_ptr()) };
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: owned reference, dropped once, before the instance.
        unsafe { sys::rd_kafka_queue_destroy(self.as_ptr()) };
    }
}

/// A list of partitions with offsets.
pub(super) struct PartitionList(NonNull<sys::rd_kafka_topic_partition_list_t>);

// SAFETY: plain memory without ties to a thread.
unsafe impl Send for PartitionList {}

impl PartitionList {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let capacity = c_int::try_from(capacity).unwrap_or(0);
        // SAFETY: no requirements; the call aborts rather than return null.
        let list = unsafe { sys::rd_kafka_topic_partition_list_new(capacity) };
        Self(NonNull::new(list).expect("librdkafka aborts when memory is out"))
    }

    /// Adds a partition; the reference is good until the next one is added.
    pub(super) fn add(
        &mut self,
        topic: &CStr,
        partition: i32,
    ) -> &mut sys::rd_kafka_topic_partition_t {
        // SAFETY: the list is live, the name is copied; the element lives in the list.
        unsafe {
            &mut *sys::rd_kafka_topic_partition_list_add(self.as_ptr(), topic.as_ptr(), partition)
        }
    }

    /// The offset of the first element.
    pub(super) fn first_offset(&self) -> i64 {
        // SAFETY: the list is live, and has `cnt` elements.
        unsafe {
            let list = self.0.as_ref();
            if list.cnt > 0 { (*list.elems).offset } else { -1 }
        }
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.as_ptr()) };
    }
}

/// The calling thread's last error code.
pub(super) fn last_error() -> i32 {
    // SAFETY: reads a thread-local number.
    unsafe { rd_kafka_last_error() }
}

/// A string for C; `what` is named when there is a zero byte inside.
pub(super) fn c_string(text: &str, what: &str) -> Result<CString, ClientError> {
    CString::new(text).map_err(|_| {
        let message = format!("{what} has a zero byte inside: {text:?}");
        ClientError::new(ClientErrorKind::Invalid, message)
    })
}

/// A string of C, as librdkafka's strings are: null means empty.
///
/// # Safety
/// `text` is null or points to a string that ends in zero.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn buffer_text(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> =
        buffer.iter().take_while(|byte| **byte != 0).map(|byte| byte.to_ne_bytes()[0]).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

unsafe extern "C" fn log(
    _rk: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    message: *const c_char,
) {
    // SAFETY: librdkafka passes strings that end in zero.
    let (facility, message) = unsafe { (text(facility), text(message)) };
    match level {
        // One set of settings serves both sides, so each side is told of the other's.
        _ if facility == "CONFWARN" => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
        ..=3 => tracing::error!(target: "librdkafka", facility, "{message}"),
        4 => tracing::warn!(target: "librdkafka", facility, "{message}"),
        5 | 6 => tracing::info!(target: "librdkafka", facility, "{message}"),
        _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// A pointer for callbacks.
pub(super) fn opaque<T>(of: &Arc<T>) -> *mut c_void {
    Arc::as_ptr(of).cast_mut().cast()
}
