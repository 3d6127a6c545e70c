//! The logical graph: each call on a handle appends a node; `build()` runs the passes and lowers
//! what is left.
//!
//! `names` burns the counters, `resolve` carries upward what later children need, `rewrite` holds
//! the optimisations, `validate` finds all mistakes at once, `lower` makes the core's topology.

mod lower;
mod names;
mod node;
mod resolve;
mod rewrite;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streams_core::SerdeRef;
use streams_core::topology::{Mistake, Topology, TopologyError};

pub(crate) use lower::{Lowering, RepartitionTopic};
use names::is_generated_stream_name;
pub(crate) use names::{Generated, NodeName, Part, StoreName};
pub(crate) use node::{
    Ask, Call, ErasedSerde, ErasedStored, GraphNode, Grouping, Keeps, Kind, Lower, Naming, NodeId,
    Origin, Repartition, RepartitionBase, SourceTopics, TableFacts,
};

/// Shared by all handles of one `StreamsBuilder`.
#[derive(Clone, Default)]
pub(crate) struct Graph(Arc<Mutex<GraphState>>);

/// All nodes and the counter behind their names.
#[derive(Default)]
pub(crate) struct GraphState {
    pub(crate) nodes: Vec<GraphNode>,
    pub(crate) tables: BTreeMap<NodeId, TableFacts>,
    pub(crate) mistakes: Vec<(String, Call)>,
    /// Pairs of nodes whose records meet.
    pub(crate) copartitioned: Vec<(NodeId, NodeId)>,
    pub(crate) options: BuildOptions,
    named_together: BTreeMap<NodeId, NodeId>,
    counter: names::Counter,
    built: bool,
}

/// What the application's configuration says about topologies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BuildOptions {
    /// Tables that do not say it themselves emit one change per key and commit.
    pub(crate) emit_on_commit: bool,
    /// Tables that do not say it themselves are kept in memory.
    pub(crate) in_memory: bool,
    /// Generated names of topics and stores are mistakes.
    pub(crate) explicit_names: bool,
}

/// What an operator says of itself when it is called.
pub(crate) struct NewNode {
    pub(crate) call: Call,
    pub(crate) name: NodeName,
    pub(crate) parents: Vec<NodeId>,
    pub(crate) kind: Kind,
    /// The operator itself may change the key.
    pub(crate) changes_key: bool,
    pub(crate) keeps: Keeps,
    pub(crate) asks: Vec<Ask>,
    pub(crate) key_serde: Option<ErasedSerde>,
    pub(crate) value_serde: Option<ErasedSerde>,
    pub(crate) lower: Option<Lower>,
}

impl NewNode {
    pub(crate) fn new(call: Call, name: NodeName, parents: &[NodeId], kind: Kind) -> Self {
        Self {
            call,
            name,
            parents: parents.to_vec(),
            kind,
            changes_key: false,
            keeps: Keeps::Nothing,
            asks: Vec::new(),
            key_serde: None,
            value_serde: None,
            lower: None,
        }
    }

    pub(crate) fn changes_key(mut self, changes_key: bool) -> Self {
        self.changes_key = changes_key;
        self
    }

    pub(crate) fn keeps(mut self, keeps: Keeps) -> Self {
        self.keeps = keeps;
        self
    }

    /// The serdes of what comes out, as far as they are known.
    pub(crate) fn serdes<K: 'static, V: 'static>(
        mut self,
        key: Option<SerdeRef<K>>,
        value: Option<SerdeRef<V>>,
    ) -> Self {
        self.key_serde = key.map(|serde| Arc::new(serde) as ErasedSerde);
        self.value_serde = value.map(|serde| Arc::new(serde) as ErasedSerde);
        self
    }

    pub(crate) fn asks(mut self, ask: Ask) -> Self {
        self.asks.push(ask);
        self
    }

    pub(crate) fn lower(mut self, lower: impl FnOnce(&mut Lowering<'_>) + Send + 'static) -> Self {
        self.lower = Some(Box::new(lower));
        self
    }
}

impl Graph {
    pub(crate) fn state(&self) -> MutexGuard<'_, GraphState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Burns a number for each processor: `(prefix, suffix of a given name)`.
    pub(crate) fn name(&self, given: Option<&str>, parts: &[(&str, &'static str)]) -> NodeName {
        let mut state = self.state();
        let mut part = |(prefix, suffix): &(&str, &'static str)| Part {
            generated: state.counter.burn(prefix),
            suffix,
        };
        NodeName { given: given.map(str::to_owned), parts: parts.iter().map(&mut part).collect() }
    }

    /// The name of a store: only a generated one burns a number.
    pub(crate) fn store_name(&self, given: Option<&str>, prefix: &str) -> StoreName {
        match given {
            Some(given) => StoreName::Given(given.to_owned()),
            None => StoreName::Generated(self.state().counter.burn_store(prefix)),
        }
    }

    /// Takes a number as the JVM does and throws it away.
    pub(crate) fn burn(&self, prefix: &str) -> Generated {
        self.state().counter.burn(prefix)
    }

    /// The only function behind every operator; not generic, so that one more operator costs
    /// little.
    #[track_caller]
    pub(crate) fn add(&self, new: NewNode) -> NodeId {
        let mut state = self.state();
        assert!(!state.built, "{} came after build(): it would have no effect", new.call);
        let id = NodeId::try_from(state.nodes.len()).expect("fewer than 4 billion operators");
        let key_changed = match (&new.kind, new.changes_key) {
            (Kind::Source(_) | Kind::Repartition(_), _) => None,
            (_, true) => Some(new.call),
            (_, false) => new.parents.iter().find_map(|p| state.node(*p).key_changed),
        };
        let first = new.parents.first().map(|p| state.node(*p));
        let keeps_key = matches!(new.keeps, Keeps::Key | Keeps::Both);
        let keeps_value = matches!(new.keeps, Keeps::Value | Keeps::Both);
        let kept_key = first.filter(|_| keeps_key).and_then(|p| p.key_serde.clone());
        let kept_value = first.filter(|_| keeps_value).and_then(|p| p.value_serde.clone());
        state.nodes.push(GraphNode {
            call: new.call,
            name: new.name,
            parents: new.parents,
            kind: new.kind,
            key_changed,
            asks: new.asks,
            key_serde: new.key_serde.or(kept_key),
            value_serde: new.value_serde.or(kept_value),
            lower: new.lower,
        });
        id
    }

    /// Adds what a table needs beside its node.
    pub(crate) fn add_table(
        &self,
        node: NodeId,
        origin: Origin,
        store: Option<StoreName>,
        stored: Option<ErasedStored>,
        asked: bool,
    ) {
        let facts = TableFacts {
            origin,
            store,
            stored,
            store_asked: asked,
            materialized: false,
            send_old: false,
        };
        self.state().tables.insert(node, facts);
    }

    /// Gives a table a store of its own. Without a name the table's own number becomes the store's,
    /// and the table takes the next one, as if the store had been asked for in the call of the
    /// operator.
    pub(crate) fn materialize(
        &self,
        call: Call,
        node: NodeId,
        name: Option<&str>,
        stored: ErasedStored,
    ) {
        let mut state = self.state();
        let taken = state.tables.get(&node).filter(|table| table.store_asked);
        if let Some(store) = taken.and_then(|table| table.store.as_ref()) {
            let message = format!("{call} gives a second store to a table that has {store}");
            return state.mistakes.push((message, call));
        }
        let store = match name {
            Some(name) => StoreName::Given(name.to_owned()),
            None => StoreName::Generated(state.burn_store_of(node)),
        };
        if let Some(table) = state.tables.get_mut(&node) {
            (table.store, table.stored) = (Some(store), Some(stored));
            table.store_asked = true;
        }
    }

    /// Makes sure that a table has a store, which is made from `stored` if it had none.
    pub(crate) fn ensure_store(&self, node: NodeId, stored: Option<ErasedStored>) {
        let mut state = self.state();
        let Some(table) = state.tables.get(&node) else { return };
        let (has_name, has_stored) = (table.store.is_some(), table.stored.is_some());
        let call = state.node(node).call;
        if !has_stored && stored.is_none() {
            let message = format!(
                "a processor looks things up in the table of {call}, which has no store, and no \
                 serdes for one: use .materialize(\"name\") on the table"
            );
            state.mistakes.push((message, call));
        }
        let store = (!has_name).then(|| StoreName::Generated(state.burn_store_of(node)));
        if let Some(table) = state.tables.get_mut(&node) {
            table.store_asked = true;
            table.store = table.store.take().or(store);
            table.stored = table.stored.take().or(stored);
        }
    }

    /// The name of a table's store.
    pub(crate) fn store_of(&self, node: NodeId) -> Arc<str> {
        let state = self.state();
        let store = state.tables.get(&node).and_then(|table| table.store.as_ref());
        store.map(ToString::to_string).unwrap_or_default().into()
    }

    /// Records of both nodes meet in one task: the topics that they come from must have equally
    /// many partitions.
    pub(crate) fn copartition(&self, left: NodeId, right: NodeId) {
        self.state().copartitioned.push((left, right));
    }

    /// Runs the passes, and makes the core's topology. All mistakes at once.
    #[track_caller]
    pub(crate) fn build(&self, options: BuildOptions) -> Result<Topology, TopologyError> {
        let mistakes: Vec<_> = {
            let mut state = self.state();
            if state.nodes.is_empty() && state.mistakes.is_empty() {
                let here = Call { method: "build", at: std::panic::Location::caller() };
                let message =
                    "the topology is empty: begin with stream(), stream_values() or table()";
                state.mistakes.push((message.into(), here));
            }
            state.built = true;
            state.options = options;
            resolve::resolve(&mut state);
            rewrite::rewrite(&mut state);
            validate::validate(&mut state);
            std::mem::take(&mut state.mistakes)
        };
        if !mistakes.is_empty() {
            let mistake = |(message, call): (String, Call)| Mistake::new(message, call.at);
            return Err(TopologyError::new(mistakes.into_iter().map(mistake).collect()));
        }
        let mut topology = Topology::builder();
        lower::lower(self, &mut topology);
        topology.build()
    }

    /// Of a grouping: its call, the grouped stream, the name it may use, and the repartition topic
    /// it has already.
    pub(crate) fn grouping(&self, node: NodeId) -> (Call, NodeId, Naming, Option<NodeId>) {
        let state = self.state();
        let node = state.node(node);
        let Kind::Grouping(grouping) = &node.kind else {
            return (node.call, node.parents[0], Naming::Absent, None);
        };
        (node.call, node.parents[0], grouping.naming.clone(), grouping.repartition)
    }

    /// Further aggregations of the group use the same repartition topic.
    pub(crate) fn share_repartition(&self, node: NodeId, topic: NodeId) {
        if let Kind::Grouping(grouping) = &mut self.state().nodes[node as usize].kind {
            grouping.repartition = Some(topic);
        }
    }

    /// Names an operator after it was called. Numbers stay as they are.
    pub(crate) fn rename(&self, node: NodeId, name: &str) {
        let mut state = self.state();
        state.give_back_number(node);
        state.nodes[node as usize].name.given = Some(name.to_owned());
        if let Some(with) = state.named_together.get(&node).copied() {
            state.nodes[with as usize].name.given = Some(name.to_owned());
        }
    }

    /// A name given to `node` is given to `with` too.
    pub(crate) fn name_together(&self, node: NodeId, with: NodeId) {
        self.state().named_together.insert(node, with);
    }

    /// The name that the operator has so far.
    pub(crate) fn name_of(&self, node: NodeId) -> String {
        self.state().node(node).name.main()
    }

    /// `node`, if its handle belongs to this builder; else a mistake, and `instead`.
    pub(crate) fn own(&self, call: Call, graph: &Self, node: NodeId, instead: NodeId) -> NodeId {
        if Arc::ptr_eq(&self.0, &graph.0) {
            return node;
        }
        self.mistake(call, "the two handles come from different builders");
        instead
    }

    /// Remembers a mistake for `build()`.
    pub(crate) fn mistake(&self, call: Call, message: impl Into<String>) {
        self.state().mistakes.push((message.into(), call));
    }

    /// The call above that changed the key of this stream.
    pub(crate) fn key_changed(&self, node: NodeId) -> Option<Call> {
        self.state().node(node).key_changed
    }

    /// The serde that the keys of this node have had since they were read.
    pub(crate) fn key_serde<K: 'static>(&self, node: NodeId) -> Option<SerdeRef<K>> {
        self.state().node(node).key_serde.as_ref()?.downcast_ref().cloned()
    }

    /// The serde that the values of this node have had since they were read.
    pub(crate) fn value_serde<V: 'static>(&self, node: NodeId) -> Option<SerdeRef<V>> {
        self.state().node(node).value_serde.as_ref()?.downcast_ref().cloned()
    }
}

impl GraphState {
    pub(crate) fn node(&self, id: NodeId) -> &GraphNode {
        &self.nodes[id as usize]
    }

    pub(crate) fn ids(&self) -> std::ops::Range<NodeId> {
        0..NodeId::try_from(self.nodes.len()).expect("fewer than 4 billion operators")
    }

    /// In the JVM a processor with a name takes no number, unlike other operators. If it is the
    /// last that took one, the number is given back.
    fn give_back_number(&mut self, node: NodeId) {
        const UNNUMBERED: [&str; 2] = ["KSTREAM-PROCESSOR-", "KSTREAM-PROCESSVALUES-"];
        let name = &self.node(node).name;
        let [part] = &name.parts[..] else { return };
        let is_last = part.generated.index + 1 == self.counter.next();
        if is_last && UNNUMBERED.contains(&part.generated.prefix.as_str()) {
            self.counter.give_back();
            self.nodes[node as usize].name.parts.clear();
        }
    }

    /// A number for the store of a node that was called without one.
    fn burn_store_of(&mut self, node: NodeId) -> Generated {
        let name = &self.node(node).name;
        let prefix = name.parts.first().map_or(String::new(), |part| part.generated.prefix.clone());
        let next = self.counter.next();
        let Some((first, last)) = name.burned().filter(|(_, last)| last + 1 == next) else {
            return self.counter.burn_store(&prefix);
        };
        // Nothing was burned since: the store comes before the operator, as in the JVM.
        self.counter.burn(&prefix);
        debug_assert!(first <= last);
        for part in &mut self.nodes[node as usize].name.parts {
            part.generated.index += 1;
        }
        Generated { prefix: format!("{prefix}STATE-STORE-"), index: first }
    }

    /// The topics that a source or repartition node reads. None for a pattern.
    pub(crate) fn topics_read(&self, id: NodeId) -> Vec<String> {
        match &self.node(id).kind {
            Kind::Source(source) if !source.pattern => source.topics.clone(),
            Kind::Repartition(_) => vec![self.repartition_topic(id)],
            _ => Vec::new(),
        }
    }

    /// The names of a repartition node's sink, filter and source.
    pub(crate) fn repartition_names(&self, id: NodeId) -> [String; 3] {
        if is_generated_stream_name(&self.repartition_base(id)) {
            let name = &self.node(id).name;
            return [name.part(0), name.part(1), name.part(2)];
        }
        let topic = self.repartition_topic(id);
        [format!("{topic}-sink"), format!("{topic}-filter"), format!("{topic}-source")]
    }

    /// The topic of a repartition node, without the application's id.
    pub(crate) fn repartition_topic(&self, id: NodeId) -> String {
        format!("{}-repartition", self.repartition_base(id))
    }

    /// What a repartition node's topic is named after.
    pub(crate) fn repartition_base(&self, id: NodeId) -> String {
        match &self.node(id).kind {
            Kind::Repartition(repartition) => match &repartition.base {
                RepartitionBase::Given(name) => {
                    name.strip_suffix("-repartition").unwrap_or(name).to_owned()
                }
                RepartitionBase::Store(store) => store.to_string(),
                RepartitionBase::Operator(of) => self.node(*of).name.main(),
                RepartitionBase::Generated(name) => name.clone(),
            },
            _ => self.node(id).name.main(),
        }
    }

    /// Whether a repartition node's topic is named after a counter.
    pub(crate) fn is_generated(&self, id: NodeId) -> bool {
        let Kind::Repartition(repartition) = &self.node(id).kind else { return false };
        match &repartition.base {
            RepartitionBase::Given(_) => false,
            RepartitionBase::Store(store) => matches!(store, StoreName::Generated(_)),
            RepartitionBase::Operator(of) => self.node(*of).name.given.is_none(),
            RepartitionBase::Generated(_) => true,
        }
    }

    /// The nodes that read the topics which the records of `id` come from.
    pub(crate) fn origins(&self, id: NodeId) -> BTreeSet<NodeId> {
        let (mut seen, mut origins) = (BTreeSet::new(), BTreeSet::new());
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if self.node(id).kind.begins_a_subtopology() {
                origins.insert(id);
            } else {
                open.extend(&self.node(id).parents);
            }
        }
        origins
    }
}
