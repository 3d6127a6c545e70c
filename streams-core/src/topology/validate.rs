//! What can be wrong with a topology as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builder::TopologyBuilder;
use super::error::Mistake;
use super::graph::{NodeKind, SourceTopics};
use crate::stores::ChangelogKind;

/// Records are forwarded by recursion: some 2.5 KB of stack a node in unoptimised builds, and the
/// application's code
/// on top, where a test's thread has 2 MB.
const DEPTH_MAX: usize = 400;

/// Adds the mistakes that only show when all nodes are known.
pub(super) fn check(builder: &mut TopologyBuilder) {
    let mut found = Vec::new();
    check_names_of_topics(builder, &mut found);
    check_sources(builder, &mut found);
    check_internal_topics(builder, &mut found);
    check_stores(builder, &mut found);
    check_copartition_groups(builder, &mut found);
    check_depth(builder, &mut found);
    builder.mistakes.append(&mut found);
}

/// Topics that no broker could have: said here, and not by a broker that refuses them for ever.
fn check_names_of_topics(builder: &TopologyBuilder, found: &mut Vec<Mistake>) {
    for node in &builder.nodes {
        let topics: Vec<&Arc<str>> = match &node.kind {
            NodeKind::Source { topics: SourceTopics::List(topics), .. } => topics.iter().collect(),
            NodeKind::Sink { topic: Some(topic) } => vec![topic],
            NodeKind::Source { .. } | NodeKind::Processor { .. } | NodeKind::Sink { .. } => {
                continue;
            }
        };
        for topic in topics.into_iter().filter(|topic| !is_name_of_topic(topic, TOPIC_NAME_MAX)) {
            let message = format!(
                "`{topic}` of `{}` cannot be the name of a topic: Kafka takes 1 to \
                 {TOPIC_NAME_MAX} of the characters a-z, A-Z, 0-9, `.`, `_` and `-`, and neither \
                 `.` nor `..`",
                node.name
            );
            found.push(Mistake::new(message, node.location));
        }
    }
}

/// How many characters the name of a topic has at most.
pub(super) const TOPIC_NAME_MAX: usize = 249;

/// Whether Kafka takes `name` as that of a topic, with at most so many characters.
pub(super) fn is_name_of_topic(name: &str, length_max: usize) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let length = 1..=length_max;
    length.contains(&name.len()) && name.chars().all(legal) && name != "." && name != ".."
}

fn check_sources(builder: &TopologyBuilder, found: &mut Vec<Mistake>) {
    let mut readers: BTreeMap<&str, &str> = BTreeMap::new();
    let mut any = false;
    for node in &builder.nodes {
        let NodeKind::Source { topics, .. } = &node.kind else { continue };
        any = true;
        match topics {
            SourceTopics::List(topics) if topics.is_empty() => {
                let message = format!("source `{}` has no topics", node.name);
                found.push(Mistake::new(message, node.location));
            }
            SourceTopics::List(topics) => {
                for topic in topics {
                    if let Some(other) = readers.insert(topic, &node.name) {
                        let message = format!(
                            "source `{}` reads topic `{topic}`, which source `{other}` reads \
                             already: use its node twice",
                            node.name
                        );
                        found.push(Mistake::new(message, node.location));
                    }
                }
            }
            SourceTopics::Pattern(_) => {}
        }
    }
    if !any {
        let location = builder.nodes.first().map_or(here(), |node| node.location);
        found.push(Mistake::new("a topology needs at least one source", location));
    }
}

fn check_internal_topics(builder: &TopologyBuilder, found: &mut Vec<Mistake>) {
    for (topic, spec) in &builder.internal_topics {
        let written = builder
            .nodes
            .iter()
            .any(|node| matches!(&node.kind, NodeKind::Sink { topic: Some(to) } if to == topic));
        if !reads(builder, topic) {
            let message = format!("no source reads repartition topic `{topic}`");
            found.push(Mistake::new(message, spec.location));
        }
        if !written {
            let message = format!("no sink writes repartition topic `{topic}`");
            found.push(Mistake::new(message, spec.location));
        }
    }
}

fn check_stores(builder: &TopologyBuilder, found: &mut Vec<Mistake>) {
    for used in &builder.named_stores {
        let declared = builder.stores.iter().find(|store| *store.declaration.name() == used.name);
        let message = match declared {
            None => format!("nobody declares store `{}`", used.name),
            Some(store) if store.declaration.instance() != used.instance => {
                format!("store `{}` is used with other types than it has", used.name)
            }
            Some(_) => continue,
        };
        found.push(Mistake::new(message, used.location));
    }
    for store in &builder.stores {
        if let ChangelogKind::SourceTopic(topic) = store.declaration.changelog()
            && !reads(builder, topic)
        {
            let name = store.declaration.name();
            let message =
                format!("no source reads topic `{topic}`, the changelog of store `{name}`");
            found.push(Mistake::new(message, store.location));
        }
    }
}

fn check_copartition_groups(builder: &TopologyBuilder, found: &mut Vec<Mistake>) {
    for group in &builder.copartition_groups {
        for topic in group.topics.iter().filter(|topic| !reads(builder, topic)) {
            let message = format!("no source reads topic `{topic}`, which is to be copartitioned");
            found.push(Mistake::new(message, group.location));
        }
    }
}

fn check_depth(builder: &TopologyBuilder, found: &mut Vec<Mistake>) {
    let mut depths: Vec<usize> = Vec::with_capacity(builder.nodes.len());
    for node in &builder.nodes {
        let depth = node.parents.iter().map(|&parent| depths[parent] + 1).max().unwrap_or(0);
        depths.push(depth);
        if depth == DEPTH_MAX {
            let message = format!("`{}` lies below more than {DEPTH_MAX} nodes", node.name);
            found.push(Mistake::new(message, node.location));
        }
    }
}

fn reads(builder: &TopologyBuilder, topic: &Arc<str>) -> bool {
    builder.nodes.iter().any(|node| {
        matches!(&node.kind, NodeKind::Source { topics: SourceTopics::List(topics), .. }
            if topics.contains(topic))
    })
}

#[track_caller]
fn here() -> &'static std::panic::Location<'static> {
    std::panic::Location::caller()
}
