//! What tests of topologies need, without Kafka: a driver that runs a topology in the thread of
//! the test ([`TopologyTestDriver`]), and the embedded cluster for whole applications.

pub mod embedded;
pub mod topology_test_driver;

pub use embedded::EmbeddedCluster;
pub use topology_test_driver::{
    Fixture, KeyValues, RawOutput, TestInputTopic, TestOutputTopic, TestStore, TimedKeyValues,
    TopologyTestDriver, some,
};

pub use streams_core::task::{DropReason, Dropped};
