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

fn either<K, V: ToString, V2: ToString>(_: &K, left: Option<&V>, right: Option<&V2>) -> String {
    show(left, right)
}

fn stream(b: &StreamsBuilder, topic: &str) -> KStream<String, i64> {
    b.stream(topic)
}

fn out_stream(stream: &KStream<String, String>, topic: &str) {
    stream.map_values(Some).to(topic);
}

fn within(ms: u64) -> JoinWindows {
    JoinWindows::within(Duration::from_millis(ms))
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
    optimized: bool,
}

fn vector(title: &'static str, calls: fn(&StreamsBuilder)) -> Vector {
    Vector { title, calls, has_results: true, optimized: false }
}

impl Vector {
    fn build(&self) -> Result<Topology, TopologyError> {
        let builder = StreamsBuilder::new();
        (self.calls)(&builder);
        let mut config = StreamsConfig::new("test", "localhost:9092");
        // As the JVM's test driver has it.
        config = config.set("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__", 0);
        if self.optimized {
            config = config.set("topology.optimization", "single.store.self.join");
        }
        builder.build_with(&config)
    }
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
        vector("stream joins", |b| {
            let (l, r) = (stream(b, "left"), stream(b, "right"));
            out_stream(&l.join(&r, both, within(50), auto()), "a");
            out_stream(&l.left_join(&r, left, within(50), auto()), "b");
            out_stream(&l.outer_join(&r, either, within(50), auto()), "c");
        }),
        vector("stream joins with grace and uneven windows", |b| {
            let (l, r) = (stream(b, "left"), stream(b, "right"));
            let windows = || within(30).grace(Duration::from_millis(40));
            let names = StreamJoined::from("i").store_name("is");
            out_stream(&l.join(&r, both, windows().before_ms(60), names), "a");
            let names = StreamJoined::from(auto()).named("l");
            out_stream(&l.left_join(&r, left, windows().after_ms(0), names), "b");
            let names = StreamJoined::from("o").store_name("os");
            out_stream(&l.outer_join(&r, either, windows().before_ms(10), names), "c");
        }),
        vector("stream joins that look into the future", |b| {
            let (l, r) = (stream(b, "left"), stream(b, "right"));
            let windows = || within(40).grace(Duration::from_millis(20));
            let (future, past) = (|| windows().before_ms(-10), || windows().after_ms(-10));
            out_stream(&l.join(&r, both, future(), auto()), "a");
            out_stream(&l.left_join(&r, left, past(), auto()), "b");
            out_stream(&l.outer_join(&r, either, future(), auto()), "c");
        }),
        vector("repartitioned stream joins", |b| {
            let l = stream(b, "left").select_key(|_, v| if v % 2 == 0 { "a" } else { "b" }.into());
            let r = stream(b, "right");
            out_stream(&l.join(&r, both, within(50), auto()), "a");
            let rekeyed = r.select_key(|k, _| k.clone());
            let names = StreamJoined::from(auto()).named("named");
            out_stream(&l.left_join(&rekeyed, left, within(50), names), "b");
            let names = StreamJoined::from(auto()).store_name("s");
            out_stream(&l.outer_join(&r, either, within(50), names), "c");
        }),
        vector("self joins", |b| {
            let l = stream(b, "left");
            out_stream(&l.join(&l, both, within(50), auto()), "a");
            out_stream(&l.left_join(&l, left, within(50), auto()), "b");
            out_stream(&l.filter(|_, v| v % 2 == 0).join(&l, both, within(50), auto()), "c");
        }),
        Vector {
            optimized: true,
            ..vector("self joins, optimized", |b| {
                let l = stream(b, "left");
                out_stream(&l.join(&l, both, within(50), auto()), "a");
                let windows = within(20).grace(Duration::from_millis(30)).before_ms(40);
                let names = StreamJoined::from("n").store_name("s");
                out_stream(&l.join(&l, both, windows, names), "b");
                out_stream(&l.left_join(&l, left, within(50), auto()), "c");
            })
        },
        vector("joins of stream joins", |b| {
            let (l, r) = (stream(b, "left"), stream(b, "right"));
            let sum = |_: &String, x: Option<&i64>, y: Option<&i64>| {
                x.copied().unwrap_or(0) + y.copied().unwrap_or(0)
            };
            let windows = within(20).grace(Duration::from_millis(10));
            let sums = l.outer_join(&r, sum, windows, auto());
            out_stream(&sums.left_join(&r, left, within(50), auto()), "a");
            let windows = within(10).grace(Duration::from_millis(50));
            out_stream(&sums.join(&l, both, windows, auto()), "b");
        }),
        vector("transformed values", |b| {
            let (l, r) = (table(b, "left"), table(b, "right"));
            let transformed = || {
                l.transform_values((), |(), k, v, _| {
                    Ok(v.filter(|v| *v % 3 != 0).map(|v| format!("{k}{v}")))
                })
            };
            out(&transformed(), "a");
            out(&transformed().materialize("transformed"), "b");
            out(&transformed().join(&r, both), "c");
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
    for vector in vectors() {
        let (title, wanted) = (vector.title, section(file, vector.title));
        let described = vector.build().map(|t| t.describe()).unwrap_or_else(|e| e.to_string());
        if described != wanted {
            different.push(format!("{title}\n--- JVM\n{wanted}--- here\n{described}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Pipes what follows `>`, and writes down what comes out after each record.
fn run(topology: &Topology, vector: &str, abort_each: Option<usize>) -> String {
    let mut driver = TopologyTestDriver::new(topology);
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
    // When records without a partner are looked for depends on the last look, which is not kept.
    let skip = |v: &Vector| {
        abort_each.is_some() && (v.title.contains("stream") || v.title == "self joins")
    };
    for vector in vectors().into_iter().filter(|v| v.has_results && !skip(v)) {
        let (title, wanted) = (vector.title, section(file, vector.title));
        let seen = run(&vector.build().unwrap(), wanted, abort_each);
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
