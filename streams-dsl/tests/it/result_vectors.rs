//! Random records through topologies, as Kafka Streams 4.1 itself processes them:
//! `result_vectors/ResultVectors.java` wrote what came in and what came out, with times. Here the
//! same topologies must give the same results.

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

fn out_stream(stream: &KStream<String, String>, topic: &str) {
    stream.map_values(Some).to(topic);
}

fn show<V: ToString, V2: ToString>(left: Option<&V>, right: Option<&V2>) -> String {
    let left = left.map_or("-".to_owned(), ToString::to_string);
    let right = right.map_or("-".to_owned(), ToString::to_string);
    format!("{left}+{right}")
}

fn all_joins(b: &StreamsBuilder) -> [Rows<String>; 3] {
    let (l, r) = (table(b, "left"), table(b, "right"));
    [
        l.join(&r, |_, x, y| show(Some(x), Some(y))),
        l.left_join(&r, |_, x, y| show(Some(x), y)),
        l.outer_join(&r, |_, x, y| show(x, y)),
    ]
}

/// A group by the remainder of the value.
fn by_rest(rest: i64) -> impl Fn(&String, &i64) -> (String, i64) + Send + Sync + 'static {
    move |_, v| (format!("g{}", v % rest), *v)
}

/// The topology of each vector, by its title.
fn vectors() -> Vec<(&'static str, fn(&StreamsBuilder))> {
    vec![
        ("table joins", |b| {
            let joins = all_joins(b);
            joins.iter().zip(["a", "b", "c"]).for_each(|(join, topic)| out(join, topic));
        }),
        ("table joins with stores", |b| {
            let joins = all_joins(b);
            for (join, topic) in joins.iter().zip(["a", "b", "c"]) {
                out(&join.materialize(format!("store-{topic}")), topic);
            }
        }),
        ("joins of joins, through filters", |b| {
            let (l, r) = (table(b, "left"), table(b, "right"));
            let even = l.filter(|_, v| v % 2 == 0).map_values(|v| v * 10);
            let texts = r.map_values_with_key(|k, v| format!("{k}{v}"));
            let joined = even.join(&texts, |_, x, y| show(Some(x), Some(y)));
            out(&joined.outer_join(&r.filter_not(|_, v| *v > 4), |_, x, y| show(x, y)), "a");
            out(&joined.left_join(&l, |_, x, y| show(Some(x), y)), "b");
            out(&even.outer_join(&r.filter(|_, v| *v > 4), |_, x, y| show(x, y)), "c");
        }),
        ("filters, with and without stores", |b| {
            let l = table(b, "left");
            out(&l.filter(|_, v| *v > 4), "a");
            out(&l.filter(|_, v| *v > 4).materialize("filtered"), "b");
            out(&l.map_values(|v| v % 3).filter_not(|_, v| *v == 0), "c");
        }),
        ("filters that know old values", |b| {
            let l = table(b, "left");
            let f = l.filter(|_, v| *v > 4);
            out(&f.group_by(by_rest(2), "group").count("counts"), "a");
            out(&f, "b");
            let s = l.filter(|_, v| *v > 6).materialize("filtered");
            let _counts = s.group_by(by_rest(2), "group2").count("counts2");
            out(&s, "c");
        }),
        ("aggregates", |b| {
            let left = b.stream::<String, i64>("left");
            let g = left.group_by_key();
            out(&g.count("counts"), "a");
            out(&g.reduce(|x, y| x + y, "sums"), "b");
            let texts = left.group_by(|_, v| format!("g{}", v % 3), "group").aggregate_option(
                |_, v, all: &mut Option<String>| {
                    let text = all.take().unwrap_or_default() + &v.to_string();
                    *all = (v != 8).then_some(text);
                },
                "texts",
            );
            out(&texts, "c");
        }),
        ("grouped tables", |b| {
            let g = table(b, "left").group_by(by_rest(3), "group");
            out(&g.count("counts"), "a");
            out(&g.reduce(|x, y| x + y, |x, y| x - y, "sums"), "b");
            let texts = g.aggregate(
                String::new,
                |_, v, text: &mut String| text.push_str(&format!("+{v}")),
                |_, v, text: &mut String| text.push_str(&format!("-{v}")),
                "texts",
            );
            out(&texts, "c");
        }),
        ("grouped joins", |b| {
            let (l, r) = (table(b, "left"), table(b, "right"));
            let sums = l.outer_join(&r, |_, x, y| x.unwrap_or(&0) + y.unwrap_or(&0));
            let reduced =
                sums.group_by(by_rest(2), "group").reduce(|x, y| x + y, |x, y| x - y, "sums");
            out(&reduced, "a");
            let inner = l.join(&r, |_, x, y| x + y);
            out(&inner.group_by(by_rest(2), "group2").count("counts"), "b");
            let left = l.left_join(&r, |_, x, y| x + y.unwrap_or(&0)).materialize("joined");
            out(&left.group_by(by_rest(2), "group3").count("counts2"), "c");
        }),
        ("stream table joins", |b| {
            let (l, r) = (b.stream::<String, i64>("left"), table(b, "right"));
            out_stream(&l.join_table(&r, |_, x, y| show(Some(&x), Some(y))), "a");
            let high = r.filter(|_, v| *v > 4);
            out_stream(&l.left_join_table(&high, |_, x, y| show(Some(&x), y)), "b");
            let rekeyed = l.select_key(|_, v| if v % 2 == 0 { "a" } else { "b" }.to_owned());
            let joined = rekeyed.left_join_table_with(&r, |_, x, y| show(Some(&x), y), "joined");
            out_stream(&joined, "c");
        }),
        ("streams as tables", |b| {
            let l = b.stream::<String, Option<i64>>("left").to_table_from_updates("table");
            let r = table(b, "right");
            out(&l.left_join(&r, |_, x, y| show(Some(x), y)), "a");
            let counts = l.to_stream().drop_null_values().group_by_key().count("counts");
            out(&counts.join(&r, |_, x, y| show(Some(x), Some(y))), "b");
            out(&l, "c");
        }),
    ]
}

/// Pipes what follows `>`, and writes down what comes out after each record.
fn run(calls: fn(&StreamsBuilder), vector: &str) -> String {
    let builder = StreamsBuilder::new();
    calls(&builder);
    let driver = TopologyTestDriver::new(&builder.build().unwrap());
    let outputs =
        ["a", "b", "c"].map(|topic| (topic, driver.output::<String, Option<String>>(topic)));
    let mut seen = String::new();
    for input in vector.lines().filter_map(|line| line.strip_prefix("> ")) {
        seen.push_str(&format!("> {input}\n"));
        let [topic, key, value, time] = input.split(' ').collect::<Vec<_>>()[..] else {
            panic!("not an input: {input}")
        };
        let value: Option<i64> = value.parse().ok();
        let time: i64 = time.parse().unwrap();
        driver.input::<String, Option<i64>>(topic).pipe_at(key, value, time);
        for (topic, output) in &outputs {
            for (key, value, time) in output.read_timed() {
                let value = value.as_deref().unwrap_or("null");
                seen.push_str(&format!("{topic} {key} {value} {time}\n"));
            }
        }
    }
    seen
}

#[test]
fn results_are_those_of_the_jvm() {
    let vectors = vectors();
    let expected: Vec<_> = include_str!("result_vectors/vectors.txt").split("# ").skip(1).collect();
    assert_eq!(vectors.len(), expected.len());
    let mut different = Vec::new();
    for ((title, calls), expected) in vectors.into_iter().zip(expected) {
        let (wanted_title, wanted) = expected.split_once('\n').unwrap();
        assert_eq!(title, wanted_title);
        let seen = run(calls, wanted);
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
