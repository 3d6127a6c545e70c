//! Joins of streams, beyond what the JVM's vectors show: null keys, the throttle, aborts.

use std::time::Duration;

use streams_core::task::DropReason;
use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

fn show(left: Option<&i64>, right: Option<&i64>) -> String {
    let show = |n: Option<&i64>| n.map_or("-".to_owned(), i64::to_string);
    format!("{}+{}", show(left), show(right))
}

fn within(ms: u64) -> JoinWindows {
    JoinWindows::within(Duration::from_millis(ms))
}

fn left_join() -> TopologyTestDriver {
    crate::driver(|b| {
        let (l, r) = (b.stream::<String, i64>("left"), b.stream::<String, i64>("right"));
        l.left_join(&r, |_, x, y| show(Some(x), y), within(10), "joined").to("out");
    })
}

#[test]
fn records_without_a_key_are_results_of_outer_joins_and_dropped_by_others() {
    let driver = crate::driver(|b| {
        let l = b.stream::<Option<String>, i64>("left");
        let r = b.stream::<Option<String>, i64>("right");
        l.join(&r, |_, x, y| show(Some(x), Some(y)), within(10), "inner").to("inner");
        l.left_join(&r, |_, x, y| show(Some(x), y), within(10), "left-join").to("left-join");
        let rekeyed = r.map(|k, v| (k, v));
        l.outer_join(&rekeyed, |_, x, y| show(x, y), within(10), "outer").to("outer");
    });
    driver.input::<Option<String>, i64>("left").pipe(None, 1);
    driver.input::<Option<String>, i64>("right").pipe(None, 2);
    let read = |topic: &str| driver.output::<Option<String>, String>(topic).read_values();
    assert!(read("inner").is_empty());
    assert_eq!(read("left-join"), ["1+-"]);
    assert_eq!(read("outer"), ["1+-", "-+2"]);
    // Both by the inner join, the right one by the left join.
    assert_eq!(driver.dropped_count(DropReason::NullKey), 3);
}

#[test]
fn unmatched_records_are_looked_for_once_a_second() {
    let driver = left_join();
    let (left, out) = (driver.input::<String, i64>("left"), driver.output::<String, String>("out"));
    left.pipe_at("a", 1, 0);
    left.pipe_at("b", 2, 1000);
    assert!(out.is_empty());
    driver.advance_wall_clock(Duration::from_secs(1));
    left.pipe_at("c", 3, 2000);
    assert_eq!(out.read_timed(), [("a", "1+-", 0), ("b", "2+-", 1000)]);
}

#[test]
fn a_record_that_waits_is_a_result_once_through_aborts_and_matches_after_them() {
    let driver = left_join().manual_commit();
    let (left, right) = (driver.input::<String, i64>("left"), driver.input::<String, i64>("right"));
    let out = driver.output::<String, String>("out");
    left.pipe_at("a", 1, 0);
    left.pipe_at("m", 5, 0);
    driver.commit();
    right.pipe_at("m", 6, 3);
    driver.abort();
    driver.commit();
    assert_eq!(out.read_timed(), [("m", "5+6", 3)]);
    driver.advance_wall_clock(Duration::from_secs(2));
    left.pipe_at("b", 2, 1000);
    driver.abort();
    driver.commit();
    assert_eq!(out.read_timed(), [("a", "1+-", 0)]);
}

#[test]
fn windows_that_hold_no_time_and_streams_without_serdes_are_refused() {
    let builder = StreamsBuilder::new();
    let (l, r) = (builder.stream::<String, i64>("l"), builder.stream::<String, i64>("r"));
    let windows = within(10).before_ms(-20);
    l.join(&r, |_, x, y| x + y, windows, "sums").to("out");
    let halves = l.map_values(|v| v / 2);
    halves.join(&r, |_, x, y| x + y, within(1), StreamJoined::inherit("inherited")).to("out2");
    let error = builder.build().unwrap_err().to_string();
    for part in ["JoinWindows::within() at ", "holds no time", "use StreamJoined::with"] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
}
