//! What tests of topologies need, without Kafka: a driver that runs a topology in the thread of
//! the test ([`TopologyTestDriver`]), the embedded cluster for whole applications, and a
//! [`Simulation`] that runs several instances of one on a single thread, in virtual time.

pub mod embedded;
pub mod simulator;
pub mod topology_test_driver;

pub use embedded::EmbeddedCluster;
pub use simulator::{
    Compare, InstanceId, Outcome, SeededSimulation, SimulatedRecord, Simulation, for_each_seed,
};
pub use topology_test_driver::{
    Fixture, KeyValues, RawOutput, TestInputTopic, TestOutputTopic, TestStore, TimedKeyValues,
    TopologyTestDriver, some,
};

/// Whether an application's own engine is right: one line in a test of it.
pub use state_stores::conformance;
pub use streams_core::task::{DropReason, Dropped};
