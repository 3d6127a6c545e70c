//! A stateful application against a real Kafka: right counts with several threads and processes,
//! and after kill -9.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use integration_tests::{Application, Kafka, KafkaOptions, topics, until};

const PARTITIONS: i32 = 4;
const KEYS: usize = 100;

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

    fn state_dir(&self, instance: &str) -> std::path::PathBuf {
        self.dir.path().join(instance)
    }

    fn start(&self, instance: &str, threads: usize) -> Application {
        let state = self.state_dir(instance);
        Application::start(
            env!("CARGO_BIN_EXE_counter"),
            &[
                ("STREAMS_APPLICATION_ID", self.application_id),
                ("STREAMS_BOOTSTRAP_SERVERS", &self.kafka.bootstrap()),
                ("STREAMS_STATE_DIR", &state.display().to_string()),
                ("STREAMS_NUM_STREAM_THREADS", &threads.to_string()),
                ("STREAMS_COMMIT_INTERVAL_MS", "100"),
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

    fn counts(&self) -> BTreeMap<String, i64> {
        let table = topics::read_table(&self.kafka.bootstrap(), "counts", PARTITIONS);
        let number = |bytes: Vec<u8>| i64::from_be_bytes(bytes.try_into().unwrap());
        table.into_iter().map(|(key, bytes)| (key, number(bytes))).collect()
    }

    fn wait_for_counts(&self, records: usize) {
        let expected = expected(records);
        until("the counts are those of a plain count", Duration::from_secs(60), || {
            self.counts() == expected
        });
    }
}

fn key(n: usize) -> String {
    format!("key-{}", n * 7 % KEYS)
}

fn expected(records: usize) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for n in 0..records {
        *counts.entry(key(n)).or_insert(0) += 1;
    }
    counts
}

/// The records that each `RESTORE .. Done` line counts, summed over the tasks.
fn replayed(application: &Application) -> u64 {
    let done = |line: &String| {
        let mut words = line.split(' ').skip(3);
        (line.starts_with("RESTORE") && words.next() == Some("Done"))
            .then(|| words.next().and_then(|n| n.parse::<u64>().ok()).unwrap())
    };
    application.lines().iter().filter_map(done).sum()
}

fn has_files(dir: &Path) -> bool {
    dir.exists() && dir.read_dir().unwrap().next().is_some()
}

#[tokio::test]
async fn two_threads_and_two_processes_count_as_one() {
    let fixture = Fixture::new("sharing").await;
    fixture.write(0, 4_000);
    let first = fixture.start("first", 2);
    first.wait_for("STATE Running");
    fixture.wait_for_counts(4_000);
    let mut second = fixture.start("second", 1);
    second.wait_for("STATE Running");
    fixture.write(4_000, 8_000);
    fixture.wait_for_counts(8_000);
    second.terminate();
    fixture.write(8_000, 9_000);
    fixture.wait_for_counts(9_000);
}

#[tokio::test]
async fn after_kill_9_the_state_on_disk_is_used_and_nothing_is_skipped() {
    let fixture = Fixture::new("killed").await;
    fixture.write(0, 20_000);
    let mut application = fixture.start("only", 1);
    fixture.wait_for_counts(20_000);
    assert!(has_files(&fixture.state_dir("only")));
    // The state is in the engine, and flushed, before the next part begins.
    let flushed = fixture.state_dir("only").join("killed");
    until("some state is flushed", Duration::from_secs(20), || sst_files(&flushed) > 0);
    fixture.write(20_000, 24_000);
    application.kill();

    let application = fixture.start("only", 1);
    application.wait_for("STATE Running");
    let lines = application.lines();
    fixture.write(24_000, 25_000);
    let least = expected(25_000);
    until("nothing is skipped", Duration::from_secs(60), || {
        let counts = fixture.counts();
        least.iter().all(|(key, count)| counts.get(key).is_some_and(|counted| counted >= count))
    });
    // At least once: what was not committed at the kill may be counted again, no more than that.
    let (counted, exact) = (fixture.counts().values().sum::<i64>(), 25_000);
    assert!(counted <= exact + 4_000, "{counted} of {exact}");
    let replayed = replayed(&application);
    assert!(replayed < 10_000, "{replayed} records replayed although there is state: {lines:?}");
    println!("replayed {replayed} records after kill -9; counted {counted} of {exact}");
}

#[tokio::test]
async fn without_its_state_directory_everything_is_restored() {
    let fixture = Fixture::new("restored").await;
    fixture.write(0, 10_000);
    let mut application = fixture.start("only", 1);
    fixture.wait_for_counts(10_000);
    application.terminate();
    std::fs::remove_dir_all(fixture.state_dir("only")).unwrap();

    fixture.write(10_000, 11_000);
    let application = fixture.start("only", 1);
    fixture.wait_for_counts(11_000);
    assert!(replayed(&application) >= KEYS as u64);
}

fn sst_files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                sst_files(&path)
            } else {
                usize::from(path.extension().is_some_and(|extension| extension == "sst"))
            }
        })
        .sum()
}
