//! Which tasks exist and who gets them: pure functions, without Kafka and without time.
//!
//! Reading order: [`plan`] (what the topology tells), [`partition_counts`] (how many partitions
//! the internal topics need, and thereby which tasks exist), [`assignor`] (tasks to members).

pub mod assignor;
pub mod partition_counts;
pub mod plan;
pub mod topic_pattern;

pub use partition_counts::{PartitionPlan, PlanError};
pub use plan::{GroupTopology, InternalTopic, SubtopologyTopics};
pub use topic_pattern::TopicPattern;
