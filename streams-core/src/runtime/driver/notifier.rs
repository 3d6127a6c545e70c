//! Where an operating system thread waits for its state machine to have work.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::client::Wake;
use crate::time::{ClockRef, Instant};

/// A flag to wait for: set by `wake`, cleared by `wait`.
pub(crate) struct Notifier {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Notifier {
    /// Not woken.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { woken: Mutex::new(false), changed: Condvar::new() })
    }

    /// Returns when woken (at once, if it was since the last wait), or at `deadline`.
    pub(crate) fn wait(&self, deadline: Option<Instant>, clock: &ClockRef) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            match deadline {
                None => {
                    woken = self.changed.wait(woken).unwrap_or_else(PoisonError::into_inner);
                }
                Some(deadline) => {
                    let left = deadline.since(clock.now());
                    if left.is_zero() {
                        break;
                    }
                    let waited = self.changed.wait_timeout(woken, left);
                    woken = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        *woken = false;
    }
}

impl Wake for Notifier {
    fn wake(&self) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if !*woken {
            *woken = true;
            self.changed.notify_one();
        }
    }
}
