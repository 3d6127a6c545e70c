//! The low-level builder: names for people, typed handles for wiring.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::consumed::Consumed;
use super::error::{Mistake, TopologyError};
use super::graph::{
    CopartitionGroup, Graph, InternalTopicSpec, NodeKind, NodeSpec, SourceTopics, Topology,
};
use super::produced::{Produced, Target};
use super::topic::Topics;
use super::validate;
use crate::assignment::TopicPattern;
use crate::processor::{
    Data, FixedKeyInit, FixedKeyNode, FixedKeyProcessor, Processor, ProcessorInit,
};
use crate::stores::{StoreConnections, StoreDeclaration, StoreSet};
use crate::task::{
    NodeFactory, SinkSpec, SourceSpec, processor_factory, queue_factory, sink_factory,
    source_factory,
};
use std::any::TypeId;

/// Collects nodes. Mistakes are remembered and told all at once by [`build`](Self::build), each
/// with file and line of the call.
pub struct TopologyBuilder {
    id: u64,
    /// Where the user's call is, if not where this builder is called.
    caller: Option<&'static Location<'static>>,
    pub(super) nodes: Vec<NodeSpec>,
    pub(super) stores: Vec<DeclaredStore>,
    /// Stores that are used by name, to be checked when all are declared.
    pub(super) named_stores: Vec<NamedStore>,
    pub(super) internal_topics: BTreeMap<Arc<str>, InternalTopicSpec>,
    pub(super) copartition_groups: Vec<CopartitionGroup>,
    /// The processors that feed global stores.
    pub(super) globals: Vec<usize>,
    /// Stores that one processor alone writes: their names, and that of the processor.
    pub(super) sole_writers: BTreeMap<Arc<str>, Arc<str>>,
    pub(super) mistakes: Vec<Mistake>,
}

pub(super) struct DeclaredStore {
    pub(super) declaration: Arc<StoreDeclaration>,
    pub(super) location: &'static Location<'static>,
}

pub(super) struct NamedStore {
    pub(super) name: Arc<str>,
    pub(super) instance: TypeId,
    pub(super) location: &'static Location<'static>,
}

/// A node of a [`TopologyBuilder`]; its types are what it forwards.
pub struct Node<K, V> {
    builder: u64,
    index: usize,
    records: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Node<K, V> {}

/// How many characters the name of a store has at most: its rows are kept under it, on disk too.
const STORE_NAME_MAX: usize = 200;

/// More than any cluster of Kafka has in all: a mistyped number.
const PARTITIONS_MAX: i32 = 100_000;

impl TopologyBuilder {
    pub(super) fn new() -> Self {
        // Only told from other builders by it: a node of one is no parent in another.
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            caller: None,
            nodes: Vec::new(),
            stores: Vec::new(),
            named_stores: Vec::new(),
            internal_topics: BTreeMap::new(),
            copartition_groups: Vec::new(),
            globals: Vec::new(),
            sole_writers: BTreeMap::new(),
            mistakes: Vec::new(),
        }
    }

    /// Reads topics. No topic can be read by two sources.
    #[track_caller]
    pub fn add_source<K: Data, V: Data>(
        &mut self,
        name: &str,
        topics: impl Into<Consumed<K, V>>,
    ) -> Node<K, V> {
        let consumed = topics.into();
        let topics = match consumed.topics() {
            Topics::List(topics) => {
                SourceTopics::List(topics.iter().map(|topic| topic.as_str().into()).collect())
            }
            Topics::Pattern(regex) => match TopicPattern::new(regex) {
                Ok(pattern) => SourceTopics::Pattern(pattern),
                Err(error) => {
                    self.mistake(format!(
                        "source `{name}` has a pattern that is no regular expression: {error}"
                    ));
                    SourceTopics::List(Vec::new())
                }
            },
        };
        let reset = consumed.reset;
        let spec = SourceSpec::of(consumed);
        if spec.is_none() {
            self.mistake(format!("source `{name}` has nobody to inherit serdes from"));
        }
        let queue = queue_factory(spec);
        let kind = NodeKind::Source { topics, reset, queue };
        self.add(name, kind, Vec::new(), source_factory::<K, V>())
    }

    /// Adds a processor below `parents`. It is connected to `stores`, which are declared by this,
    /// and made by `supplier`, once per task.
    #[track_caller]
    pub fn add_processor<S: StoreSet, P: Processor>(
        &mut self,
        name: &str,
        parents: &[&Node<P::KIn, P::VIn>],
        stores: S,
        supplier: impl Fn(S::Handles, &mut ProcessorInit<'_, P>) -> P + Send + Sync + 'static,
    ) -> Node<P::KOut, P::VOut> {
        let parents = self.parents(name, parents);
        let (stores, connected) = self.connect(stores);
        let factory = processor_factory(connected, supplier);
        self.add(name, NodeKind::Processor { stores }, parents, factory)
    }

    /// Adds a processor that cannot change keys.
    #[track_caller]
    pub fn add_fixed_key_processor<S: StoreSet, P: FixedKeyProcessor>(
        &mut self,
        name: &str,
        parents: &[&Node<P::Key, P::VIn>],
        stores: S,
        supplier: impl Fn(S::Handles, &mut FixedKeyInit<'_, '_, P>) -> P + Send + Sync + 'static,
    ) -> Node<P::Key, P::VOut> {
        self.add_processor(name, parents, stores, move |handles, init| {
            FixedKeyNode(supplier(handles, &mut FixedKeyInit::new(init)))
        })
    }

    /// Writes what `parents` forward to a topic.
    #[track_caller]
    pub fn add_sink<K: Data, V: Data>(
        &mut self,
        name: &str,
        parents: &[&Node<K, V>],
        topic: impl Into<Produced<K, V>>,
    ) {
        let produced = topic.into();
        let parents = self.parents(name, parents);
        let topic = match &produced.target {
            Target::Topic(topic) => Some(topic.clone()),
            Target::Dynamic(_) => None,
        };
        let spec = SinkSpec::of(produced);
        if spec.is_none() {
            self.mistake(format!(
                "sink `{name}` has nobody to inherit serdes from: give them by `Produced::with`"
            ));
        }
        let _: Node<(), ()> = self.add(name, NodeKind::Sink { topic }, parents, sink_factory(spec));
    }

    /// Declares a topic that the library makes, names after the application, and purges. Sources
    /// and sinks use it by `name`. `partitions`: as many as there are tasks that write it, unless
    /// given.
    #[track_caller]
    pub fn add_repartition_topic(&mut self, name: &str, partitions: Option<i32>) {
        self.check_topic_part("repartition topic", name, validate::TOPIC_NAME_MAX);
        if partitions.is_some_and(|n| n < 1) {
            self.mistake(format!("repartition topic `{name}` needs at least one partition"));
        }
        if let Some(count) = partitions.filter(|count| *count > PARTITIONS_MAX) {
            self.mistake(format!(
                "repartition topic `{name}` has {count} partitions: {PARTITIONS_MAX} is the most"
            ));
        }
        let spec =
            InternalTopicSpec { partitions, configs: BTreeMap::new(), location: self.here() };
        if self.internal_topics.insert(name.into(), spec).is_some() {
            self.mistake(format!("there are two repartition topics named `{name}`"));
        }
    }

    /// Demands that these topics have equally many partitions, because their records meet in one
    /// task. Undecorated names; each must be read by a source.
    #[track_caller]
    pub fn copartition(&mut self, topics: impl IntoIterator<Item = impl AsRef<str>>) {
        let topics = topics.into_iter().map(|topic| topic.as_ref().into()).collect();
        let location = self.here();
        self.copartition_groups.push(CopartitionGroup { topics, location });
    }

    /// What is added from now on stands at this place, for those who call the builder on behalf of
    /// a user; `None`: where the builder is called.
    pub fn set_caller(&mut self, caller: Option<&'static Location<'static>>) {
        self.caller = caller;
    }

    /// Remembers a mistake that was found elsewhere, by the DSL for instance.
    pub fn add_mistake(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Checks the topology and cuts it into sub-topologies.
    pub fn build(mut self) -> Result<Topology, TopologyError> {
        validate::check(&mut self);
        if !self.mistakes.is_empty() {
            return Err(TopologyError::new(self.mistakes));
        }
        let Self { mut nodes, stores, internal_topics, copartition_groups, globals, .. } = self;
        let mut children = vec![Vec::new(); nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            node.parents.iter().for_each(|&parent| children[parent].push(index));
        }
        let stores: Vec<_> = stores.into_iter().map(|store| store.declaration).collect();
        let subtopologies = super::subtopologies::number(&mut nodes, &stores, &globals);
        Ok(Topology::new(Graph {
            nodes,
            children,
            stores,
            subtopologies,
            internal_topics,
            copartition_groups,
        }))
    }

    #[track_caller]
    fn add<K, V>(
        &mut self,
        name: &str,
        kind: NodeKind,
        parents: Vec<usize>,
        factory: NodeFactory,
    ) -> Node<K, V> {
        let location = self.here();
        if name.is_empty() {
            self.mistake("a node needs a name".to_owned());
        } else if let Some(other) = self.nodes.iter().find(|node| *node.name == *name) {
            let first = other.location;
            self.mistake(format!("there are two nodes named `{name}`; the first is at {first}"));
        }
        self.nodes.push(NodeSpec { name: name.into(), kind, parents, location, factory });
        Node { builder: self.id, index: self.nodes.len() - 1, records: PhantomData }
    }

    #[track_caller]
    fn parents<K, V>(&mut self, name: &str, parents: &[&Node<K, V>]) -> Vec<usize> {
        if parents.is_empty() {
            self.mistake(format!("`{name}` has no parents, so nothing ever reaches it"));
        }
        let mut indexes = Vec::with_capacity(parents.len());
        for parent in parents {
            if parent.builder != self.id {
                self.mistake(format!("a parent of `{name}` is a node of another topology"));
            } else if indexes.contains(&parent.index) {
                let parent = self.nodes[parent.index].name.clone();
                self.mistake(format!("`{parent}` is twice a parent of `{name}`"));
            } else {
                indexes.push(parent.index);
            }
        }
        indexes
    }

    #[track_caller]
    fn connect<S: StoreSet>(
        &mut self,
        stores: S,
    ) -> (Vec<Arc<str>>, (Vec<Arc<str>>, crate::stores::HandleMaker<S::Handles>)) {
        let mut connections = StoreConnections::default();
        let handles = stores.connect(&mut connections);
        let mut names: Vec<Arc<str>> = Vec::new();
        for store in connections.stores {
            names.push(self.connect_store(store));
        }
        let mut distinct: Vec<Arc<str>> = Vec::new();
        for name in &names {
            if !distinct.contains(name) {
                distinct.push(name.clone());
            }
        }
        (distinct, (names, handles))
    }

    #[track_caller]
    fn connect_store(&mut self, connection: crate::stores::Connection) -> Arc<str> {
        use crate::stores::Connection;
        let location = self.here();
        let declaration = match connection {
            Connection::Declared(declaration) => declaration,
            Connection::Named { name, instance } => {
                let name = name();
                self.named_stores.push(NamedStore { name: name.clone(), instance, location });
                return name;
            }
        };
        let name = declaration.name().clone();
        match self.stores.iter().find(|store| *store.declaration.name() == name) {
            Some(known) if Arc::ptr_eq(&known.declaration, &declaration) => {}
            Some(_) if self.sole_writers.contains_key(&name) => {
                let writer = self.sole_writers[&name].clone();
                self.mistake(format!(
                    "store `{name}` is written by `{writer}` alone: connect others to what the \
                     call that added it has returned, and they can read it"
                ));
            }
            Some(known) => {
                let first = known.location;
                self.mistake(format!(
                    "there are two stores named `{name}`; the first is used at {first}. Two \
                     processors share a store by clones of one `StoreBuilder`"
                ));
            }
            None => {
                self.check_topic_part("store", &name, STORE_NAME_MAX);
                if declaration.time_to_live().is_some_and(|time| time.as_millis() == 0) {
                    self.mistake(format!(
                        "store `{name}` has a time to live of less than a millisecond: its rows \
                         would be gone at once"
                    ));
                }
                self.stores.push(DeclaredStore { declaration, location });
            }
        }
        name
    }

    #[track_caller]
    fn check_topic_part(&mut self, what: &str, name: &str, length_max: usize) {
        if !validate::is_name_of_topic(name, length_max) {
            self.mistake(format!(
                "`{name}` cannot be the name of a {what}: it becomes part of a topic's name, so \
                 it needs 1 to {length_max} of the characters a-z, A-Z, 0-9, `.`, `_` and `-`, \
                 and is neither `.` nor `..`"
            ));
        }
    }

    #[track_caller]
    fn here(&self) -> &'static Location<'static> {
        self.caller.unwrap_or(Location::caller())
    }

    #[track_caller]
    pub(super) fn mistake(&mut self, message: String) {
        let here = self.here();
        self.mistakes.push(Mistake::new(message, here));
    }
}
