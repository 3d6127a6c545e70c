//! A global table against a real Kafka: complete before its instance runs, kept over a kill -9,
//! followed while it runs.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use integration_tests::{Application, Kafka, KafkaOptions, topics, until};

const LIMIT: Duration = Duration::from_secs(60);
const NAMES: usize = 20_000;

struct Fixture {
    kafka: Kafka,
    dir: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let kafka = Kafka::start(&KafkaOptions::default());
        topics::create_topics(&kafka.bootstrap(), &["names"], 3).await;
        topics::create_topics(&kafka.bootstrap(), &["orders", "enriched"], 2).await;
        Self { kafka, dir: tempfile::tempdir().unwrap() }
    }

    fn start(&self) -> Application {
        Application::start_logged(
            env!("CARGO_BIN_EXE_enricher"),
            &[
                ("STREAMS_APPLICATION_ID", "enriching"),
                ("STREAMS_BOOTSTRAP_SERVERS", &self.kafka.bootstrap()),
                ("STREAMS_STATE_DIR", &self.dir.path().display().to_string()),
                ("STREAMS_NUM_STREAM_THREADS", "2"),
                ("STREAMS_PROCESSING_GUARANTEE", "exactly_once_v2"),
                ("STREAMS_COMMIT_INTERVAL_MS", "100"),
                ("STREAMS_STATE_FLUSH_INTERVAL_MS", "200"),
                ("STREAMS_SESSION_TIMEOUT_MS", "6000"),
                ("STREAMS_HEARTBEAT_INTERVAL_MS", "500"),
                ("STREAMS_GLOBAL_CONSUMER_FETCH_WAIT_MAX_MS", "20"),
            ],
            &self.log(),
        )
    }

    /// What the applications log.
    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn write_names(&self, range: Range<usize>, suffix: &str) {
        let names = range.map(|n| (customer(n), format!("name-{n}{suffix}")));
        topics::write(&self.kafka.bootstrap(), "names", names);
    }

    /// Orders of these customers; waits until each has an answer, and returns the answers.
    fn order(&self, round: &str, customers: impl Iterator<Item = usize>) -> Vec<String> {
        let orders: BTreeMap<_, _> =
            customers.map(|n| (format!("{round}-{n}"), customer(n))).collect();
        topics::write(&self.kafka.bootstrap(), "orders", orders.clone().into_iter());
        let mut answers = Vec::new();
        until("all orders are answered", LIMIT, || {
            let records = topics::read_all(&self.kafka.bootstrap(), "enriched", 2);
            let table: BTreeMap<_, _> = records.into_iter().collect();
            let found = orders.keys().filter_map(|order| table.get(order));
            answers = found.map(|bytes| String::from_utf8(bytes.clone()).unwrap()).collect();
            answers.len() == orders.len()
        });
        answers
    }
}

fn customer(n: usize) -> String {
    format!("c{n}")
}

/// The records that were read before the table was complete. It was, before the instance ran.
fn read_before_running(application: &Application) -> usize {
    application.wait_for("STATE Running");
    let lines = application.lines();
    let done = lines.iter().position(|line| line.starts_with("RESTORE names Done"));
    let running = lines.iter().position(|line| line == "STATE Running");
    assert!(done.unwrap() < running.unwrap(), "{lines:?}");
    lines[done.unwrap()].rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_global_table_is_complete_before_its_instance_runs_and_survives_a_kill() {
    let fixture = Fixture::new().await;
    fixture.write_names(0..NAMES, "");
    let mut application = fixture.start();
    assert_eq!(read_before_running(&application), NAMES);
    for answer in fixture.order("first", (0..NAMES).step_by(997)) {
        let (customer, name) = answer.split_once('=').unwrap();
        assert_eq!(name, customer.replace('c', "name-"));
    }
    fixture.write_names(5..6, "-new");
    let mut round = 0;
    until("a change is followed", LIMIT, || {
        round += 1;
        fixture.order(&format!("change{round}"), 5..6) == ["c5=name-5-new"]
    });
    until("some state is flushed", LIMIT, || has_tables(fixture.dir.path()));
    application.kill();

    fixture.write_names(NAMES..NAMES + 1_000, "");
    let mut application = fixture.start();
    let read = read_before_running(&application);
    assert!((1_000..NAMES / 2).contains(&read), "{read} records were read after the kill");
    let customers = [3, 5, NAMES + 7].into_iter();
    let wanted = ["c20007=name-20007", "c3=name-3", "c5=name-5-new"];
    assert_eq!(fixture.order("second", customers), wanted);
    application.terminate();

    let application = fixture.start();
    let again = read_before_running(&application);
    assert_eq!(again, 0, "after a clean stop nothing is read again");
    assert_eq!(fixture.order("third", 8..9), ["c8=name-8"]);
    println!("read {read} records after kill -9 of {}, {again} after a stop", NAMES + 1_000);
}

#[tokio::test]
async fn a_deleted_topic_ends_the_application_with_a_message_that_says_what_to_do() {
    let fixture = Fixture::new().await;
    fixture.write_names(0..10, "");
    let mut application = fixture.start();
    assert_eq!(read_before_running(&application), 10);
    let servers = fixture.kafka.bootstrap();
    let delete = ["--bootstrap-server", &servers, "--delete", "--topic", "names"];
    fixture.kafka.tool("topics", &delete);
    assert!(!application.wait_for_end(LIMIT).success());
    let log = std::fs::read_to_string(fixture.log()).unwrap();
    assert!(
        log.contains("topic names of global store names was deleted while it was read"),
        "{log}"
    );
    assert!(log.matches("cannot read a global topic now").count() < 4, "{log}");

    topics::create_topics(&servers, &["names"], 3).await;
    fixture.write_names(0..3, "-again");
    let application = fixture.start();
    assert_eq!(read_before_running(&application), 3);
    assert_eq!(fixture.order("after", [1, 7].into_iter()), ["c1=name-1-again", "c7=nobody"]);
}

fn has_tables(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        path.is_dir() && has_tables(&path) || path.extension().is_some_and(|e| e == "sst")
    })
}
