//! What a state machine tells its driver after a step.

use crate::time::Instant;

/// When the next step is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Ready,
    /// At that time, or when woken.
    WaitUntil(Instant),
    /// When woken.
    Wait,
    /// Never: the machine has ended.
    Done,
}

impl Next {
    /// The earlier of two.
    #[must_use]
    pub fn earliest(self, other: Self) -> Self {
        match (self, other) {
            (Self::Done, next) | (next, Self::Done) => next,
            (Self::Ready, _) | (_, Self::Ready) => Self::Ready,
            (Self::WaitUntil(a), Self::WaitUntil(b)) => Self::WaitUntil(a.min(b)),
            (Self::WaitUntil(at), Self::Wait) | (Self::Wait, Self::WaitUntil(at)) => {
                Self::WaitUntil(at)
            }
            (Self::Wait, Self::Wait) => Self::Wait,
        }
    }
}
