//! Several grouped streams, one aggregate.

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use crate::driver;

const CARTS: StoreName<KeyValueStore<String, i64>> = StoreName::new("carts");

fn carts(b: &StreamsBuilder) -> CogroupedKStream<String, i64> {
    let added = b.stream::<String, i64>("added").group_by_key();
    let removed = b.stream::<String, String>("removed").group_by_key();
    added
        .cogroup(|| 100, |_, n, cart: &mut i64| *cart += n)
        .cogroup(&removed, |_, text, cart| *cart -= text.len() as i64)
}

#[test]
fn records_of_all_streams_change_one_aggregate() {
    let driver = driver(|b| carts(b).aggregate(CARTS).to("carts"));
    let (added, removed) =
        (driver.input::<String, i64>("added"), driver.input::<String, String>("removed"));
    added.pipe_at("ann", 5, 10);
    removed.pipe_at("ann", "xxx", 5);
    removed.pipe_at("bob", "x", 20);
    added.pipe_at("ann", 1, 30);
    let carts = driver.output::<String, i64>("carts");
    assert_eq!(
        carts.read_timed(),
        [("ann", 105, 10), ("ann", 102, 10), ("bob", 99, 20), ("ann", 103, 30)]
    );
    assert_eq!(driver.store(CARTS).get("ann"), Some(103));
}

#[test]
fn names_are_the_jvms() {
    let describe = |named: Option<&str>| {
        let b = StreamsBuilder::new();
        let table = carts(&b).aggregate(if named.is_some() {
            Materialized::from("carts")
        } else {
            auto().into()
        });
        match named {
            Some(name) => table.named(name).to("out"),
            None => table.to("out"),
        }
        b.build().unwrap().describe().to_string()
    };
    let generated = describe(None);
    for part in [
        "Processor: COGROUPKSTREAM-AGGREGATE-0000000003 (stores: [COGROUPKSTREAM-AGGREGATE-STATE-STORE-0000000002])\n      --> COGROUPKSTREAM-MERGE-0000000005",
        "Processor: COGROUPKSTREAM-AGGREGATE-0000000004 (stores: [COGROUPKSTREAM-AGGREGATE-STATE-STORE-0000000002])",
        "Processor: COGROUPKSTREAM-MERGE-0000000005 (stores: [])\n      --> KTABLE-TOSTREAM-0000000006",
    ] {
        assert!(generated.contains(part), "{part}\nis not in\n{generated}");
    }
    let named = describe(Some("cart"));
    for part in ["cart-cogroup-agg-0 (stores: [carts])", "cart-cogroup-agg-1", "cart-cogroup-merge"]
    {
        assert!(named.contains(part), "{part}\nis not in\n{named}");
    }
}

#[test]
fn each_input_is_repartitioned_if_need_be() {
    let driver = driver(|b| {
        let words = b.stream_values::<String>("words").group_by(|_, w| w.clone(), "words-by-word");
        let more = b.stream_values::<String>("more").group_by(|_, w| w.clone(), "more-by-word");
        words
            .cogroup(|| 0, |_, _, n: &mut i64| *n += 1)
            .cogroup(&more, |_, _, n| *n += 10)
            .aggregate("counts")
            .to("counts");
    });
    driver.input::<(), String>("words").pipe((), "a");
    driver.input::<(), String>("more").pipe_all([((), "a"), ((), "b")]);
    let counts = driver.output::<String, i64>("counts");
    assert_eq!(counts.read_all(), [("a", 1), ("a", 11), ("b", 10)]);
}

#[test]
fn one_change_per_key_and_commit_for_all_streams() {
    let b = StreamsBuilder::new();
    carts(&b).aggregate(Materialized::from("carts").emit_on_commit(true)).to("carts");
    let driver = TopologyTestDriver::new(&b.build().unwrap()).manual_commit();
    driver.input::<String, i64>("added").pipe("ann", 5);
    driver.input::<String, String>("removed").pipe("ann", "xxx");
    driver.commit();
    assert_eq!(driver.output::<String, i64>("carts").read_all(), [("ann", 102)]);
}

#[test]
fn an_aborted_attempt_leaves_nothing() {
    let b = StreamsBuilder::new();
    carts(&b).aggregate(CARTS).to("carts");
    let driver = TopologyTestDriver::new(&b.build().unwrap()).manual_commit();
    driver.input::<String, i64>("added").pipe("ann", 5);
    driver.input::<String, String>("removed").pipe("ann", "xxx");
    driver.abort();
    driver.commit();
    assert_eq!(driver.store(CARTS).get("ann"), Some(102));
    assert_eq!(driver.output::<String, i64>("carts").read_all(), [("ann", 105), ("ann", 102)]);
}

#[test]
fn a_group_cannot_be_taken_in_twice() {
    let b = StreamsBuilder::new();
    let added = b.stream::<String, i64>("added").group_by_key();
    added
        .cogroup(|| 0, |_, n, sum: &mut i64| *sum += n)
        .cogroup(&added, |_, n, sum| *sum -= n)
        .aggregate("sums")
        .to("sums");
    let error = b.build().unwrap_err().to_string();
    assert!(error.contains("cogroup() at ") && error.contains("cogroups.rs"), "{error}");
}

#[test]
fn aggregations_of_one_co_group_share_repartition_topics() {
    let b = StreamsBuilder::new();
    let words = b.stream_values::<String>("words").group_by(|_, w| w.clone(), auto());
    let counts = words.cogroup(|| 0, |_, _, n: &mut i64| *n += 1);
    counts.aggregate("first").to("out-first");
    counts.aggregate("second").to("out-second");
    let described = b.build().unwrap().describe().to_string();
    assert!(described.contains("first-repartition"), "{described}");
    assert!(!described.contains("second-repartition"), "{described}");
}
