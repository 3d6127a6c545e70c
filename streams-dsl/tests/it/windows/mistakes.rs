//! Windows that cannot be: errors of `build()` that name the user's call.

use std::time::Duration;

use streams_dsl::prelude::*;

use super::ms;

#[track_caller]
fn refused<W: WindowDefinition>(
    windows: W,
    count: impl FnOnce(&W::Stream<String, String>),
) -> String {
    let b = StreamsBuilder::new();
    let windowed = b.stream::<String, String>("in").group_by_key().windowed_by(windows);
    count(&windowed);
    b.build().unwrap_err().to_string()
}

use streams_dsl::WindowDefinition;

fn time(
    windows: impl WindowDefinition<Stream<String, String> = TimeWindowedKStream<String, String>>,
) -> String {
    refused(windows, |windowed| windowed.count("counts").to("out"))
}

#[track_caller]
fn says(error: &str, parts: &[&str]) {
    for part in parts.iter().chain(&["mistakes.rs"]) {
        assert!(error.contains(part), "«{part}» is missing in: {error}");
    }
}

#[test]
fn sizes_that_are_none() {
    says(&time(TimeWindows::tumbling(Duration::ZERO)), &["TimeWindows::tumbling()", "size"]);
    says(&time(TimeWindows::tumbling(Duration::from_micros(999))), &["millisecond"]);
    says(&time(TimeWindows::hopping(ms(10), ms(0))), &["TimeWindows::hopping()", "advance"]);
    says(&time(TimeWindows::hopping(ms(10), ms(11))), &["TimeWindows::hopping()", "gaps"]);
    says(&time(TimeWindows::tumbling(Duration::MAX)), &["longer than time"]);
    says(&time(TimeWindows::tumbling(ms(1)).grace(Duration::MAX)), &["grace"]);
    says(&time(SlidingWindows::of(Duration::MAX)), &["SlidingWindows::of()"]);
    let before = UnlimitedWindows::starting(Timestamp::from_millis(-1));
    says(&time(before), &["UnlimitedWindows::starting()", "epoch"]);
    let sessions = refused(SessionWindows::gap(ms(0)), |windowed| windowed.count("c").to("out"));
    says(&sessions, &["SessionWindows::gap()", "gap"]);
}

#[test]
fn retention_that_ends_before_the_windows() {
    let short = |retention| Materialized::from("counts").retention(ms(retention));
    let windows = || TimeWindows::tumbling(ms(10)).grace(ms(5));
    let error = refused(windows(), |windowed| windowed.count(short(14)).to("out"));
    says(&error, &["count()", "14ms", "15ms", "retention"]);
    let error = refused(SlidingWindows::of(ms(10)), |w| w.count(short(19)).to("out"));
    says(&error, &["twice", "20ms"]);
    let error = refused(SessionWindows::gap(ms(10)), |w| w.count(short(9)).to("out"));
    says(&error, &["gap", "10ms"]);
    let b = StreamsBuilder::new();
    let stream = b.stream::<String, String>("in").group_by_key();
    stream.windowed_by(windows()).count(short(15)).to("out");
    assert!(b.build().is_ok());
}

#[test]
fn windows_that_never_close_have_no_final_results() {
    let error = refused(UnlimitedWindows::starting(Timestamp::default()), |windowed| {
        windowed.clone().emit(EmitStrategy::OnWindowClose).count("counts").to("out");
    });
    says(&error, &["count()", "never end"]);
}
