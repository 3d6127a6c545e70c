//! What passes and lowering ask the graph.

use std::collections::BTreeSet;

use super::names::is_generated_stream_name;
use super::node::{GraphNode, Kind, NodeId, Origin, Repartition, RepartitionBase};
use super::{Generated, GraphState, StoreName};

impl GraphState {
    pub(crate) fn node(&self, id: NodeId) -> &GraphNode {
        &self.nodes[id as usize]
    }

    pub(crate) fn ids(&self) -> std::ops::Range<NodeId> {
        0..NodeId::try_from(self.nodes.len()).expect("fewer than 4 billion operators")
    }

    /// All nodes above.
    pub(crate) fn ancestors(&self, node: NodeId) -> BTreeSet<NodeId> {
        let (mut found, mut next) = (BTreeSet::new(), self.node(node).parents.clone());
        while let Some(id) = next.pop() {
            if found.insert(id) {
                next.extend(&self.node(id).parents);
            }
        }
        found
    }

    /// Parents before children, and else in the order of the calls; a repartition topic that was
    /// moved comes right after its parent, which changes the key, and one that several aggregations
    /// share just before the last of them. Sub-topologies are numbered in this order.
    pub(super) fn lowering_order(&self) -> Vec<NodeId> {
        let place = |id: NodeId| match (&self.node(id).kind, self.node(id).parents.first()) {
            (Kind::Repartition(Repartition { moved: true, .. }), Some(parent)) => (*parent, 2, id),
            _ => match self.shared_again.get(&id) {
                Some(before) => (*before, 0, id),
                None => (id, 1, id),
            },
        };
        let mut waits: Vec<usize> = self.nodes.iter().map(|node| node.parents.len()).collect();
        let mut children: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        for id in self.ids() {
            self.node(id).parents.iter().for_each(|p| children[*p as usize].push(id));
        }
        let ready = self.ids().filter(|id| waits[*id as usize] == 0);
        let mut ready: BTreeSet<_> = ready.map(place).collect();
        let mut order = Vec::new();
        while let Some((.., id)) = ready.pop_first() {
            order.push(id);
            for &child in &children[id as usize] {
                waits[child as usize] -= 1;
                if waits[child as usize] == 0 {
                    ready.insert(place(child));
                }
            }
        }
        order
    }

    /// The topic that a table is read from, if it also serves as the changelog of the store.
    pub(super) fn reused_changelog(&self, table: NodeId) -> Option<&str> {
        match &self.node(table).kind {
            Kind::Source(source)
                if self.options.optimization.reuse_ktable_source_topics && !source.pattern =>
            {
                source.topics.first().map(String::as_str)
            }
            _ => None,
        }
    }

    /// In the JVM a processor with a name takes no number, unlike other operators. If it is the
    /// last that took one, the number is given back.
    pub(super) fn give_back_number(&mut self, node: NodeId) {
        const UNNUMBERED: [&str; 2] = ["KSTREAM-PROCESSOR-", "KSTREAM-PROCESSVALUES-"];
        let name = &self.node(node).name;
        let [part] = &name.parts[..] else { return };
        let is_last = part.generated.index + 1 == self.counter.next();
        if is_last && UNNUMBERED.contains(&part.generated.prefix.as_str()) {
            self.counter.give_back();
            self.nodes[node as usize].name.parts.clear();
        }
    }

    /// A store with a name takes no number: if the generated name that it replaces took the last
    /// one, that is given back.
    pub(super) fn give_back_store_number(&mut self, generated: Option<&StoreName>) {
        let Some(StoreName::Generated(generated)) = generated else { return };
        if generated.index + 1 == self.counter.next() {
            self.counter.give_back();
        }
    }

    /// A number for the store of a node that was called without one.
    pub(super) fn burn_store_of(&mut self, node: NodeId) -> Generated {
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

    /// For how long it is known what the values of a table were, in milliseconds; `None`: a table
    /// that is not versioned. A table without a store is what the table above it is; a join is not
    /// versioned of itself.
    pub(crate) fn history_ms(&self, mut table: NodeId) -> Option<i64> {
        loop {
            let facts = self.tables.get(&table)?;
            let parents = &self.node(table).parents;
            match facts.origin {
                Origin::Buffer => return None,
                Origin::Parents if !facts.store_asked && parents.len() == 1 => table = parents[0],
                Origin::Parents | Origin::Topic | Origin::Own => return facts.history_ms,
            }
        }
    }

    /// The earlier source that reads the same topics.
    pub(crate) fn same_source(&self, id: NodeId) -> Option<NodeId> {
        match &self.node(id).kind {
            Kind::Source(source) => source.same_as,
            _ => None,
        }
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
        let moved = matches!(&self.node(id).kind, Kind::Repartition(topic) if topic.moved);
        if !moved && is_generated_stream_name(&self.repartition_base(id)) {
            let name = &self.node(id).name;
            return [name.part(0), name.part(1), name.part(2)];
        }
        let topic = self.repartition_topic(id);
        [format!("{topic}-sink"), format!("{topic}-filter"), format!("{topic}-source")]
    }

    /// The topic of a repartition node, without the application's id.
    pub(crate) fn repartition_topic(&self, id: NodeId) -> String {
        let base = self.repartition_base(id);
        match &self.node(id).kind {
            Kind::Repartition(Repartition { base: RepartitionBase::Exact { .. }, .. }) => {
                format!("{base}-topic")
            }
            _ => format!("{base}-repartition"),
        }
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
                RepartitionBase::Exact { part } => self.node(id).name.part(*part),
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
            RepartitionBase::Exact { .. } => self.node(id).name.given.is_none(),
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
