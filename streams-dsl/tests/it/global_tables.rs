//! Global tables, global stores, and stores that are only read.

use streams_dsl::core::task::DropReason;
use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use crate::driver;

const NAMES: StoreName<KeyValueStore<String, String>> = StoreName::new("names");

/// The value of a record names the row; `-` names none.
fn enriching(b: &StreamsBuilder) {
    let names = b.global_table::<String, String>("names", "names");
    let orders = b.stream::<String, String>("orders");
    orders
        .join_global(&names, |_, of| of.clone(), |k, of, name| format!("{k}{of}{name}"))
        .to("inner");
    let key = |_: &String, of: &String| (of != "-").then(|| of.clone());
    let name = |_: &String, of, name: Option<&String>| format!("{of}{}", name.map_or("?", |n| n));
    orders.left_join_global(&names, key, name).to("left");
}

#[test]
fn a_record_meets_the_row_that_it_names() {
    let driver = driver(enriching);
    let names = driver.input::<String, String>("names");
    let orders = driver.input::<String, String>("orders");
    orders.pipe_at("o1", "a", 10);
    names.pipe_at("a", "ann", 500);
    orders.pipe_at("o2", "a", 20);
    orders.pipe_at("o3", "-", 25);
    names.pipe_at("a", "amy", 400);
    orders.pipe_at("o4", "a", 30);
    names.pipe_null_at("a", 600);
    orders.pipe_at("o5", "a", 40);
    // The time is the record's, not the row's; a row may be older than the one it replaces.
    let inner = driver.output::<String, String>("inner");
    assert_eq!(inner.read_timed(), [("o2", "o2aann", 20), ("o4", "o4aamy", 30)]);
    let left = driver.output::<String, String>("left");
    let wanted = [
        ("o1", "a?", 10),
        ("o2", "aann", 20),
        ("o3", "-?", 25),
        ("o4", "aamy", 30),
        ("o5", "a?", 40),
    ];
    assert_eq!(left.read_timed(), wanted);
    assert_eq!(driver.store(NAMES).get("a"), None);
    assert_eq!(driver.produced_topics(), ["inner", "left"], "there is no changelog");
}

#[test]
fn every_task_has_all_rows() {
    let builder = StreamsBuilder::new();
    enriching(&builder);
    let driver = TopologyTestDriver::new(&builder.build().unwrap())
        .partitions("orders", 3)
        .partitions("names", 4);
    let names = driver.input::<String, String>("names");
    let orders = driver.input::<String, String>("orders");
    let out = driver.output::<String, String>("inner");
    for round in 0..3 {
        for n in 0..20 {
            names.pipe(format!("{n}"), format!("r{round}"));
        }
        for n in 0..20 {
            orders.pipe(format!("o{}", n + round), format!("{n}"));
        }
        let mut out = out.read_values();
        out.sort();
        let mut wanted: Vec<_> = (0..20).map(|n| format!("o{}{n}r{round}", n + round)).collect();
        wanted.sort();
        assert_eq!(out, wanted);
    }
    assert_eq!(driver.store(NAMES).all().len(), 20);
}

#[test]
fn rows_do_not_move_time_and_null_keys_are_dropped() {
    let driver = driver(|b| {
        enriching(b);
        let windows = TimeWindows::tumbling(std::time::Duration::from_secs(1));
        b.stream::<String, i64>("numbers")
            .group_by_key()
            .windowed_by(windows)
            .count("counts")
            .to_stream()
            .map(|window, count| (window.key, count.unwrap_or(0)))
            .to("counted");
    });
    driver.input::<String, String>("names").pipe_at("a", "ann", 1_000_000);
    driver.input::<String, i64>("numbers").pipe_at("n", 1, 5);
    assert_eq!(driver.output::<String, i64>("counted").read_all(), [("n", 1)]);
    driver.input::<Option<String>, String>("names").pipe(None, "nobody");
    assert_eq!(driver.dropped_count(DropReason::NullKey), 1);
}

#[test]
fn what_is_written_to_the_topic_is_in_the_table() {
    let driver = driver(|b| {
        enriching(b);
        b.stream::<String, String>("changes").map_values(|v| v.to_uppercase()).to("names");
    });
    driver.input::<String, String>("changes").pipe("a", "ann");
    driver.input::<String, String>("orders").pipe("o", "a");
    assert_eq!(driver.output::<String, String>("inner").read_all(), [("o", "oaANN")]);
}

#[test]
fn a_test_may_fill_the_table_itself() {
    let driver = driver(enriching);
    driver.input::<String, String>("orders").pipe("o", "a");
    driver.store(NAMES).put("a", "ann");
    driver.input::<String, String>("orders").pipe("o", "a");
    assert_eq!(driver.output::<String, String>("inner").read_all(), [("o", "oaann")]);
}

#[test]
fn a_bad_record_is_the_deserialization_handlers() {
    let builder = StreamsBuilder::new();
    let limits = builder.global_table::<String, i64>("limits", "limits");
    let orders = builder.stream::<String, String>("orders");
    orders.join_global(&limits, |_, of| of.clone(), |_, _, limit| *limit).to("out");
    let topology = builder.build().unwrap();
    let config = || StreamsConfig::new("app", "nowhere:1");
    let poison = |driver: &TopologyTestDriver| {
        driver.input::<String, i64>("limits").try_pipe_raw(Some(b"a"), Some(b"no number"))
    };
    let driver = TopologyTestDriver::with_config(&topology, &config());
    let error = format!("{:?}", poison(&driver).unwrap_err());
    assert!(error.contains("cannot read the value"), "{error}");
    assert!(error.contains("limits"), "{error}");
    // The record was passed over.
    driver.input::<String, i64>("limits").pipe("b", 7);
    driver.input::<String, String>("orders").pipe("o", "b");
    assert_eq!(driver.output::<String, i64>("out").read_all(), [("o", 7)]);
    // There are no dead letters of global tables: they are skipped.
    for reaction in [Reaction::Skip, Reaction::DeadLetter { topic: "dead".into() }] {
        let config = config().on_deserialization_error(move |_, _| reaction.clone());
        let driver = TopologyTestDriver::with_config(&topology, &config);
        poison(&driver).unwrap();
        driver.input::<String, i64>("limits").pipe("a", 8);
        driver.input::<String, String>("orders").pipe("o", "a");
        assert_eq!(driver.output::<String, i64>("out").read_all(), [("o", 8)]);
        assert_eq!(driver.dropped_count(DropReason::Deserialization), 1);
        assert_eq!(driver.produced_topics(), ["out"]);
    }
}

/// The longest value of each first letter.
struct Longest(KeyValueHandle<String, String>);

impl Processor for Longest {
    type KIn = String;
    type VIn = String;
    type KOut = ();
    type VOut = ();

    fn process(
        &mut self,
        _: String,
        value: String,
        ctx: &mut ProcessorContext<'_, (), ()>,
    ) -> Result<(), BoxError> {
        if value == "bad" {
            return Err("a bad value".into());
        }
        let letter: String = value.chars().take(1).collect();
        let mut store = ctx.store(&self.0);
        if store.get(&letter)?.is_none_or(|longest| longest.len() < value.len()) {
            store.put(&letter, value)?;
        }
        Ok(())
    }
}

fn longest(b: &StreamsBuilder) {
    let store = Stores::key_value::<String, String>("longest");
    let longest = b.add_global_store(store, "words", |store, _| Longest(store));
    b.stream::<String, String>("letters")
        .process_values_fn(longest, |longest, key, letter, ctx| {
            let word = ctx.store(longest).get(&letter)?.cloned();
            ctx.forward(key, word.unwrap_or_default())
        })
        .to("out");
}

#[test]
fn a_global_store_has_what_its_processor_makes() {
    let driver = driver(longest);
    let words = driver.input::<String, String>("words");
    let letters = driver.input::<String, String>("letters");
    words.pipe_all([("1", "apple"), ("2", "axe"), ("3", "bee")]);
    letters.pipe_all([("x", "a"), ("x", "b"), ("x", "c")]);
    words.pipe("2", "apricot");
    letters.pipe("x", "a");
    let out = driver.output::<String, String>("out").read_values();
    assert_eq!(out, ["apple", "bee", "", "apricot"]);
}

#[test]
fn a_failing_global_processor_asks_its_handler_only_if_it_is_wanted() {
    let builder = StreamsBuilder::new();
    longest(&builder);
    let topology = builder.build().unwrap();
    let skipping =
        || StreamsConfig::new("app", "nowhere:1").on_processing_error(|_, _| Reaction::Skip);
    let driver = TopologyTestDriver::with_config(&topology, &skipping());
    let failed = driver.input::<String, String>("words").try_pipe("1", "bad");
    let error = format!("{:?}", failed.unwrap_err());
    assert!(error.contains("a bad value") && error.contains("KTABLE-SOURCE"), "{error}");
    let asked = skipping().set("processing.exception.handler.global.enabled", "true");
    let driver = TopologyTestDriver::with_config(&topology, &asked);
    driver.input::<String, String>("words").try_pipe("1", "bad").unwrap();
    driver.input::<String, String>("words").pipe("1", "good");
    driver.input::<String, String>("letters").pipe("x", "g");
    assert_eq!(driver.output::<String, String>("out").read_values(), ["good"]);
}

#[test]
fn names_and_text_are_the_jvms() {
    let builder = StreamsBuilder::new();
    let names = builder.global_table::<String, String>("names", auto());
    let orders = builder.stream::<String, String>("orders");
    let text = |_: &String, a: String, b: &String| a + b;
    orders.join_global(&names, |_, of| of.clone(), text).to("out");
    let store = Stores::key_value::<String, String>("longest");
    builder.add_global_store(store, "words", |store, _| Longest(store));
    let expected = "Topologies:
   Sub-topology: 0 for global store (will not generate tasks)
    Source: KSTREAM-SOURCE-0000000001 (topics: [names])
      --> KTABLE-SOURCE-0000000002
    Processor: KTABLE-SOURCE-0000000002 (stores: [names-STATE-STORE-0000000000])
      --> none
      <-- KSTREAM-SOURCE-0000000001
  Sub-topology: 1
    Source: KSTREAM-SOURCE-0000000003 (topics: [orders])
      --> KSTREAM-LEFTJOIN-0000000004
    Processor: KSTREAM-LEFTJOIN-0000000004 (stores: [])
      --> KSTREAM-SINK-0000000005
      <-- KSTREAM-SOURCE-0000000003
    Sink: KSTREAM-SINK-0000000005 (topic: out)
      <-- KSTREAM-LEFTJOIN-0000000004

  Sub-topology: 2 for global store (will not generate tasks)
    Source: KSTREAM-SOURCE-0000000006 (topics: [words])
      --> KTABLE-SOURCE-0000000007
    Processor: KTABLE-SOURCE-0000000007 (stores: [longest])
      --> none
      <-- KSTREAM-SOURCE-0000000006
";
    assert_eq!(builder.build().unwrap().describe(), expected);
}

#[track_caller]
fn mistakes(describe: impl FnOnce(&StreamsBuilder)) -> Vec<String> {
    let builder = StreamsBuilder::new();
    describe(&builder);
    let error = builder.build().unwrap_err();
    error.mistakes.into_iter().map(|mistake| mistake.to_string()).collect()
}

#[test]
fn mistakes_name_the_call() {
    type Describe = fn(&StreamsBuilder);
    let cases: Vec<(Describe, &str)> = vec![
        (
            |b| {
                b.global_table::<String, String>(["a", "b"], "s");
            },
            "global store `s` is fed by one topic",
        ),
        (
            |b| {
                b.global_table::<String, String>(Topics::pattern("a.*"), "s");
            },
            "global store `s` is fed by one topic",
        ),
        (
            |b| {
                b.stream::<String, String>("a").to("o");
                b.global_table::<String, String>("a", "s");
            },
            "the topic \"a\" is already read by stream() at",
        ),
        (
            |b| {
                let a = Consumed::<String, String>::from("a").offset_reset(OffsetReset::Latest);
                b.global_table(a, "s");
            },
            "leave offset_reset() out",
        ),
        (
            |b| {
                b.global_table::<String, Option<String>>("a", "s");
            },
            "in a table null deletes the key",
        ),
        (
            |b| {
                let day = std::time::Duration::from_secs(24 * 3600);
                b.global_table::<String, String>("a", Materialized::from("s").versioned(day));
            },
            "cannot be versioned",
        ),
        (
            |b| {
                b.global_table::<String, String>("a", "s");
                b.table::<String, String>("b", "s").to_stream().for_each(|_, _| ());
            },
            "store `s` is written by `KTABLE-SOURCE-0000000001` alone",
        ),
        (
            |b| {
                let store = Stores::key_value::<String, String>("s");
                b.add_global_store(store.clone(), "a", |store, _| Longest(store));
                b.stream::<String, String>("b")
                    .process(store, |store, _| Longest(store))
                    .for_each(|(), ()| ());
            },
            "connect others to what the call that added it has returned",
        ),
        (
            |b| {
                let a = StreamsBuilder::new();
                let other = a.global_table::<String, String>("a", "s");
                b.stream::<String, String>("b")
                    .join_global(&other, |_, v| v.clone(), |_, a, b| a + b)
                    .to("o");
            },
            "the two handles come from different builders",
        ),
    ];
    for (describe, part) in cases {
        let found = mistakes(describe);
        let here = found.iter().any(|m| m.contains(part) && m.contains("global_tables.rs"));
        assert!(here, "«{part}» is missing in {found:?}");
    }
}

#[test]
#[should_panic(expected = "has timers, which are called only in tasks")]
fn timers_of_global_processors_are_refused() {
    let builder = StreamsBuilder::new();
    let store = Stores::key_value::<String, String>("longest");
    builder.add_global_store(store, "words", |store, init| {
        init.every_wall_clock(std::time::Duration::from_secs(1), |_: &mut Longest, _, _| Ok(()));
        Longest(store)
    });
    builder.stream::<String, String>("b").to("c");
    let driver = TopologyTestDriver::new(&builder.build().unwrap());
    driver.input::<String, String>("words").pipe("1", "a");
}

/// Puts each record as it is.
struct Mirror(KeyValueHandle<String, String>);

impl Processor for Mirror {
    type KIn = String;
    type VIn = Option<String>;
    type KOut = ();
    type VOut = ();

    fn process(
        &mut self,
        key: String,
        value: Option<String>,
        ctx: &mut ProcessorContext<'_, (), ()>,
    ) -> Result<(), BoxError> {
        let now = ctx.timestamp();
        match value {
            Some(value) => ctx.store(&self.0).put_at(&key, value, now),
            None => ctx.store(&self.0).delete_at(&key, now),
        }
    }
}

#[test]
fn a_read_only_store_is_written_by_its_processor_and_read_by_others() {
    let mut builder = Topology::builder();
    let store = Stores::key_value::<String, String>("mirror");
    let mirror = builder.add_read_only_store(
        "rows",
        Consumed::<String, Option<String>>::from("rows").skip_null_keys(),
        "mirror-rows",
        store.clone(),
        |store, _| Mirror(store),
    );
    let asked = builder.add_source::<String, String>("asked", "asked");
    let answer = builder.add_processor("answer", &[&asked], &mirror, |mirror, _| Answer(mirror));
    builder.add_sink("sink", &[&answer], "out");
    let topology = builder.build().unwrap();
    assert_eq!(topology.subtopologies().collect::<Vec<_>>(), [0], "one task has all of it");
    let driver = TopologyTestDriver::new(&topology);
    let rows = driver.input::<String, Option<String>>("rows");
    let asked = driver.input::<String, String>("asked");
    rows.pipe("a", Some("1".to_owned()));
    asked.pipe("a", "?");
    rows.pipe("a", None::<String>);
    asked.pipe("a", "?");
    assert_eq!(driver.output::<String, String>("out").read_values(), ["1", "none"]);
    assert_eq!(driver.produced_topics(), ["out"], "its topic is its changelog");
}

struct Answer(ReadOnlyHandle<String, String>);

impl Processor for Answer {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        _: String,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        let row = ctx.store(&self.0).get(&key)?.cloned();
        ctx.forward(key, row.unwrap_or_else(|| "none".to_owned()))
    }
}

#[test]
fn a_read_only_store_is_not_written_by_others() {
    let mut builder = Topology::builder();
    let store = Stores::key_value::<String, String>("mirror");
    let rows = Consumed::<String, Option<String>>::from("rows");
    builder.add_read_only_store("rows", rows, "mirror", store.clone(), |store, _| Mirror(store));
    let other = builder.add_source::<String, Option<String>>("other", "other");
    builder.add_processor("writer", &[&other], store, |store, _| Mirror(store));
    let error = builder.build().unwrap_err().to_string();
    assert!(error.contains("store `mirror` is written by `mirror` alone"), "{error}");
}
