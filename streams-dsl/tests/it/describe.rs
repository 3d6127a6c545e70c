//! Names, numbers and shape of topologies, as the JVM prints them.

use streams_dsl::prelude::*;

/// Compares with a text whose lines begin at the same margin.
#[track_caller]
fn assert_described(builder: StreamsBuilder, expected: &str) {
    let described = builder.build().unwrap().describe();
    assert_eq!(described.trim_end(), expected.trim_end(), "\n{described}");
}

/// All names in the order of their numbers.
fn nodes(builder: StreamsBuilder) -> Vec<String> {
    let described = builder.build().unwrap().describe();
    let name = |line: &str| {
        let (kind, rest) = line.trim().split_once(": ")?;
        ["Source", "Processor", "Sink"].contains(&kind).then_some(())?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    let mut names: Vec<_> = described.lines().filter_map(name).collect();
    names.sort_by_key(|name| name.rsplit('-').next().map(str::to_owned));
    names
}

#[test]
fn a_count_of_a_group_by_is_as_in_the_jvm() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("input")
        .group_by(|_, word| word.clone(), auto())
        .count(auto())
        .to("output");
    assert_described(
        builder,
        "\
Topologies:
   Sub-topology: 0
    Source: KSTREAM-SOURCE-0000000000 (topics: [input])
      --> KSTREAM-KEY-SELECT-0000000001
    Processor: KSTREAM-KEY-SELECT-0000000001 (stores: [])
      --> KSTREAM-FILTER-0000000005
      <-- KSTREAM-SOURCE-0000000000
    Processor: KSTREAM-FILTER-0000000005 (stores: [])
      --> KSTREAM-SINK-0000000004
      <-- KSTREAM-KEY-SELECT-0000000001
    Sink: KSTREAM-SINK-0000000004 (topic: KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition)
      <-- KSTREAM-FILTER-0000000005

  Sub-topology: 1
    Source: KSTREAM-SOURCE-0000000006 (topics: [KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition])
      --> KSTREAM-AGGREGATE-0000000003
    Processor: KSTREAM-AGGREGATE-0000000003 (stores: [KSTREAM-AGGREGATE-STATE-STORE-0000000002])
      --> KTABLE-TOSTREAM-0000000007
      <-- KSTREAM-SOURCE-0000000006
    Processor: KTABLE-TOSTREAM-0000000007 (stores: [])
      --> KSTREAM-SINK-0000000008
      <-- KSTREAM-AGGREGATE-0000000003
    Sink: KSTREAM-SINK-0000000008 (topic: output)
      <-- KTABLE-TOSTREAM-0000000007
",
    );
}

#[test]
fn given_names_take_numbers_all_the_same() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("input")
        .group_by(|_, word| word.clone(), "words")
        .count("counts")
        .named("counter")
        .to("output");
    assert_described(
        builder,
        "\
Topologies:
   Sub-topology: 0
    Source: KSTREAM-SOURCE-0000000000 (topics: [input])
      --> words
    Processor: words (stores: [])
      --> words-repartition-filter
      <-- KSTREAM-SOURCE-0000000000
    Processor: words-repartition-filter (stores: [])
      --> words-repartition-sink
      <-- words
    Sink: words-repartition-sink (topic: words-repartition)
      <-- words-repartition-filter

  Sub-topology: 1
    Source: words-repartition-source (topics: [words-repartition])
      --> counter
    Processor: counter (stores: [counts])
      --> KTABLE-TOSTREAM-0000000006
      <-- words-repartition-source
    Processor: KTABLE-TOSTREAM-0000000006 (stores: [])
      --> KSTREAM-SINK-0000000007
      <-- counter
    Sink: KSTREAM-SINK-0000000007 (topic: output)
      <-- KTABLE-TOSTREAM-0000000006
",
    );
}

#[test]
fn stateless_operators_have_the_jvms_prefixes() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>(["b", "a"]);
    let all = stream
        .filter(|_, _| true)
        .filter_not(|_, _| false)
        .map_values(|v| v)
        .map(|k, v| (k, v))
        .flat_map(|k, v, out| out.emit((k, v)))
        .flat_map_values(|v, out| out.emit(v))
        .select_key(|k, _| k.clone())
        .peek(|_, _| {})
        .with_context()
        .map_values(|(v, _)| v)
        .map_record(|record| record)
        .merge(&stream);
    all.for_each(|_, _| {});
    all.print("all");
    all.to("out");
    let names = [
        "KSTREAM-SOURCE-0000000000",
        "KSTREAM-FILTER-0000000001",
        "KSTREAM-FILTER-0000000002",
        "KSTREAM-MAPVALUES-0000000003",
        "KSTREAM-MAP-0000000004",
        "KSTREAM-FLATMAP-0000000005",
        "KSTREAM-FLATMAPVALUES-0000000006",
        "KSTREAM-KEY-SELECT-0000000007",
        "KSTREAM-PEEK-0000000008",
        "KSTREAM-PROCESSVALUES-0000000009",
        "KSTREAM-MAPVALUES-0000000010",
        "KSTREAM-PROCESSOR-0000000011",
        "KSTREAM-MERGE-0000000012",
        "KSTREAM-FOREACH-0000000013",
        "KSTREAM-PRINTER-0000000014",
        "KSTREAM-SINK-0000000015",
    ];
    assert_eq!(nodes(builder), names);
}

#[test]
fn a_split_names_its_branches() {
    let builder = StreamsBuilder::new();
    let amounts = builder.stream::<String, i64>("amounts");
    let (big, rest) = amounts.split().branch(|_, n| *n > 100).default_branch();
    big.to("big");
    rest.to("rest");
    let (eu, none) = amounts
        .split_named("region-")
        .branch_named("eu", |k, _| k == "eu")
        .default_branch_named("other");
    eu.merge(&none).to("all");
    let described = builder.build().unwrap().describe();
    for name in [
        "Processor: KSTREAM-BRANCH-0000000001 (stores: [])\n      --> KSTREAM-BRANCH-00000000010, \
         KSTREAM-BRANCH-00000000011\n",
        "Processor: KSTREAM-BRANCH-00000000011 (stores: [])\n      --> KSTREAM-SINK-0000000004\n",
        "Processor: region- (stores: [])\n      --> region-eu, region-other\n",
        "Processor: KSTREAM-MERGE-0000000009 (stores: [])",
    ] {
        assert!(described.contains(name), "{name}\n{described}");
    }
}

#[test]
fn a_repartition_keeps_its_given_name() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").select_key(|_, v| v.clone());
    stream.repartition("by-value").to("out");
    stream.repartition(auto()).to("out2");
    let names = [
        "KSTREAM-SOURCE-0000000000",
        "KSTREAM-KEY-SELECT-0000000001",
        "KSTREAM-SINK-0000000005",
        // Here 6 is burned by the second repartition itself.
        "KSTREAM-SINK-0000000007",
        "KSTREAM-FILTER-0000000008",
        "KSTREAM-SOURCE-0000000009",
        "KSTREAM-SINK-0000000010",
        "by-value-repartition-filter",
        "by-value-repartition-sink",
        "by-value-repartition-source",
    ];
    assert_eq!(nodes(builder), names);
}

#[test]
fn a_source_table_has_a_store_only_if_it_is_needed() {
    let builder = StreamsBuilder::new();
    builder.table::<String, i64>("plain", auto()).to("a");
    builder.table::<String, i64>("named", "store").to("b");
    let looked_up = builder.table::<String, i64>("looked-up", auto());
    builder.stream::<String, i64>("s").join_table(&looked_up, |_, a, b| a + b).to("c");
    let described = builder.build().unwrap().describe();
    for line in [
        "Processor: KTABLE-SOURCE-0000000002 (stores: [])",
        "Processor: KTABLE-SOURCE-0000000006 (stores: [store])",
        // The store takes its number before the source does.
        "Processor: KTABLE-SOURCE-0000000011 (stores: [looked-up-STATE-STORE-0000000009])",
        "Processor: KSTREAM-JOIN-0000000013 (stores: [looked-up-STATE-STORE-0000000009])",
    ] {
        assert!(described.contains(line), "{line}\n{described}");
    }
}

#[test]
fn a_named_source_table_names_both_nodes() {
    let builder = StreamsBuilder::new();
    builder.table::<String, i64>(Consumed::from("t").named("table"), "store").to("a");
    let described = builder.build().unwrap().describe();
    assert!(described.contains("Source: table-source (topics: [t])"), "{described}");
    assert!(described.contains("Processor: table (stores: [store])"), "{described}");
    assert!(described.contains("KTABLE-TOSTREAM-0000000002"), "{described}");
}

#[test]
fn a_join_of_tables_has_two_sides_and_a_merge() {
    let builder = StreamsBuilder::new();
    let left = builder.table::<String, i64>("left", "left-store");
    let right = builder.table::<String, i64>("right", "right-store");
    left.join(&right, |_, a, b| a + b).to("inner");
    left.outer_join(&right, |_, a, b| a.unwrap_or(&0) + b.unwrap_or(&0)).named("both").to("outer");
    let described = builder.build().unwrap().describe();
    for line in [
        "Processor: KTABLE-JOINTHIS-0000000005 (stores: [right-store])",
        "Processor: KTABLE-JOINOTHER-0000000006 (stores: [left-store])",
        "Processor: KTABLE-MERGE-0000000004 (stores: [])",
        "Processor: both-join-this (stores: [right-store])",
        "Processor: both-join-other (stores: [left-store])",
        "Processor: both (stores: [])",
        "KTABLE-TOSTREAM-0000000012",
    ] {
        assert!(described.contains(line), "{line}\n{described}");
    }
    assert!(!described.contains("Sub-topology: 1"), "{described}");
}

#[test]
fn a_store_that_is_asked_for_afterwards_is_numbered_first() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("t", "store");
    table.filter(|_, n| *n > 1).materialize(auto()).to("a");
    table.map_values(|n| n + 1).materialize("mapped").to("b");
    let described = builder.build().unwrap().describe();
    for line in [
        "Processor: KTABLE-FILTER-0000000003 (stores: [KTABLE-FILTER-STATE-STORE-0000000002])",
        "Processor: KTABLE-MAPVALUES-0000000006 (stores: [mapped])",
    ] {
        assert!(described.contains(line), "{line}\n{described}");
    }
}

#[test]
fn to_table_numbers_its_store_after_itself() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("s");
    let table = stream.to_table(auto());
    stream.join_table(&table, |_, a, b| a + b).to("a");
    stream.select_key(|k, _| k.clone()).to_table(auto()).to("b");
    let described = builder.build().unwrap().describe();
    for line in [
        "Processor: KSTREAM-TOTABLE-0000000001 (stores: [KSTREAM-TOTABLE-STATE-STORE-0000000002])",
        "Processor: KSTREAM-TOTABLE-0000000006 (stores: [])",
        "Sink: KSTREAM-SINK-0000000008 (topic: KSTREAM-TOTABLE-0000000006-repartition)",
        "Source: KSTREAM-SOURCE-0000000010 (topics: [KSTREAM-TOTABLE-0000000006-repartition])",
    ] {
        assert!(described.contains(line), "{line}\n{described}");
    }
}

#[test]
fn aggregations_of_a_named_group_share_its_topic() {
    let builder = StreamsBuilder::new();
    let words = builder.stream::<String, String>("in").group_by(|_, word| word.clone(), "words");
    words.count("counts").to("a");
    words.reduce(|a, _| a, "first").to("b");
    let described = builder.build().unwrap().describe();
    assert_eq!(described.matches("(topic: words-repartition)").count(), 1, "{described}");
    // The numbers of the second repartition are burned: 2, 3-5, 6-7 and 8, 9-11.
    assert!(described.contains("Processor: KSTREAM-REDUCE-0000000008"), "{described}");
    assert!(described.contains("KTABLE-TOSTREAM-0000000012"), "{described}");
}

#[test]
fn aggregations_of_an_unnamed_group_have_a_topic_each() {
    let builder = StreamsBuilder::new();
    let words = builder.stream::<String, String>("in").group_by(|_, word| word.clone(), auto());
    words.count("counts").to("a");
    words.reduce(|a, _| a, "first").to("b");
    let described = builder.build().unwrap().describe();
    for topic in ["counts-repartition", "first-repartition"] {
        assert!(described.contains(&format!("(topic: {topic})")), "{described}");
    }
}

#[test]
fn a_join_of_a_rekeyed_stream_is_named_after_it() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("t", "store");
    let stream = builder.stream::<String, i64>("s").map(|k, v| (k, v));
    stream.join_table_with(&table, |_, a, b| a + b, auto()).to("a");
    stream.left_join_table_with(&table, |_, a, _| a, "enrich").to("b");
    let described = builder.build().unwrap().describe();
    for line in [
        "Sink: KSTREAM-SINK-0000000004 (topic: KSTREAM-MAP-0000000003-repartition)",
        "Processor: KSTREAM-JOIN-0000000007 (stores: [store])",
        "Sink: enrich-repartition-sink (topic: enrich-repartition)",
        "Processor: enrich (stores: [store])",
    ] {
        assert!(described.contains(line), "{line}\n{described}");
    }
}

#[test]
fn two_streams_of_one_topic_share_its_source() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("s").to("a");
    builder.stream::<String, i64>("s").to("b");
    let described = builder.build().unwrap().describe();
    assert_eq!(described.matches("Source:").count(), 1, "{described}");
    assert!(described.contains("--> KSTREAM-SINK-0000000001, KSTREAM-SINK-0000000003"));
}

#[test]
fn a_processor_may_read_tables() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("t", auto()).filter(|_, n| *n > 0);
    let seen = Stores::key_value::<String, i64>("seen");
    builder
        .stream::<String, i64>("s")
        .process_values_fn((&table, seen), |(table, seen), key, n, ctx| {
            let limit = ctx.store(table).get(&key)?.copied().unwrap_or(0);
            ctx.store(seen).put(&key, n)?;
            ctx.forward(key, n + limit)
        })
        .to("out");
    let described = builder.build().unwrap().describe();
    assert!(
        described.contains("(stores: [KTABLE-FILTER-STATE-STORE-0000000006, seen])"),
        "{described}"
    );
}

#[test]
fn a_grouped_table_has_a_topic_without_a_filter() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("t", auto());
    let named = table.group_by(|k, v| (k.clone(), *v), "groups");
    named.count("counts").to("a");
    named.reduce(|a, b| a + b, |a, b| a - b, "sums").named("summed").to("b");
    let generated = table.group_by(|k, v| (k.clone(), *v), auto());
    generated.count(auto()).to("c");
    generated.count("again").named("second").to("d");
    let described = builder.build().unwrap().describe();
    for line in [
        // Who groups a table needs old values, and so a store.
        "Processor: KTABLE-SOURCE-0000000002 (stores: [t-STATE-STORE-0000000000])",
        "Processor: groups (stores: [])",
        "Sink: KSTREAM-SINK-0000000004 (topic: groups-repartition)",
        "Source: KSTREAM-SOURCE-0000000005 (topics: [groups-repartition])",
        "Processor: KTABLE-AGGREGATE-0000000006 (stores: [counts])",
        "Processor: summed (stores: [sums])",
        "Processor: KTABLE-SELECT-0000000014 (stores: [])",
        "Sink: KSTREAM-SINK-0000000016 (topic: KTABLE-AGGREGATE-STATE-STORE-0000000015-repartition)",
        "Processor: KTABLE-AGGREGATE-0000000018 (stores: [KTABLE-AGGREGATE-STATE-STORE-0000000015])",
        "Sink: second-sink (topic: again-repartition)",
        "Source: second-source (topics: [again-repartition])",
        "Processor: second (stores: [again])",
    ] {
        assert!(described.contains(line), "{line}\n{described}");
    }
}
