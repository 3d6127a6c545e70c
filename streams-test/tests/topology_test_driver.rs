//! The test driver, with topologies of the Processor API.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use streams_core::processor::{Processor, ProcessorContext, process_fn};
use streams_core::reaction;
use streams_core::stores::{KeyValueHandle, KeyValueStore, StoreName, Stores};
use streams_core::topology::{Consumed, Node, Produced, TopologyBuilder};
use streams_core::{BoxError, Headers, Record, StreamsConfig, StreamsError, Timestamp, Topology};
use streams_test::{DropReason, TopologyTestDriver};

const COUNTS: StoreName<KeyValueStore<String, i64>> = StoreName::new("counts");

type Out<'a, K, V> = ProcessorContext<'a, K, V>;

/// A processor without stores from a function.
fn map<
    K: streams_core::Data,
    V: streams_core::Data,
    K2: streams_core::Data,
    V2: streams_core::Data,
>(
    topology: &mut TopologyBuilder,
    name: &str,
    parent: &Node<K, V>,
    f: impl Fn(K, V, &mut Out<'_, K2, V2>) -> Result<(), BoxError> + Send + Sync + 'static,
) -> Node<K2, V2> {
    let f = Arc::new(move |(): &(), key, value, ctx: &mut Out<'_, K2, V2>| f(key, value, ctx));
    topology.add_processor(name, &[parent], (), move |(), _| process_fn((), f.clone()))
}

/// Counts the records of each key.
fn count(topology: &mut TopologyBuilder, parent: &Node<String, String>) -> Node<String, i64> {
    let count = Arc::new(
        |counts: &KeyValueHandle<String, i64>, key: String, _: String, ctx: &mut Out<'_, _, _>| {
            let count = ctx.store(counts).get(&key)?.copied().unwrap_or(0) + 1;
            ctx.store(counts).put(&key, count)?;
            ctx.forward(key, count)
        },
    );
    let store = Stores::key_value::<String, i64>("counts");
    topology.add_processor("count", &[parent], store, move |counts, _| {
        process_fn(counts, count.clone())
    })
}

/// Words of lines, repartitioned and counted.
fn word_count() -> Topology {
    let mut topology = Topology::builder();
    let lines = topology.add_source::<(), String>("lines", "lines");
    let words = map(&mut topology, "split", &lines, |(), line: String, ctx| {
        line.split_whitespace().try_for_each(|word| ctx.forward(word.to_owned(), word.to_owned()))
    });
    topology.add_repartition_topic("words-repartition", None);
    topology.add_sink("to-words", &[&words], "words-repartition");
    let words = topology.add_source::<String, String>("words", "words-repartition");
    let counts = count(&mut topology, &words);
    topology.add_sink("to-counts", &[&counts], "counts");
    topology.build().unwrap()
}

/// Counts of "in" in "counts", without a repartition topic.
fn plain_count() -> Topology {
    let mut topology = Topology::builder();
    let source = topology.add_source::<String, String>("source", "in");
    let counts = count(&mut topology, &source);
    topology.add_sink("sink", &[&counts], "counts");
    topology.build().unwrap()
}

#[test]
fn a_word_count_by_three_tasks_is_the_same_as_by_one() {
    for partitions in [1, 3] {
        let driver = TopologyTestDriver::new(&word_count()).partitions("lines", partitions);
        let lines = driver.input::<(), String>("lines");
        lines.pipe((), "the cat and the dog");
        lines.pipe((), "the end");
        let counts = driver.output::<String, i64>("counts");
        assert_eq!(counts.len(), 7);
        let expected = [("and", 1), ("cat", 1), ("dog", 1), ("end", 1), ("the", 3)];
        let last: streams_test::KeyValues<String, i64> = counts.read_map().into_iter().collect();
        assert_eq!(last, expected);
        assert!(counts.is_empty());
        assert_eq!(driver.store(COUNTS).all().sorted(), expected);
        assert_eq!(driver.store(COUNTS).get("the"), Some(3));
        assert_eq!(driver.store(COUNTS).get("mouse"), None);
        let produced = ["counts", "test-counts-changelog", "test-words-repartition"];
        assert_eq!(driver.produced_topics(), produced);
    }
}

#[test]
fn records_go_to_the_partition_of_their_key() {
    let driver = TopologyTestDriver::new(&word_count()).partitions("lines", 3);
    driver.input::<(), String>("lines").pipe((), "a b c d e f g h");
    let repartitioned = driver.output_raw("words-repartition");
    assert_eq!(repartitioned, driver.output_raw("test-words-repartition"));
    assert_eq!(repartitioned.len(), 8);
    for record in &repartitioned {
        let key = record.key.as_deref().unwrap();
        assert_eq!(record.partition, streams_core::partitioning::partition_for_key(key, 3));
    }
    assert!((0..3).all(|p| repartitioned.iter().any(|record| record.partition == p)));
    let changes = driver.output_raw("test-counts-changelog");
    let partition_of = |key: &[u8]| {
        let mut records = repartitioned.iter();
        records.find(|record| record.key.as_deref() == Some(key)).unwrap().partition
    };
    assert!(changes.iter().all(|c| c.partition == partition_of(c.key.as_deref().unwrap())));
    // The JVM's format: the value alone; its time is that of the record.
    let at = driver.wall_clock().as_millis();
    let value = 1_i64.to_be_bytes();
    assert!(changes.iter().all(|c| c.value.as_deref() == Some(&value[..]) && c.timestamp == at));
}

#[test]
fn a_key_in_two_tasks_is_told() {
    let driver = TopologyTestDriver::new(&plain_count()).partitions("in", 2);
    driver.input::<String, String>("in").to_partition(0).pipe("a", "x");
    assert_eq!(driver.store(COUNTS).get("a"), Some(1));
    driver.input::<String, String>("in").to_partition(1).pipe("a", "x");
    assert_eq!(driver.store(COUNTS).partition(0).get("a"), Some(1));
    assert_eq!(driver.store(COUNTS).partition(1).get("a"), Some(1));
    let text = panic_of(|| assert_eq!(driver.store(COUNTS).get("a"), None));
    assert!(text.starts_with("tasks 0_0 and 0_1 both have a value of that key in store `counts`"));
}

#[test]
fn records_have_the_time_that_the_test_says() {
    let mut topology = Topology::builder();
    let source = topology.add_source::<String, i64>("source", "in");
    topology.add_sink("sink", &[&source], "out");
    let topology = topology.build().unwrap();
    let driver = TopologyTestDriver::new(&topology).with_wall_clock(Timestamp::from_millis(500));
    let input = driver.input::<String, i64>("in");
    input.pipe("a", 1);
    driver.advance_wall_clock(Duration::from_millis(10));
    input.pipe("b", 2);
    input.advance_time(Duration::from_millis(5));
    driver.advance_wall_clock(Duration::from_secs(1));
    input.pipe("c", 3);
    input.pipe_at("d", 4, 7);
    let input = input.starting_at(1000).auto_advance(Duration::from_millis(3));
    input.pipe_all([("e", 5), ("f", 6)]);
    assert_eq!(
        driver.output::<String, i64>("out").read_timed(),
        [("a", 1, 500), ("b", 2, 510), ("c", 3, 515), ("d", 4, 7), ("e", 5, 1000), ("f", 6, 1003)]
    );
    assert_eq!(driver.output::<String, i64>("out").read_values(), [1, 2, 3, 4, 5, 6]);
    let record = Record::new("g".to_owned(), 7, Timestamp::from_millis(9)).header("h", "1");
    input.pipe_record(record.clone());
    assert_eq!(driver.output::<String, i64>("out").read_records().pop(), Some(record));
}

#[test]
fn nulls_go_in_and_come_out() {
    let mut topology = Topology::builder();
    let source = topology.add_source::<String, Option<i64>>("source", "in");
    topology.add_sink("sink", &[&source], "out");
    let driver = TopologyTestDriver::new(&topology.build().unwrap());
    let input = driver.input::<String, Option<i64>>("in");
    input.pipe("a", 1);
    input.pipe("a", None);
    driver.input::<String, i64>("in").pipe_null("b");
    let output = driver.output::<String, Option<i64>>("out");
    assert_eq!(output.read_all(), [("a", Some(1)), ("a", None), ("b", None)]);
    let not_null = driver.output::<String, i64>("out");
    assert_eq!(not_null.read().map(|record| record.value), Some(1));
    let text = panic_of(|| drop(not_null.read()));
    assert!(text.contains("the value is null, and `i64` has no null"), "{text}");
}

/// Emits what it has collected every ten seconds of wall clock, and the record count every 100 ms
/// of stream time.
struct Timed {
    seen: i64,
}

impl Processor for Timed {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        _: String,
        value: String,
        _: &mut Out<'_, String, i64>,
    ) -> Result<(), BoxError> {
        self.seen += 1;
        if value == "bad" { Err("a bad record".into()) } else { Ok(()) }
    }
}

fn timed() -> Topology {
    let mut topology = Topology::builder();
    let source = topology.add_source::<String, String>("source", "in");
    let timed = topology.add_processor("timed", &[&source], (), |(), init| {
        init.every_wall_clock(Duration::from_secs(10), |timed: &mut Timed, now, ctx| {
            assert_eq!(now, ctx.timestamp());
            ctx.forward("wall".to_owned(), timed.seen)
        });
        init.every_stream_time(Duration::from_millis(100), |timed: &mut Timed, now, ctx| {
            ctx.forward(format!("stream {}", now.as_millis()), timed.seen)
        });
        Timed { seen: 0 }
    });
    topology.add_sink("sink", &[&timed], "out");
    topology.build().unwrap()
}

#[test]
fn timers_follow_stream_time_and_the_clock_of_the_test() {
    let driver = TopologyTestDriver::new(&timed());
    let input = driver.input::<String, String>("in").starting_at(0);
    let output = driver.output::<String, i64>("out");
    input.pipe("a", "x");
    assert_eq!(output.read_all(), [("stream 0", 1)]);
    input.pipe_at("a", "x", 99);
    assert!(output.is_empty());
    input.pipe_at("a", "x", 350);
    assert_eq!(output.read_all(), [("stream 350", 3)], "missed calls collapse");
    driver.advance_wall_clock(Duration::from_secs(9));
    assert!(output.is_empty());
    driver.advance_wall_clock(Duration::from_secs(1));
    let at = driver.wall_clock().as_millis();
    assert_eq!(output.read_timed(), [("wall", 3, at)]);
    driver.advance_wall_clock(Duration::from_secs(60));
    assert_eq!(output.read_all(), [("wall", 3)]);
}

#[test]
fn an_error_is_told_with_its_place_and_the_test_goes_on() {
    let driver = TopologyTestDriver::new(&timed());
    let input = driver.input::<String, String>("in").starting_at(0);
    input.pipe("a", "x");
    let error = input.try_pipe("a", "bad").unwrap_err();
    assert!(matches!(&error, StreamsError::Processing { .. }), "{error:?}");
    let text = format!("{error:?}");
    assert!(text.contains("topic in, partition 0, offset 1, node timed, task 0_0"), "{text}");
    assert!(text.ends_with("caused by: a bad record"), "{text}");
    let text = panic_of(|| input.pipe("a", "bad"));
    assert!(text.contains("caused by: a bad record"), "{text}");
    driver.input::<String, String>("in").pipe_at("a", "x", 100);
    // What the processor has held in a field is lost with its arena, as in production.
    let output = driver.output::<String, i64>("out");
    assert_eq!(output.read_all(), [("stream 0", 1), ("stream 100", 1)]);
}

#[test]
fn panics_of_the_application_are_errors() {
    let mut topology = Topology::builder();
    let source = topology.add_source::<String, i64>("source", "in");
    let halves =
        map(&mut topology, "divide", &source, |key, value: i64, ctx| ctx.forward(key, 10 / value));
    topology.add_sink("sink", &[&halves], "out");
    let driver = TopologyTestDriver::new(&topology.build().unwrap());
    let input = driver.input::<String, i64>("in");
    let error = input.try_pipe("a", 0).unwrap_err();
    assert!(matches!(&error, StreamsError::Panicked { .. }), "{error:?}");
    input.pipe("a", 5);
    assert_eq!(driver.output::<String, i64>("out").read_all(), [("a", 2)]);
}

#[test]
fn handlers_of_the_configuration_are_asked_and_drops_are_counted() {
    let mut topology = Topology::builder();
    let consumed: Consumed<String, i64> = "in".into();
    let source = topology.add_source("source", consumed.skip_null_keys());
    let checked = map(&mut topology, "check", &source, |key: String, value: i64, ctx| {
        if value < 0 {
            return Err("negative".into());
        }
        ctx.forward(key, value)
    });
    let partitioned: Produced<String, i64> = "out".into();
    topology.add_sink(
        "sink",
        &[&checked],
        partitioned.partitioner(|record, _| match *record.value {
            0 => streams_core::topology::Partitions::Drop,
            _ => streams_core::topology::Partitions::ByKey,
        }),
    );
    let topology = topology.build().unwrap();
    let config = StreamsConfig::new("app", "unused:1")
        .on_deserialization_error(reaction::dead_letter("dlq"))
        .on_processing_error(reaction::skip);
    let driver = TopologyTestDriver::with_config(&topology, &config);
    let input = driver.input::<String, i64>("in");
    input.try_pipe_raw(Some(b"a"), Some(b"xyz")).unwrap();
    input.try_pipe_raw(None, Some(b"xyz")).unwrap();
    input.pipe("a", -1);
    input.pipe("a", -2);
    input.pipe("a", 0);
    input.pipe("a", 1);
    assert_eq!(driver.output::<String, i64>("out").read_all(), [("a", 1)]);
    let letters = driver.output_raw("dlq");
    assert_eq!(letters[0].value.as_deref(), Some(&b"xyz"[..]));
    assert_eq!(letters[0].headers.get("__streams.errors.topic"), Some(&b"in"[..]));
    let dropped: Vec<_> = driver
        .dropped_records()
        .into_iter()
        .map(|dropped| (dropped.node.to_string(), dropped.reason, dropped.count))
        .collect();
    let expected = [
        ("check", DropReason::Processing, 2),
        ("sink", DropReason::Partitioner, 1),
        ("source", DropReason::NullKey, 1),
        ("source", DropReason::Deserialization, 1),
    ];
    assert_eq!(dropped, expected.map(|(node, reason, n)| (node.to_owned(), reason, n)));
    assert_eq!(driver.dropped_count(DropReason::Processing), 2);
    driver.abort();
    assert_eq!(driver.dropped_records().len(), 4, "committed drops stay counted");
}

#[test]
fn an_abort_restores_exactly_the_committed_state() {
    let driver = TopologyTestDriver::new(&word_count()).partitions("lines", 3).manual_commit();
    let lines = driver.input::<(), String>("lines");
    let counts = driver.output::<String, i64>("counts");
    lines.pipe((), "a b a");
    assert!(driver.produced_topics().is_empty(), "nothing is seen before the commit");
    driver.commit();
    let committed = [("a", 2), ("b", 1)];
    assert_eq!(driver.store(COUNTS).all().sorted(), committed);
    assert_eq!(counts.read_all().sorted(), [("a", 1), ("a", 2), ("b", 1)]);
    let changes = driver.output_raw("test-counts-changelog");

    lines.pipe((), "a c");
    driver.abort();
    assert_eq!(driver.store(COUNTS).all().sorted(), committed);
    assert!(counts.is_empty());
    assert_eq!(driver.output_raw("test-counts-changelog"), changes);

    driver.commit();
    assert_eq!(driver.store(COUNTS).all().sorted(), [("a", 3), ("b", 1), ("c", 1)]);
    assert_eq!(counts.read_all().sorted(), [("a", 3), ("c", 1)], "processed again, once");
}

#[derive(Clone, Debug)]
enum Act {
    Pipe(Vec<u8>),
    Bad,
    Abort,
    Commit,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => proptest::collection::vec(0_u8..10, 0..4).prop_map(Act::Pipe),
        1 => Just(Act::Bad),
        2 => Just(Act::Abort),
        2 => Just(Act::Commit),
    ];
    proptest::collection::vec(act, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Invariants I1 and I4: after an abort, nothing of the attempt is observable.
    #[test]
    fn aborts_and_errors_change_nothing_in_the_end(acts in acts(), partitions in 1_u32..4) {
        let run = |disturbed: bool| {
            let driver = TopologyTestDriver::new(&word_count()).partitions("lines", partitions);
            let driver = driver.manual_commit();
            let lines = driver.input::<(), String>("lines").auto_advance(Duration::from_millis(1));
            for act in &acts {
                match act {
                    Act::Pipe(words) => {
                        let words: Vec<_> = words.iter().map(|word| format!("w{word}")).collect();
                        lines.pipe((), words.join(" "));
                    }
                    Act::Bad if disturbed => {
                        lines.try_pipe_raw(None, Some(b"\xff")).unwrap_err();
                    }
                    Act::Abort if disturbed => driver.abort(),
                    Act::Commit => driver.commit(),
                    _ => {}
                }
            }
            driver.commit();
            let output = driver.output::<String, i64>("counts");
            let counts = driver.store(COUNTS).all();
            // The bad record takes its turn among the partitions, and its time: order and times
            // may differ.
            (counts.sorted(), output.read_all().sorted())
        };
        prop_assert_eq!(run(true), run(false));
    }
}

#[test]
fn what_a_failing_commit_interval_wrote_is_given_up_together() {
    let mut topology = Topology::builder();
    let source = topology.add_source::<String, String>("source", "in");
    let checked = map(&mut topology, "check", &source, |key: String, value: String, ctx| {
        if value == "bad" { Err("a bad record".into()) } else { ctx.forward(key, value) }
    });
    let counts = count(&mut topology, &checked);
    topology.add_sink("sink", &[&counts], "out");
    let driver = TopologyTestDriver::new(&topology.build().unwrap()).manual_commit();
    let input = driver.input::<String, String>("in");
    let output = driver.output::<String, i64>("out");
    input.pipe("a", "x");
    input.try_pipe("a", "bad").unwrap_err();
    driver.commit();
    assert_eq!(
        output.read_all(),
        [("a", 1)],
        "the good one is processed again, the bad one is not"
    );
    input.pipe("a", "y");
    driver.commit();
    assert_eq!(output.read_all(), [("a", 2)]);
}

#[test]
fn a_processor_may_ask_for_a_commit() {
    let mut topology = Topology::builder();
    let source = topology.add_source::<String, i64>("source", "in");
    let asking = map(&mut topology, "ask", &source, |key: String, value: i64, ctx| {
        if value == 2 {
            ctx.request_commit();
        }
        ctx.forward(key, value)
    });
    topology.add_sink("sink", &[&asking], "out");
    let driver = TopologyTestDriver::new(&topology.build().unwrap()).manual_commit();
    let input = driver.input::<String, i64>("in");
    let output = driver.output::<String, i64>("out");
    input.pipe("a", 1);
    assert!(output.is_empty());
    input.pipe("a", 2);
    input.pipe("a", 3);
    assert_eq!(output.read_values(), [1, 2]);
}

#[test]
fn a_task_waits_for_its_empty_inputs_if_it_should() {
    let mut topology = Topology::builder();
    let left = topology.add_source::<String, String>("left", "left");
    let right = topology.add_source::<String, String>("right", "right");
    let merge = Arc::new(|(): &(), key: String, value: String, ctx: &mut Out<'_, _, _>| {
        ctx.forward(key, value)
    });
    let merged = topology
        .add_processor("merge", &[&left, &right], (), move |(), _| process_fn((), merge.clone()));
    topology.add_sink("sink", &[&merged], "out");
    let topology = topology.build().unwrap();
    let config = StreamsConfig::new("app", "unused:1").max_task_idle(Duration::from_secs(1));
    let driver = TopologyTestDriver::with_config(&topology, &config);
    let (left, right) =
        (driver.input::<String, String>("left"), driver.input::<String, String>("right"));
    let output = driver.output::<String, String>("out");
    left.pipe_at("a", "left", 20);
    assert!(output.is_empty());
    right.pipe_at("a", "right", 10);
    assert_eq!(output.read_values(), ["right"], "the older one goes first");
    driver.advance_wall_clock(Duration::from_millis(999));
    assert!(output.is_empty());
    driver.advance_wall_clock(Duration::from_millis(1));
    assert_eq!(output.read_values(), ["left"]);
}

#[test]
fn stores_can_be_filled_and_searched() {
    let driver = TopologyTestDriver::new(&plain_count());
    let store = driver.store(COUNTS);
    store.put("b", 5);
    store.put("c", 1);
    let input = driver.input::<String, String>("in");
    input.pipe_at("b", "x", 70);
    assert_eq!(store.get_with_timestamp("b"), Some((6, Timestamp::from_millis(70))));
    assert_eq!(store.all(), [("b", 6), ("c", 1)]);
    assert_eq!(store.range("b".to_owned().."c".to_owned()), [("b", 6)]);
    assert_eq!(store.delete("b"), Some(6));
    assert_eq!(store.get("b"), None);
    assert_eq!(driver.output_raw("test-counts-changelog").len(), 4);
    assert!(store.with(|mut store| store.contains(&"c".to_owned())).unwrap());
}

#[test]
fn mistakes_of_tests_are_told() {
    let topology = plain_count();
    let driver = TopologyTestDriver::new(&topology);
    let text = panic_of(|| drop(driver.input::<String, String>("im")));
    assert_eq!(text, "no source of the topology reads topic `im`; it reads: in");
    const COUTNS: StoreName<KeyValueStore<String, i64>> = StoreName::new("coutns");
    let text = panic_of(|| drop(driver.store(COUTNS)));
    assert_eq!(text, "there is no store `coutns` of that type; the stores are: counts");
    let text = panic_of(|| drop(driver.clone().partitions("in", 2)));
    assert_eq!(text, "options of a driver must be said before it is used");
    let config = StreamsConfig::new("app", "unused:1").set("max.task.idel.ms", 3);
    let text = panic_of(|| drop(TopologyTestDriver::with_config(&topology, &config)));
    assert!(text.contains("max.task.idle.ms"), "{text}");
}

#[test]
fn a_topology_may_feed_itself() {
    let mut topology = Topology::builder();
    let source = topology.add_source::<String, i64>("source", "circle");
    let next = map(&mut topology, "next", &source, |key: String, value: i64, ctx| {
        if value < 5 { ctx.forward(key, value + 1) } else { Ok(()) }
    });
    topology.add_sink("sink", &[&next], "circle");
    let driver = TopologyTestDriver::new(&topology.build().unwrap());
    driver.input::<String, i64>("circle").pipe("a", 1);
    assert_eq!(driver.output::<String, i64>("circle").read_values(), [1, 2, 3, 4, 5]);
}

#[test]
fn an_endless_circle_is_told() {
    let mut topology = Topology::builder();
    let source = topology.add_source::<String, i64>("source", "circle");
    topology.add_sink("sink", &[&source], "circle");
    let driver = TopologyTestDriver::new(&topology.build().unwrap());
    let error = driver.input::<String, i64>("circle").try_pipe("a", 1).unwrap_err();
    assert!(error.to_string().contains("write to a topic that it reads itself"), "{error}");
}

#[test]
fn headers_of_the_input_reach_the_output() {
    let mut topology = Topology::builder();
    let source = topology.add_source::<String, i64>("source", "in");
    topology.add_sink("sink", &[&source], "out");
    let driver = TopologyTestDriver::new(&topology.build().unwrap());
    let mut headers = Headers::new();
    headers.push("a", "1").push_null("n");
    let record =
        Record::new("k".to_owned(), 1_i64, Timestamp::from_millis(5)).with_headers(headers);
    driver.input("in").pipe_record(record.clone());
    assert_eq!(driver.output_raw("out")[0].headers, record.headers);
}

/// The text of the panic that `f` ends with.
fn panic_of(f: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}
