//! From the logical graph to the core's topology, in topological order.

use std::any::Any;

use streams_core::processor::{FixedKeyInit, FixedKeyProcessor, Processor, ProcessorInit};
use streams_core::stores::{KeyValueHandle, KeyValueStore, StoreBuilder, StoreSet};
use streams_core::topology::{Consumed, Mistake, Node, Partitioner, Produced, TopologyBuilder};
use streams_core::{Data, SerdeRef};

use super::{BuildOptions, Graph, NodeId};
use crate::grouped::{StoredWindows, WindowedParts};
use crate::table::{Stored, TableParts, ValueGetter};

/// What a lowering closure works with: the node in hand, and what was made of the nodes above it.
pub(crate) struct Lowering<'a> {
    graph: &'a Graph,
    topology: &'a mut TopologyBuilder,
    /// By node: the core's `Node<K, V>`.
    outputs: Vec<Option<Box<dyn Any>>>,
    /// By node: the `ValueGetter<K, V>` of a table that can be read.
    getters: Vec<Option<Box<dyn Any>>>,
    at: NodeId,
}

/// Runs the lowering closures of all nodes.
pub(super) fn lower(graph: &Graph, topology: &mut TopologyBuilder) {
    let ids = graph.state().ids();
    let outputs = ids.clone().map(|_| None).collect();
    let getters = ids.clone().map(|_| None).collect();
    let mut lowering = Lowering { graph, topology, outputs, getters, at: 0 };
    let order = graph.state().lowering_order();
    for id in order {
        lowering.at = id;
        let (lower, call) = {
            let node = &mut graph.state().nodes[id as usize];
            (node.lower.take(), node.call)
        };
        lowering.topology.set_caller(Some(call.at));
        if let Some(lower) = lower {
            lower(&mut lowering);
        }
    }
    copartition(graph, topology);
}

/// Topics whose records meet in one task have equally many partitions.
fn copartition(graph: &Graph, topology: &mut TopologyBuilder) {
    let state = graph.state();
    for (call, left, right) in &state.copartitioned {
        topology.set_caller(Some(call.at));
        let origins = state.origins(*left).into_iter().chain(state.origins(*right));
        let mut topics: Vec<_> = origins.flat_map(|id| state.topics_read(id)).collect();
        topics.sort();
        topics.dedup();
        if topics.len() > 1 {
            topology.copartition(topics);
        }
    }
}

impl Lowering<'_> {
    /// The name of one processor of the node in hand.
    pub(crate) fn name(&self, part: usize) -> String {
        self.graph.state().node(self.at).name.part(part)
    }

    /// The name of another node.
    pub(crate) fn name_of(&self, node: NodeId) -> String {
        self.graph.name_of(node)
    }

    /// What forwards the records of a parent.
    pub(crate) fn parent<K: 'static, V: 'static>(&self, parent: usize) -> Node<K, V> {
        let id = self.graph.state().nodes[self.at as usize].parents[parent];
        let node = self.outputs[id as usize].as_ref().and_then(|node| node.downcast_ref());
        *node.expect("handles have the types of their nodes, and parents are lowered first")
    }

    /// Says what forwards the records of the node in hand.
    pub(crate) fn output<K: 'static, V: 'static>(&mut self, node: Node<K, V>) {
        self.outputs[self.at as usize] = Some(Box::new(node));
    }

    /// The usual case: one processor below all parents.
    pub(crate) fn processor<K: Data, V: Data, S, P>(
        &mut self,
        stores: S,
        supplier: impl Fn(S::Handles, &mut ProcessorInit<'_, P>) -> P + Send + Sync + 'static,
    ) where
        S: StoreSet,
        P: Processor<KIn = K, VIn = V>,
    {
        let parents: Vec<_> = {
            let state = self.graph.state();
            let parents = &state.node(self.at).parents;
            let mut order: Vec<usize> = (0..parents.len()).collect();
            // Where the JVM puts a source for its duplicate.
            order.sort_by_key(|&parent| {
                Some(parents[parent]).filter(|id| state.same_source(*id).is_some())
            });
            order
        };
        let parents: Vec<_> =
            parents.into_iter().map(|parent| self.parent::<K, V>(parent)).collect();
        let node = self.add_below(0, &parents, stores, supplier);
        self.output(node);
    }

    /// One of several processors, below one parent of the node in hand.
    pub(crate) fn side<K: Data, V: Data, S, P>(
        &mut self,
        part: usize,
        parent: usize,
        stores: S,
        supplier: impl Fn(S::Handles, &mut ProcessorInit<'_, P>) -> P + Send + Sync + 'static,
    ) -> Node<P::KOut, P::VOut>
    where
        S: StoreSet,
        P: Processor<KIn = K, VIn = V>,
    {
        let parent = self.parent::<K, V>(parent);
        self.add_below(part, &[parent], stores, supplier)
    }

    /// A processor below others of the same node.
    pub(crate) fn add_below<S, P>(
        &mut self,
        part: usize,
        parents: &[Node<P::KIn, P::VIn>],
        stores: S,
        supplier: impl Fn(S::Handles, &mut ProcessorInit<'_, P>) -> P + Send + Sync + 'static,
    ) -> Node<P::KOut, P::VOut>
    where
        S: StoreSet,
        P: Processor,
    {
        let name = self.name(part);
        let parents: Vec<_> = parents.iter().collect();
        self.topology.add_processor(&name, &parents, stores, supplier)
    }

    /// Reads topics.
    pub(crate) fn source<K: Data, V: Data>(
        &mut self,
        part: usize,
        consumed: Consumed<K, V>,
    ) -> Node<K, V> {
        let name = self.name(part);
        self.topology.add_source(&name, consumed)
    }

    /// A store that is fed by a topic once per instance.
    pub(crate) fn global_store<K: Data, V: Data, RK: Data, RV: Data, P>(
        &mut self,
        consumed: Consumed<K, V>,
        store: StoreBuilder<KeyValueStore<RK, RV>>,
        supplier: impl Fn(KeyValueHandle<RK, RV>, &mut ProcessorInit<'_, P>) -> P
        + Send
        + Sync
        + 'static,
    ) where
        P: Processor<KIn = K, VIn = V>,
    {
        let (source, processor) = (self.name(0), self.name(1));
        self.topology.add_global_store(&source, consumed, &processor, store, supplier);
    }

    /// Writes what the parent forwards.
    pub(crate) fn sink<K: Data, V: Data>(&mut self, produced: Produced<K, V>) {
        let (name, parent) = (self.name(0), self.parent::<K, V>(0));
        self.topology.add_sink(&name, &[&parent], produced);
    }

    /// As [`sink`](Self::sink), below processors of the node in hand.
    pub(crate) fn sink_below<K: Data, V: Data>(
        &mut self,
        part: usize,
        parents: &[Node<K, V>],
        produced: Produced<K, V>,
    ) {
        let name = self.name(part);
        let parents: Vec<_> = parents.iter().collect();
        self.topology.add_sink(&name, &parents, produced);
    }

    /// The topic of a repartition node above: `path` tells which parent, and which parent of that.
    pub(crate) fn topic_at(&self, path: &[usize]) -> String {
        let state = self.graph.state();
        let up = |id: NodeId, parent: &usize| state.node(id).parents[*parent];
        state.repartition_topic(path.iter().fold(self.at, up))
    }

    /// What the application's configuration says about topologies.
    pub(crate) fn options(&self) -> BuildOptions {
        self.graph.state().options
    }

    /// The optimisations that the application's configuration asks for.
    pub(crate) fn optimization(&self) -> streams_core::config::TopologyOptimization {
        self.options().optimization
    }

    /// Whether records without a key stay: a join below has results for them.
    pub(crate) fn keeps_null_keys(&self) -> bool {
        let state = self.graph.state();
        let is_here =
            |below: &NodeId| *below == self.at || state.ancestors(*below).contains(&self.at);
        state.null_keys_wanted.iter().any(is_here)
    }

    /// The earlier source that reads the same topics as the one in hand.
    pub(crate) fn same_source(&self) -> Option<NodeId> {
        self.graph.state().same_source(self.at)
    }

    /// Whether both parents of the node in hand forward the same records, after all rewrites: they
    /// may read one topic, or go through one repartition topic.
    pub(crate) fn parents_are_one(&self) -> bool {
        let state = self.graph.state();
        let of = |id: &NodeId| state.same_source(*id).unwrap_or(*id);
        let mut parents = state.node(self.at).parents.iter().map(of);
        parents.next().is_some_and(|first| parents.all(|other| other == first))
    }

    /// The node in hand has no processor: its records are those of another.
    pub(crate) fn alias<K: 'static, V: 'static>(&mut self, of: NodeId) {
        let node: Option<&Node<K, V>> =
            self.outputs[of as usize].as_ref().and_then(|node| node.downcast_ref());
        let node = *node.expect("the node that is stood for has the same types");
        self.output(node);
    }

    /// Adds what stands around a repartition topic; `names` are those of sink, filter and source.
    pub(crate) fn repartition<K: Data, V: Data, P>(
        &mut self,
        topic: RepartitionTopic<K, V>,
        filter: impl Fn((), &mut ProcessorInit<'_, P>) -> P + Send + Sync + 'static,
    ) where
        P: Processor<KIn = K, VIn = V, KOut = K, VOut = V>,
    {
        let name = self.declare_repartition_topic(topic.partitions);
        let [sink, filter_name, source] = self.graph.state().repartition_names(self.at);
        let parent = self.parent::<K, V>(0);
        let filter = self.topology.add_processor(&filter_name, &[&parent], (), filter);
        let mut produced =
            Produced::with(&name, topic.key.clone(), topic.value.clone()).partition_by_window();
        if let Some(partitioner) = topic.partitioner {
            produced = produced.partitioner(move |record, n| partitioner(record, n));
        }
        self.topology.add_sink(&sink, &[&filter], produced);
        let consumed = Consumed::with(name.as_str(), topic.key, topic.value);
        let node = self.topology.add_source(&source, consumed);
        self.output(node);
    }

    /// Declares the topic of the repartition node in hand; its name, without the application's id.
    pub(crate) fn declare_repartition_topic(&mut self, partitions: Option<i32>) -> String {
        let topic = self.graph.state().repartition_topic(self.at);
        self.topology.add_repartition_topic(&topic, partitions);
        topic
    }

    /// What the passes have decided for the table in hand.
    pub(crate) fn table_parts<K: Data, V: Data>(&mut self) -> TableParts<K, V> {
        let state = self.graph.state();
        let Some(table) = state.tables.get(&self.at) else {
            return TableParts { store: None, send_old: false, on_commit: false };
        };
        let stored = table.stored.as_ref().filter(|_| table.materialized);
        let stored: Option<&Stored<K, V>> = stored.and_then(|stored| stored.downcast_ref());
        let store = stored.zip(table.store.as_ref());
        let on_commit = store
            .and_then(|(stored, _)| stored.settings.emit_on_commit)
            .unwrap_or(state.options.emit_on_commit);
        let store = store.map(|(stored, name)| {
            stored.builder(&name.to_string(), state.options, state.reused_changelog(self.at))
        });
        TableParts { store, send_old: table.send_old, on_commit }
    }

    /// What the passes have decided for the table of windows in hand; `None` if it has no store.
    pub(crate) fn windowed_parts<K: Data, A: Data>(&mut self) -> Option<WindowedParts<K, A>> {
        let state = self.graph.state();
        let table = state.tables.get(&self.at)?;
        let stored: &StoredWindows<K, A> = table.stored.as_ref()?.downcast_ref()?;
        Some(WindowedParts {
            name: table.store.as_ref()?.to_string(),
            stored: stored.clone(),
            options: state.options,
            send_old: table.send_old,
        })
    }

    /// Tells how the table in hand is read; `None` if nobody asked for it.
    pub(crate) fn set_getter<K: 'static, V: 'static>(&mut self, getter: Option<ValueGetter<K, V>>) {
        self.getters[self.at as usize] = getter.map(|getter| Box::new(getter) as Box<dyn Any>);
    }

    /// How a parent that is a table is read; it can be if the node in hand has asked for it.
    pub(crate) fn parent_getter<K: 'static, V: 'static>(
        &self,
        parent: usize,
    ) -> Option<ValueGetter<K, V>> {
        let id = self.graph.state().nodes[self.at as usize].parents[parent];
        self.getters[id as usize].as_ref()?.downcast_ref().cloned()
    }

    /// Whether a parent is a versioned table.
    pub(crate) fn is_versioned(&self, parent: usize) -> bool {
        let state = self.graph.state();
        state.history_ms(state.node(self.at).parents[parent]).is_some()
    }

    /// Something that cannot be, if the passes are right.
    pub(crate) fn bug(&mut self, what: &str) {
        let call = self.graph.state().node(self.at).call;
        let message = format!("{what}: this is a bug of the library, in {call}");
        self.topology.add_mistake(Mistake::new(message, call.at));
    }

    /// As [`processor`](Self::processor), for one that cannot change keys.
    pub(crate) fn fixed_key_processor<S, P>(
        &mut self,
        stores: S,
        supplier: impl Fn(S::Handles, &mut FixedKeyInit<'_, '_, P>) -> P + Send + Sync + 'static,
    ) where
        S: StoreSet,
        P: FixedKeyProcessor,
    {
        let (name, parent) = (self.name(0), self.parent::<P::Key, P::VIn>(0));
        let node = self.topology.add_fixed_key_processor(&name, &[&parent], stores, supplier);
        self.output(node);
    }
}

/// How a repartition topic is written and read.
pub(crate) struct RepartitionTopic<K, V> {
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<V>,
    pub(crate) partitions: Option<i32>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}
