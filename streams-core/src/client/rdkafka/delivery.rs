//! What became of the records that were sent: counted per handle, offsets kept per tag.
//!
//! A flush waits for the records before it, and only for them: others are sent meanwhile, and
//! partitions are acknowledged in any order. So records are counted in rounds, which flushes end.

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

/// Names a producer handle within its connection; never used again. Below 2^24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct HandleId(pub(super) u32);

/// Travels with each record through librdkafka, in the place of a pointer: nothing is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) handle: HandleId,
    pub(super) round: Round,
    pub(super) tag: Tag,
}

/// The records of a handle between two of its flushes: the last bits of their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Round(u8);

/// Fewer than a [`Round`] tells apart.
const ROUNDS_MAX: usize = 250;

const _: () = assert!(usize::BITS >= 64, "a ticket is as wide as a pointer");

impl Ticket {
    pub(super) fn to_opaque(self) -> *mut c_void {
        let (handle, round) = (u64::from(self.handle.0), u64::from(self.round.0));
        let number = handle << 40 | round << 32 | u64::from(self.tag.0);
        std::ptr::without_provenance_mut(number as usize)
    }

    pub(super) fn from_opaque(opaque: *mut c_void) -> Self {
        let number = opaque.addr() as u64;
        Self {
            handle: HandleId((number >> 40) as u32),
            round: Round((number >> 32) as u8),
            tag: Tag(number as u32),
        }
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
    // Those of which records may be under way, all but the last one ended by a flush.
    rounds: VecDeque<Counts>,
    // The number of the first of them.
    first: u64,
    acknowledged: HashMap<Tag, i64, FixedState>,
    failures: VecDeque<DeliveryFailure>,
    // Answered when the rounds before that number are done.
    flushes: Vec<(u64, Reply<()>)>,
    dead: Option<ClientError>,
}

#[derive(Default)]
struct Counts {
    sent: u64,
    // Acknowledged or failed.
    done: u64,
}

impl Deliveries {
    pub(super) fn new(wake: WakeRef, flushes_open: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), wake, flushes_open })
    }

    /// Answered when all records of this round, of which `sent` were sent, and of the earlier ones
    /// are done; and the round that begins. The flag says whether the call is open.
    pub(super) fn flush(&self, sent: u64) -> (Call<()>, bool, Round) {
        let mut state = lock(&self.state);
        if let Some(error) = &state.dead {
            return (Call::ready(Err(error.clone())), false, state.round());
        }
        if state.rounds.len() >= ROUNDS_MAX {
            let error = ClientError::retriable("too many flushes are under way");
            return (Call::ready(Err(error)), false, state.round());
        }
        // A round without records has no end: so repeated flushes do not make more of them.
        if sent > 0 {
            state.last().sent = sent;
            state.rounds.push_back(Counts::default());
            state.forget_done_rounds();
        }
        let round = state.round();
        if state.rounds.len() <= 1 {
            return (Call::ready(Ok(())), false, round);
        }
        let (reply, call) = Call::pair(Some(self.wake.clone()));
        let before = state.first + state.rounds.len() as u64 - 1;
        state.flushes.push((before, reply));
        self.flushes_open.fetch_add(1, Ordering::AcqRel);
        (call, true, round)
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
            let Ticket { tag, round, .. } = Ticket::from_opaque(opaque);
            state.done(round);
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
        state.forget_done_rounds();
        let first = state.first;
        let answered = state.flushes.extract_if(.., |(before, _)| *before <= first).collect();
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
    /// The round that records are sent in.
    fn last(&mut self) -> &mut Counts {
        if self.rounds.is_empty() {
            self.rounds.push_back(Counts::default());
        }
        let last = self.rounds.len() - 1;
        &mut self.rounds[last]
    }

    fn round(&self) -> Round {
        Round((self.first + self.rounds.len().saturating_sub(1) as u64) as u8)
    }

    #[inline]
    fn done(&mut self, round: Round) {
        self.last();
        let at = usize::from(round.0.wrapping_sub(self.first as u8));
        if let Some(counts) = self.rounds.get_mut(at) {
            counts.done += 1;
        }
    }

    /// Not the last one: its records are still being sent.
    fn forget_done_rounds(&mut self) {
        while self.rounds.len() > 1 && self.rounds[0].done >= self.rounds[0].sent {
            self.rounds.pop_front();
            self.first += 1;
        }
    }

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
            // Its namesake for consumers returns the record's value, which has no end.
            native::text(sys::rd_kafka_message_produce_errstr(report)),
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
        for (handle, round, tag) in [(0, 0, 0), (1, 255, u32::MAX), ((1 << 24) - 1, 3, 7)] {
            let ticket = Ticket { handle: HandleId(handle), round: Round(round), tag: Tag(tag) };
            assert_eq!(Ticket::from_opaque(ticket.to_opaque()), ticket);
        }
    }

    struct NoWake;

    impl crate::client::call::Wake for NoWake {
        fn wake(&self) {}
    }

    fn deliveries() -> Arc<Deliveries> {
        Deliveries::new(Arc::new(NoWake), Arc::default())
    }

    fn acknowledge(deliveries: &Deliveries, round: Round, count: usize) {
        let ticket = Ticket { handle: HandleId(0), round, tag: Tag::NONE };
        // SAFETY: zero is valid in each field of the C struct; a report without an error is read
        // no further than its fields.
        let mut message: sys::rd_kafka_message_t = unsafe { std::mem::zeroed() };
        message._private = ticket.to_opaque();
        let reports = vec![&raw const message; count];
        // SAFETY: the message lives.
        unsafe { deliveries.report(&reports) };
    }

    #[test]
    fn a_flush_waits_for_what_was_sent_before_it_whatever_comes_later() {
        let deliveries = deliveries();
        let first = Round::default();
        acknowledge(&deliveries, first, 3);
        let (mut flushed, open, second) = deliveries.flush(10);
        assert!(open && second != first);
        // More than were missing, but of records that were sent later, to other partitions.
        acknowledge(&deliveries, second, 100);
        assert!(flushed.try_take().is_none());
        acknowledge(&deliveries, first, 6);
        assert!(flushed.try_take().is_none());
        acknowledge(&deliveries, first, 1);
        assert!(matches!(flushed.try_take(), Some(Ok(()))));
    }

    #[test]
    fn a_flush_waits_for_the_rounds_before_its_own() {
        let deliveries = deliveries();
        let (mut one, _, second) = deliveries.flush(1);
        let (mut two, _, third) = deliveries.flush(1);
        // Nothing was sent since: the same as the second.
        let (mut three, open, same) = deliveries.flush(0);
        assert!(open && same == third);
        acknowledge(&deliveries, second, 1);
        assert!(two.try_take().is_none());
        acknowledge(&deliveries, Round::default(), 1);
        for call in [&mut one, &mut two, &mut three] {
            assert!(matches!(call.try_take(), Some(Ok(()))));
        }
        let (mut nothing, open, _) = deliveries.flush(0);
        assert!(!open && matches!(nothing.try_take(), Some(Ok(()))));
    }

    #[test]
    fn rounds_are_told_apart_for_ever() {
        let deliveries = deliveries();
        let mut round = Round::default();
        for _ in 0..1_000 {
            let (mut flushed, _, next) = deliveries.flush(2);
            acknowledge(&deliveries, next, 1);
            acknowledge(&deliveries, round, 1);
            assert!(flushed.try_take().is_none());
            acknowledge(&deliveries, round, 1);
            assert!(matches!(flushed.try_take(), Some(Ok(()))));
            let (_, _, after) = deliveries.flush(1);
            round = after;
        }
    }

    #[test]
    fn too_many_open_flushes_are_to_be_repeated() {
        let deliveries = deliveries();
        for _ in 0..ROUNDS_MAX - 1 {
            assert!(deliveries.flush(1).0.try_take().is_none());
        }
        let (mut refused, open, round) = deliveries.flush(1);
        assert!(!open && refused.try_take().is_some_and(|answer| answer.is_err()));
        // The round goes on, and its records still count.
        assert_eq!(usize::from(round.0), ROUNDS_MAX - 1);
    }
}
