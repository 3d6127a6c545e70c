//! The identity of a task.

use std::fmt;

/// One instance of a sub-topology, bound to one partition number of its inputs. Shown as `0_3`,
/// as in the JVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// Sub-topologies are numbered in the order in which the topology added them.
    pub subtopology: u32,
    /// The partition of each input topic that this task reads.
    pub partition: i32,
}

impl TaskId {
    /// The task of `subtopology` that reads partition `partition`.
    pub const fn new(subtopology: u32, partition: i32) -> Self {
        Self { subtopology, partition }
    }

    /// What feeds the global store of `subtopology`: a task in name only, of no partition.
    pub const fn global(subtopology: u32) -> Self {
        Self { subtopology, partition: -1 }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.partition < 0 {
            return write!(f, "{}_global", self.subtopology);
        }
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}
