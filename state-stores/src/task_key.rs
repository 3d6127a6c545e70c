//! Which task some state belongs to.

use std::fmt;

/// A sub-topology and a partition: the owner of stores. Shown as `0_3`, as the task ids of Kafka
/// Streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey {
    /// The number of the sub-topology.
    pub subtopology: u32,
    /// The partition of the sub-topology's inputs.
    pub partition: i32,
}

impl TaskKey {
    /// The owner of what every task of a process reads and none writes. Shown as `global`.
    pub const GLOBAL: Self = Self { subtopology: u32::MAX, partition: -1 };

    /// The task of `subtopology` that reads `partition`.
    pub const fn new(subtopology: u32, partition: i32) -> Self {
        Self { subtopology, partition }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::GLOBAL {
            return f.write_str("global");
        }
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}
