//! Descriptions, sub-topologies, group plans, and mistakes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{InternalTopicSettings, Node, Produced, Topology, TopologyBuilder, TopologyError};
use crate::error::BoxError;
use crate::processor::{ProcessorContext, ProcessorFn, process_fn};
use crate::stores::{KeyValueStore, StoreBuilder, StoreSet, Stores};

type Text = Node<String, String>;

fn store(name: &str) -> StoreBuilder<KeyValueStore<String, String>> {
    Stores::key_value(name)
}

#[track_caller]
fn pass(
    builder: &mut TopologyBuilder,
    name: &str,
    parents: &[&Text],
    stores: impl StoreSet,
) -> Text {
    builder.add_processor(name, parents, stores, |_, _| -> ProcessorFn<_, _, _, _, _, _> {
        process_fn(
            (),
            Arc::new(
                |(): &(),
                 key: String,
                 value: String,
                 ctx: &mut ProcessorContext<'_, String, String>|
                 -> Result<(), BoxError> { ctx.forward(key, value) },
            ),
        )
    })
}

fn mistakes(result: Result<Topology, TopologyError>) -> Vec<(String, u32)> {
    let mistakes = result.err().map(|error| error.mistakes).unwrap_or_default();
    mistakes.into_iter().map(|m| (m.message, m.location.line())).collect()
}

#[test]
fn the_description_is_the_jvms() {
    let mut builder = Topology::builder();
    let lines: Text = builder.add_source("lines", ["b", "a"]);
    let split = pass(&mut builder, "split", &[&lines], ());
    let count = pass(&mut builder, "count", &[&split], (store("counts"), store("answers")));
    builder.add_sink("sink", &[&count, &split], "out");
    let other: Text = builder.add_source("other", "other");
    builder.add_sink("dynamic", &[&other], Produced::<String, String>::dynamic(|_| "x".into()));
    let topology = builder.build().unwrap();
    let expected = "Topologies:
   Sub-topology: 0
    Source: lines (topics: [a, b])
      --> split
    Processor: split (stores: [])
      --> count, sink
      <-- lines
    Processor: count (stores: [counts, answers])
      --> sink
      <-- split
    Sink: sink (topic: out)
      <-- count, split

  Sub-topology: 1
    Source: other (topics: [other])
      --> dynamic
    Sink: dynamic (extractor class: closure)
      <-- other

";
    assert_eq!(topology.describe(), expected);
    assert_eq!(format!("{topology:?}"), expected);
}

#[test]
fn shared_stores_join_subtopologies_and_numbers_follow_insertion() {
    let mut builder = Topology::builder();
    let a: Text = builder.add_source("a", "a");
    let b: Text = builder.add_source("b", "b");
    let c: Text = builder.add_source("c", "c");
    let shared = store("shared");
    pass(&mut builder, "pa", &[&a], ());
    pass(&mut builder, "pc", &[&c], &shared);
    pass(&mut builder, "pa2", &[&a], (shared.clone(), store("own")));
    pass(&mut builder, "pb", &[&b], ());
    let topology = builder.build().unwrap();
    assert_eq!(topology.subtopologies().collect::<Vec<_>>(), [0, 1]);
    let topics =
        |sub| topology.source_topics(sub, "app").iter().map(|t| t.to_string()).collect::<Vec<_>>();
    assert_eq!((topics(0), topics(1)), (vec!["a".into(), "c".into()], vec!["b".into()]));
    let stores: Vec<_> = topology.stores(0).iter().map(|store| store.name().to_string()).collect();
    assert_eq!(stores, ["shared", "own"]);
    assert!(topology.stores(1).is_empty() && topology.stores(2).is_empty());
}

#[test]
fn the_group_is_told_topics_as_the_broker_knows_them() {
    let mut builder = Topology::builder();
    let a: Text = builder.add_source("a", "a");
    builder.add_repartition_topic("re-repartition", Some(3));
    builder.add_sink("re-sink", &[&a], "re-repartition");
    let re: Text = builder.add_source("re", "re-repartition");
    let b: Text = builder.add_source("b", "b");
    builder.copartition(["re-repartition", "b"]);
    let logged = store("logged").changelog_config("segment.bytes", "9");
    pass(&mut builder, "join", &[&re, &b], (logged, store("quiet").logging_disabled()));
    let reused = store("reused").source_topic_changelog("b");
    pass(&mut builder, "table", &[&b], reused);
    let settings = InternalTopicSettings {
        configs: [("segment.bytes".to_owned(), "5".to_owned())].into(),
        replication_factor: 2,
        ..InternalTopicSettings::default()
    };
    let group = builder.build().unwrap().group_topology("app", &settings);
    assert_eq!(group.subtopologies.len(), 2);
    let (first, second) = (&group.subtopologies[0], &group.subtopologies[1]);
    assert!(first.source_topics.contains("a"));
    assert!(first.repartition_sinks.contains("app-re-repartition"));
    assert!(first.copartition_groups.is_empty());
    let re = &second.repartition_sources["app-re-repartition"];
    assert_eq!((re.partitions, re.replication_factor), (Some(3), 2));
    assert_eq!((&*re.configs["retention.ms"], &*re.configs["segment.bytes"]), ("-1", "5"));
    assert_eq!(
        second.changelogs.keys().map(|k| &**k).collect::<Vec<_>>(),
        ["app-logged-changelog"]
    );
    let changelog = &second.changelogs["app-logged-changelog"];
    assert_eq!(
        (&*changelog.configs["cleanup.policy"], &*changelog.configs["segment.bytes"]),
        ("compact", "9")
    );
    let together: Vec<_> = second.copartition_groups[0].iter().map(|t| &**t).collect();
    assert_eq!(together, ["app-re-repartition", "b"]);
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let line = line!();
    let mut builder = Topology::builder();
    let a: Text = builder.add_source("a", "a");
    let _: Text = builder.add_source("a", ["b", "a"]);
    pass(&mut builder, "one", &[&a], store("store"));
    pass(&mut builder, "two", &[&a], store("store"));
    pass(&mut builder, "orphan", &[], ());
    builder.add_sink("sink", &[&a], Produced::<String, String>::inherit("out"));
    builder.add_repartition_topic("no spaces", None);
    let found = mistakes(builder.build());
    let expected = [
        ("two nodes named `a`", 3),
        ("two stores named `store`", 5),
        ("`orphan` has no parents", 6),
        ("nobody to inherit serdes from", 7),
        ("`no spaces` cannot be", 8),
        ("which source `a` reads already", 3),
        ("no source reads repartition topic", 8),
        ("no sink writes repartition topic", 8),
    ];
    let lines: Vec<_> = found.iter().map(|(message, at)| (message, at - line)).collect();
    assert_eq!(lines.len(), expected.len(), "{found:#?}");
    for ((message, at), (part, expected_at)) in lines.into_iter().zip(expected) {
        assert!(message.contains(part) && at == expected_at, "{message} at +{at}");
    }
}

#[test]
fn a_topology_without_sources_is_a_mistake() {
    assert_eq!(mistakes(Topology::builder().build())[0].0, "a topology needs at least one source");
}

#[test]
fn names_that_no_topic_or_store_can_have_are_mistakes() {
    let long = "x".repeat(250);
    for bad in ["", "a b", ".", "..", "ä", "a/b", &long] {
        let mut builder = Topology::builder();
        let read: Text = builder.add_source("read", [bad]);
        builder.add_sink("write", &[&read], bad);
        let found = mistakes(builder.build());
        let told = found.iter().filter(|(told, _)| told.contains("cannot be the name of a topic"));
        assert_eq!(told.count(), 2, "{bad}: {found:?}");
    }
    for bad in ["", "..", "a b", &"x".repeat(201)] {
        let mut builder = Topology::builder();
        let read: Text = builder.add_source("read", "in");
        pass(&mut builder, "p", &[&read], store(bad));
        let found = mistakes(builder.build());
        assert!(found[0].0.contains("cannot be the name of a store"), "{bad}: {found:?}");
    }
}

#[test]
fn rows_live_a_millisecond_at_least() {
    let mut builder = Topology::builder();
    let read: Text = builder.add_source("read", "in");
    let short = Stores::key_value::<String, String>("rows");
    pass(&mut builder, "p", &[&read], short.time_to_live(std::time::Duration::from_micros(999)));
    assert!(mistakes(builder.build())[0].0.contains("a time to live of less"));
}

#[test]
fn a_node_of_another_builder_is_no_parent() {
    let mut one = Topology::builder();
    let foreign: Text = one.add_source("a", "a");
    let mut other = Topology::builder();
    let _: Text = other.add_source("b", "b");
    pass(&mut other, "p", &[&foreign], ());
    let found = mistakes(other.build());
    assert_eq!(found[0].0, "a parent of `p` is a node of another topology");
}

#[test]
fn an_option_on_a_clone_makes_another_store() {
    let original = store("store");
    let changed = original.clone().in_memory();
    let mut builder = Topology::builder();
    let a: Text = builder.add_source("a", "a");
    pass(&mut builder, "one", &[&a], original);
    pass(&mut builder, "two", &[&a], changed);
    assert!(mistakes(builder.build())[0].0.contains("two stores named `store`"));
}

#[test]
fn a_store_by_name_must_be_declared_with_the_same_types() {
    struct ByName<S>(&'static str, std::marker::PhantomData<S>);
    impl<S: crate::stores::Store> StoreSet for ByName<S> {
        type Handles = crate::stores::StoreHandle<S>;
        fn connect(
            self,
            connections: &mut crate::stores::StoreConnections,
        ) -> crate::stores::HandleMaker<Self::Handles> {
            let name = self.0;
            let place = connections.named::<S>(move || name.into());
            Arc::new(move |stores| stores.handle(place))
        }
    }
    fn by_name<S>(name: &'static str) -> ByName<S> {
        ByName(name, std::marker::PhantomData)
    }
    let mut builder = Topology::builder();
    let a: Text = builder.add_source("a", "a");
    pass(&mut builder, "one", &[&a], store("store"));
    pass(&mut builder, "two", &[&a], by_name::<KeyValueStore<String, String>>("store"));
    pass(&mut builder, "three", &[&a], by_name::<KeyValueStore<String, i64>>("store"));
    pass(&mut builder, "four", &[&a], by_name::<KeyValueStore<String, i64>>("nowhere"));
    let found: Vec<_> = mistakes(builder.build()).into_iter().map(|(message, _)| message).collect();
    assert_eq!(
        found,
        ["store `store` is used with other types than it has", "nobody declares store `nowhere`"]
    );
}

#[test]
fn a_pattern_has_to_be_a_regular_expression() {
    let mut builder = Topology::builder();
    let _: Text = builder.add_source("source", super::Topics::pattern("orders-("));
    assert!(mistakes(builder.build())[0].0.contains("no regular expression"));
}

#[test]
fn a_pattern_reads_what_no_other_source_names() {
    let mut builder = Topology::builder();
    let _: Text = builder.add_source("some", super::Topics::pattern("(app-)?orders-.*"));
    let _: Text = builder.add_source("one", "orders-us");
    let topology = builder.build().unwrap();
    let topics = ["app-orders-eu", "orders-asia", "orders-us", "other"];
    let counts = topics.iter().map(|topic| (Arc::from(*topic), 1)).collect();
    let read = |sub| topology.topics_among(sub, "app", &counts);
    assert_eq!(read(0), ["app-orders-eu".into(), "orders-asia".into()]);
    assert_eq!(read(1), ["orders-us".into()]);
    assert_eq!(topology.offset_reset("orders-asia", "app"), None);
}

/// What the group hands out, tasks read.
#[test]
fn the_group_knows_the_same_topics_of_a_pattern_as_its_tasks() {
    let mut builder = Topology::builder();
    let some: Text = builder.add_source("some", super::Topics::pattern("(app-)?.*-eu"));
    let one: Text = builder.add_source("one", "orders-eu");
    pass(&mut builder, "count", &[&some], Stores::key_value::<String, i64>("store-eu"));
    pass(&mut builder, "other", &[&one], ());
    let names = Stores::key_value::<String, String>("names");
    builder.add_global_store("names", "names-eu", "put", names, |_, _| {
        process_fn(
            (),
            Arc::new(|(): &(), _: String, _: String, _: &mut ProcessorContext<'_, (), ()>| Ok(())),
        )
    });
    let topology = builder.build().unwrap();
    let existing = ["orders-eu", "names-eu", "returns-eu", "app-store-eu-changelog", "app-x-eu"];
    let counts = existing.iter().map(|topic| (Arc::from(*topic), 1)).collect::<BTreeMap<_, _>>();
    let group = topology.group_topology("app", &Default::default()).resolved(counts.keys());
    let read: Vec<_> = group
        .subtopologies
        .iter()
        .map(|sub| topology.topics_among(sub.subtopology, "app", &counts))
        .collect();
    let known = group.subtopologies.iter().map(|sub| Vec::from_iter(sub.source_topics.clone()));
    assert_eq!(read, known.collect::<Vec<_>>());
    assert_eq!(read[0], ["app-x-eu".into(), "returns-eu".into()]);
}
