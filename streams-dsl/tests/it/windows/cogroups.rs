//! Several grouped streams in windows.

use streams_dsl::prelude::*;

use super::{ms, sessions, timed};
use crate::driver;

fn group(b: &StreamsBuilder) -> CogroupedKStream<String, i64> {
    let ones = b.stream::<String, String>("in").group_by_key();
    let tens = b.stream::<String, String>("tens").group_by_key();
    ones.cogroup(|| 0, |_, _, n: &mut i64| *n += 1).cogroup(&tens, |_, _, n| *n += 10)
}

fn pipe_both(driver: &streams_test::TopologyTestDriver) {
    let (ones, tens) =
        (driver.input::<String, String>("in"), driver.input::<String, String>("tens"));
    ones.pipe_at("a", "", 1);
    tens.pipe_at("a", "", 4);
    tens.pipe_at("a", "", 12);
}

#[test]
fn windows_of_two_streams() {
    let driver = driver(|b| {
        group(b).windowed_by_time(TimeWindows::tumbling(ms(10))).aggregate("n").to("out")
    });
    pipe_both(&driver);
    let rows = timed::<i64>(&driver, "out", 10);
    assert_eq!(rows, ["a@0/10=1 t1", "a@0/10=11 t4", "a@10/20=10 t12"]);
}

#[test]
fn sliding_windows_of_two_streams() {
    let driver =
        driver(|b| group(b).windowed_by_time(SlidingWindows::of(ms(10))).aggregate("n").to("out"));
    pipe_both(&driver);
    assert_eq!(
        timed::<i64>(&driver, "out", 10),
        ["a@0/10=1 t1", "a@2/12=10 t4", "a@0/10=11 t4", "a@2/12=20 t12", "a@5/15=10 t12",]
    );
}

#[test]
fn sessions_of_two_streams() {
    let driver = driver(|b| {
        let windows = SessionWindows::gap(ms(5));
        group(b).windowed_by_session(windows, |_, one, other| one + other).aggregate("n").to("out");
    });
    pipe_both(&driver);
    let rows = sessions::<i64>(&driver, "out");
    assert_eq!(rows, ["a@1/1=1 t1", "a@1/1=- t1", "a@1/4=11 t4", "a@12/12=10 t12"]);
}
