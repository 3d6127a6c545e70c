//! The logical graph: each call on a handle appends a node; `build()` runs the passes and lowers
//! what is left.
//!
//! `names` burns the counters, `resolve` carries upward what later children need, `rewrite` holds
//! the optimisations, `validate` finds all mistakes at once, `lower` makes the core's topology.

mod lower;
mod merge_repartitions;
mod names;
mod new_node;
mod node;
mod resolve;
mod rewrite;
mod state;
mod tables;
mod validate;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streams_core::SerdeRef;
use streams_core::config::TopologyOptimization;
use streams_core::topology::{Mistake, Topology, TopologyError};

pub(crate) use lower::{Lowering, RepartitionTopic};
pub(crate) use names::{Generated, NodeName, Part, StoreName};
pub(crate) use new_node::NewNode;
pub(crate) use node::{
    Ask, Call, Changes, ErasedStored, Grouping, Keeps, Kind, Naming, NodeId, Origin, Repartition,
    RepartitionBase, SourceTopics,
};

use node::{GraphNode, TableFacts};

/// Shared by all handles of one `StreamsBuilder`.
#[derive(Clone, Default)]
pub(crate) struct Graph(Arc<Mutex<GraphState>>);

/// All nodes and the counter behind their names.
#[derive(Default)]
pub(crate) struct GraphState {
    pub(crate) nodes: Vec<GraphNode>,
    pub(crate) tables: BTreeMap<NodeId, TableFacts>,
    pub(crate) mistakes: Vec<(String, Call)>,
    /// Pairs of nodes whose records meet, and by which call.
    pub(crate) copartitioned: Vec<(Call, NodeId, NodeId)>,
    pub(crate) options: BuildOptions,
    /// What joins read that have results for records without a key.
    pub(crate) null_keys_wanted: std::collections::BTreeSet<NodeId>,
    /// Stores beside those of tables whose names are generated.
    pub(crate) generated_stores: Vec<(String, Call)>,
    /// Joins of streams with tables that wait for late updates of the table.
    pub(crate) grace_joins: Vec<GraceJoin>,
    /// Of windowed aggregations: how long after its end a window takes records, in milliseconds.
    window_grace: BTreeMap<NodeId, Option<i64>>,
    named_together: BTreeMap<NodeId, NodeId>,
    /// By stream: the repartition topic that the last join put below it.
    join_repartitions: BTreeMap<NodeId, NodeId>,
    /// By repartition topic: the node behind the last further aggregation that shares it.
    shared_again: BTreeMap<NodeId, NodeId>,
    counter: names::Counter,
    built: bool,
}

/// A join of a stream with a table whose records wait.
pub(crate) struct GraceJoin {
    pub(crate) call: Call,
    pub(crate) join: NodeId,
    pub(crate) table: NodeId,
    pub(crate) grace_ms: i64,
}

/// What the application's configuration says about topologies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BuildOptions {
    /// Tables that do not say it themselves emit one change per key and commit.
    pub(crate) emit_on_commit: bool,
    /// Tables that do not say it themselves are kept in memory.
    pub(crate) in_memory: bool,
    /// How often windows are looked for that have closed.
    pub(crate) emit_interval: Option<Duration>,
    /// How often joins look for records that found no partner.
    pub(crate) join_emit_interval: Option<Duration>,
    /// Generated names of topics and stores are mistakes.
    pub(crate) explicit_names: bool,
    /// Which rewrites make the topology cheaper.
    pub(crate) optimization: TopologyOptimization,
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
            suffix: (*suffix).into(),
        };
        NodeName { given: given.map(str::to_owned), parts: parts.iter().map(&mut part).collect() }
    }

    /// As [`name`](Self::name), for operators of any number of processors.
    pub(crate) fn name_parts<'a>(
        &self,
        parts: impl IntoIterator<Item = (&'a str, Cow<'static, str>)>,
    ) -> NodeName {
        let mut state = self.state();
        let mut part = |(prefix, suffix)| Part { generated: state.counter.burn(prefix), suffix };
        NodeName { given: None, parts: parts.into_iter().map(&mut part).collect() }
    }

    /// Whether both belong to one builder.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
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
        let key_changed = match (&new.kind, new.changes) {
            (Kind::Source(_) | Kind::Repartition(_), _) => None,
            (_, Changes::Key) => Some(new.call),
            _ => new.parents.iter().find_map(|p| state.node(*p).key_changed),
        };
        let first = new.parents.first().map(|p| state.node(*p));
        let keeps_key = matches!(new.keeps, Keeps::Key | Keeps::Both);
        let keeps_value = matches!(new.keeps, Keeps::Value | Keeps::Both);
        let changes = match (&new.kind, new.changes) {
            // Dropping null keys changes a type, too.
            (Kind::Stream | Kind::Table, Changes::Nothing) if !(keeps_key && keeps_value) => {
                Changes::Type
            }
            (_, changes) => changes,
        };
        let kept_key = first.filter(|_| keeps_key).and_then(|p| p.key_serde.clone());
        let kept_value = first.filter(|_| keeps_value).and_then(|p| p.value_serde.clone());
        state.nodes.push(GraphNode {
            call: new.call,
            name: new.name,
            parents: new.parents,
            kind: new.kind,
            key_changed,
            changes,
            asks: new.asks,
            sends_old: new.sends_old,
            key_serde: new.key_serde.or(kept_key),
            value_serde: new.value_serde.or(kept_value),
            lower: new.lower,
        });
        id
    }

    /// Records of both nodes meet in one task: the topics that they come from must have equally
    /// many partitions.
    pub(crate) fn copartition(&self, call: Call, left: NodeId, right: NodeId) {
        self.state().copartitioned.push((call, left, right));
    }

    /// The records of a join wait for late updates of the table.
    pub(crate) fn join_with_grace(&self, join: GraceJoin) {
        self.state().grace_joins.push(join);
    }

    /// All repartition topics above keep records without a key, since a join that reads `nodes` has
    /// results for them.
    pub(crate) fn keep_null_keys(&self, nodes: &[NodeId]) {
        self.state().null_keys_wanted.extend(nodes);
    }

    /// An operator has stores with generated names.
    pub(crate) fn generated_store(&self, call: Call, store: &StoreName) {
        self.state().generated_stores.push((store.to_string(), call));
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

    /// A further aggregation, whose node comes next, shares this repartition topic.
    pub(crate) fn share_again(&self, topic: NodeId) {
        let mut state = self.state();
        let next = state.ids().end;
        state.shared_again.insert(topic, next);
    }

    /// Further aggregations of the group use the same repartition topic.
    pub(crate) fn share_repartition(&self, node: NodeId, topic: NodeId) {
        if let Kind::Grouping(grouping) = &mut self.state().nodes[node as usize].kind {
            grouping.repartition = Some(topic);
        }
    }

    /// The repartition topic that the last join of this stream went through.
    pub(crate) fn join_repartition(&self, stream: NodeId) -> Option<NodeId> {
        self.state().join_repartitions.get(&stream).copied()
    }

    /// Joins of this stream without a name of their own go through the same topic from now on.
    pub(crate) fn set_join_repartition(&self, stream: NodeId, topic: NodeId) {
        self.state().join_repartitions.insert(stream, topic);
    }

    /// Names an operator after it was called. Numbers stay as they are.
    pub(crate) fn rename(&self, node: NodeId, name: &str) {
        let mut state = self.state();
        state.give_back_number(node);
        state.nodes[node as usize].name.given = Some(name.to_owned());
        let mut next = state.named_together.get(&node).copied();
        while let Some(with) = next {
            state.nodes[with as usize].name.given = Some(name.to_owned());
            next = state.named_together.get(&with).copied();
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
        if self.is_same(graph) {
            return node;
        }
        self.mistake(call, "the two handles come from different builders");
        instead
    }

    /// Tells how long after its end a window of an aggregation takes records.
    pub(crate) fn set_window_grace(&self, node: NodeId, grace: Option<Duration>) {
        self.state().window_grace.insert(node, grace.map(crate::windows::millis));
    }

    /// When the windows of a table have closed, after their end: the longest grace period of the
    /// aggregations above, in milliseconds.
    pub(crate) fn window_grace(&self, node: NodeId) -> Option<Option<i64>> {
        let state = self.state();
        let (mut open, mut longest) = (vec![node], None);
        while let Some(node) = open.pop() {
            match state.window_grace.get(&node) {
                Some(grace) => longest = longest.max(Some(*grace)),
                None => open.extend(&state.node(node).parents),
            }
        }
        longest
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

    /// The serdes of a node, for what is put below it from now on.
    pub(crate) fn give_serdes<K: 'static, V: 'static>(
        &self,
        node: NodeId,
        key: &SerdeRef<K>,
        value: &SerdeRef<V>,
    ) {
        let node = &mut self.state().nodes[node as usize];
        node.key_serde = Some(Arc::new(key.clone()));
        node.value_serde = Some(Arc::new(value.clone()));
    }
}
