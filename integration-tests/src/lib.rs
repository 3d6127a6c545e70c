//! Tests against a real Apache Kafka, and tests of the repository itself.

pub mod kafka;

pub use kafka::{Kafka, KafkaOptions};
