//! What an application is: sources, processors, sinks, stores, and how they hang together.
//!
//! A [`TopologyBuilder`] collects nodes and mistakes; [`build`](TopologyBuilder::build) checks
//! them and cuts the graph into sub-topologies. A [`Topology`] holds factories, never processors:
//! each task runs those of its sub-topology once (`crate::task`). The DSL lowers its graph into
//! the same builder.
//!
//! Reading order: [`TopologyBuilder`], [`Topology`], the options [`Consumed`], [`Produced`],
//! [`Topic`]; then the private `validate`, `subtopologies`, `describe`, `group`.

mod builder;
mod choice;
mod consumed;
mod describe;
mod error;
mod fed_stores;
mod fingerprint;
mod graph;
mod group;
mod produced;
mod subtopologies;
mod topic;
mod validate;

pub use self::builder::{Node, TopologyBuilder};
pub use self::choice::Choice;
pub use self::consumed::{Consumed, CustomTimestamps, OffsetReset, Reading, TimestampExtractor};
pub use self::error::{Mistake, TopologyError};
pub use self::fingerprint::{Fingerprint, Moved};
pub(crate) use self::graph::{Graph, NodeKind};
pub use self::graph::{Subtopology, Topology};
pub use self::group::InternalTopicSettings;
pub(crate) use self::produced::Target;
pub use self::produced::{DynamicTopic, Partitioner, Partitions, Produced};
pub use self::topic::{Topic, Topics};

#[cfg(test)]
mod describe_vectors;
#[cfg(test)]
mod tests;
