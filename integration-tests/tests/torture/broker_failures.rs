//! An application on three brokers that are stopped and killed one at a time while it runs. Topics
//! have three replicas, of which two have to be in sync. See `docs/torture.md`.
//!
//! `TORTURE_ROUNDS=5 cargo test -p integration-tests --test torture brokers -- --nocapture`

use std::time::Duration;

use integration_tests::torture::{GapWatch, Guarantee, Random, Stage, Writer, number_from_env};
use integration_tests::{Kafka, topics, until};
use streams_core::time::{Clock, Instant, SystemClock};

const PARTITIONS: i32 = 6;
const RATE: u64 = 300;

/// Whom it hits.
#[derive(Clone, Copy, Debug)]
enum Whom {
    /// The coordinator of the group.
    GroupCoordinator,
    /// The coordinator of an instance's transactions.
    TransactionCoordinator,
    /// Any broker.
    Any,
}

/// One broker goes and comes back; when it went.
async fn bounce(
    kafka: &Kafka,
    stage: &Stage,
    application_id: &str,
    (whom, kill): (Whom, bool),
    random: &mut Random,
) -> Instant {
    let bootstrap = kafka.bootstrap();
    let coordinator = |topic, id: &str| topics::coordinator(&bootstrap, topic, id);
    let meant = match whom {
        Whom::GroupCoordinator => coordinator("__consumer_offsets", application_id),
        Whom::TransactionCoordinator => {
            stage.transactional_id("a").and_then(|id| coordinator("__transaction_state", &id))
        }
        Whom::Any => None,
    };
    let any = i32::try_from(random.within(1..4)).unwrap();
    let broker = usize::try_from(meant.unwrap_or(any)).unwrap();
    let gone = SystemClock.now();
    if kill {
        kafka.kill_broker(broker)
    } else {
        kafka.stop_broker(broker)
    }
    println!("  {} broker {broker} ({whom:?})", if kill { "kill -9 of" } else { "stopped" });
    tokio::time::sleep(Duration::from_millis(random.within(0..4000))).await;
    kafka.restart_broker(broker);
    // The next one goes only when all replicas are in sync again.
    let limit = Duration::from_secs(60);
    until("all replicas are in sync", limit, || topics::all_in_sync(&bootstrap));
    gone
}

async fn round(kafka: &Kafka, application_id: &str, guarantee: Guarantee, random: &mut Random) {
    let mut stage = crate::stage(kafka, application_id, guarantee, PARTITIONS).await;
    stage.set("STREAMS_REPLICATION_FACTOR", 3);
    let ledger = stage.topics().clone();
    let writer = Writer::start(&kafka.bootstrap(), &ledger.entries, RATE);
    for instance in ["a", "b"] {
        stage.start(instance);
    }
    for instance in ["a", "b"] {
        stage.instance(instance).wait_for("STATE Running");
    }
    let watched = [ledger.echo.as_str(), &ledger.balances];
    let watch = GapWatch::start(&kafka.bootstrap(), &watched, PARTITIONS);
    let mut bounces = Vec::new();
    for (whom, kill) in [
        (Whom::GroupCoordinator, false),
        (Whom::TransactionCoordinator, true),
        (Whom::Any, false),
        (Whom::GroupCoordinator, true),
        (Whom::TransactionCoordinator, false),
        (Whom::Any, true),
    ] {
        stage.check_alive();
        bounces.push(bounce(kafka, &stage, application_id, (whom, kill), random).await);
    }
    let gap = watch.longest_around(&bounces, 1..=usize::MAX);
    let entries = writer.stop();
    let (echo, balances) = stage.finish(entries).repeated();
    println!(
        "{application_id}: {entries} entries, {} brokers bounced; repeated: {echo} of the echo, \
         {balances} of the balances; longest gap in committed output: {:.1} s",
        bounces.len(),
        gap.map_or(0.0, |gap| gap.length().as_secs_f64())
    );
}

/// I1, I3
#[tokio::test]
async fn brokers_bounce_one_at_a_time() {
    let random = Random::from_env("brokers");
    let kafka = crate::start_kafka(3);
    for number in 1..=number_from_env("TORTURE_ROUNDS", 1) {
        let mut random = random.part(number);
        let name = |kind: &str| format!("brokers-{kind}-{number}");
        round(&kafka, &name("exactly"), Guarantee::ExactlyOnce, &mut random).await;
        if number_from_env("TORTURE_ROUNDS", 1) > 1 {
            round(&kafka, &name("at-least"), Guarantee::AtLeastOnce, &mut random).await;
        }
    }
}
