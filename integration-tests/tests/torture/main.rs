//! Torture on a real Kafka, see `docs/torture.md`. One program, so that one test waits while
//! another works.
#![allow(clippy::unwrap_used)]

mod authorization;
mod broker_failures;
mod commit_steps;
mod killed;
mod transaction_timeouts;

use integration_tests::torture::{Guarantee, Stage, StageOptions};
use integration_tests::{Kafka, KafkaOptions};

/// Brokers that notice soon when the time of a transaction is over.
fn start_kafka(brokers: usize) -> Kafka {
    Kafka::start(&KafkaOptions {
        brokers,
        settings: vec!["transaction.abort.timed.out.transaction.cleanup.interval.ms=500".into()],
        ..KafkaOptions::default()
    })
}

/// The ledger, not running yet.
async fn stage(
    kafka: &Kafka,
    application_id: &str,
    guarantee: Guarantee,
    partitions: i32,
) -> Stage {
    Stage::new(StageOptions {
        program: env!("CARGO_BIN_EXE_ledger"),
        bootstrap: &kafka.bootstrap(),
        application_id,
        guarantee,
        partitions,
    })
    .await
}
