//! A scenario in this library's test driver, and its result in the words of the JVM's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use super::calls::{Calls, Rows};
use super::{Input, Scenario, Step};

/// Runs a scenario: its description, then what was written after each step, then what is in the
/// stores.
pub fn run(scenario: &Scenario) -> String {
    let cache = scenario.options.get("cache").is_some_and(|cache| cache == "on");
    let mut config = StreamsConfig::new("app", "localhost:9092").emit_on_commit(cache);
    if scenario.options.contains_key("optimize") {
        config = config.optimize();
    }
    let mut calls = Calls::default();
    if let Err(error) = scenario.ops.iter().try_for_each(|op| calls.call(op)) {
        return format!("topology\ninvalid: {error}\n");
    }
    let (topology, stores) = match calls.build(&config) {
        Ok(built) => built,
        Err(error) => return format!("topology\nrefused: {}\n", error.replace('\n', "; ")),
    };
    let driver = TopologyTestDriver::with_config(&topology, &config)
        .with_wall_clock(Timestamp::from_millis(0));
    let mut text = format!("topology\n{}\n", topology.describe().trim_end());
    let mut read = BTreeMap::new();
    for (number, step) in scenario.steps.iter().enumerate() {
        let _ = writeln!(text, "step {}", number + 1);
        if let Err(error) = pipe(&driver, step) {
            let error = format!("{error:?}").replace('\n', "; ");
            let _ = writeln!(text, "failed: {error}");
            return text;
        }
        for topic in driver.produced_topics() {
            let records = driver.output_raw(&topic);
            let seen = read.insert(topic.clone(), records.len()).unwrap_or(0);
            records[seen..].iter().for_each(|record| show_record(&mut text, &topic, record));
        }
    }
    text.push_str("stores\n");
    for (name, rows) in stores {
        show_store(&mut text, &driver, &name, rows);
    }
    text
}

fn pipe(driver: &TopologyTestDriver, step: &Step) -> Result<(), StreamsError> {
    let input = match step {
        Step::Wall(by) => {
            let by = Duration::from_millis(u64::try_from(*by).unwrap_or(0));
            return driver.try_advance_wall_clock(by);
        }
        Step::Record(input) => input,
    };
    let Input { topic, key, value, at, headers } = input;
    let headers =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_ref())).collect::<Headers>();
    let record = Record::new(key.clone(), value.clone(), Timestamp::from_millis(*at));
    driver
        .input::<Option<String>, Option<String>>(&**topic)
        .try_pipe_record(record.with_headers(headers))
}

fn show_record(text: &mut String, topic: &str, record: &streams_test::RawOutput) {
    let _ = write!(
        text,
        "  {topic} {} {} @{}",
        show_bytes(record.key.as_deref()),
        show_bytes(record.value.as_deref()),
        record.timestamp
    );
    for (n, (name, value)) in record.headers.iter().enumerate() {
        let before = if n == 0 { ' ' } else { ',' };
        let _ = write!(text, "{before}{name}:{}", show_bytes(value));
    }
    text.push('\n');
}

fn show_store(text: &mut String, driver: &TopologyTestDriver, name: &str, rows: Rows) {
    let mut row = |key: &str, value: &str, time: Timestamp| {
        let (key, value) = (show_bytes(Some(key.as_bytes())), show_bytes(Some(value.as_bytes())));
        let _ = writeln!(text, "  {name} {key} {value} @{}", time.as_millis());
    };
    // Names are constants in programs; here they come from a file.
    let name: &'static str = name.to_owned().leak();
    match rows {
        Rows::Texts => {
            let store = driver.store(StoreName::<KeyValueStore<String, String>>::new(name));
            for (key, value) in store.all().0 {
                let time = store.get_with_timestamp(&*key).map(|(_, time)| time);
                row(&key, &value, time.unwrap_or_default());
            }
        }
        Rows::Numbers => {
            let store = driver.store(StoreName::<KeyValueStore<String, i64>>::new(name));
            for (key, value) in store.all().0 {
                let time = store.get_with_timestamp(&*key).map(|(_, time)| time);
                row(&key, &value.to_string(), time.unwrap_or_default());
            }
        }
    }
}

/// Printable ASCII as it is, others as `\xNN`; `-` is null.
fn show_bytes(bytes: Option<&[u8]>) -> String {
    let bytes = match bytes {
        None => return "-".to_owned(),
        Some([]) => return "''".to_owned(),
        Some(b"-") => return "\\x2d".to_owned(),
        Some(bytes) => bytes,
    };
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'\\' {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}
