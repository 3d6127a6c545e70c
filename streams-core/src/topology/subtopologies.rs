//! Which nodes run in one task.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::graph::{NodeKind, NodeSpec, Subtopology};
use crate::stores::StoreDeclaration;

/// Nodes that hang together by an edge or a shared store, numbered in the order of their first
/// node.
pub(super) fn number(nodes: &[NodeSpec], stores: &[Arc<StoreDeclaration>]) -> Vec<Subtopology> {
    let mut sets = DisjointSets::new(nodes.len());
    let mut first_user: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        node.parents.iter().for_each(|&parent| sets.join(parent, index));
        for store in stores_of(node) {
            sets.join(*first_user.entry(store).or_insert(index), index);
        }
    }
    let mut by_root: BTreeMap<usize, usize> = BTreeMap::new();
    let mut subtopologies: Vec<Subtopology> = Vec::new();
    for index in 0..nodes.len() {
        let at = *by_root.entry(sets.root(index)).or_insert_with(|| {
            let number = u32::try_from(subtopologies.len()).unwrap_or(u32::MAX);
            subtopologies.push(Subtopology { number, nodes: Vec::new(), stores: Vec::new() });
            subtopologies.len() - 1
        });
        subtopologies[at].nodes.push(index);
    }
    for (index, store) in stores.iter().enumerate() {
        if let Some(&user) = first_user.get(&**store.name())
            && let Some(&at) = by_root.get(&sets.root(user))
        {
            subtopologies[at].stores.push(index);
        }
    }
    subtopologies
}

pub(super) fn stores_of(node: &NodeSpec) -> impl Iterator<Item = &str> {
    match &node.kind {
        NodeKind::Processor { stores } => stores.as_slice(),
        _ => &[],
    }
    .iter()
    .map(|store| &**store)
}

struct DisjointSets(Vec<usize>);

impl DisjointSets {
    fn new(len: usize) -> Self {
        Self((0..len).collect())
    }

    fn root(&mut self, mut of: usize) -> usize {
        while self.0[of] != of {
            self.0[of] = self.0[self.0[of]];
            of = self.0[of];
        }
        of
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
