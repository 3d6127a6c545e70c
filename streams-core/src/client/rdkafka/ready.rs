//! Which partitions of a fetcher may have something to fetch.
//!
//! librdkafka tells when a queue stops being empty, once; so a partition stays in the set until a
//! fetch found its queue empty.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka_sys as sys;

use super::consumer::lock;
use crate::client::call::WakeRef;
use crate::client::error::ClientError;
use crate::client::seam::FetchSlot;

/// What other threads tell one fetcher.
pub(super) struct ReadySet {
    wake: WakeRef,
    // Slots whose signal was raised since they were last listed.
    raised: Mutex<Vec<FetchSlot>>,
    trouble: Mutex<Option<ClientError>>,
    in_trouble: AtomicBool,
}

impl ReadySet {
    pub(super) fn new(wake: WakeRef) -> Arc<Self> {
        Arc::new(Self {
            wake,
            raised: Mutex::default(),
            trouble: Mutex::default(),
            in_trouble: AtomicBool::new(false),
        })
    }

    /// Moves the slots that were raised since the last call.
    pub(super) fn drain(&self, into: &mut Vec<FetchSlot>) {
        into.append(&mut lock(&self.raised));
    }

    /// Remembers an error that concerns every partition, until it is taken. That no broker is left
    /// does not hide why: a wrong password, say.
    pub(super) fn trouble(&self, error: ClientError) {
        let mut trouble = lock(&self.trouble);
        if trouble.as_ref().is_none_or(ClientError::is_retriable) {
            *trouble = Some(error);
        }
        drop(trouble);
        self.in_trouble.store(true, Ordering::Release);
        self.wake.wake();
    }

    pub(super) fn in_trouble(&self) -> bool {
        self.in_trouble.load(Ordering::Acquire)
    }

    pub(super) fn take_trouble(&self) -> Option<ClientError> {
        if !self.in_trouble() {
            return None;
        }
        self.in_trouble.store(false, Ordering::Release);
        lock(&self.trouble).take()
    }
}

/// The bit of one partition, and the way to its fetcher.
pub(super) struct Signal {
    raised: AtomicBool,
    slot: FetchSlot,
    set: Arc<ReadySet>,
}

impl Signal {
    pub(super) fn new(slot: FetchSlot, set: Arc<ReadySet>) -> Arc<Self> {
        Arc::new(Self { raised: AtomicBool::new(false), slot, set })
    }

    pub(super) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// To be called before the queue is read: what arrives meanwhile raises it again.
    pub(super) fn lower(&self) {
        self.raised.store(false, Ordering::Release);
    }

    /// From the fetcher's own thread, which needs no waking.
    pub(super) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            lock(&self.set.raised).push(self.slot);
        }
    }
}

/// Called by librdkafka with the queue locked, so it must not call back.
pub(super) unsafe extern "C" fn on_queue_event(_rk: *mut sys::rd_kafka_t, signal: *mut c_void) {
    // SAFETY: the slot keeps its signal until it has removed this callback under the same lock.
    let signal = unsafe { &*signal.cast::<Signal>() };
    if !signal.is_raised() {
        signal.raise();
        signal.set.wake.wake();
    }
}
