//! Windows and joins of streams on a real Kafka, exactly-once: an application that is killed again and
//! again, with its disk and once without, writes what an undisturbed run writes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use integration_tests::{Application, Kafka, KafkaOptions, topics, until};
use streams_core::time::{Clock, SystemClock};

const PARTITIONS: i32 = 4;
const KEYS: i64 = 50;
const OUTPUTS: [&str; 4] = ["counts", "finals", "pairs", "sums"];
/// Between the first numbers of two bursts; of each burst, everything has closed when the next comes.
const APART: i64 = 100_000;
const BURST: i64 = 2_000;

/// By key, the values in order.
type Table = BTreeMap<String, Vec<String>>;

struct Fixture {
    kafka: Kafka,
    dir: tempfile::TempDir,
    /// When number 0 is: a broker deletes the changelogs of windows that are older than a day.
    begin_ms: i64,
}

impl Fixture {
    async fn new() -> Self {
        let kafka = Kafka::start(&KafkaOptions::default());
        let topics: Vec<_> = OUTPUTS.into_iter().chain(["numbers"]).collect();
        topics::create_topics(&kafka.bootstrap(), &topics, PARTITIONS).await;
        let hours_ago = SystemClock.wall_ms() - 3 * 3_600_000;
        let begin_ms = hours_ago / 1_000 * 1_000;
        Self { kafka, dir: tempfile::tempdir().unwrap(), begin_ms }
    }

    fn start(&self) -> Application {
        Application::start(
            env!("CARGO_BIN_EXE_windows"),
            &[
                ("STREAMS_APPLICATION_ID", "killed-windows"),
                ("STREAMS_BOOTSTRAP_SERVERS", &self.kafka.bootstrap()),
                ("STREAMS_STATE_DIR", &self.dir.path().display().to_string()),
                ("BEGIN_MS", &self.begin_ms.to_string()),
                ("STREAMS_PROCESSING_GUARANTEE", "exactly_once_v2"),
                ("STREAMS_STATE_FLUSH_INTERVAL_MS", "200"),
                ("STREAMS_SESSION_TIMEOUT_MS", "6000"),
                ("STREAMS_HEARTBEAT_INTERVAL_MS", "500"),
            ],
        )
    }

    fn write(&self, numbers: std::ops::Range<i64>) {
        let records = numbers.map(|n| (key(n), n.to_string()));
        topics::write(&self.kafka.bootstrap(), "numbers", records);
    }

    fn read(&self, topic: &str) -> Table {
        let mut table = Table::new();
        for (key, value) in topics::read_all(&self.kafka.bootstrap(), topic, PARTITIONS) {
            table.entry(key).or_default().push(String::from_utf8(value).unwrap());
        }
        table
    }
}

fn key(n: i64) -> String {
    format!("key-{}", n % KEYS)
}

/// What comes of bursts that have closed.
fn undisturbed(topic: &str, bursts: i64) -> Table {
    let mut table = Table::new();
    let mut add = |key: String, value: String| table.entry(key).or_default().push(value);
    for burst in 0..bursts {
        let numbers = burst * APART..burst * APART + BURST;
        for name in 0..KEYS {
            let own: Vec<i64> = numbers.clone().filter(|n| n % KEYS == name).collect();
            let key = format!("key-{name}");
            let windows = |advance: i64, size: i64| {
                let times = own.iter().map(|n| 10 * n);
                let starts = times.flat_map(move |time| {
                    let first = (time - size + advance).div_euclid(advance) * advance;
                    (first..=time).step_by(usize::try_from(advance).unwrap())
                });
                starts.fold(BTreeMap::<i64, usize>::new(), |mut counts, start| {
                    *counts.entry(start).or_default() += 1;
                    counts
                })
            };
            match topic {
                "counts" => windows(1000, 1000).into_iter().for_each(|(start, count)| {
                    (1..=count).for_each(|n| add(format!("{key} {start}"), n.to_string()));
                }),
                "finals" => windows(250, 1000).into_iter().for_each(|(start, count)| {
                    add(format!("{key} {start}"), count.to_string());
                }),
                "sums" => {
                    add(format!("{key} {}", 10 * own[0]), own.iter().sum::<i64>().to_string());
                }
                _ => own.windows(2).for_each(|pair| {
                    let even = pair.iter().find(|n| *n / KEYS % 2 == 0).unwrap();
                    let odd = pair.iter().find(|n| *n / KEYS % 2 == 1).unwrap();
                    add(key.clone(), format!("{even} {odd}"));
                }),
            }
        }
    }
    table
}

/// I1, I3
#[tokio::test]
async fn killed_again_and_again_windows_and_joins_are_exact() {
    let fixture = Fixture::new().await;
    let mut application = fixture.start();
    let bursts = 6;
    for burst in 0..bursts {
        application.wait_for("STATE Running");
        fixture.write(burst * APART..burst * APART + BURST);
        // Killed while it works, a little later each time.
        tokio::time::sleep(Duration::from_millis(50 + 120 * burst.unsigned_abs())).await;
        application.kill();
        if burst == 3 {
            std::fs::remove_dir_all(fixture.dir.path()).unwrap();
        }
        application = fixture.start();
    }
    // What closes at most once a second closes with a later record.
    let mut closing = bursts * APART;
    for topic in OUTPUTS {
        let expected = undisturbed(topic, bursts);
        let records = expected.values().map(Vec::len).sum::<usize>();
        let mut written = Table::new();
        until(&format!("{topic} is complete"), Duration::from_secs(90), || {
            fixture.write(closing..closing + KEYS);
            closing += KEYS;
            written = fixture.read(topic);
            // Of the records that close the bursts come others.
            written.retain(|key, values| {
                values.retain(|value| is_of_bursts(topic, key, value, bursts));
                !values.is_empty()
            });
            written.values().map(Vec::len).sum::<usize>() >= records
        });
        for key in expected.keys().chain(written.keys()) {
            assert_eq!(written.get(key), expected.get(key), "{topic}: {key}");
        }
    }
    application.terminate();
}

/// Whether an output comes of the bursts alone.
fn is_of_bursts(topic: &str, key: &str, value: &str, bursts: i64) -> bool {
    let time_or_number = if topic == "pairs" { value } else { key };
    let number = time_or_number.split(' ').next_back().unwrap();
    let scale = if topic == "pairs" { 1 } else { 10 };
    number.parse::<i64>().unwrap() < (bursts * APART - 1_000) * scale
}
