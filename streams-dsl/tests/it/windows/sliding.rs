//! Sliding windows.

use std::collections::BTreeMap;

use proptest::prelude::*;
use streams_dsl::core::task::DropReason;
use streams_dsl::prelude::*;

use super::{join, ms, pipe, timed};
use crate::driver;

const ALL: StoreName<WindowStore<String, String>> = StoreName::new("all");

fn sliding(b: &StreamsBuilder, windows: SlidingWindows) {
    let stream = b.stream::<String, String>("in").group_by_key();
    let add = |_: &String, value: String, all: &mut String| join(all, &value);
    stream.windowed_by(windows).aggregate(|| "0".to_owned(), add, ALL).to("out");
}

/// By the start of a window, what was forwarded of it.
fn by_start(rows: Vec<String>) -> BTreeMap<i64, Vec<String>> {
    let mut windows = BTreeMap::<i64, Vec<String>>::new();
    for row in rows {
        let (window, value) = row.split_once('=').unwrap();
        let start = window[2..].split_once('/').unwrap().0.parse().unwrap();
        windows.entry(start).or_default().push(value.to_owned());
    }
    windows
}

#[track_caller]
fn check(rows: Vec<String>, expected: &[(i64, &[&str])]) {
    let expected = expected.iter().map(|(start, rows)| {
        (*start, rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>())
    });
    assert_eq!(by_start(rows), expected.collect());
}

/// As the JVM's `KStreamSlidingWindowAggregateTest::testAggregateSmallInput`.
#[test]
fn windows_begin_and_end_with_records() {
    let driver = driver(|b| sliding(b, SlidingWindows::of(ms(10)).grace(ms(5))));
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
    check(
        timed::<String>(&driver, "out", 10),
        &[
            (0, &["0+1 t10", "0+1+2 t10"]),
            (4, &["0+1+2+3 t14"]),
            (5, &["0+1+2+3+4 t15"]),
            (10, &["0+1+2+3+4+5 t20"]),
            (11, &["0+3 t14", "0+3+4 t15", "0+3+4+5 t20"]),
            (12, &["0+3+4+5+6 t22"]),
            (15, &["0+4 t15", "0+4+5 t20", "0+4+5+6 t22"]),
            (16, &["0+5 t20", "0+5+6 t22"]),
            (20, &["0+5+6+7 t30"]),
            (21, &["0+6 t22", "0+6+7 t30"]),
            (23, &["0+7 t30"]),
        ],
    );
}

/// As the JVM's `testEarlyRecordsSmallInput`.
#[test]
fn records_near_the_epoch_share_a_window() {
    let driver = driver(|b| sliding(b, SlidingWindows::of(ms(50))));
    pipe(
        &driver,
        &[
            ("A", "1", 0),
            ("A", "2", 5),
            ("A", "3", 6),
            ("A", "4", 3),
            ("A", "5", 13),
            ("A", "6", 10),
            ("A", "7", 70),
        ],
    );
    check(
        timed::<String>(&driver, "out", 50),
        &[
            (
                0,
                &[
                    "0+1 t0",
                    "0+1+2 t5",
                    "0+1+2+3 t6",
                    "0+1+2+3+4 t6",
                    "0+1+2+3+4+5 t13",
                    "0+1+2+3+4+5+6 t13",
                ],
            ),
            (1, &["0+2 t5", "0+2+3 t6", "0+2+3+4 t6", "0+2+3+4+5 t13", "0+2+3+4+5+6 t13"]),
            (4, &["0+2+3 t6", "0+2+3+5 t13", "0+2+3+5+6 t13"]),
            (6, &["0+3 t6", "0+3+5 t13", "0+3+5+6 t13"]),
            (7, &["0+5 t13", "0+5+6 t13"]),
            (11, &["0+5 t13"]),
            (20, &["0+7 t70"]),
        ],
    );
}

#[test]
fn late_records_are_dropped_and_counted() {
    let driver = driver(|b| sliding(b, SlidingWindows::of(ms(10)).grace(ms(5))));
    pipe(&driver, &[("A", "1", 100), ("A", "2", 84), ("A", "3", 85)]);
    // The first is too late for any window, the second only for the window that it ends.
    assert_eq!(driver.dropped_count(DropReason::Late), 2);
    check(timed::<String>(&driver, "out", 10), &[(90, &["0+1 t100"])]);
}

/// The windows that records have, by brute force: start to values.
fn model(difference: i64, records: &[i64]) -> BTreeMap<i64, Vec<i64>> {
    let mut windows = BTreeMap::new();
    let within = |start: i64| {
        let mut held: Vec<_> = records
            .iter()
            .copied()
            .filter(|time| (start..=start + difference).contains(time))
            .collect();
        held.sort_unstable();
        held
    };
    for time in records {
        let left = (time - difference).max(0);
        windows.insert(left, within(left));
        let right = within(time + 1);
        if !right.is_empty() {
            windows.insert(time + 1, right);
        }
    }
    windows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn each_set_of_records_within_the_difference_has_its_window(
        difference in 0..12_i64,
        times in proptest::collection::vec(0..40_i64, 1..12),
    ) {
        let driver = driver(|b| {
            let windows = SlidingWindows::of(ms(difference as u64)).grace(ms(1000));
            sliding(b, windows);
        });
        let records: Vec<_> = times.iter().map(|time| time.to_string()).collect();
        for (time, value) in times.iter().zip(&records) {
            pipe(&driver, &[("A", value.as_str(), *time)]);
        }
        let stored: BTreeMap<i64, Vec<i64>> = driver
            .store(ALL)
            .rows(|store| store.all())
            .into_iter()
            .map(|row| {
                let mut held: Vec<i64> =
                    row.value.split('+').skip(1).map(|n| n.parse().unwrap()).collect();
                held.sort_unstable();
                (row.windowed.window.start.as_millis(), held)
            })
            .collect();
        prop_assert_eq!(stored, model(difference, &times));
    }
}
