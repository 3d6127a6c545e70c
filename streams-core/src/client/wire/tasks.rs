//! The tasks behind the calls of one handle.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::call::{Call, WakeRef};
use super::super::error::ClientError;

/// Runs calls as tasks; dropping it ends them, and their calls fail.
pub(super) struct Tasks {
    handle: Handle,
    wake: WakeRef,
    running: JoinSet<()>,
}

type Job = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs calls one after the other, in the order in which they were made.
pub(super) struct Queue(mpsc::UnboundedSender<Job>);

impl Tasks {
    pub(super) fn new(handle: Handle, wake: WakeRef) -> Self {
        Self { handle, wake, running: JoinSet::new() }
    }

    /// Starts a call beside the others.
    pub(super) fn start<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = Result<T, ClientError>> + Send + 'static,
    ) -> Call<T> {
        while self.running.try_join_next().is_some() {}
        let (reply, call) = Call::pair(Some(self.wake.clone()));
        self.running.spawn_on(async move { reply.send(work.await) }, &self.handle);
        call
    }

    /// A queue of calls.
    pub(super) fn queue(&mut self) -> Queue {
        let (sender, mut jobs) = mpsc::unbounded_channel::<Job>();
        let run = async move {
            while let Some(job) = jobs.recv().await {
                job.await;
            }
        };
        self.running.spawn_on(run, &self.handle);
        Queue(sender)
    }

    /// Puts a call into a queue of ours.
    pub(super) fn enqueue<T: Send + 'static>(
        &mut self,
        queue: &Queue,
        work: impl Future<Output = Result<T, ClientError>> + Send + 'static,
    ) -> Call<T> {
        let (reply, call) = Call::pair(Some(self.wake.clone()));
        // If the runtime is gone, the job is dropped, and with it the reply: the call fails.
        let _ = queue.0.send(Box::pin(async move { reply.send(work.await) }));
        call
    }
}
