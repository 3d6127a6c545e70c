//! Updates that are held back.

use std::time::Duration;

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use super::{ms, pipe, sessions, timed};
use crate::driver;

fn table(b: &StreamsBuilder, suppressed: Suppressed<String>) {
    b.table::<String, String>("table", "rows").suppress(suppressed).to("out");
}

fn updates(driver: &TopologyTestDriver, rows: &[(&str, Option<&str>, i64)]) {
    let input = driver.input::<String, Option<String>>("table");
    for (key, value, time) in rows {
        input.pipe_at(*key, value.map(str::to_owned), *time);
    }
}

fn out(driver: &TopologyTestDriver) -> Vec<String> {
    let records = driver.output::<String, Option<String>>("out").read_records();
    let row = |record: Record<String, Option<String>>| {
        let value = record.value.unwrap_or_else(|| "-".to_owned());
        format!("{}={value} t{}", record.key, record.timestamp.as_millis())
    };
    records.into_iter().map(row).collect()
}

#[test]
fn without_a_limit_everything_goes_on_at_once() {
    let driver = driver(|b| {
        table(b, Suppressed::until_time_limit(Duration::ZERO, Buffer::unbounded()));
    });
    updates(&driver, &[("a", Some("1"), 0), ("b", Some("1"), 1), ("a", None, 2)]);
    assert_eq!(out(&driver), ["a=1 t0", "b=1 t1", "a=- t2"]);
}

/// As the JVM's `SuppressScenarioTest::shouldSuppressIntermediateEventsWithTimeLimit`.
#[test]
fn one_update_of_a_key_in_the_time_limit() {
    let driver = driver(|b| table(b, Suppressed::until_time_limit(ms(2), Buffer::unbounded())));
    updates(&driver, &[("k1", Some("v1"), 0), ("k1", Some("v2"), 1), ("k2", Some("v1"), 2)]);
    assert_eq!(out(&driver), ["k1=v2 t1"]);
    updates(&driver, &[("tick", Some("tick"), 3)]);
    assert_eq!(out(&driver), ["k1=v2 t1"]);
    updates(&driver, &[("tick", Some("tick"), 4)]);
    assert_eq!(out(&driver), ["k1=v2 t1", "k2=v1 t2"]);
}

/// As the JVM's `shouldSuppressIntermediateEventsWithRecordLimit`.
#[test]
fn the_oldest_go_early_when_there_are_too_many() {
    let limit = Duration::from_secs(1_000_000);
    let driver = driver(|b| table(b, Suppressed::until_time_limit(limit, Buffer::max_records(1))));
    updates(&driver, &[("k1", Some("v1"), 0), ("k1", Some("v2"), 1), ("k2", Some("v1"), 2)]);
    assert_eq!(out(&driver), ["k1=v2 t1"]);
    updates(&driver, &[("x", Some("x"), 3)]);
    assert_eq!(out(&driver), ["k1=v2 t1", "k2=v1 t2"]);
}

/// As the JVM's `shouldSuppressIntermediateEventsWithBytesLimit`: 200 bytes are two or three rows.
#[test]
fn the_oldest_go_early_when_they_are_too_large() {
    let limit = Duration::from_secs(1_000_000);
    let one = 8 + 1 + 100 + 8 + 8 + "table".len() as u64 + 4;
    let driver =
        driver(|b| table(b, Suppressed::until_time_limit(limit, Buffer::max_bytes(2 * one))));
    let large = "x".repeat(100);
    for (at, key) in ["a", "b", "c"].into_iter().enumerate() {
        updates(&driver, &[(key, Some(large.as_str()), at as i64)]);
        assert_eq!(out(&driver).len(), usize::from(at == 2));
    }
}

#[test]
fn a_full_buffer_that_must_not_emit_early_is_an_error() {
    let limit = Duration::from_secs(1_000_000_000_000);
    let buffer = Buffer::max_records(1).shut_down_when_full();
    let driver = driver(|b| table(b, Suppressed::until_time_limit(limit, buffer)));
    updates(&driver, &[("a", Some("1"), 0)]);
    let input = driver.input::<String, Option<String>>("table");
    let error = input.try_pipe("b", Some("1".to_owned())).unwrap_err();
    assert!(format!("{error:?}").contains("the buffer of suppress() is full"), "{error:?}");
}

fn counts(b: &StreamsBuilder, windows: TimeWindows) -> KTable<Windowed<String>, i64> {
    let stream = b.stream::<String, String>("in").group_by_key();
    let counts = stream.windowed_by(windows).count("counts");
    counts.suppress(Suppressed::until_window_closes(Buffer::unbounded()))
}

/// As the JVM's `shouldSupportFinalResultsForTimeWindows`: size 2, grace 1.
#[test]
fn final_results_of_windows() {
    let driver = driver(|b| counts(b, TimeWindows::tumbling(ms(2)).grace(ms(1))).to("out"));
    pipe(
        &driver,
        &[
            ("k1", "v1", 0),
            ("k1", "v1", 1),
            ("k1", "v1", 2),
            ("k1", "v1", 1),
            ("k1", "v1", 0),
            ("k1", "v1", 5),
        ],
    );
    assert_eq!(timed::<i64>(&driver, "out", 2), ["k1@0/2=4 t1", "k1@2/4=1 t2"]);
    // Late: after the end and the grace of its window.
    pipe(&driver, &[("k1", "v1", 0), ("k1", "v1", 30)]);
    assert_eq!(timed::<i64>(&driver, "out", 2), ["k1@0/2=4 t1", "k1@2/4=1 t2", "k1@4/6=1 t5"]);
}

/// As the JVM's `shouldSupportFinalResultsForSessionWindows`: gap 5, no grace.
#[test]
fn final_results_of_sessions() {
    let driver = driver(|b| {
        let stream = b.stream::<String, String>("in").group_by_key();
        let counts = stream.windowed_by(SessionWindows::gap(ms(5))).count("counts");
        counts.suppress(Suppressed::until_window_closes(Buffer::unbounded())).to("out");
    });
    pipe(&driver, &[("k1", "", 0), ("k1", "", 5), ("k2", "", 9), ("k1", "", 11), ("k3", "", 20)]);
    // Of what a session was before it grew nothing is told.
    assert_eq!(sessions::<i64>(&driver, "out"), ["k1@0/5=2 t5", "k2@9/9=1 t9", "k1@11/11=1 t11"]);
}

#[test]
fn the_grace_of_windows_is_found_through_other_operators() {
    let driver = driver(|b| {
        let stream = b.stream::<String, String>("in").group_by_key();
        let windows = TimeWindows::tumbling(ms(2)).grace(ms(10));
        stream
            .windowed_by(windows)
            .count("counts")
            .filter(|_, n| *n > 1)
            .materialize(Materialized::inherit("many"))
            .suppress(Suppressed::until_window_closes(Buffer::unbounded()))
            .to("out");
    });
    pipe(&driver, &[("a", "", 0), ("b", "", 0), ("a", "", 1), ("a", "", 11)]);
    assert_eq!(timed::<i64>(&driver, "out", 2), [""; 0]);
    // Time is what reaches the operator.
    pipe(&driver, &[("a", "", 12), ("a", "", 12)]);
    assert_eq!(timed::<i64>(&driver, "out", 2), ["a@0/2=2 t1"]);
}

#[test]
fn those_below_see_the_table_as_it_was_emitted() {
    let driver = driver(|b| {
        let rows = b.table::<String, String>("table", "rows");
        let held = rows.suppress(Suppressed::until_time_limit(ms(10), Buffer::unbounded()));
        // What is subtracted is what was added before.
        held.group_by(|_, group| (group.clone(), 1_i64), "by-group")
            .reduce(|a, b| a + b, |a, b| a - b, "sizes")
            .to("sizes");
        let other = b.table::<String, String>("other", "others");
        other.join(&held, |_, a, b| format!("{a}{b}")).to("joined");
    });
    updates(&driver, &[("k", Some("x"), 0), ("tick", Some("t"), 10)]);
    updates(&driver, &[("k", Some("y"), 11), ("k", Some("z"), 12)]);
    driver.input::<String, String>("other").pipe_at("k", "o", 13);
    updates(&driver, &[("tick", Some("t"), 21)]);
    let sizes = driver.output::<String, i64>("sizes").read_map();
    assert_eq!((sizes["x"], sizes["z"], sizes.contains_key("y")), (0, 1, false));
    let joined = driver.output::<String, String>("joined").read_values();
    assert_eq!(joined, ["ox", "oz"]);
}

#[test]
fn headers_and_origin_are_those_of_the_latest_update() {
    let driver = driver(|b| table(b, Suppressed::until_time_limit(ms(2), Buffer::unbounded())));
    let input = driver.input::<String, Option<String>>("table");
    let at = Timestamp::from_millis;
    input.pipe_record(Record::new("a".into(), Some("1".into()), at(0)).header("h", "first"));
    input.pipe_record(Record::new("a".into(), Some("2".into()), at(1)).header("h", "second"));
    updates(&driver, &[("tick", Some("t"), 5)]);
    let emitted = driver.output::<String, Option<String>>("out").read().unwrap();
    assert_eq!(emitted.headers.get("h"), Some(&b"second"[..]));
}

#[test]
fn an_aborted_attempt_emits_nothing_and_holds_nothing_back() {
    let driver = driver(|b| table(b, Suppressed::until_time_limit(ms(10), Buffer::unbounded())))
        .manual_commit();
    updates(&driver, &[("a", Some("1"), 0), ("b", Some("1"), 1)]);
    driver.commit();
    updates(&driver, &[("c", Some("1"), 2), ("a", Some("2"), 3), ("tick", Some("t"), 10)]);
    driver.abort();
    driver.commit();
    assert_eq!(out(&driver), ["a=2 t3"]);
    updates(&driver, &[("tick", Some("t"), 100)]);
    driver.commit();
    assert_eq!(out(&driver), ["a=2 t3", "b=1 t1", "c=1 t2", "tick=t t100"]);
}

#[test]
fn the_changelog_is_the_jvms() {
    let driver = driver(|b| {
        let until = Suppressed::until_time_limit(ms(10), Buffer::unbounded());
        table(b, until.named("hold"));
    });
    updates(&driver, &[("a", Some("1"), 3), ("b", Some("2"), 13)]);
    let changelogs: Vec<_> = driver
        .produced_topics()
        .into_iter()
        .filter(|topic| topic.ends_with("hold-store-changelog"))
        .collect();
    let records = driver.output_raw(&changelogs[0]);
    let first = &records[0];
    assert_eq!(first.key.as_deref(), Some(&b"a"[..]));
    assert_eq!(first.headers.get("v"), Some(&[3][..]));
    let expected = [
        &3_i64.to_be_bytes()[..],
        &0_i64.to_be_bytes(),
        b"\0\0\0\x05table",
        &0_i32.to_be_bytes(),
        &0_i32.to_be_bytes(),
        &(-1_i32).to_be_bytes(),
        &(-1_i32).to_be_bytes(),
        b"\0\0\0\x011",
        &3_i64.to_be_bytes(),
    ]
    .concat();
    assert_eq!(first.value.as_deref(), Some(&expected[..]));
    let deleted = records.iter().find(|record| record.value.is_none()).unwrap();
    assert_eq!(deleted.key.as_deref(), Some(&b"a"[..]));
    assert!(deleted.headers.is_empty());
}

#[test]
fn names_are_the_jvms() {
    let describe = |name: Option<&str>| {
        let b = StreamsBuilder::new();
        let until = Suppressed::until_time_limit(ms(10), Buffer::unbounded());
        let until = match name {
            Some(name) => until.named(name),
            None => until,
        };
        b.table::<String, String>("table", "rows").suppress(until).to_stream().to("out");
        b.build().unwrap().describe().to_string()
    };
    let generated = describe(None);
    let part = "Processor: KTABLE-SUPPRESS-0000000002 (stores: \
                [KTABLE-SUPPRESS-STATE-STORE-0000000003])\n      --> KTABLE-TOSTREAM-0000000004";
    assert!(generated.contains(part), "{generated}");
    let named = describe(Some("hold"));
    let part = "Processor: hold (stores: [hold-store])\n      --> KTABLE-TOSTREAM-0000000002";
    assert!(named.contains(part), "{named}");
}

#[test]
fn windows_that_are_not_there_do_not_close() {
    let b = StreamsBuilder::new();
    let windowed = TimeWindowedKey { inner: Utf8, size: ms(10) };
    let topic = Consumed::with("counts", windowed, BigEndian);
    b.table::<Windowed<String>, i64>(topic, Materialized::inherit("counts"))
        .suppress(Suppressed::until_window_closes(Buffer::unbounded()))
        .to("out");
    let error = b.build().unwrap_err().to_string();
    assert!(error.contains("suppress() at ") && error.contains("no windowed"), "{error}");
}
