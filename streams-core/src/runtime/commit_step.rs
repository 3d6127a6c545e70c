//! The numbered steps of a commit, told to whoever wants to interfere between two of them: tests
//! that let the process die there, or stand still.

use std::fmt;
use std::sync::Arc;

/// A step of a commit, or of what prepares and replaces it. The process can die before and after
/// each of them; none may lose anything, or under exactly-once repeat anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CommitStep {
    /// A commit is due. Nothing of it has happened.
    Begun = 1,
    /// Emissions are flushed, the layers of all tasks sealed, their changelog records handed to
    /// the producer, not yet acknowledged.
    Sealed = 2,
    /// Every record was acknowledged.
    Flushed = 3,
    /// The positions of the inputs are on their way: alone, or into the transaction.
    Committing = 4,
    /// Exactly-once: the transaction has the positions; its end was not asked for. Told on the
    /// thread of the producer's calls.
    PositionsAdded = 5,
    /// Exactly-once: the end of the transaction was asked for; no answer. Told on a thread of the
    /// client.
    EndSent = 6,
    /// The commit is answered: it happened. No task knows it yet.
    Answered = 7,
    /// The sealed layers are committed ones.
    Committed = 8,
    /// A committed layer is about to be written into the engine. Told on the store worker.
    Applying = 9,
    /// It is in the engine's memory, with its metadata. Told on the store worker.
    Applied = 10,
    /// A family of the engine was flushed to the disk. Told on the store worker.
    EngineFlushed = 11,
    /// Exactly-once: an abort was asked for.
    Aborting = 12,
    /// Exactly-once: the abort is answered.
    Aborted = 13,
    /// Exactly-once: a producer takes its transactional id, which ends what an earlier one left
    /// open.
    ProducerStarting = 14,
    /// Exactly-once: it has the id.
    ProducerStarted = 15,
}

impl CommitStep {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Begun,
        Self::Sealed,
        Self::Flushed,
        Self::Committing,
        Self::PositionsAdded,
        Self::EndSent,
        Self::Answered,
        Self::Committed,
        Self::Applying,
        Self::Applied,
        Self::EngineFlushed,
        Self::Aborting,
        Self::Aborted,
        Self::ProducerStarting,
        Self::ProducerStarted,
    ];

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether there are transactions behind it.
    pub const fn is_transactional(self) -> bool {
        matches!(
            self,
            Self::PositionsAdded
                | Self::EndSent
                | Self::Aborting
                | Self::Aborted
                | Self::ProducerStarting
                | Self::ProducerStarted
        )
    }
}

/// Told each step, if anybody listens. May block or end the process.
#[derive(Clone, Default)]
pub struct CommitSteps(Option<Arc<dyn Fn(CommitStep) + Send + Sync>>);

impl CommitSteps {
    pub(crate) fn told_to(listener: impl Fn(CommitStep) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Somebody may die here.
    #[inline]
    pub(crate) fn reached(&self, step: CommitStep) {
        if let Some(listener) = &self.0 {
            listener(step);
        }
    }
}

impl fmt::Debug for CommitSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "CommitSteps(told)" } else { "CommitSteps" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_from_1() {
        let numbers = CommitStep::ALL.map(CommitStep::number);
        assert!(numbers.into_iter().eq(1..=15));
    }
}
