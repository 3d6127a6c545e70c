//! Each example runs on the embedded cluster and prints what it says it does.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs an example with this text as its standard input; what it printed.
fn run(name: &str, input: &str) -> String {
    let tests = std::env::current_exe().unwrap();
    let built: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    let mut child = Command::new(&built)
        .env_remove("STREAMS_BOOTSTRAP_SERVERS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", built.display()));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name} ended with {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn word_count_prints_the_most_frequent_words() {
    let printed = run("word_count", "to be or not\nto be: that is\n\nthe question, to be sure\n");
    let rows: Vec<_> =
        printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert!(rows.contains(&vec!["be", "3"]), "{printed}");
    assert!(rows.contains(&vec!["to", "3"]), "{printed}");
    assert!(rows.contains(&vec!["question", "1"]), "{printed}");
    assert!(printed.contains("3 lines, 13 words, 9 different ones"), "{printed}");
}

#[test]
fn stream_table_join_enriches_orders() {
    let printed = run("stream_table_join", "");
    for line in ["Ann ordered for 5", "Bob ordered for 7", "c3 ordered for 9"] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is missing in: {printed}");
    }
}

#[test]
fn processor_api_sums_payments() {
    let printed = run("processor_api", "");
    for line in ["ann has 8", "bob has 7"] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is missing in: {printed}");
    }
}

/// Runs an example without input; it has to print these lines.
#[track_caller]
fn assert_prints(name: &str, lines: &[&str]) {
    let printed = run(name, "");
    for line in lines {
        assert!(printed.lines().any(|printed| printed == *line), "{line} is missing in: {printed}");
    }
}

#[test]
fn order_payment_join_finds_payments() {
    assert_prints(
        "order_payment_join",
        &["o2: a chair was paid by card", "o1: a lamp was paid by invoice"],
    );
}

#[test]
fn foreign_key_join_names_customers_and_follows_them() {
    let lines = [
        "o1: Ann ordered for 5",
        "o2: Bob ordered for 7",
        "o3: Ann ordered for 9",
        "o1: Anna ordered for 5",
        "o3: Anna ordered for 9",
    ];
    assert_prints("foreign_key_join", &lines);
}

#[test]
fn inventory_reorders_what_runs_short() {
    assert_prints("inventory", &["lamp: 4 left, reorder 6"]);
}

#[test]
fn trades_add_up_to_zero() {
    assert_prints("trades", &["together 0"]);
}

#[test]
fn top_articles_are_final() {
    assert_prints("top_articles", &["minute 0: rust 2, kafka 1", "minute 1: rust 1, sql 1"]);
}

#[test]
fn session_activity_merges_sessions() {
    let merged = "ann clicked 4 times from 0 to 70 s";
    assert_prints("session_activity", &["bob clicked 1 times from 10 to 10 s", merged]);
}

#[test]
fn log_levels_alert_once_per_window() {
    let alerts = ["api: 3 errors from 0 to 60 s", "api: 3 errors from 30 to 90 s"];
    assert_prints("log_levels", &alerts);
}

#[test]
fn anomaly_detection_finds_three_failed_logins() {
    assert_prints("anomaly_detection", &["eve failed 3 times from 90 to 150 s"]);
}

#[test]
fn call_records_bill_each_day() {
    let ann = "ann owes 30 cents for 2 calls of day 0";
    assert_prints("call_records", &[ann, "bob owes 20 cents for 1 calls of day 1"]);
}

#[test]
fn page_views_by_region_count_in_overlapping_windows() {
    let lines = [
        "Europe: 1 views in minutes 0 and 1",
        "Asia: 1 views in minutes 0 and 1",
        "Europe: 2 views in minutes 0 and 1",
        "Europe: 1 views in minutes 1 and 2",
        "elsewhere: 1 views in minutes 1 and 2",
        "elsewhere: 1 views in minutes 2 and 3",
    ];
    assert_prints("page_views_by_region", &lines);
}

#[test]
fn enrich_with_global_table_looks_up_customers_and_products() {
    let lines = ["Ann: 2 lamps for 40", "Bob: 1 chairs for 45", "c3: 4 chairs for 180"];
    assert_prints("enrich_with_global_table", &lines);
}

#[test]
fn examples_are_short() {
    const NAMES: [&str; 14] = [
        "page_views_by_region",
        "word_count",
        "stream_table_join",
        "processor_api",
        "order_payment_join",
        "foreign_key_join",
        "inventory",
        "trades",
        "top_articles",
        "session_activity",
        "log_levels",
        "anomaly_detection",
        "call_records",
        "enrich_with_global_table",
    ];
    for name in NAMES {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("{name}.rs"));
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//"));
        let lines = code.count();
        assert!(lines < 80, "{name} has {lines} lines of code");
    }
}

#[test]
fn own_engine_goes_on_with_its_counts() {
    let counts = ["ann has bought 1 things", "bob has bought 1 things", "ann has bought 3 things"];
    assert_prints("own_engine", &counts);
    assert!(!run("own_engine", "").contains("missing"), "everything is in the engine");
}
