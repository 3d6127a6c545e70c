//! What became of the records that were sent: counted per handle, offsets kept per tag.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::consumer::lock;
use super::errors;
use super::native;
use crate::client::call::{Call, Reply, WakeRef};
use crate::client::error::ClientError;
use crate::client::seam::{DeliveryFailure, Tag};

/// Names a producer handle within its connection; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct HandleId(pub(super) u32);

/// Travels with each record through librdkafka, in the place of a pointer: nothing is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) handle: HandleId,
    pub(super) tag: Tag,
}

const _: () = assert!(usize::BITS >= 64, "a ticket is as wide as a pointer");

impl Ticket {
    pub(super) fn to_opaque(self) -> *mut c_void {
        let number = u64::from(self.handle.0) << 32 | u64::from(self.tag.0);
        std::ptr::without_provenance_mut(number as usize)
    }

    pub(super) fn from_opaque(opaque: *mut c_void) -> Self {
        let number = opaque.addr() as u64;
        Self { handle: HandleId((number >> 32) as u32), tag: Tag(number as u32) }
    }
}

/// The records of one handle.
pub(super) struct Deliveries {
    state: Mutex<State>,
    wake: WakeRef,
    // Of the whole connection: how many flushes nobody answered yet.
    flushes_open: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    // Acknowledged or failed.
    done: u64,
    acknowledged: HashMap<Tag, i64, FixedState>,
    failures: VecDeque<DeliveryFailure>,
    flushes: Vec<(u64, Reply<()>)>,
    dead: Option<ClientError>,
}

impl Deliveries {
    pub(super) fn new(wake: WakeRef, flushes_open: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), wake, flushes_open })
    }

    /// Answered when the first `sent` records are done. The flag says whether it is open.
    pub(super) fn flush(&self, sent: u64) -> (Call<()>, bool) {
        let mut state = lock(&self.state);
        if let Some(error) = &state.dead {
            return (Call::ready(Err(error.clone())), false);
        }
        if state.done >= sent {
            return (Call::ready(Ok(())), false);
        }
        let (reply, call) = Call::pair(Some(self.wake.clone()));
        state.flushes.push((sent, reply));
        self.flushes_open.fetch_add(1, Ordering::AcqRel);
        (call, true)
    }

    pub(super) fn failure(&self) -> Option<DeliveryFailure> {
        lock(&self.state).failures.pop_front()
    }

    pub(super) fn acknowledged(&self, tag: Tag) -> Option<i64> {
        lock(&self.state).acknowledged.get(&tag).copied()
    }

    /// Takes in reports of this handle's records.
    ///
    /// # Safety
    /// The messages are live reports of deliveries.
    pub(super) unsafe fn report(&self, reports: &[*const sys::rd_kafka_message_t]) {
        let mut state = lock(&self.state);
        // Mostly a run of one tag: the map is touched once a run.
        let mut run = (Tag::NONE, -1);
        let mut failed = false;
        for report in reports {
            // SAFETY: live (the caller's promise); the code is read as the integer that it is.
            let (code, offset, opaque) = unsafe {
                let code = (&raw const (**report).err).cast::<i32>().read();
                (code, (**report).offset, (**report)._private)
            };
            let tag = Ticket::from_opaque(opaque).tag;
            if code == 0 {
                if tag != run.0 {
                    state.acknowledge(run);
                    run = (tag, -1);
                }
                run.1 = run.1.max(offset);
            } else if !is_purged(code) {
                // SAFETY: as above.
                state.failures.push_back(unsafe { failure(*report, code, tag) });
                failed = true;
            }
        }
        state.acknowledge(run);
        state.done += reports.len() as u64;
        let done = state.done;
        let answered: Vec<_> = state.flushes.extract_if(.., |(sent, _)| *sent <= done).collect();
        drop(state);
        self.answer(answered, &Ok(()));
        if failed {
            self.wake.wake();
        }
    }

    /// The connection is dead: nothing more will be reported.
    pub(super) fn die(&self, error: &ClientError) {
        let mut state = lock(&self.state);
        state.dead.get_or_insert_with(|| error.clone());
        let answered = std::mem::take(&mut state.flushes);
        drop(state);
        self.answer(answered, &Err(error.clone()));
        self.wake.wake();
    }

    fn answer(&self, answered: Vec<(u64, Reply<()>)>, answer: &Result<(), ClientError>) {
        for (_, reply) in answered {
            self.flushes_open.fetch_sub(1, Ordering::AcqRel);
            reply.send(answer.clone());
        }
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        let open = lock(&self.state).flushes.len();
        self.flushes_open.fetch_sub(open, Ordering::AcqRel);
    }
}

impl State {
    fn acknowledge(&mut self, (tag, offset): (Tag, i64)) {
        if tag == Tag::NONE || offset < 0 {
            return;
        }
        let known = self.acknowledged.entry(tag).or_insert(offset);
        *known = offset.max(*known);
    }
}

/// Dropped by our own abort: no failure.
fn is_purged(code: i32) -> bool {
    errors::is(code, Code::RD_KAFKA_RESP_ERR__PURGE_QUEUE)
        || errors::is(code, Code::RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
}

/// # Safety
/// The message is a live report of a delivery.
unsafe fn failure(report: *const sys::rd_kafka_message_t, code: i32, tag: Tag) -> DeliveryFailure {
    // SAFETY: live (the caller's promise); a report has its topic.
    let (topic, partition, text) = unsafe {
        (
            native::text(sys::rd_kafka_topic_name((*report).rkt)),
            (*report).partition,
            native::text(sys::rd_kafka_message_errstr(report)),
        )
    };
    let error = errors::with_text(code, &format!("record to {topic}-{partition}"), &text);
    DeliveryFailure { topic: topic.into(), partition, tag, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_survives_the_way() {
        for (handle, tag) in [(0, 0), (1, u32::MAX), (u32::MAX, 7)] {
            let ticket = Ticket { handle: HandleId(handle), tag: Tag(tag) };
            assert_eq!(Ticket::from_opaque(ticket.to_opaque()), ticket);
        }
    }
}
