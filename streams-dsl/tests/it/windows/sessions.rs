//! Sessions.

use streams_dsl::core::task::DropReason;
use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use super::{join, ms, pipe, sessions};
use crate::driver;

const COUNTS: StoreName<SessionStore<String, i64>> = StoreName::new("counts");

fn counting(b: &StreamsBuilder, windows: SessionWindows) {
    b.stream::<String, String>("in").group_by_key().windowed_by(windows).count(COUNTS).to("out");
}

#[test]
fn records_extend_their_session() {
    let driver = driver(|b| counting(b, SessionWindows::gap(ms(5)).grace(ms(100))));
    pipe(&driver, &[("a", "", 0), ("a", "", 5), ("b", "", 6), ("a", "", 11), ("a", "", 3)]);
    assert_eq!(
        sessions::<i64>(&driver, "out"),
        [
            "a@0/0=1 t0",
            "a@0/0=- t0",
            "a@0/5=2 t5",
            "b@6/6=1 t6",
            "a@11/11=1 t11",
            "a@0/5=- t5",
            "a@0/5=3 t5",
        ]
    );
}

#[test]
fn a_record_between_two_sessions_merges_them() {
    let driver = driver(|b| {
        let add = |_: &String, value: String, all: &mut String| join(all, &value);
        let merge = |_: &String, one: String, other: String| {
            let mut merged = one;
            join(&mut merged, &other);
            merged
        };
        b.stream::<String, String>("in")
            .group_by_key()
            .windowed_by(SessionWindows::gap(ms(5)).grace(ms(100)))
            .aggregate(String::new, add, merge, "all")
            .to("out");
    });
    pipe(&driver, &[("a", "1", 0), ("a", "2", 10), ("a", "3", 5), ("a", "4", 10)]);
    assert_eq!(
        sessions::<String>(&driver, "out"),
        [
            "a@0/0=1 t0",
            "a@10/10=2 t10",
            "a@0/0=- t0",
            "a@10/10=- t10",
            "a@0/10=1+2+3 t10",
            "a@0/10=- t10",
            "a@0/10=1+2+3+4 t10",
        ]
    );
}

#[test]
fn a_session_of_one_instant_is_not_deleted_first() {
    let driver = driver(|b| counting(b, SessionWindows::gap(ms(5))));
    pipe(&driver, &[("a", "", 7), ("a", "", 7)]);
    assert_eq!(sessions::<i64>(&driver, "out"), ["a@7/7=1 t7", "a@7/7=2 t7"]);
}

/// As the JVM's `shouldLogAndMeterWhenSkippingLateRecordWithGrace`: gap 10, grace 1.
#[test]
fn late_sessions_are_dropped_unless_they_reach_an_open_one() {
    let driver = driver(|b| counting(b, SessionWindows::gap(ms(10)).grace(ms(1))));
    // Closed at 11: ends before 0.
    pipe(&driver, &[("a", "", 0), ("d", "", 11), ("a", "", 0), ("d", "", 12), ("a", "", 0)]);
    assert_eq!(driver.dropped_count(DropReason::Late), 1);
    // It reaches the session that is open.
    pipe(&driver, &[("d", "", 1)]);
    let out = sessions::<i64>(&driver, "out");
    assert_eq!(out.last().unwrap(), "d@1/12=3 t12");
}

#[test]
fn values_of_sessions_are_reduced() {
    let driver = driver(|b| {
        let numbers = b.stream::<String, i64>("numbers").group_by_key();
        let windows = SessionWindows::gap(ms(5)).grace(ms(100));
        numbers.windowed_by(windows).reduce(|a, b| a * 10 + b, "reduced").to("out");
    });
    let numbers = driver.input::<String, i64>("numbers");
    for (n, time) in [(1, 0), (2, 10), (3, 5)] {
        numbers.pipe_at("a", n, time);
    }
    assert_eq!(sessions::<i64>(&driver, "out").last().unwrap(), "a@0/10=123 t10");
}

#[test]
fn one_change_per_session_and_commit_on_request() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    let windows = SessionWindows::gap(ms(5)).grace(ms(100));
    stream.windowed_by(windows).count(Materialized::from("c").emit_on_commit(true)).to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).manual_commit();
    pipe(&driver, &[("a", "", 0), ("a", "", 3)]);
    driver.commit();
    // What came and went within a commit was never told.
    assert_eq!(sessions::<i64>(&driver, "out"), ["a@0/3=2 t3"]);
    pipe(&driver, &[("a", "", 4)]);
    driver.commit();
    assert_eq!(sessions::<i64>(&driver, "out"), ["a@0/3=2 t3", "a@0/3=- t3", "a@0/4=3 t4"]);
}

#[test]
fn an_aborted_attempt_leaves_neither_sessions_nor_time() {
    let builder = StreamsBuilder::new();
    counting(&builder, SessionWindows::gap(ms(5)));
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).manual_commit();
    pipe(&driver, &[("a", "", 10)]);
    driver.commit();
    assert_eq!(sessions::<i64>(&driver, "out"), ["a@10/10=1 t10"]);
    pipe(&driver, &[("a", "", 12), ("a", "", 1000), ("a", "", 13)]);
    driver.abort();
    driver.commit();
    let again = sessions::<i64>(&driver, "out");
    assert_eq!(again, ["a@10/10=1 t10", "a@10/10=- t10", "a@10/12=2 t12", "a@1000/1000=1 t1000"]);
    assert_eq!(driver.dropped_count(DropReason::Late), 1);
}
