//! Tumbling, hopping and unlimited windows.

use streams_dsl::core::task::DropReason;
use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use super::{join, ms, pipe, timed};
use crate::driver;

const COUNTS: StoreName<WindowStore<String, i64>> = StoreName::new("counts");

#[test]
fn each_window_of_a_key_is_counted() {
    let driver = driver(|b| {
        let windows = TimeWindows::tumbling(ms(10));
        b.stream::<String, String>("in")
            .group_by_key()
            .windowed_by(windows)
            .count(COUNTS)
            .to("out");
    });
    pipe(&driver, &[("a", "", 1), ("b", "", 2), ("a", "", 9), ("a", "", 10), ("b", "", 35)]);
    assert_eq!(
        timed::<i64>(&driver, "out", 10),
        ["a@0/10=1 t1", "b@0/10=1 t2", "a@0/10=2 t9", "a@10/20=1 t10", "b@30/40=1 t35"]
    );
    let stored = driver
        .store(COUNTS)
        .with(|mut store| store.get(&"b".to_owned(), Timestamp::from_millis(30)).unwrap().copied());
    assert_eq!(stored, Some(1));
}

/// As the JVM's `KStreamWindowAggregateTest::testAggBasic` has it.
#[test]
fn records_belong_to_all_windows_that_overlap() {
    let driver = driver(|b| {
        b.stream::<String, String>("in")
            .group_by_key()
            .windowed_by(TimeWindows::hopping(ms(10), ms(5)).grace(ms(100)))
            .aggregate(|| "0".to_owned(), |_, value, all| join(all, &value), "all")
            .to("out");
    });
    pipe(
        &driver,
        &[
            ("A", "1", 0),
            ("B", "2", 1),
            ("A", "1", 5),
            ("B", "2", 8),
            ("A", "1", 10),
            ("D", "4", 12),
            ("A", "1", 3),
        ],
    );
    assert_eq!(
        timed::<String>(&driver, "out", 10),
        [
            "A@0/10=0+1 t0",
            "B@0/10=0+2 t1",
            "A@0/10=0+1+1 t5",
            "A@5/15=0+1 t5",
            "B@0/10=0+2+2 t8",
            "B@5/15=0+2 t8",
            "A@5/15=0+1+1 t10",
            "A@10/20=0+1 t10",
            "D@5/15=0+4 t12",
            "D@10/20=0+4 t12",
            "A@0/10=0+1+1+1 t5",
        ]
    );
}

/// As the JVM's `shouldLogAndMeterWhenSkippingExpiredWindowByGrace`: size 10, advance 10, grace 90.
#[test]
fn records_later_than_the_grace_period_are_dropped_and_counted() {
    let driver = driver(|b| {
        let windows = TimeWindows::hopping(ms(10), ms(10)).grace(ms(90));
        let stream = b.stream::<String, String>("in").group_by_key();
        stream.windowed_by(windows).count("counts").to("out");
    });
    pipe(
        &driver,
        &[
            ("k", "", 200),
            ("k", "", 100),
            ("k", "", 101),
            ("k", "", 102),
            ("k", "", 103),
            ("k", "", 104),
            ("k", "", 105),
            ("k", "", 106),
            ("k", "", 6),
        ],
    );
    assert_eq!(timed::<i64>(&driver, "out", 10), ["k@200/210=1 t200"]);
    assert_eq!(driver.dropped_count(DropReason::Late), 8);
}

#[test]
fn a_window_that_is_open_takes_a_record_whose_other_windows_have_closed() {
    let driver = driver(|b| {
        let windows = TimeWindows::hopping(ms(10), ms(5));
        let stream = b.stream::<String, String>("in").group_by_key();
        stream.windowed_by(windows).count("counts").to("out");
    });
    pipe(&driver, &[("k", "", 12), ("k", "", 9)]);
    let rows = timed::<i64>(&driver, "out", 10);
    assert_eq!(rows, ["k@5/15=1 t12", "k@10/20=1 t12", "k@5/15=2 t12"]);
    assert_eq!(driver.dropped_count(DropReason::Late), 1);
}

#[test]
fn values_are_reduced_and_aggregates_may_delete_themselves() {
    let driver = driver(|b| {
        let numbers = b.stream::<String, i64>("numbers").group_by_key();
        let windows = || TimeWindows::tumbling(ms(10));
        numbers.windowed_by(windows()).reduce(|a, b| a.max(b), "max").to("max");
        let positive = |_: &String, n: i64, sum: &mut Option<i64>| {
            *sum = Some(sum.unwrap_or(0) + n).filter(|sum| *sum > 0);
        };
        numbers.windowed_by(windows()).aggregate_option(positive, "sums").to("sums");
    });
    let numbers = driver.input::<String, i64>("numbers");
    for (n, time) in [(3, 1), (5, 2), (-8, 3), (1, 4)] {
        numbers.pipe_at("a", n, time);
    }
    let max = timed::<i64>(&driver, "max", 10);
    assert_eq!(max, ["a@0/10=3 t1", "a@0/10=5 t2", "a@0/10=5 t3", "a@0/10=5 t4"]);
    let sums = timed::<i64>(&driver, "sums", 10);
    assert_eq!(sums, ["a@0/10=3 t1", "a@0/10=8 t2", "a@0/10=- t3", "a@0/10=1 t4"]);
}

#[test]
fn one_window_without_an_end() {
    let driver = driver(|b| {
        let windows = UnlimitedWindows::starting(Timestamp::from_millis(5));
        let stream = b.stream::<String, String>("in").group_by_key();
        stream.windowed_by(windows).count("counts").to("out");
    });
    pipe(&driver, &[("a", "", 5), ("a", "", 1_000_000_000_000), ("a", "", 6), ("a", "", 4)]);
    let end = i64::MAX;
    assert_eq!(
        timed::<i64>(&driver, "out", u64::MAX),
        [
            format!("a@5/{end}=1 t5"),
            format!("a@5/{end}=2 t1000000000000"),
            format!("a@5/{end}=3 t1000000000000"),
        ]
    );
    assert_eq!(driver.dropped_count(DropReason::Late), 0);
}

#[test]
fn windows_are_repartitioned_grouped_and_joined_as_other_tables() {
    let driver = driver(|b| {
        let windows = || TimeWindows::tumbling(ms(10)).grace(ms(100));
        let words = b.stream::<String, String>("in").group_by(|_, word| word.clone(), "by-word");
        let counts = words.windowed_by(windows()).count("counts");
        let lengths =
            words.windowed_by(windows()).aggregate(|| 0, |_, w, n| *n += w.len() as i64, "lengths");
        counts.join(&lengths, |_, count, length| count * 1000 + length).to("joined");
        counts
            .filter(|_, n| *n > 1)
            .group_by(|word, n| (word.key.clone(), *n), "by-word-again")
            .reduce(|a, b| a + b, |a, b| a - b, "totals")
            .to("totals");
    });
    pipe(&driver, &[("", "x", 1), ("", "x", 2), ("", "x", 12), ("", "x", 13), ("", "x", 3)]);
    let joined = timed::<i64>(&driver, "joined", 10);
    assert_eq!(joined.last().unwrap(), "x@0/10=3003 t3");
    let totals = driver.output::<String, Option<i64>>("totals").read_values();
    assert_eq!(totals.last().unwrap(), &Some(5));
}

#[test]
fn one_change_per_window_and_commit_on_request() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    let windows = TimeWindows::tumbling(ms(10));
    stream.windowed_by(windows).count(Materialized::from("c").emit_on_commit(true)).to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).manual_commit();
    pipe(&driver, &[("a", "", 1), ("b", "", 2), ("a", "", 5), ("a", "", 11)]);
    driver.commit();
    assert_eq!(timed::<i64>(&driver, "out", 10), ["b@0/10=1 t2", "a@0/10=2 t5", "a@10/20=1 t11"]);
}

#[test]
fn an_aborted_attempt_leaves_neither_rows_nor_time() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    stream.windowed_by(TimeWindows::tumbling(ms(10))).count(COUNTS).to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).manual_commit();
    pipe(&driver, &[("a", "", 5), ("a", "", 8)]);
    driver.commit();
    assert_eq!(timed::<i64>(&driver, "out", 10), ["a@0/10=1 t5", "a@0/10=2 t8"]);
    pipe(&driver, &[("a", "", 9), ("a", "", 1000), ("a", "", 7)]);
    driver.abort();
    driver.commit();
    // Once more, from the committed time on: 9 is not late, 7 is.
    let again = timed::<i64>(&driver, "out", 10);
    assert_eq!(again, ["a@0/10=1 t5", "a@0/10=2 t8", "a@0/10=3 t9", "a@1000/1010=1 t1000"]);
    assert_eq!(driver.dropped_count(DropReason::Late), 1);
}
