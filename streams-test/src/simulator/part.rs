//! One state machine of an instance, as the scheduler sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use streams_core::StreamsError;
use streams_core::client::{Wake, WakeRef};
use streams_core::membership::{Member, NextStep};
use streams_core::runtime::global_part::GlobalPart;
use streams_core::runtime::restorer::Restorer;
use streams_core::runtime::step::Next;
use streams_core::runtime::store_worker::StoreWorker;
use streams_core::runtime::stream_thread::StreamThread;
use streams_core::time::Instant;

/// A machine with what it said after its last step.
pub(super) struct Part {
    pub(super) machine: Machine,
    pub(super) next: Next,
    pub(super) woken: Arc<Flag>,
    /// Until then it does nothing: its thread does not get the processor, or waits for the disk.
    pub(super) stalled_until: Instant,
}

pub(super) enum Machine {
    Thread(Box<StreamThread>),
    Member(Box<Member>),
    Restorer(Box<Restorer>),
    Worker(Box<StoreWorker>),
    Global(Box<GlobalPart>),
}

/// Remembers that somebody woke it.
#[derive(Default)]
pub(super) struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Flag {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn wake_ref(self: &Arc<Self>) -> WakeRef {
        self.clone()
    }
}

impl Part {
    pub(super) fn new(machine: Machine, woken: &Arc<Flag>) -> Self {
        Self { machine, next: Next::Ready, woken: woken.clone(), stalled_until: Instant::default() }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.stalled_until && self.is_wanted(now)
    }

    /// Whether it is a thread, or the member of one, or feeds global stores, and has not ended.
    pub(super) fn is_at_work(&self) -> bool {
        let works =
            matches!(self.machine, Machine::Thread(_) | Machine::Member(_) | Machine::Global(_));
        works && self.next != Next::Done
    }

    /// Whether it reads or writes the disk in its steps.
    pub(super) fn waits_for_disk(&self) -> bool {
        matches!(self.machine, Machine::Restorer(_) | Machine::Worker(_) | Machine::Global(_))
    }

    fn is_wanted(&self, now: Instant) -> bool {
        match self.next {
            Next::Done => false,
            Next::Ready => true,
            Next::WaitUntil(at) => at <= now || self.woken.0.load(Ordering::SeqCst),
            Next::Wait => self.woken.0.load(Ordering::SeqCst),
        }
    }

    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.is_wanted(now) {
            return Some(self.stalled_until);
        }
        match self.next {
            Next::WaitUntil(at) => Some(at),
            _ => None,
        }
    }

    /// One step. A part that several machines share a wake with may be stepped for nothing.
    pub(super) fn step(&mut self, now: Instant) -> Result<(), StreamsError> {
        self.woken.0.store(false, Ordering::SeqCst);
        self.next = match &mut self.machine {
            Machine::Thread(thread) => thread.step(now).inspect_err(|_| self.next = Next::Done)?,
            Machine::Global(part) => part.step(now).inspect_err(|_| self.next = Next::Done)?,
            Machine::Restorer(restorer) => restorer.step(now),
            Machine::Worker(worker) => worker.step(now),
            Machine::Member(member) => match member.step(now) {
                _ if member.is_ended() => Next::Done,
                NextStep::Ready => Next::Ready,
                NextStep::At(at) => Next::WaitUntil(at),
                NextStep::OnWake => Next::Wait,
            },
        };
        Ok(())
    }
}
