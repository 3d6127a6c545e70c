//! What tests of topologies need, without Kafka: the embedded cluster.

pub mod embedded;

pub use embedded::EmbeddedCluster;
