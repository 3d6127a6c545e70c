//! Topologies that were described by Kafka Streams 4.1 itself: `describe_vectors/DescribeVectors.java`
//! wrote them, run with the number of topologies, 40 here.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Node, Topology, TopologyBuilder};
use crate::error::BoxError;
use crate::processor::{ProcessorContext, ProcessorFn, process_fn};
use crate::stores::{KeyValueStore, StoreBuilder, Stores};

type Text = Node<String, String>;

#[test]
fn descriptions_are_the_jvms_byte_for_byte() {
    for vector in include_str!("describe_vectors/vectors.txt").split("# ").skip(1) {
        let (calls, expected) = vector.split_once("=\n").unwrap();
        assert_eq!(build(calls).describe(), expected, "{calls}");
    }
}

/// `source <name> <topics>`, `processor <name> <parents> <stores>`, `sink <name> <parents> <topic>`.
fn build(calls: &str) -> Topology {
    let mut builder = Topology::builder();
    let mut nodes: BTreeMap<&str, Text> = BTreeMap::new();
    let mut stores: BTreeMap<&str, StoreBuilder<KeyValueStore<String, String>>> = BTreeMap::new();
    for call in calls.lines().skip(1) {
        let words: Vec<&str> = call.split(' ').collect();
        let parents = |nodes: &BTreeMap<&str, Text>| -> Vec<Text> {
            words[2].split(',').map(|parent| nodes[parent]).collect()
        };
        match words[0] {
            "source" => {
                let topics: Vec<&str> = words[2].split(',').collect();
                nodes.insert(words[1], builder.add_source(words[1], topics.as_slice()));
            }
            "processor" => {
                let used: Vec<_> = words[3]
                    .split(',')
                    .filter(|store| *store != "-")
                    .map(|name| {
                        stores.entry(name).or_insert_with(|| Stores::key_value(name)).clone()
                    })
                    .collect();
                let node = processor(&mut builder, words[1], &parents(&nodes), used);
                nodes.insert(words[1], node);
            }
            _ => {
                let parents = parents(&nodes);
                builder.add_sink(words[1], &parents.iter().collect::<Vec<_>>(), words[3]);
            }
        }
    }
    builder.build().unwrap()
}

fn processor(
    builder: &mut TopologyBuilder,
    name: &str,
    parents: &[Text],
    stores: Vec<StoreBuilder<KeyValueStore<String, String>>>,
) -> Text {
    let parents: Vec<&Text> = parents.iter().collect();
    builder.add_processor(name, &parents, stores, |_, _| -> ProcessorFn<_, _, _, _, _, _> {
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
