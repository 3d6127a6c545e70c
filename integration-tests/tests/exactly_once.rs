//! Exactly-once against a real Kafka: the committed output of an application that is killed and
//! frozen on the way is the one of an undisturbed run.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use integration_tests::{Application, Kafka, KafkaOptions, topics, until};

const PARTITIONS: i32 = 4;
const KEYS: usize = 50;

struct Fixture {
    kafka: Kafka,
    dir: tempfile::TempDir,
    application_id: &'static str,
}

impl Fixture {
    async fn new(application_id: &'static str) -> Self {
        let kafka = Kafka::start(&KafkaOptions::default());
        topics::create_topics(&kafka.bootstrap(), &["words", "counts"], PARTITIONS).await;
        Self { kafka, dir: tempfile::tempdir().unwrap(), application_id }
    }

    fn start(&self, instance: &str) -> Application {
        let state = self.dir.path().join(instance);
        Application::start(
            env!("CARGO_BIN_EXE_counter"),
            &[
                ("STREAMS_APPLICATION_ID", self.application_id),
                ("STREAMS_BOOTSTRAP_SERVERS", &self.kafka.bootstrap()),
                ("STREAMS_STATE_DIR", &state.display().to_string()),
                ("STREAMS_PROCESSING_GUARANTEE", "exactly_once_v2"),
                ("STREAMS_STATE_FLUSH_INTERVAL_MS", "200"),
                ("STREAMS_SESSION_TIMEOUT_MS", "6000"),
                ("STREAMS_HEARTBEAT_INTERVAL_MS", "500"),
            ],
        )
    }

    fn write(&self, from: usize, to: usize) {
        let records = (from..to).map(|n| (key(n), format!("{n}")));
        topics::write(&self.kafka.bootstrap(), "words", records);
    }

    /// The committed counts of each key, in order.
    fn counts(&self) -> BTreeMap<String, Vec<i64>> {
        let number = |bytes: Vec<u8>| i64::from_be_bytes(bytes.try_into().unwrap());
        let mut counts = BTreeMap::<_, Vec<_>>::new();
        for (key, value) in topics::read_all(&self.kafka.bootstrap(), "counts", PARTITIONS) {
            counts.entry(key).or_default().push(number(value));
        }
        counts
    }

    /// Waits for the last record, then looks at all of them.
    fn wait_for_exact_counts(&self, records: usize) {
        until("all records are counted", Duration::from_secs(90), || {
            self.counts().values().map(Vec::len).sum::<usize>() >= records
        });
        assert_eq!(self.counts(), undisturbed(records));
    }
}

fn key(n: usize) -> String {
    format!("key-{}", n * 7 % KEYS)
}

/// Each key counts from 1, without gaps and repetitions.
fn undisturbed(records: usize) -> BTreeMap<String, Vec<i64>> {
    let mut counts = BTreeMap::<_, Vec<_>>::new();
    for n in 0..records {
        let of_key = counts.entry(key(n)).or_default();
        of_key.push(of_key.len() as i64 + 1);
    }
    counts
}

fn signal(application: &Application, signal: &str) {
    let pid = application.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// I1, I3
#[tokio::test]
async fn killed_again_and_again_each_record_counts_once() {
    let fixture = Fixture::new("killed-exactly").await;
    let mut application = fixture.start("only");
    application.wait_for("STATE Running");
    let mut written = 0;
    for round in 0..6 {
        fixture.write(written, written + 3_000);
        written += 3_000;
        // Killed while it works, a little later each time.
        tokio::time::sleep(Duration::from_millis(40 + 90 * round)).await;
        application.kill();
        application = fixture.start("only");
    }
    fixture.wait_for_exact_counts(written);
    application.terminate();
    assert_eq!(fixture.counts(), undisturbed(written));
}

/// I6: the zombie's open transaction is refused by the group.
#[tokio::test]
async fn a_zombie_commits_nothing() {
    let fixture = Fixture::new("frozen-exactly").await;
    let zombie = fixture.start("first");
    zombie.wait_for("STATE Running");
    fixture.write(0, 3_000);
    tokio::time::sleep(Duration::from_millis(100)).await;
    signal(&zombie, "-STOP");
    fixture.write(3_000, 6_000);
    let other = fixture.start("second");
    other.wait_for("STATE Running");
    fixture.wait_for_exact_counts(6_000);
    signal(&zombie, "-CONT");
    fixture.write(6_000, 9_000);
    fixture.wait_for_exact_counts(9_000);
    // The zombie takes part again, and still each record counts once.
    tokio::time::sleep(Duration::from_secs(8)).await;
    fixture.write(9_000, 12_000);
    fixture.wait_for_exact_counts(12_000);
}
