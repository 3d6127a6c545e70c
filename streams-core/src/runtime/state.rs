//! The states of an application and of its threads, and who is told when they change.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::config::{State, StateListener};

/// The state of one stream thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThreadState {
    /// Made, not in the group yet.
    Starting,
    /// Has an assignment, some task is not ready yet.
    PartitionsAssigned,
    /// Every task is processed.
    Running,
    /// Closing its tasks.
    PendingShutdown,
    /// Ended.
    Dead,
}

/// The state of an application: read by anyone, changed by its threads.
#[derive(Clone)]
pub struct StateCell(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    listener: Option<StateListener>,
}

struct Inner {
    state: State,
    threads: Vec<ThreadState>,
    /// The global stores are not complete yet.
    waits_for_globals: bool,
    wakers: Vec<Waker>,
}

impl StateCell {
    /// `Created`, with `threads` threads, and global stores that have to be complete or not. The
    /// listener gets the old and the new state, in order.
    pub fn new(threads: usize, waits_for_globals: bool, listener: Option<StateListener>) -> Self {
        let inner = Inner {
            state: State::Created,
            threads: vec![ThreadState::Starting; threads],
            waits_for_globals,
            wakers: Vec::new(),
        };
        Self(Arc::new(Shared { inner: Mutex::new(inner), listener }))
    }

    /// Now.
    pub fn get(&self) -> State {
        self.lock().state
    }

    /// Of each thread.
    pub fn threads(&self) -> Vec<ThreadState> {
        self.lock().threads.clone()
    }

    /// A thread's new state; the application's follows from those of all threads.
    pub fn set_thread(&self, thread: usize, state: ThreadState) {
        let next = {
            let mut inner = self.lock();
            inner.threads[thread] = state;
            inner.next()
        };
        self.set(next);
    }

    /// The global stores are complete.
    pub fn set_globals_complete(&self) {
        let next = {
            let mut inner = self.lock();
            inner.waits_for_globals = false;
            inner.next()
        };
        self.set(next);
    }

    /// Whether the global stores are complete.
    pub fn globals_complete(&self) -> bool {
        !self.lock().waits_for_globals
    }

    /// The application's new state. Ended states stay; a failure stays a failure.
    pub fn set(&self, next: State) {
        let (old, wakers) = {
            let mut inner = self.lock();
            let old = inner.state;
            if old == next || !may_follow(old, next) {
                return;
            }
            inner.state = next;
            (old, std::mem::take(&mut inner.wakers))
        };
        tracing::info!(from = %old, to = %next, "state");
        if let Some(listener) = &self.0.listener {
            listener(old, next);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until the state is one that `wanted` accepts, and returns it.
    pub async fn wait(&self, wanted: impl Fn(State) -> bool) -> State {
        poll_fn(|cx| {
            let mut inner = self.lock();
            if wanted(inner.state) {
                return Poll::Ready(inner.state);
            }
            if !inner.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                inner.wakers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    // No foreign code runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The application's state, as it follows from those of its parts.
    fn next(&self) -> State {
        let threads_run = self.threads.iter().all(|thread| *thread == ThreadState::Running);
        let all_run = threads_run && !self.waits_for_globals;
        match self.state {
            State::Created | State::Rebalancing if all_run => State::Running,
            State::Running | State::Created if !all_run => State::Rebalancing,
            state => state,
        }
    }
}

fn may_follow(old: State, next: State) -> bool {
    match old {
        State::NotRunning | State::Error => false,
        State::PendingShutdown => matches!(next, State::NotRunning | State::PendingError),
        State::PendingError => next == State::Error,
        _ => true,
    }
}
