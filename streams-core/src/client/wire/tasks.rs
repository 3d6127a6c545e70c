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

    /// The same, but work ends when the call is dropped; then `abandoned` cleans up.
    pub(super) fn enqueue_until_abandoned<T: Send + 'static>(
        &mut self,
        queue: &Queue,
        work: impl Future<Output = Result<T, ClientError>> + Send + 'static,
        abandoned: impl FnOnce() + Send + 'static,
    ) -> Call<T> {
        let (reply, call) = Call::pair(Some(self.wake.clone()));
        let job = async move {
            let answer = tokio::select! {
                biased;
                () = reply.abandoned() => None,
                answer = work => Some(answer),
            };
            match answer {
                Some(answer) => reply.send(answer),
                None => abandoned(),
            }
        };
        // If the runtime is gone, the job is dropped, and with it the reply: the call fails.
        let _ = queue.0.send(Box::pin(job));
        call
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::client::Wake;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(&self) {}
    }

    /// A join that the coordinator holds back, and the member is lost meanwhile.
    #[tokio::test]
    async fn a_call_that_nobody_waits_for_is_not_in_the_way_of_the_next_one() {
        let mut tasks = Tasks::new(Handle::current(), Arc::new(Nobody));
        let queue = tasks.queue();
        let cleaned = Arc::new(AtomicBool::new(false));
        let clean = cleaned.clone();
        let held_back =
            tasks.enqueue_until_abandoned(&queue, pending::<Result<(), _>>(), move || {
                clean.store(true, Ordering::SeqCst);
            });
        let next = tasks.enqueue_until_abandoned(&queue, async { Ok(7) }, || {});
        tokio::task::yield_now().await;
        assert!(!cleaned.load(Ordering::SeqCst));
        drop(held_back);
        let answer = tokio::time::timeout(Duration::from_secs(20), next).await.unwrap();
        assert_eq!(answer, Ok(7));
        assert!(cleaned.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_call_that_was_abandoned_before_its_turn_is_not_made() {
        let mut tasks = Tasks::new(Handle::current(), Arc::new(Nobody));
        let queue = tasks.queue();
        let made = Arc::new(AtomicBool::new(false));
        let make = made.clone();
        let call = tasks.enqueue_until_abandoned(
            &queue,
            async move {
                make.store(true, Ordering::SeqCst);
                Ok(())
            },
            || {},
        );
        drop(call);
        let next = tasks.enqueue_until_abandoned(&queue, async { Ok(()) }, || {});
        tokio::time::timeout(Duration::from_secs(20), next).await.unwrap().unwrap();
        assert!(!made.load(Ordering::SeqCst));
    }
}
