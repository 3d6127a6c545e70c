//! Joins, as Kafka Streams 4.1 itself describes and processes them: `join_vectors/JoinVectors.java`
//! wrote the topologies' descriptions, and what random records became, with times. Here the same
//! calls must give the same.

use std::time::Duration;

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

type Rows<V = i64> = KTable<String, V>;

fn table(b: &StreamsBuilder, topic: &str) -> Rows {
    b.table(topic, auto())
}

/// Writes a table as text, deletions as null.
fn out<V: Data + ToString>(table: &Rows<V>, topic: &str) {
    table.to_stream().map_values(|v| v.map(|v| v.to_string())).to(topic);
}

fn show<V: ToString, V2: ToString>(left: Option<&V>, right: Option<&V2>) -> String {
    let left = left.map_or("-".to_owned(), ToString::to_string);
    let right = right.map_or("-".to_owned(), ToString::to_string);
    format!("{left}+{right}")
}

fn both<K, V: ToString, V2: ToString>(_: &K, left: &V, right: &V2) -> String {
    show(Some(left), Some(right))
}

fn left<K, V: ToString, V2: ToString>(_: &K, left: &V, right: Option<&V2>) -> String {
    show(Some(left), right)
}

/// No key for values that leave a rest of 3.
fn fk(_: &String, v: &i64) -> Option<String> {
    ["a", "b", "c"].get((v % 4) as usize).map(|key| (*key).to_owned())
}

struct Vector {
    title: &'static str,
    calls: fn(&StreamsBuilder),
    /// Whether random records were sent through it.
    has_results: bool,
}

fn vector(title: &'static str, calls: fn(&StreamsBuilder)) -> Vector {
    Vector { title, calls, has_results: true }
}

fn vectors() -> Vec<Vector> {
    vec![
        vector("foreign keys", |b| {
            let (l, r) = (table(b, "left"), table(b, "right"));
            out(&l.join_on(&r, fk, both, auto()), "a");
            out(&l.left_join_on(&r, fk, left, "fk"), "b");
            let same = l.join_on(&r, |k, _| Some(k.clone()), both, "same");
            out(&same.materialize("joined"), "c");
        }),
        vector("foreign keys with filters and stores", |b| {
            let (l, r) = (table(b, "left"), table(b, "right"));
            let high = l.filter(|_, v| *v > 2);
            let tens = r.map_values(|v| v * 10).materialize("tens");
            let joined = high.left_join_on(&tens, fk, left, auto());
            let joined = joined.materialize("joined");
            out(&joined, "a");
            out(&joined.join(&r, both), "b");
            out(&joined.filter(|_, v| v.ends_with('0')), "c");
        }),
        vector("filters below stores", |b| {
            let (l, r) = (b.table::<String, i64>("left", "rows"), table(b, "right"));
            out(&l.filter(|_, v| *v > 4), "a");
            let high = l.map_values(|v| v * 2).filter(|_, v| *v > 8);
            out(&high.filter_not(|_, v| *v == 10).materialize("f"), "b");
            let joined = r.filter(|_, v| *v > 4).left_join(&l, left);
            out(&joined.filter(|_, v| v.ends_with('-')), "c");
        }),
        vector("filters before and after a store is needed, of tables", |b| {
            let (l, r) = (table(b, "left"), table(b, "right"));
            out(&l.filter(|_, v| *v > 4), "a");
            let _joined = r.join(&l, both);
            out(&l.filter(|_, v| *v > 4), "b");
            let values = l.to_stream().drop_null_values();
            let sums = values.group_by_key().reduce(|x, y| x + y, "sums");
            out(&sums.filter(|_, v| v % 2 == 0), "c");
        }),
    ]
}

/// The vectors of a file, by title.
fn sections(file: &'static str) -> Vec<(&'static str, &'static str)> {
    file.split("# ").skip(1).map(|section| section.split_once('\n').unwrap()).collect()
}

fn section(file: &'static str, title: &str) -> &'static str {
    let found = sections(file).into_iter().find(|(of, _)| *of == title);
    found.unwrap_or_else(|| panic!("the JVM was not asked about {title:?}")).1
}

#[test]
fn descriptions_are_the_jvms_byte_for_byte() {
    let file = include_str!("join_vectors/descriptions.txt");
    let mut different = Vec::new();
    for Vector { title, calls, .. } in vectors() {
        let wanted = section(file, title);
        let builder = StreamsBuilder::new();
        calls(&builder);
        let described = builder.build().map(|t| t.describe()).unwrap_or_else(|e| e.to_string());
        if described != wanted {
            different.push(format!("{title}\n--- JVM\n{wanted}--- here\n{described}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Pipes what follows `>`, and writes down what comes out after each record.
fn run(calls: fn(&StreamsBuilder), vector: &str, abort_each: Option<usize>) -> String {
    let builder = StreamsBuilder::new();
    calls(&builder);
    let mut driver = TopologyTestDriver::new(&builder.build().unwrap());
    if abort_each.is_some() {
        driver = driver.manual_commit();
    }
    let outputs =
        ["a", "b", "c"].map(|topic| (topic, driver.output::<String, Option<String>>(topic)));
    let mut seen = String::new();
    let inputs = vector.lines().filter_map(|line| line.strip_prefix("> "));
    for (at, input) in inputs.enumerate() {
        seen.push_str(&format!("> {input}\n"));
        match input.split(' ').collect::<Vec<_>>()[..] {
            ["clock", by] => driver.advance_wall_clock(Duration::from_millis(by.parse().unwrap())),
            [topic, key, value, time] => {
                let value: Option<i64> = value.parse().ok();
                let input = driver.input::<String, Option<i64>>(topic);
                input.pipe_at(key, value, time.parse::<i64>().unwrap());
            }
            _ => panic!("not an input: {input}"),
        }
        if let Some(each) = abort_each {
            if at % each == 0 {
                driver.abort();
            }
            driver.commit();
        }
        for (topic, output) in &outputs {
            for (key, value, time) in output.read_timed() {
                let value = value.as_deref().unwrap_or("null");
                seen.push_str(&format!("{topic} {key} {value} {time}\n"));
            }
        }
    }
    seen
}

#[track_caller]
fn assert_results(abort_each: Option<usize>) {
    let file = include_str!("join_vectors/results.txt");
    let mut different = Vec::new();
    for Vector { title, calls, .. } in vectors().into_iter().filter(|v| v.has_results) {
        let wanted = section(file, title);
        let seen = run(calls, wanted, abort_each);
        if let Some(at) = seen.lines().zip(wanted.lines()).position(|(s, w)| s != w) {
            let around = |text: &str| {
                text.lines().skip(at.saturating_sub(12)).take(18).collect::<Vec<_>>().join("\n")
            };
            different.push(format!(
                "## {title}, line {at}\n--- JVM\n{}\n--- here\n{}\n",
                around(wanted),
                around(&seen)
            ));
        } else {
            assert_eq!(seen.len(), wanted.len(), "{title}");
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn results_are_the_jvms() {
    assert_results(None);
}

/// The same if each attempt but the last is given up: operators hold nothing that they cannot
/// rebuild.
#[test]
fn results_are_the_same_through_aborts() {
    assert_results(Some(3));
}
