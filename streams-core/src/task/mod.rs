//! One instance of a sub-topology, bound to one partition of its inputs: a [`ProcessorTask`].
//!
//! A task runs the factories of its sub-topology once and gets an *arena*: its nodes in
//! topological order. A node's children all lie below it, so splitting the slice after a node
//! hands the borrow checker "me" and "everything below me": records are forwarded depth first
//! without locks, reference counting or allocation per hop. Types are erased in `wiring` and
//! nowhere else.
//!
//! Reading order: `node` (what the arena holds), `wiring` and `setup` (how it is made), `task_state` (what
//! nodes share), [`ProcessorTask`] (what the runtime calls), `record_queue` (how records come
//! in), `sink` (how they leave), `reactions` (who is asked about errors).

mod collector;
pub(crate) mod committed_times;
mod dropped;
mod error;
mod global_task;
mod node;
mod panics;
mod processor_task;
mod reactions;
mod record_queue;
mod setup;
mod sink;
mod source;
mod task_state;
mod timers;
mod wiring;

pub use self::collector::RecordCollector;
pub use self::dropped::{DropReason, Dropped};
pub use self::error::TaskError;
pub use self::global_task::{GlobalTask, GlobalTaskSetup, global_handlers, global_positions};
pub(crate) use self::node::{Edge, Node};
pub use self::processor_task::{InputPosition, ProcessorTask};
pub use self::setup::{ChangelogPartition, TaskSetup, TaskStore};
pub(crate) use self::sink::{SinkSpec, sink_factory};
pub(crate) use self::source::{QueueFactory, SourceSpec, queue_factory, source_factory};
pub use self::task_state::TaskState;
pub(crate) use self::timers::{TimerKind, Timers};
pub(crate) use self::wiring::{NodeFactory, processor_factory};

#[cfg(test)]
mod tests;
