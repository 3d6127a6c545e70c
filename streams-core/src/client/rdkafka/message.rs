//! A fetched message: librdkafka's own object, read in place.

use std::ffi::{CStr, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use rdkafka_sys as sys;

use super::consumer::SharedConsumer;
use crate::record::Headers;

/// Keeps the consumer alive while messages of one partition are held. One per assignment, so that
/// threads do not share the count that every message touches.
pub(super) struct MessageOwner {
    _consumer: Arc<SharedConsumer>,
}

impl MessageOwner {
    pub(super) fn new(consumer: Arc<SharedConsumer>) -> Arc<Self> {
        Arc::new(Self { _consumer: consumer })
    }
}

/// A fetched message. Key, value and headers lie in the buffer of the fetch, which lives until its
/// last message is dropped.
pub(crate) struct Message {
    message: NonNull<sys::rd_kafka_message_t>,
    // After the message: the consumer must outlive it.
    _owner: Arc<MessageOwner>,
}

// SAFETY: a message may be read and destroyed by any one thread; `Message` is not `Sync`, because
// headers are parsed in place when they are first asked for.
unsafe impl Send for Message {}

impl Message {
    /// Takes over a message without an error.
    ///
    /// # Safety
    /// The message is live, fetched by the owner's consumer, and nobody else destroys it.
    pub(super) unsafe fn new(
        message: NonNull<sys::rd_kafka_message_t>,
        owner: Arc<MessageOwner>,
    ) -> Self {
        Self { message, _owner: owner }
    }

    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: live until drop; its error code is zero, which the enum has.
        unsafe { self.message.as_ref() }
    }

    #[inline]
    pub(crate) fn offset(&self) -> i64 {
        self.raw().offset
    }

    #[inline]
    pub(crate) fn timestamp(&self) -> i64 {
        // SAFETY: the message is live; a null type is not written.
        unsafe { sys::rd_kafka_message_timestamp(self.message.as_ptr(), ptr::null_mut()) }
    }

    pub(super) fn leader_epoch(&self) -> i32 {
        // SAFETY: the message is live.
        unsafe { sys::rd_kafka_message_leader_epoch(self.message.as_ptr()) }
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        let raw = self.raw();
        // SAFETY: librdkafka's pointer and length, valid while the message lives.
        unsafe { bytes(raw.key, raw.key_len) }
    }

    #[inline]
    pub(crate) fn value(&self) -> Option<&[u8]> {
        let raw = self.raw();
        // SAFETY: librdkafka's pointer and length, valid while the message lives.
        unsafe { bytes(raw.payload, raw.len) }
    }

    pub(crate) fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        let mut list = ptr::null_mut();
        // SAFETY: the message is live. The list that may be made belongs to the message.
        let found = unsafe { sys::rd_kafka_message_headers(self.message.as_ptr(), &raw mut list) };
        if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return headers;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list is live; the three results are only read when the call found one.
            let found = unsafe {
                sys::rd_kafka_header_get_all(
                    list,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                )
            };
            if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: found, so the name is a string that ends in zero, and the value has `size`.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value.cast_mut(), size)) };
            match value {
                Some(value) => headers.push(name.to_string_lossy(), value),
                None => headers.push_null(name.to_string_lossy()),
            };
        }
        headers
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once, while the consumer lives.
        unsafe { sys::rd_kafka_message_destroy(self.message.as_ptr()) };
    }
}

/// # Safety
/// `data` is null, or points to `len` bytes that live as long as `'a`.
#[inline]
unsafe fn bytes<'a>(data: *mut c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast::<u8>(), len) })
}
