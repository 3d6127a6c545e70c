//! An application of Kafka Streams is stopped, and ours goes on under the same application id with
//! the same topics; and back again. The results are as if nobody had stopped, but for records that
//! wait in a join with grace, whom the JVM forgets. The JVM's side is
//! `jvm/src/main/java/takeover/Takeover.java`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use integration_tests::scenario::java;
use integration_tests::{Application, Kafka, KafkaOptions, topics, until};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use streams_core::time::{Clock, SystemClock};
use streams_dsl::prelude::*;

const PARTITIONS: i32 = 2;
const LIMIT: Duration = Duration::from_secs(90);
/// Of each topic in each phase.
const RECORDS: i64 = 300;
const OUTPUTS: [&str; 5] = ["counts", "windows", "rows", "pairs", "priced"];
/// Visits at the end of each phase that still wait when the application is stopped: see
/// [`visit_time`].
const WAITING: i64 = 20;
/// How long visits wait for prices.
const GRACE: Duration = Duration::from_secs(30);

/// The twin of `Takeover.java`, name by name.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let words = builder.stream::<String, String>("words");
    words.group_by(|_, word| word.clone(), auto()).count(auto()).to("counts");
    let people = builder.table::<String, String>("people", auto());
    let places = builder.table::<String, String>("places", "places-store");
    people.join(&places, |_, person, place| format!("{person} in {place}")).to("rows");
    words
        .group_by_key()
        .windowed_by(TimeWindows::tumbling(Duration::from_secs(10)).grace(Duration::from_secs(60)))
        .count(auto())
        .to_stream()
        .map(|windowed, count| {
            (format!("{}@{}", windowed.key, windowed.window.start.as_millis()), count)
        })
        .to("windows");
    let orders = builder.stream::<String, String>("orders");
    let payments = builder.stream::<String, String>("payments");
    // One topic may be read far ahead of the other.
    let near = JoinWindows::within(Duration::from_secs(5)).grace(Duration::from_secs(3_600));
    let pair = |_: &String, order: &String, payment: &String| format!("{order} by {payment}");
    orders.join(&payments, pair, near, auto()).to("pairs");
    let history = Duration::from_secs(3_600);
    let prices = builder
        .table::<String, String>("prices", Materialized::from("prices-store").versioned(history));
    let priced = |_: &String, visit: String, price: &String| format!("{visit} for {price}");
    builder
        .stream::<String, String>("visits")
        .join_table_with(&prices, priced, Joined::from("visit").grace(GRACE))
        .to("priced");
    builder.build().unwrap()
}

struct Stage {
    kafka: Kafka,
    dir: tempfile::TempDir,
    /// Properties that both sides take.
    properties: Vec<(&'static str, String)>,
    /// `statestore.cache.max.bytes` of the JVM; 0 is no cache.
    jvm_cache: &'static str,
    /// Records of each topic that were written.
    written: i64,
}

impl Stage {
    async fn new(guarantee: &str, jvm_cache: &'static str) -> Self {
        let kafka = Kafka::start(&KafkaOptions::default());
        let inputs = ["words", "people", "places", "orders", "payments", "visits", "prices"];
        topics::create_topics(&kafka.bootstrap(), &[&inputs[..], &OUTPUTS].concat(), PARTITIONS)
            .await;
        let properties = vec![
            ("application.id", "taken-over".to_owned()),
            ("bootstrap.servers", kafka.bootstrap()),
            ("processing.guarantee", guarantee.to_owned()),
            ("commit.interval.ms", "100".to_owned()),
        ];
        let dir = tempfile::tempdir().unwrap();
        let stage = Self { kafka, dir, properties, jvm_cache, written: 0 };
        // Always a phase ahead of the visits: who is joined when depends on nobody's speed.
        stage.write((0..RECORDS).map(price));
        stage
    }

    fn state_dir(&self, side: &str) -> PathBuf {
        self.dir.path().join(side)
    }

    /// Kafka Streams runs until everything that was written is in the outputs.
    ///
    /// It restores the buffer of visits by keys of another format than it writes, after itself too:
    /// it forgets who waits there, and nonsense that it takes for a time may end all waiting. The
    /// changelog is right: who comes next finds those who were forgotten.
    fn run_jvm(&mut self) {
        self.remove_the_jvms_visits();
        let log = self.dir.path().join("jvm.log");
        let mut command = java("takeover.Takeover");
        command.args(self.properties.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg(format!("state.dir={}", self.state_dir("jvm").display()));
        command.arg(format!("statestore.cache.max.bytes={}", self.jvm_cache));
        let mut application = Application::run(command, Some(&log));
        application.wait_for("STATE RUNNING");
        let forgets = self.written > 0;
        self.write_and_wait("the JVM", &log, forgets);
        application.close_input();
        application.wait_for("CLOSED");
        assert!(application.wait_for_end(LIMIT).success());
    }

    /// What others have deleted from the buffer since would be joined again.
    fn remove_the_jvms_visits(&self) {
        let Ok(tasks) = std::fs::read_dir(self.state_dir("jvm").join("taken-over")) else { return };
        for task in tasks.flatten().map(|task| task.path()) {
            if task.join("rocksdb/visit-Buffer").exists() {
                std::fs::remove_dir_all(task).unwrap();
            }
        }
    }

    /// The same with this library.
    async fn run_ours(&mut self) {
        let mut config = StreamsConfig::default().state_dir(self.state_dir("ours"));
        for (name, value) in &self.properties {
            config = config.set(*name, value);
        }
        let streams = KafkaStreams::start(topology(), config).await.unwrap();
        tokio::time::timeout(LIMIT, streams.wait_for(State::Running)).await.unwrap().unwrap();
        let dir = self.dir.path().to_owned();
        self.write_and_wait("this library", &dir, false);
        streams.close().await.unwrap();
    }

    /// `forgets`: visits are not looked at.
    fn write_and_wait(&mut self, who: &str, log: &Path, forgets: bool) {
        let phase = self.written..self.written + RECORDS;
        self.write(phase.clone().flat_map(records).chain(phase.map(|n| price(n + RECORDS))));
        self.written += RECORDS;
        let mut expected = Expected::after(self.written);
        if forgets {
            expected.tables[4].clear();
        }
        let what = format!("{who} has processed {} records ({})", self.written, log.display());
        let mut found = Found::default();
        // What is there after the wait is compared below, so that a failure shows what lacks.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(&what, LIMIT, || {
                found = self.read();
                if forgets {
                    found.priced.clear();
                }
                found.tables() == expected.tables
            });
        }));
        expected.check(&found, self.jvm_cache == "0");
    }

    fn write(&self, records: impl Iterator<Item = Input>) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap())
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        for Input { topic, key, value, time } in records {
            let record = BaseRecord::to(topic).key(&key).payload(&value).timestamp(time);
            producer.send(record).unwrap();
        }
        producer.flush(LIMIT).unwrap();
    }

    fn read(&self) -> Found {
        let bootstrap = self.kafka.bootstrap();
        let read = |topic: &str| topics::read_all(&bootstrap, topic, PARTITIONS);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let number = |bytes: Vec<u8>| i64::from_be_bytes(bytes.try_into().unwrap()).to_string();
        let all = |topic, value: &dyn Fn(Vec<u8>) -> String| -> Vec<(String, String)> {
            read(topic).into_iter().map(|(key, bytes)| (key, value(bytes))).collect()
        };
        Found {
            counts: all("counts", &number),
            windows: all("windows", &number),
            rows: all("rows", &text),
            pairs: all("pairs", &text),
            priced: all("priced", &text),
        }
    }
}

/// The records of a moment, with event times that go on through all phases: windows and joins reach
/// over the moments at which one application takes over from the other.
fn records(n: i64) -> [Input; 6] {
    let key = |of: i64| format!("key-{}", n % of);
    let input = |topic, key, value| Input { topic, key, value, time: time(n) };
    [
        input("words", key(5), format!("word-{}", n % 13)),
        input("people", key(11), format!("person-{n}")),
        input("places", key(7), format!("place-{n}")),
        input("orders", key(40), format!("order-{n}")),
        input("payments", format!("key-{}", (n + 3) % 40), format!("payment-{n}")),
        Input { time: visit_time(n), ..input("visits", key(40), format!("visit-{n}")) },
    ]
}

/// What one key of some costs from then on; others never have a price.
fn price(n: i64) -> Input {
    let (key, value) = (format!("key-{}", n % 37), format!("price-{n}"));
    Input { topic: "prices", key, value, time: visit_time(n) }
}

#[derive(Clone)]
struct Input {
    topic: &'static str,
    key: String,
    value: String,
    time: i64,
}

/// Time leaps before the last visits of a phase, by more than the grace: only they wait at its end.
fn visit_time(n: i64) -> i64 {
    time(n) + (n + WAITING) / RECORDS * 60_000
}

/// Recent, or the broker deletes what is older than a week.
fn time(n: i64) -> i64 {
    static START: LazyLock<i64> = LazyLock::new(|| SystemClock.wall_ms() - 3_600_000);
    *START + n * 700
}

/// What lies in the outputs, in order.
#[derive(Clone, Debug, Default)]
struct Found {
    counts: Vec<(String, String)>,
    windows: Vec<(String, String)>,
    rows: Vec<(String, String)>,
    pairs: Vec<(String, String)>,
    priced: Vec<(String, String)>,
}

/// The last value of each key; of pairs and of visits with their price, how often each was found.
type Tables = [BTreeMap<String, String>; 5];

impl Found {
    fn tables(&self) -> Tables {
        let last = |all: &[(String, String)]| all.iter().cloned().collect::<BTreeMap<_, _>>();
        let [pairs, priced] = [&self.pairs, &self.priced].map(|all| how_often(all));
        [last(&self.counts), last(&self.windows), last(&self.rows), pairs, priced]
    }
}

fn how_often(pairs: &[(String, String)]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::<String, usize>::new();
    pairs.iter().for_each(|(key, pair)| *found.entry(format!("{key}: {pair}")).or_default() += 1);
    found.into_iter().map(|(pair, times)| (pair, times.to_string())).collect()
}

/// What one application would have written that never stopped.
struct Expected {
    tables: Tables,
}

impl Expected {
    fn after(written: i64) -> Self {
        let mut counts = BTreeMap::<String, i64>::new();
        let mut windows = BTreeMap::<String, i64>::new();
        let (mut people, mut places) = (BTreeMap::new(), BTreeMap::new());
        let (mut orders, mut payments) = (Vec::new(), Vec::new());
        let (mut prices, mut priced) = (BTreeMap::new(), Vec::new());
        for n in 0..written {
            let [word, person, place, order, payment, visit] = records(n);
            *counts.entry(word.value).or_default() += 1;
            *windows.entry(format!("{}@{}", word.key, time(n) / 10_000 * 10_000)).or_default() += 1;
            people.insert(person.key, person.value);
            places.insert(place.key, place.value);
            orders.push((n, order.key, order.value));
            payments.push((n, payment.key, payment.value));
            let known = price(n);
            prices.insert(known.key, known.value);
            if let Some(price) = prices.get(&visit.key).filter(|_| n < written - WAITING) {
                priced.push((visit.key, format!("{} for {price}", visit.value)));
            }
        }
        let text = |counts: BTreeMap<String, i64>| -> BTreeMap<String, String> {
            counts.into_iter().map(|(key, count)| (key, count.to_string())).collect()
        };
        let here = |key: &String| places.get(key);
        let rows = people
            .iter()
            .filter_map(|(key, person)| Some((key.clone(), format!("{person} in {}", here(key)?))))
            .collect();
        let mut pairs = Vec::new();
        for (at, key, order) in &orders {
            let near =
                payments.iter().filter(|(n, k, _)| k == key && (at - n).abs() * 700 <= 5_000);
            pairs
                .extend(near.map(|(_, _, payment)| (key.clone(), format!("{order} by {payment}"))));
        }
        let tables = [text(counts), text(windows), rows, how_often(&pairs), how_often(&priced)];
        Self { tables }
    }

    /// Without a cache each update is written: the counts of a key are 1, 2, 3 and so on.
    fn check(&self, found: &Found, each_update: bool) {
        let tables = found.tables();
        for (name, (found, expected)) in OUTPUTS.iter().zip(tables.iter().zip(&self.tables)) {
            let lacking: Vec<_> =
                expected.iter().filter(|(k, v)| found.get(*k) != Some(v)).collect();
            let lines = lacking.iter().take(20);
            let lines: Vec<_> =
                lines.map(|(k, v)| format!("{k}: {v}, not {:?}", found.get(*k))).collect();
            let others: Vec<_> =
                found.iter().filter(|(k, _)| !expected.contains_key(*k)).take(9).collect();
            assert!(lacking.is_empty(), "{name}:\n{}\nothers: {others:?}", lines.join("\n"));
        }
        assert_eq!(tables, self.tables);
        for updates in [&found.counts, &found.windows] {
            let mut last = BTreeMap::<&str, i64>::new();
            for (key, count) in updates {
                let (count, last) = (count.parse::<i64>().unwrap(), last.entry(key).or_default());
                assert!(count > *last, "{key} has {count} after {last}");
                assert!(!each_update || count == *last + 1, "{key} has {count} after {last}");
                *last = count;
            }
        }
    }
}

async fn there_and_back(guarantee: &str, jvm_cache: &'static str) {
    let mut stage = Stage::new(guarantee, jvm_cache).await;
    stage.run_jvm();
    stage.run_ours().await;
    stage.run_jvm();
    stage.run_ours().await;
    // And once more with nothing but the topics.
    std::fs::remove_dir_all(stage.state_dir("ours")).unwrap();
    stage.run_ours().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_moves_from_the_jvm_and_back_exactly_once() {
    there_and_back("exactly_once_v2", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_moves_from_the_jvm_and_back_with_its_cache_on() {
    there_and_back("at_least_once", "10485760").await;
}
