//! Messages from one state machine to another. Sending wakes the receiver's driver.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client::WakeRef;

/// The receiving end: polled in `step`.
pub struct Mailbox<T>(Arc<Shared<T>>);

/// A sending end; clones send to the same mailbox.
pub struct Postbox<T>(Arc<Shared<T>>);

struct Shared<T> {
    messages: Mutex<VecDeque<T>>,
    wake: WakeRef,
}

impl<T> Mailbox<T> {
    /// An empty mailbox whose owner is woken through `wake`.
    pub fn new(wake: WakeRef) -> Self {
        Self(Arc::new(Shared { messages: Mutex::new(VecDeque::new()), wake }))
    }

    /// An address to send to.
    pub fn postbox(&self) -> Postbox<T> {
        Postbox(self.0.clone())
    }

    /// The oldest message.
    pub fn take(&self) -> Option<T> {
        self.0.lock().pop_front()
    }
}

impl<T> Postbox<T> {
    /// Never blocks: what is in a mailbox is bounded by what its senders own (a task, a layer, an
    /// event of the group).
    pub fn send(&self, message: T) {
        self.0.lock().push_back(message);
        self.0.wake.wake();
    }
}

impl<T> Clone for Postbox<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Shared<T> {
    // A holder of this lock runs no foreign code, so a poisoned lock still guards a whole queue.
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
