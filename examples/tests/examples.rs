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
fn examples_are_short() {
    for name in [
        "word_count",
        "stream_table_join",
        "processor_api",
        "order_payment_join",
        "foreign_key_join",
        "inventory",
        "trades",
    ] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("{name}.rs"));
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//"));
        let lines = code.count();
        assert!(lines < 80, "{name} has {lines} lines of code");
    }
}
