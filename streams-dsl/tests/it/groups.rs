//! Aggregations of streams.

use streams_dsl::config::StreamsConfig;
use streams_dsl::prelude::*;
use streams_dsl::reaction;
use streams_test::TopologyTestDriver;

use crate::driver;

const COUNTS: StoreName<KeyValueStore<String, i64>> = StoreName::new("counts");

#[test]
fn words_are_counted() {
    let driver = driver(|b| {
        b.stream_values::<String>("lines")
            .flat_map_values(|line, out| out.extend(line.split(' ').map(str::to_owned)))
            .group_by(|_, word| word.clone(), "words")
            .count(COUNTS)
            .to("counts");
    });
    let lines = driver.input::<(), String>("lines");
    lines.pipe((), "a b a");
    lines.pipe((), "b");
    let counts = driver.output::<String, i64>("counts");
    assert_eq!(counts.read_all(), [("a", 1), ("b", 1), ("a", 2), ("b", 2)]);
    assert_eq!(driver.store(COUNTS).get("a"), Some(2));
}

#[test]
fn values_are_reduced_and_aggregated() {
    let driver = driver(|b| {
        let numbers = b.stream::<String, i64>("numbers").group_by_key();
        numbers.reduce(|a, b| a.max(b), "max").to("max");
        numbers
            .aggregate(Vec::new, |key, n, all: &mut Vec<String>| all.push(format!("{key}{n}")), {
                Materialized::with("all", Utf8, Json)
            })
            .to_stream()
            .map_values(|all| all.map(|all| all.join(",")))
            .to("all");
    });
    driver.input::<String, i64>("numbers").pipe_all([("a", 2), ("a", 1), ("b", 3), ("a", 5)]);
    let max = driver.output::<String, i64>("max");
    assert_eq!(max.read_all(), [("a", 2), ("a", 2), ("b", 3), ("a", 5)]);
    let all = driver.output::<String, String>("all");
    assert_eq!(all.read_all(), [("a", "a2"), ("a", "a2,a1"), ("b", "b3"), ("a", "a2,a1,a5")]);
}

#[test]
fn the_time_of_an_aggregate_is_that_of_its_latest_record() {
    let driver = driver(|b| {
        b.stream::<String, i64>("numbers").group_by_key().count(COUNTS).to("counts");
    });
    let numbers = driver.input::<String, i64>("numbers");
    numbers.pipe_at("a", 1, 10);
    numbers.pipe_at("a", 1, 5);
    numbers.pipe_at("b", 1, 7);
    let counts = driver.output::<String, i64>("counts");
    assert_eq!(counts.read_timed(), [("a", 1, 10), ("a", 2, 10), ("b", 1, 7)]);
    let stored = driver.store(COUNTS).get_with_timestamp("a");
    assert_eq!(stored, Some((2, Timestamp::from_millis(10))));
}

#[test]
fn an_aggregate_may_delete_itself() {
    let driver = driver(|b| {
        b.stream::<String, i64>("payments")
            .group_by_key()
            .aggregate_option(
                |_, cents, open: &mut Option<i64>| {
                    let left = open.unwrap_or(100) - cents;
                    *open = (left > 0).then_some(left);
                },
                COUNTS,
            )
            .to("open");
    });
    driver.input::<String, i64>("payments").pipe_all([("a", 30), ("a", 70), ("a", 10)]);
    let open = driver.output::<String, Option<i64>>("open");
    assert_eq!(open.read_values(), [Some(70), None, Some(90)]);
    assert_eq!(driver.store(COUNTS).get("a"), Some(90));
}

#[test]
fn half_a_change_does_not_stay() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, i64>("numbers")
        .group_by_key()
        .try_aggregate(
            || 0,
            |_, n, sum: &mut i64| {
                *sum += n;
                if *sum > 10 { Err("too much".into()) } else { Ok(()) }
            },
            COUNTS,
        )
        .to("sums");
    let config = StreamsConfig::new("app", "localhost:9092").on_processing_error(reaction::skip);
    let driver = TopologyTestDriver::with_config(&builder.build().unwrap(), &config);
    driver.input::<String, i64>("numbers").pipe_all([("a", 8), ("a", 9), ("a", 1)]);
    assert_eq!(driver.output::<String, i64>("sums").read_values(), [8, 9]);
    assert_eq!(driver.store(COUNTS).get("a"), Some(9));
}

#[test]
fn records_without_a_key_are_not_repartitioned() {
    let driver = driver(|b| {
        b.stream::<String, String>("texts")
            .select_key(|_, text| (!text.is_empty()).then(|| text.clone()))
            .group_by_key_with("by-text")
            .count("counts")
            .to("counts");
    });
    driver.input::<String, String>("texts").pipe_all([("1", "a"), ("2", ""), ("3", "a")]);
    let counts = driver.output::<Option<String>, i64>("counts");
    assert_eq!(counts.read_all(), [(Some("a".to_owned()), 1), (Some("a".to_owned()), 2)]);
}

#[test]
fn one_change_per_key_and_commit_on_request() {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("numbers").group_by_key();
    numbers.count(Materialized::from("lazy").emit_on_commit(true)).to("lazy");
    numbers.count(Materialized::from("prompt").emit_on_commit(false)).to("prompt");
    let config = StreamsConfig::new("app", "localhost:9092").emit_on_commit(true);
    numbers.count("by-config").to("by-config");
    let topology = builder.build_with(&config).unwrap();
    let driver = TopologyTestDriver::new(&topology).manual_commit();
    let numbers = driver.input::<String, i64>("numbers");
    numbers.pipe_at("a", 1, 1);
    numbers.pipe_at("b", 1, 9);
    numbers.pipe_at("a", 1, 3);
    driver.commit();
    let read = |topic: &str| driver.output::<String, i64>(topic).read_timed();
    assert_eq!(read("prompt"), [("a", 1, 1), ("b", 1, 9), ("a", 2, 3)]);
    // In the order of their last writes, as the JVM's caches are flushed.
    assert_eq!(read("lazy"), [("b", 1, 9), ("a", 2, 3)]);
    assert_eq!(read("by-config"), [("b", 1, 9), ("a", 2, 3)]);
}
