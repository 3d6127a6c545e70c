//! Writes committed layers into the engine and flushes it, beside processing.

use std::time::Duration;

use state_stores::{Applied, ApplyJob, FlushJob};

use super::commit_step::{CommitStep, CommitSteps};
use super::mailbox::{Mailbox, Postbox};
use super::step::Next;
use crate::client::WakeRef;
use crate::task_id::TaskId;
use crate::time::{ClockRef, Instant};

/// How often the engine is asked what is due to be flushed.
const FLUSH_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// One layer to be written; the answer goes to `reply_to`.
pub struct ApplyRequest {
    pub(crate) task: TaskId,
    pub(crate) store: usize,
    pub(crate) job: ApplyJob,
    pub(crate) reply_to: Postbox<ApplyDone>,
}

/// A layer that was written, or an engine that failed.
pub struct ApplyDone {
    pub(crate) task: TaskId,
    pub(crate) store: usize,
    pub(crate) applied: Applied,
}

/// Applies one layer, or flushes one family, per step.
pub struct StoreWorker {
    requests: Mailbox<ApplyRequest>,
    flush_due: Box<dyn Fn(i64) -> Vec<FlushJob> + Send>,
    flushes: Vec<FlushJob>,
    next_flush_check: Instant,
    clock: ClockRef,
    steps: CommitSteps,
    stop: Mailbox<()>,
}

impl StoreWorker {
    /// A worker that flushes what `flush_due` names (by wall time in ms).
    pub fn new(
        wake: &WakeRef,
        clock: ClockRef,
        steps: CommitSteps,
        flush_due: impl Fn(i64) -> Vec<FlushJob> + Send + 'static,
    ) -> Self {
        let next_flush_check = clock.now() + FLUSH_CHECK_INTERVAL;
        Self {
            requests: Mailbox::new(wake.clone()),
            flush_due: Box::new(flush_due),
            flushes: Vec::new(),
            next_flush_check,
            clock,
            steps,
            stop: Mailbox::new(wake.clone()),
        }
    }

    /// Where layers are sent.
    pub fn requests(&self) -> Postbox<ApplyRequest> {
        self.requests.postbox()
    }

    /// Ends the worker, once everything sent before is done.
    pub fn stopper(&self) -> Postbox<()> {
        self.stop.postbox()
    }

    /// Does one piece of work. May block on the disk.
    pub fn step(&mut self, now: Instant) -> Next {
        if let Some(request) = self.requests.take() {
            self.steps.reached(CommitStep::Applying);
            let applied = request.job.run();
            self.steps.reached(CommitStep::Applied);
            let ApplyRequest { task, store, reply_to, .. } = request;
            reply_to.send(ApplyDone { task, store, applied });
            return Next::Ready;
        }
        if let Some(flush) = self.flushes.pop() {
            if let Err(error) = flush.run() {
                tracing::error!(%error, "cannot flush a store; what a crash replays is growing");
            }
            self.steps.reached(CommitStep::EngineFlushed);
            return Next::Ready;
        }
        if self.stop.take().is_some() {
            return Next::Done;
        }
        if now >= self.next_flush_check {
            self.next_flush_check = now + FLUSH_CHECK_INTERVAL;
            self.flushes = (self.flush_due)(self.clock.wall_ms());
            return Next::Ready;
        }
        Next::WaitUntil(self.next_flush_check)
    }
}
