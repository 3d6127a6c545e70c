//! Rewrites that make a topology cheaper change no result. What they make of topologies is compared
//! with the JVM in `describe_vectors`.

use streams_dsl::config::StreamsConfig;
use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

fn optimized(describe: impl FnOnce(&StreamsBuilder)) -> TopologyTestDriver {
    let builder = StreamsBuilder::new();
    describe(&builder);
    let config = StreamsConfig::new("app", "localhost:9092").set("topology.optimization", "all");
    TopologyTestDriver::new(&builder.build_with(&config).unwrap())
}

/// Three aggregations below one change of the key, two of them in one branch.
fn three_aggregations(b: &StreamsBuilder) {
    let by_word = b.stream_values::<String>("words").select_key(|_, word| word.clone());
    let long = by_word.filter(|_, word| word.len() > 2);
    long.group_by_key_with("long").count("long-counts").to("long");
    long.group_by_key_with("last").reduce(|_, new| new, "last-words").to("last");
    by_word.group_by_key_with("all").count("all-counts").to("all");
}

#[test]
fn one_repartition_topic_serves_three_aggregations() {
    let results = |driver: TopologyTestDriver| {
        let words = driver.input::<(), String>("words");
        for word in ["one", "is", "one", "is", "two"] {
            words.pipe((), word);
        }
        let longs = driver.output::<String, i64>("long").read_all();
        assert_eq!(longs, [("one", 1), ("one", 2), ("two", 1)]);
        let last = driver.output::<String, String>("last").read_all();
        assert_eq!(last, [("one", "one"), ("one", "one"), ("two", "two")]);
        let all = driver.output::<String, i64>("all").read_all();
        assert_eq!(all, [("one", 1), ("is", 1), ("one", 2), ("is", 2), ("two", 1)]);
        let is_repartition = |topic: &String| topic.ends_with("-repartition");
        driver.produced_topics().into_iter().filter(is_repartition).collect::<Vec<_>>()
    };
    assert_eq!(results(super::driver(three_aggregations)).len(), 3);
    assert_eq!(results(optimized(three_aggregations)).len(), 1);
}

#[test]
fn a_table_is_its_own_changelog() {
    const ROWS: StoreName<KeyValueStore<String, String>> = StoreName::new("rows");
    let table = |b: &StreamsBuilder| b.table("in", ROWS).to_stream().to("out");
    let changelogs = |driver: TopologyTestDriver| {
        driver.input::<String, String>("in").pipe_all([("a", "1"), ("a", "2")]);
        assert_eq!(driver.store(ROWS).get("a"), Some("2".to_owned()));
        driver.produced_topics().iter().filter(|topic| topic.ends_with("-changelog")).count()
    };
    assert_eq!(changelogs(super::driver(table)), 1);
    assert_eq!(changelogs(optimized(table)), 0);
}
