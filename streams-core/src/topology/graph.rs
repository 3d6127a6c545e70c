//! A finished topology.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::builder::TopologyBuilder;
use super::consumed::OffsetReset;
use crate::assignment::TopicPattern;
use crate::stores::StoreDeclaration;
use crate::task::{NodeFactory, QueueFactory};

/// Sources, processors, sinks and stores, ready to be run: as many tasks are made of it as there
/// are partitions. A clone is the same topology.
#[derive(Clone)]
pub struct Topology(Arc<Graph>);

pub(crate) struct Graph {
    /// In the order of insertion, which is topological: a node's parents are added before it.
    pub(crate) nodes: Vec<NodeSpec>,
    /// By node.
    pub(crate) children: Vec<Vec<usize>>,
    /// In the order of insertion.
    pub(crate) stores: Vec<Arc<StoreDeclaration>>,
    pub(crate) subtopologies: Vec<Subtopology>,
    pub(crate) internal_topics: BTreeMap<Arc<str>, InternalTopicSpec>,
    pub(crate) copartition_groups: Vec<CopartitionGroup>,
}

pub(crate) struct NodeSpec {
    pub(crate) name: Arc<str>,
    pub(crate) kind: NodeKind,
    pub(crate) parents: Vec<usize>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) factory: NodeFactory,
}

pub(crate) enum NodeKind {
    Source {
        topics: SourceTopics,
        reset: Option<OffsetReset>,
        queue: QueueFactory,
    },
    /// The names of its stores.
    Processor {
        stores: Vec<Arc<str>>,
    },
    /// Its topic, undecorated; `None` if it is chosen per record.
    Sink {
        topic: Option<Arc<str>>,
    },
}

/// What a source reads, undecorated.
pub(crate) enum SourceTopics {
    List(Vec<Arc<str>>),
    Pattern(TopicPattern),
}

#[derive(Clone)]
pub(crate) struct InternalTopicSpec {
    pub(crate) partitions: Option<i32>,
    pub(crate) configs: BTreeMap<String, String>,
    pub(crate) location: &'static Location<'static>,
}

#[derive(Clone)]
pub(crate) struct CopartitionGroup {
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) location: &'static Location<'static>,
}

/// The nodes that hang together, by edges or by stores they share: what one task runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subtopology {
    /// The first number of its task ids.
    pub(crate) number: u32,
    /// In the order of insertion.
    pub(crate) nodes: Vec<usize>,
    /// In the order of insertion.
    pub(crate) stores: Vec<usize>,
    /// The global stores that its processors read.
    pub(crate) globals: Vec<usize>,
    /// It feeds a global store, once per instance: there are no tasks of it.
    pub(crate) is_global: bool,
}

impl Topology {
    /// Begins a topology of hand-written processors.
    pub fn builder() -> TopologyBuilder {
        TopologyBuilder::new()
    }

    pub(crate) fn new(graph: Graph) -> Self {
        Self(Arc::new(graph))
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.0
    }

    /// The numbers of the sub-topologies that tasks are made of.
    pub fn subtopologies(&self) -> impl Iterator<Item = u32> {
        self.0.subtopologies.iter().filter(|sub| !sub.is_global).map(|sub| sub.number)
    }

    /// The numbers of the sub-topologies that feed global stores.
    pub fn global_subtopologies(&self) -> impl Iterator<Item = u32> {
        self.0.subtopologies.iter().filter(|sub| sub.is_global).map(|sub| sub.number)
    }

    /// All stores, those of tasks and global ones.
    pub fn all_stores(&self) -> impl Iterator<Item = &Arc<StoreDeclaration>> {
        self.0.stores.iter()
    }

    /// Whether tasks of a sub-topology read global stores.
    pub(crate) fn reads_globals(&self, subtopology: u32) -> bool {
        self.subtopology(subtopology).is_some_and(|sub| !sub.globals.is_empty())
    }

    /// The stores of the tasks of a sub-topology, in the order in which a task wants them.
    pub fn stores(&self, subtopology: u32) -> Vec<Arc<StoreDeclaration>> {
        let Some(sub) = self.subtopology(subtopology) else { return Vec::new() };
        sub.stores.iter().map(|&store| self.0.stores[store].clone()).collect()
    }

    /// The topics that a sub-topology reads, as the broker knows them. Patterns are left out.
    pub fn source_topics(&self, subtopology: u32, application_id: &str) -> Vec<Arc<str>> {
        let Some(sub) = self.subtopology(subtopology) else { return Vec::new() };
        sub.nodes
            .iter()
            .flat_map(|&node| self.0.source_topics(node))
            .map(|topic| self.0.decorated(topic, application_id))
            .collect()
    }

    /// The topics that a sub-topology reads if the topics of the cluster are `counts`, as the
    /// broker knows them: those it names, and those that its patterns match.
    pub fn topics_among(
        &self,
        subtopology: u32,
        application_id: &str,
        counts: &BTreeMap<Arc<str>, i32>,
    ) -> Vec<Arc<str>> {
        let named = self.source_topics(subtopology, application_id);
        let Some(sub) = self.subtopology(subtopology).filter(|_| self.0.has_patterns()) else {
            return named;
        };
        let reads = |topic: &&Arc<str>| {
            let source = self.0.source_of(topic, application_id);
            let matched = source.is_some_and(|source| sub.nodes.contains(&source));
            matched && !named.contains(*topic) && !self.0.is_internal(topic, application_id)
        };
        named.iter().chain(counts.keys().filter(reads)).cloned().collect()
    }

    /// Where the source of `topic` (as the broker knows it) starts without a committed position,
    /// if it says so itself.
    pub fn offset_reset(&self, topic: &str, application_id: &str) -> Option<OffsetReset> {
        self.0.source_of(topic, application_id).and_then(|node| match &self.0.nodes[node].kind {
            NodeKind::Source { reset, .. } => *reset,
            _ => None,
        })
    }

    /// Whether `topic` (as the broker knows it) is one that the library makes and purges.
    pub fn is_repartition_topic(&self, topic: &str, application_id: &str) -> bool {
        undecorated(topic, application_id)
            .is_some_and(|base| self.0.internal_topics.contains_key(base))
    }

    pub(crate) fn subtopology(&self, number: u32) -> Option<&Subtopology> {
        self.0.subtopologies.iter().find(|sub| sub.number == number)
    }
}

impl Graph {
    /// A topic's name as the broker knows it.
    pub(crate) fn decorated(&self, topic: &Arc<str>, application_id: &str) -> Arc<str> {
        if self.internal_topics.contains_key(topic) {
            format!("{application_id}-{topic}").into()
        } else {
            topic.clone()
        }
    }

    fn has_patterns(&self) -> bool {
        let is_pattern = |node: &NodeSpec| {
            matches!(&node.kind, NodeKind::Source { topics: SourceTopics::Pattern(_), .. })
        };
        self.nodes.iter().any(is_pattern)
    }

    /// Whether `topic` (as the broker knows it) is one of the application's own.
    fn is_internal(&self, topic: &str, application_id: &str) -> bool {
        let Some(base) = undecorated(topic, application_id) else { return false };
        let store = base.strip_suffix("-changelog");
        self.internal_topics.contains_key(base)
            || store.is_some_and(|store| self.stores.iter().any(|s| **s.name() == *store))
    }

    /// The source that reads `topic` (as the broker knows it).
    pub(crate) fn source_of(&self, topic: &str, application_id: &str) -> Option<usize> {
        let reads = |name: &str| {
            (0..self.nodes.len()).find(|&node| self.source_topics(node).any(|t| **t == *name))
        };
        let internal = undecorated(topic, application_id)
            .filter(|base| self.internal_topics.contains_key(*base));
        let matches = |node: &usize| match &self.nodes[*node].kind {
            NodeKind::Source { topics: SourceTopics::Pattern(pattern), .. } => {
                pattern.matches(topic)
            }
            _ => false,
        };
        let by_pattern = || (0..self.nodes.len()).find(matches);
        internal.and_then(reads).or_else(|| reads(topic)).or_else(by_pattern)
    }

    /// The topics of a node, undecorated; none if it is no source, or reads a pattern.
    pub(crate) fn source_topics(&self, node: usize) -> impl Iterator<Item = &Arc<str>> {
        match &self.nodes[node].kind {
            NodeKind::Source { topics: SourceTopics::List(topics), .. } => topics.as_slice(),
            _ => &[],
        }
        .iter()
    }
}

fn undecorated<'a>(topic: &'a str, application_id: &str) -> Option<&'a str> {
    topic.strip_prefix(application_id)?.strip_prefix('-')
}

/// The same text as [`Topology::describe`].
impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
