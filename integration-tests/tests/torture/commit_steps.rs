//! The process dies at every numbered step of a commit, on a real Kafka: what comes after it makes
//! good for it.

use std::time::Duration;

use integration_tests::torture::{Guarantee, Stage, Writer};
use streams_core::runtime::CommitStep;

const PARTITIONS: i32 = 3;
const RATE: u64 = 300;
const INSTANCE: &str = "only";

/// Dies at each step, each time a little later, and goes on: the output is looked at after each.
async fn dies_at_every_step(application_id: &str, guarantee: Guarantee) {
    let kafka = crate::start_kafka(1);
    let mut stage = crate::stage(&kafka, application_id, guarantee, PARTITIONS).await;
    let writer = Writer::start(&kafka.bootstrap(), &stage.topics().entries.clone(), RATE);
    let is_used = |step: &CommitStep| match guarantee {
        Guarantee::ExactlyOnce => true,
        Guarantee::AtLeastOnce => !step.is_transactional(),
    };
    for step in CommitStep::ALL.into_iter().filter(is_used) {
        let is_abort = matches!(step, CommitStep::Aborting | CommitStep::Aborted);
        // A start of the producer comes once.
        let starts = [CommitStep::ProducerStarting, CommitStep::ProducerStarted];
        let nth = if is_abort || starts.contains(&step) { 1 } else { 2 + step.number() % 4 };
        let die_at = format!("{step:?}:{nth}");
        let mut environment = vec![("LEDGER_DIE_AT", die_at.as_str())];
        // The group gives the tasks away while this one stands still, within its transaction.
        let stall = ("LEDGER_STALL_AT", "Sealed:5:9000");
        let patience = ("STREAMS_TRANSACTION_TIMEOUT_MS", "60000");
        if is_abort {
            environment.extend([stall, patience]);
        }
        stage.start_with(INSTANCE, &environment);
        if is_abort {
            stage.instance(INSTANCE).wait_for("STALLS");
            freeze_beyond_the_session(&mut stage).await;
        }
        stage.instance(INSTANCE).wait_for(&format!("DIES {step:?}"));
        stage.instance(INSTANCE).wait_for_end(Duration::from_secs(60));
        stage.forget(INSTANCE);
        println!(
            "{application_id}: died at {} {die_at}, {} entries",
            step.number(),
            writer.written()
        );
    }
    stage.start(INSTANCE);
    let entries = writer.stop();
    let (echo, balances) = stage.finish(entries).repeated();
    println!("{application_id}: {entries} entries; repeated: {echo} and {balances}");
}

async fn freeze_beyond_the_session(stage: &mut Stage) {
    stage.instance(INSTANCE).freeze();
    tokio::time::sleep(Duration::from_secs(8)).await;
    stage.instance(INSTANCE).thaw();
}

/// I1, I3, I4
#[tokio::test]
async fn exactly_once_dies_at_every_step() {
    dies_at_every_step("steps-exactly", Guarantee::ExactlyOnce).await;
}

/// I3
#[tokio::test]
async fn at_least_once_dies_at_every_step() {
    dies_at_every_step("steps-at-least", Guarantee::AtLeastOnce).await;
}
