//! Topologies as Kafka Streams 4.1 itself describes them: `describe_vectors/DslVectors.java` wrote
//! them. Here the same calls are made, and the descriptions compared byte for byte.

use streams_dsl::prelude::*;

type Text = KStream<String, String>;
type Rows = KTable<String, String>;

fn stream(b: &StreamsBuilder, topic: &str) -> Text {
    b.stream(topic)
}

fn table(b: &StreamsBuilder, topic: &str) -> Rows {
    b.table(topic, auto())
}

fn first(a: &str) -> String {
    a.to_owned()
}

fn swap(k: &str, v: &str) -> (String, String) {
    (v.to_owned(), k.to_owned())
}

/// The calls of each vector, by its title.
fn vectors() -> Vec<(&'static str, fn(&StreamsBuilder))> {
    vec![
        ("word count, generated names", |b| {
            stream(b, "lines")
                .flat_map_values(|v, out| out.emit(v))
                .group_by(|_, v| v.clone(), auto())
                .count(auto())
                .to("counts");
        }),
        ("word count, given names", |b| {
            stream(b, "lines")
                .flat_map_values(|v, out| out.emit(v))
                .group_by(|_, v| v.clone(), "words")
                .count("counts")
                .to("counts-out");
        }),
        ("group by key without a change", |b| {
            let g = stream(b, "in").group_by_key();
            g.count(auto()).to("a");
            g.reduce(|x, _| x, auto()).to("b");
            g.aggregate(String::new, |_, _, _: &mut String| {}, auto()).to("c");
            g.count("store").named("named").to("d");
        }),
        ("a named group with two aggregations", |b| {
            let g = stream(b, "in").group_by(|_, v| v.clone(), "g");
            g.count("counts").to("a");
            g.reduce(|x, _| x, "firsts").to("b");
        }),
        ("an unnamed group with two aggregations", |b| {
            let g = stream(b, "in").group_by(|_, v| v.clone(), auto());
            g.count("counts").to("a");
            g.reduce(|x, _| x, auto()).to("b");
        }),
        ("stateless", |b| {
            let s = stream(b, "in");
            let t = s
                .filter(|_, _| true)
                .filter_not(|_, _| false)
                .map_values(|v| v)
                .map(|k, v| (k, v))
                .flat_map(|k, v, out| out.emit((k, v)))
                .flat_map_values(|v, out| out.emit(v))
                .select_key(|_, v| v.clone())
                .peek(|_, _| {});
            t.merge(&s).for_each(|_, _| {});
            t.print("t");
            t.filter(|_, _| true).named("named").to("out");
            t.to(Produced::from("out2").named("sink"));
        }),
        ("split", |b| {
            let s = stream(b, "in");
            let (one, two, rest) =
                s.split().branch(|_, _| true).branch(|_, _| true).default_branch();
            rest.to("out0");
            one.to("out1");
            two.to("out2");
            let (eu, other) = s
                .split_named("region-")
                .branch_named("eu", |_, _| true)
                .default_branch_named("other");
            eu.to("eu");
            other.to("other");
        }),
        ("repartition", |b| {
            let s = stream(b, "in").select_key(|_, v| v.clone());
            s.repartition("by-value").to("a");
            s.repartition(auto()).to("b");
            s.repartition("again").group_by_key().count("counts").to("c");
        }),
        ("tables", |b| {
            table(b, "plain").to("a");
            b.table::<String, String>("named", "store").to("b");
            b.table::<String, String>(Consumed::from("source-named").named("table"), "store2")
                .to("c");
        }),
        ("table operators", |b| {
            let t = table(b, "in");
            t.filter(|_, _| true).to("a");
            t.filter_not(|_, _| true).to("b");
            t.map_values(Clone::clone).to("c");
            t.map_values(Clone::clone).materialize("mapped").to("d");
            t.filter(|_, _| true).named("picked").to("f");
        }),
        ("table joins", |b| {
            let (l, r) = (table(b, "left"), table(b, "right"));
            l.join(&r, |_, x, _| first(x)).to("a");
            l.left_join(&r, |_, x, _| first(x)).materialize("joined").to("b");
            l.outer_join(&r, |_, _, _| String::new()).named("both").to("c");
            l.filter(|_, _| true)
                .map_values(Clone::clone)
                .join(&r.map_values(Clone::clone), |_, x, _| first(x))
                .to("d");
        }),
        ("a join of a join", |b| {
            let (l, r, t) = (table(b, "left"), table(b, "right"), table(b, "third"));
            l.join(&r, |_, x, _| first(x)).left_join(&t, |_, x, _| first(x)).to("out");
        }),
        ("stream table joins", |b| {
            let (t, s) = (table(b, "table"), stream(b, "stream"));
            s.join_table(&t, |_, x, _| x).to("a");
            s.left_join_table(&t, |_, x, _| x).to("b");
            let m = s.map(|k, v| (k, v));
            m.join_table_with(&t, |_, x, _| x, auto()).to("c");
            m.left_join_table_with(&t, |_, x, _| x, "enrich").to("d");
            s.left_join_table(&t.filter(|_, _| true), |_, x, _| x).to("e");
        }),
        ("to table", |b| {
            let s = stream(b, "in");
            s.to_table(auto()).to("a");
            s.to_table("store").to("b");
            s.select_key(|_, v| v.clone()).to_table(auto()).to("c");
            s.to_table("store2").named("named").to("d");
        }),
        ("grouped tables", |b| {
            let t = table(b, "in");
            let g = t.group_by(|k, v| swap(k, v), "groups");
            g.count("counts").to("a");
            g.reduce(|x, _| x, |x, _| x, "sums").named("reduced").to("b");
            let h = t.group_by(|k, v| swap(k, v), auto());
            h.count(auto()).to("c");
            h.aggregate(String::new, |_, _, _| {}, |_, _, _: &mut String| {}, auto()).to("d");
        }),
        ("a grouped table named at the aggregation", |b| {
            table(b, "in").group_by(|k, v| swap(k, v), auto()).count("store").named("op").to("a");
        }),
        ("aggregates of aggregates", |b| {
            stream(b, "in")
                .group_by(|_, v| v.clone(), auto())
                .count(auto())
                .group_by(|k, _| (k.clone(), k.clone()), auto())
                .count(auto())
                .filter(|_, _| true)
                .to("out");
        }),
        ("processors", |b| {
            let s = stream(b, "in");
            let p = || s.process_fn((), |(), k, v, ctx| ctx.forward(k, v));
            p().to("a");
            s.process_values_fn((), |(), k, v, ctx| ctx.forward(k, v)).to("b");
            p().group_by_key_with("g").count("c").to("c");
            s.process_values_fn((), |(), k, v, ctx| ctx.forward(k, v))
                .named("fixed")
                .group_by_key()
                .count("d")
                .to("d");
        }),
        ("shared sources and merges", |b| {
            let (x, y) = (stream(b, "in"), stream(b, "in"));
            let z = b.stream::<String, String>(["p", "o"]);
            x.merge(&y.filter(|_, _| true)).merge(&z).group_by_key().count("counts").to("out");
        }),
        ("a table of a stream joins a table", |b| {
            let counts = stream(b, "in").group_by(|_, v| v.clone(), "w").count("counts");
            let t = table(b, "table");
            counts.left_join(&t, |_, _, _| String::new()).to("a");
            stream(b, "other")
                .select_key(|_, v| v.clone())
                .join_table_with(&counts, |_, x, _| x, "j")
                .to("b");
        }),
        ("optimized: aggregations below one change of the key", |b| {
            let s = stream(b, "in").select_key(|_, v| v.clone());
            s.to("raw");
            s.group_by_key_with(auto()).count("counts").to("a");
            s.filter(|_, _| true).group_by_key_with("firsts").reduce(|x, _| x, auto()).to("b");
            let s = s.peek(|_, _| {}).group_by_key_with(auto());
            s.aggregate(String::new, |_, _, _: &mut String| {}, auto()).to("c");
        }),
        ("optimized: a single topic moves up", |b| {
            stream(b, "in")
                .map(|k, v| (k, v))
                .filter(|_, _| true)
                .peek(|_, _| {})
                .group_by_key_with("group")
                .count(auto())
                .to("out");
        }),
        ("optimized: changed values keep the topic where it is", |b| {
            let s = stream(b, "in").select_key(|_, v| v.clone());
            s.map_values(|v| v).group_by_key_with(auto()).count("counts").to("a");
            s.filter(|_, _| true).group_by_key_with(auto()).count("more").to("b");
            s.group_by_key_with(auto()).count("most").to("c");
        }),
        ("optimized: below a merge", |b| {
            let x = stream(b, "x").select_key(|_, v| v.clone());
            let y = stream(b, "y").select_key(|k, _| k.clone());
            let m = x.merge(&y);
            m.group_by_key_with(auto()).count("counts").to("a");
            m.filter(|_, _| true).group_by_key_with(auto()).count("more").to("b");
        }),
        ("optimized: an aggregation and a join", |b| {
            let t = table(b, "table");
            let s = stream(b, "in").map(|k, v| (k, v));
            s.join_table_with(&t, |_, x, _| x, auto()).to("a");
            s.filter(|_, _| true).group_by_key_with(auto()).count("counts").to("b");
            s.repartition("own").group_by_key().count("more").to("c");
        }),
        ("optimized: a change of the key below another", |b| {
            let s = stream(b, "in").select_key(|_, v| v.clone());
            s.group_by_key_with(auto()).count("counts").to("a");
            let r = s.select_key(|k, _| k.clone());
            r.group_by_key_with(auto()).count("more").to("b");
            r.filter(|_, _| true).group_by_key_with(auto()).count("most").to("c");
        }),
        ("optimized: tables that are read again from their topics", |b| {
            let l = table(b, "left");
            let r = b.table::<String, String>("right", "rights");
            l.join(&r, |_, x, _| first(x)).to("out");
        }),
    ]
}

#[test]
fn descriptions_are_the_jvms_byte_for_byte() {
    let expected = include_str!("describe_vectors/vectors.txt");
    let expected: Vec<_> = expected.split("# ").skip(1).collect();
    let ours = vectors();
    assert_eq!(ours.len(), expected.len());
    let mut different = Vec::new();
    for ((title, calls), expected) in ours.into_iter().zip(expected) {
        let (wanted_title, wanted) = expected.split_once('\n').unwrap();
        assert_eq!(title, wanted_title);
        let builder = StreamsBuilder::new();
        calls(&builder);
        let mut config = StreamsConfig::new("app", "localhost:9092");
        if title.starts_with("optimized: ") {
            config = config.set("topology.optimization", "all");
        }
        let described =
            builder.build_with(&config).map(|t| t.describe()).unwrap_or_else(|e| e.to_string());
        if described != wanted {
            different.push(format!("{title}\n--- JVM\n{wanted}--- here\n{described}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
