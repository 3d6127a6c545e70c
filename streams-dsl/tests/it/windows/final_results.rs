//! Results that are emitted when their window closes.

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use super::{ms, pipe, sessions, timed};

const INTERVAL: &str = "__emit.interval.ms.kstreams.windowed.aggregation__";

fn config(interval: u64) -> StreamsConfig {
    StreamsConfig::new("app", "localhost:9092").set(INTERVAL, interval)
}

fn on_close(
    interval: u64,
    describe: impl FnOnce(KGroupedStream<String, String>),
) -> TopologyTestDriver {
    let builder = StreamsBuilder::new();
    describe(builder.stream::<String, String>("in").group_by_key());
    TopologyTestDriver::with_config(
        &builder.build_with(&config(interval)).unwrap(),
        &config(interval),
    )
}

fn tumbling(interval: u64) -> TopologyTestDriver {
    on_close(interval, |group| {
        let windows = TimeWindows::tumbling(ms(10)).grace(ms(5));
        let windowed = group.windowed_by(windows).emit(EmitStrategy::OnWindowClose);
        windowed.count("counts").to("out");
    })
}

#[test]
fn a_window_is_emitted_once_when_its_grace_is_over() {
    let driver = tumbling(0);
    pipe(&driver, &[("b", "", 0), ("a", "", 5), ("a", "", 12), ("b", "", 3), ("a", "", 14)]);
    assert_eq!(timed::<i64>(&driver, "out", 10), [""; 0]);
    pipe(&driver, &[("a", "", 15)]);
    assert_eq!(timed::<i64>(&driver, "out", 10), ["a@0/10=1 t5", "b@0/10=2 t3"]);
    pipe(&driver, &[("a", "", 20), ("a", "", 24), ("a", "", 25)]);
    assert_eq!(timed::<i64>(&driver, "out", 10), ["a@0/10=1 t5", "b@0/10=2 t3", "a@10/20=3 t15"]);
}

#[test]
fn windows_are_looked_for_once_in_an_interval() {
    let driver = tumbling(1000);
    pipe(&driver, &[("a", "", 0), ("a", "", 15), ("a", "", 26)]);
    assert_eq!(timed::<i64>(&driver, "out", 10), [""; 0]);
    driver.advance_wall_clock(ms(1000));
    assert_eq!(timed::<i64>(&driver, "out", 10), [""; 0], "only a record can close a window");
    pipe(&driver, &[("a", "", 26)]);
    assert_eq!(timed::<i64>(&driver, "out", 10), ["a@0/10=1 t0", "a@10/20=1 t15"]);
}

#[test]
fn nothing_is_lost_when_time_makes_a_leap() {
    let driver = tumbling(1_000_000);
    pipe(&driver, &[("a", "", 0), ("a", "", 10), ("a", "", 10_000_000)]);
    assert_eq!(timed::<i64>(&driver, "out", 10), ["a@0/10=1 t0", "a@10/20=1 t10"]);
    pipe(&driver, &[("a", "", 20_000_000)]);
    assert_eq!(
        timed::<i64>(&driver, "out", 10),
        ["a@0/10=1 t0", "a@10/20=1 t10", "a@10000000/10000010=1 t10000000"]
    );
}

#[test]
fn nothing_is_emitted_twice_or_lost_by_an_abort() {
    let driver = tumbling(0).manual_commit();
    pipe(&driver, &[("a", "", 0), ("a", "", 10)]);
    driver.commit();
    pipe(&driver, &[("a", "", 20), ("a", "", 30)]);
    driver.abort();
    driver.commit();
    assert_eq!(timed::<i64>(&driver, "out", 10), ["a@0/10=1 t0", "a@10/20=1 t10"]);
    pipe(&driver, &[("a", "", 40)]);
    driver.abort();
    driver.commit();
    assert_eq!(timed::<i64>(&driver, "out", 10), ["a@0/10=1 t0", "a@10/20=1 t10", "a@20/30=1 t20"]);
}

#[test]
fn overlapping_windows_are_emitted_by_their_start() {
    let driver = on_close(0, |group| {
        let windows = TimeWindows::hopping(ms(10), ms(5));
        let windowed = group.windowed_by(windows).emit(EmitStrategy::OnWindowClose);
        windowed.count("counts").to("out");
    });
    pipe(&driver, &[("b", "", 7), ("a", "", 6), ("c", "", 12), ("a", "", 30)]);
    assert_eq!(
        timed::<i64>(&driver, "out", 10),
        [
            "a@0/10=1 t6",
            "b@0/10=1 t7",
            "a@5/15=1 t6",
            "b@5/15=1 t7",
            "c@5/15=1 t12",
            "c@10/20=1 t12",
        ]
    );
}

/// As the JVM's `KStreamSlidingWindowAggregateTest::testAggregateSmallInput`.
#[test]
fn sliding_windows() {
    let driver = on_close(0, |group| {
        let windows = SlidingWindows::of(ms(10)).grace(ms(5));
        let windowed = group.windowed_by(windows).emit(EmitStrategy::OnWindowClose);
        let add = |_: &String, value: String, all: &mut String| super::join(all, &value);
        windowed.aggregate(|| "0".to_owned(), add, "all").to("out");
    });
    pipe(
        &driver,
        &[
            ("A", "1", 10),
            ("A", "2", 10),
            ("A", "3", 14),
            ("A", "4", 15),
            ("A", "5", 20),
            ("A", "6", 22),
            ("A", "7", 30),
        ],
    );
    assert_eq!(
        timed::<String>(&driver, "out", 10),
        [
            "A@0/10=0+1+2 t10",
            "A@4/14=0+1+2+3 t14",
            "A@5/15=0+1+2+3+4 t15",
            "A@10/20=0+1+2+3+4+5 t20",
            "A@11/21=0+3+4+5 t20",
            "A@12/22=0+3+4+5+6 t22",
        ]
    );
}

#[test]
fn closed_sessions() {
    let driver = on_close(0, |group| {
        let windows = SessionWindows::gap(ms(5)).grace(ms(1));
        let windowed = group.windowed_by(windows).emit(EmitStrategy::OnWindowClose);
        windowed.count("counts").to("out");
    });
    pipe(&driver, &[("a", "", 0), ("b", "", 2), ("a", "", 4), ("a", "", 10)]);
    assert_eq!(sessions::<i64>(&driver, "out"), ["b@2/2=1 t2"]);
    pipe(&driver, &[("c", "", 11), ("c", "", 100)]);
    assert_eq!(
        sessions::<i64>(&driver, "out"),
        ["b@2/2=1 t2", "a@0/4=2 t4", "a@10/10=1 t10", "c@11/11=1 t11"]
    );
}
