//! Calls that take time, as start/poll pairs: whoever starts one holds a [`Call`] and asks it now
//! and then; whoever answers holds the [`Reply`].
//!
//! A state machine polls with [`Call::try_take`] and is woken through its [`Wake`]; async code
//! awaits the same `Call`.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::error::ClientError;

/// Tells a driver that its state machine has something to do. Cheap, callable from any thread,
/// remembered when it comes before the wait.
pub trait Wake: Send + Sync + 'static {
    /// Wakes the driver.
    fn wake(&self);
}

/// A shared [`Wake`].
pub type WakeRef = Arc<dyn Wake>;

/// The answer of a call that was started, once it is there.
pub struct Call<T>(Arc<Shared<T>>);

/// The obligation to answer a [`Call`]. Dropped unanswered, the call fails as disconnected.
pub struct Reply<T>(Option<Arc<Shared<T>>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    wake: Option<WakeRef>,
}

struct State<T> {
    answer: Option<Result<T, ClientError>>,
    /// Of who waits for the answer.
    waker: Option<Waker>,
    /// The call was dropped: nobody wants the answer.
    abandoned: bool,
    /// Of who works on the answer.
    abandoned_waker: Option<Waker>,
}

impl<T> State<T> {
    fn new(answer: Option<Result<T, ClientError>>) -> Self {
        Self { answer, waker: None, abandoned: false, abandoned_waker: None }
    }
}

impl<T> Call<T> {
    /// A call and its reply; `wake` is woken when the answer arrives.
    pub fn pair(wake: Option<WakeRef>) -> (Reply<T>, Self) {
        let shared = Arc::new(Shared { state: Mutex::new(State::new(None)), wake });
        (Reply(Some(shared.clone())), Self(shared))
    }

    /// A call that is answered already.
    pub fn ready(answer: Result<T, ClientError>) -> Self {
        let state = Mutex::new(State::new(Some(answer)));
        Self(Arc::new(Shared { state, wake: None }))
    }

    /// The answer, once. `None` as long as there is none, and after it was taken.
    pub fn try_take(&mut self) -> Option<Result<T, ClientError>> {
        self.0.lock().answer.take()
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock();
            state.abandoned = true;
            state.abandoned_waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, ClientError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Reply<T> {
    /// Answers the call and wakes whoever waits for it.
    pub fn send(mut self, answer: Result<T, ClientError>) {
        if let Some(shared) = self.0.take() {
            shared.answer(answer);
        }
    }
}

impl<T> Reply<T> {
    /// Whether the call was dropped, so that nobody wants the answer any more.
    pub fn is_abandoned(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| shared.lock().abandoned)
    }

    /// Ready when the call is dropped.
    pub fn abandoned(&self) -> impl Future<Output = ()> + '_ {
        std::future::poll_fn(|cx| {
            let Some(shared) = &self.0 else { return Poll::Ready(()) };
            let mut state = shared.lock();
            if state.abandoned {
                return Poll::Ready(());
            }
            state.abandoned_waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.answer(Err(ClientError::disconnected("the call was dropped unanswered")));
        }
    }
}

impl<T> Shared<T> {
    // A holder of this lock runs no foreign code, so a poisoned lock still guards a whole value.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, answer: Result<T, ClientError>) {
        let waker = {
            let mut state = self.lock();
            state.answer = Some(answer);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(wake) = &self.wake {
            wake.wake();
        }
    }
}
