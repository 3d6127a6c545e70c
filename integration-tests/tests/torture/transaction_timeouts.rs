//! The broker aborts a transaction whose time is over while the application stands still: it goes
//! on from the last commit, with the state that it has.

use std::time::Duration;

use integration_tests::torture::{GapWatch, Guarantee, Stage, TRANSACTION_TIMEOUT, Writer};
use integration_tests::{Kafka, until};

const PARTITIONS: i32 = 3;
const RATE: u64 = 300;
const INSTANCE: &str = "only";
/// Well beyond the transaction's timeout; the session lasts longer.
const STALL: Duration = Duration::from_secs(8);

async fn stage(kafka: &Kafka, application_id: &str) -> Stage {
    let mut stage = crate::stage(kafka, application_id, Guarantee::ExactlyOnce, PARTITIONS).await;
    stage.set("STREAMS_SESSION_TIMEOUT_MS", 30_000);
    stage
}

/// What the log says since `from` bytes.
fn logged(stage: &Stage, from: usize) -> String {
    let text = std::fs::read_to_string(stage.log(INSTANCE)).unwrap();
    text[from..].to_owned()
}

/// New committed output comes.
fn wait_for_output(stage: &mut Stage, watch: &GapWatch) {
    let before = watch.records();
    until("committed output comes again", Duration::from_secs(60), || {
        stage.check_alive();
        watch.records() > before + 2 * RATE
    });
}

/// I1, I4
#[tokio::test]
async fn a_transaction_that_the_broker_aborted_costs_nothing_but_time() {
    assert!(STALL > TRANSACTION_TIMEOUT);
    let kafka = crate::start_kafka(1);
    let mut stage = stage(&kafka, "slow").await;
    let ledger = stage.topics().clone();
    let writer = Writer::start(&kafka.bootstrap(), &ledger.entries, RATE);
    let watched = [ledger.echo.as_str(), &ledger.balances];
    let watch = GapWatch::start(&kafka.bootstrap(), &watched, PARTITIONS);
    let stall = STALL.as_millis();
    // Before and after the positions are in the transaction.
    for step in ["Sealed", "Flushed", "PositionsAdded"] {
        let from = std::fs::metadata(stage.log(INSTANCE)).map_or(0, |log| log.len() as usize);
        stage.start_with(INSTANCE, &[("LEDGER_STALL_AT", &format!("{step}:20:{stall}"))]);
        stage.instance(INSTANCE).wait_for("GOES ON");
        wait_for_output(&mut stage, &watch);
        let log = logged(&stage, from);
        let after = log.split("GOES ON").nth(1).unwrap();
        let trouble: Vec<_> = after.lines().filter(|l| l.contains("trouble with")).collect();
        println!("{step}: {trouble:#?}");
        assert!(!trouble.is_empty(), "the transaction was not refused after {step}: {after}");
        // The tasks are created again at most; their state is not.
        assert!(!after.contains("from_local=false"), "state was wiped after {step}: {after}");
        stage.kill(INSTANCE);
    }
    // All of the process stands still.
    let from = logged(&stage, 0).len();
    stage.start(INSTANCE);
    wait_for_output(&mut stage, &watch);
    stage.instance(INSTANCE).freeze();
    tokio::time::sleep(STALL).await;
    stage.instance(INSTANCE).thaw();
    wait_for_output(&mut stage, &watch);
    let log = logged(&stage, from);
    assert!(!log.contains("from_local=false"), "state was wiped: {log}");
    let entries = writer.stop();
    let (echo, balances) = stage.finish(entries).repeated();
    assert_eq!((echo, balances), (0, 0));
}
