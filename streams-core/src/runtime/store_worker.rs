//! Does what may block, beside processing: writes committed layers into the engine, flushes it,
//! and lets go of producers that died.

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

/// What the worker is asked for.
pub enum WorkerRequest {
    /// Write a layer.
    Apply(ApplyRequest),
    /// Let go of something whose end may block, as that of a producer with its threads.
    Discard(Box<dyn Send>),
}

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
    requests: Mailbox<WorkerRequest>,
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

    /// Where layers are sent, and what is to be let go of.
    pub fn requests(&self) -> Postbox<WorkerRequest> {
        self.requests.postbox()
    }

    /// Ends the worker, once everything sent before is done.
    pub fn stopper(&self) -> Postbox<()> {
        self.stop.postbox()
    }

    /// Does one piece of work. May block on the disk.
    pub fn step(&mut self, now: Instant) -> Next {
        match self.requests.take() {
            Some(WorkerRequest::Apply(ApplyRequest { task, store, job, reply_to })) => {
                self.steps.reached(CommitStep::Applying);
                let applied = job.run();
                self.steps.reached(CommitStep::Applied);
                reply_to.send(ApplyDone { task, store, applied });
                return Next::Ready;
            }
            Some(WorkerRequest::Discard(discarded)) => {
                drop(discarded);
                return Next::Ready;
            }
            None => {}
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::client::Wake;
    use crate::time::{Clock, SystemClock};

    struct Nobody;

    impl Wake for Nobody {
        fn wake(&self) {}
    }

    struct Ends(Arc<AtomicBool>);

    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_is_discarded_ends_with_the_worker_and_not_with_who_discards_it() {
        let wake: WakeRef = Arc::new(Nobody);
        let mut worker =
            StoreWorker::new(&wake, Arc::new(SystemClock), CommitSteps::default(), |_| Vec::new());
        let ended = Arc::new(AtomicBool::new(false));
        worker.requests().send(WorkerRequest::Discard(Box::new(Ends(ended.clone()))));
        assert!(!ended.load(Ordering::SeqCst));
        worker.step(SystemClock.now());
        assert!(ended.load(Ordering::SeqCst));
    }
}
