//! What the group needs to know of a topology.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::graph::{Graph, InternalTopicSpec, NodeKind, SourceTopics, Subtopology, Topology};
use crate::assignment::{GroupTopology, InternalTopic, SubtopologyTopics};
use crate::stores::{ChangelogKind, StoreDeclaration};

/// Settings that hold for all topics that the library makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopicSettings {
    /// By the broker's names: those of `topic.` in the configuration. They go before the
    /// library's own, and behind those of a single store.
    pub configs: BTreeMap<String, String>,
    /// -1 is the broker's default.
    pub replication_factor: i16,
    /// How much longer than the stores themselves the changelogs of windowed stores keep records.
    pub windowed_additional_retention: Duration,
}

impl Default for InternalTopicSettings {
    fn default() -> Self {
        Self {
            configs: BTreeMap::new(),
            replication_factor: -1,
            windowed_additional_retention: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Topology {
    /// The topics of all sub-topologies, named as the broker knows them.
    pub fn group_topology(
        &self,
        application_id: &str,
        settings: &InternalTopicSettings,
    ) -> GroupTopology {
        let graph = self.graph();
        let topics = |sub| topics_of(graph, sub, application_id, settings);
        let (global, own): (Vec<_>, Vec<_>) =
            graph.subtopologies.iter().partition(|sub| sub.is_global);
        GroupTopology {
            subtopologies: own.into_iter().map(topics).collect(),
            global_topics: global.into_iter().flat_map(|sub| topics(sub).source_topics).collect(),
        }
    }
}

fn topics_of(
    graph: &Graph,
    sub: &Subtopology,
    application_id: &str,
    settings: &InternalTopicSettings,
) -> SubtopologyTopics {
    let mut topics = SubtopologyTopics { subtopology: sub.number, ..Default::default() };
    for &node in &sub.nodes {
        match &graph.nodes[node].kind {
            NodeKind::Source { topics: SourceTopics::List(read), .. } => {
                for topic in read {
                    let name = graph.decorated(topic, application_id);
                    match graph.internal_topics.get(topic) {
                        Some(spec) => {
                            let internal = repartition_topic(spec, settings);
                            topics.repartition_sources.insert(name, internal);
                        }
                        None => {
                            topics.source_topics.insert(name);
                        }
                    }
                }
            }
            NodeKind::Source { topics: SourceTopics::Pattern(pattern), .. } => {
                topics.patterns.push(pattern.clone());
            }
            NodeKind::Sink { topic: Some(topic) } if graph.internal_topics.contains_key(topic) => {
                topics.repartition_sinks.insert(graph.decorated(topic, application_id));
            }
            _ => {}
        }
    }
    for &store in &sub.stores {
        let declaration = &graph.stores[store];
        if *declaration.changelog() == ChangelogKind::Own {
            let name = declaration.own_changelog_topic(application_id);
            topics.changelogs.insert(name, changelog_topic(declaration, settings));
        }
    }
    topics.copartition_groups = copartition_groups(graph, &topics, application_id);
    topics
}

fn copartition_groups(
    graph: &Graph,
    topics: &SubtopologyTopics,
    application_id: &str,
) -> Vec<BTreeSet<Arc<str>>> {
    let reads = |topic: &Arc<str>| {
        topics.source_topics.contains(topic) || topics.repartition_sources.contains_key(topic)
    };
    let groups = graph.copartition_groups.iter().map(|group| {
        let decorated = group.topics.iter().map(|topic| graph.decorated(topic, application_id));
        decorated.filter(reads).collect::<BTreeSet<_>>()
    });
    groups.filter(|group| group.len() > 1).collect()
}

fn repartition_topic(spec: &InternalTopicSpec, settings: &InternalTopicSettings) -> InternalTopic {
    let defaults = [
        ("message.timestamp.type", "CreateTime"),
        ("cleanup.policy", "delete"),
        ("segment.bytes", "52428800"),
        // Records are deleted when they were read, not when they are old.
        ("retention.ms", "-1"),
    ];
    InternalTopic {
        partitions: spec.partitions,
        configs: merged(&defaults, &[&settings.configs, &spec.configs]),
        replication_factor: settings.replication_factor,
    }
}

fn changelog_topic(store: &StoreDeclaration, settings: &InternalTopicSettings) -> InternalTopic {
    let defaults = [("message.timestamp.type", "CreateTime"), ("cleanup.policy", "compact")];
    let additional = settings.windowed_additional_retention.as_millis();
    let additional_ms = i64::try_from(additional).unwrap_or(i64::MAX);
    let mut by_kind = store.kind_configs().clone();
    if let Some(retention_ms) = store.changelog_retention_ms(additional_ms) {
        by_kind.insert("retention.ms".to_owned(), retention_ms.to_string());
    }
    let layers = [&by_kind, &settings.configs, store.changelog_configs()];
    InternalTopic {
        partitions: None,
        configs: merged(&defaults, &layers),
        replication_factor: settings.replication_factor,
    }
}

/// The later ones win.
fn merged(
    defaults: &[(&str, &str)],
    layers: &[&BTreeMap<String, String>],
) -> BTreeMap<String, String> {
    let mut configs: BTreeMap<String, String> =
        defaults.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    for &layer in layers {
        configs.extend(layer.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    configs
}
