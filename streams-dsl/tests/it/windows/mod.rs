//! Aggregations in windows.

mod cogroups;
mod final_results;
mod hopping;
mod mistakes;
mod names;
mod panes;
mod sessions;
mod sliding;
mod suppression;

use std::time::Duration;

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What was written to `topic` by windows of that size: `key@start/end=value t<time>`.
fn timed<V: Data + DefaultSerde + std::fmt::Display>(
    driver: &TopologyTestDriver,
    topic: &str,
    size: u64,
) -> Vec<String> {
    let key = TimeWindowedKey { inner: Utf8, size: ms(size) };
    let topic = Consumed::with(topic, key, Option::<V>::default_serde());
    rows(driver.output::<Windowed<String>, Option<V>>(topic).read_records())
}

/// The same of sessions.
fn sessions<V: Data + DefaultSerde + std::fmt::Display>(
    driver: &TopologyTestDriver,
    topic: &str,
) -> Vec<String> {
    rows(driver.output::<SessionWindowed<String>, Option<V>>(topic).read_records())
}

fn rows<W: Window, V: std::fmt::Display>(
    records: Vec<Record<Windowed<String, W>, Option<V>>>,
) -> Vec<String> {
    let row = |record: Record<Windowed<String, W>, Option<V>>| {
        let key = record.key.to_string();
        let value = record.value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        format!("{}={value} t{}", key.trim_matches(['[', ']']), record.timestamp.as_millis())
    };
    records.into_iter().map(row).collect()
}

fn pipe(driver: &TopologyTestDriver, records: &[(&str, &str, i64)]) {
    let input = driver.input::<String, String>("in");
    for (key, value, time) in records {
        input.pipe_at(*key, *value, *time);
    }
}

fn join(all: &mut String, value: &str) {
    if !all.is_empty() {
        all.push('+');
    }
    all.push_str(value);
}
