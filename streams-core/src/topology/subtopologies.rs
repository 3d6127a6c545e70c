//! Which nodes run in one task.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::graph::{NodeKind, NodeSpec, Subtopology};
use crate::stores::StoreDeclaration;

/// Nodes that hang together by an edge or a shared store, numbered in the order of their first
/// node. Those that feed global stores, whose processors are `global`, have numbers too. Who reads
/// a global store is not held together by it.
pub(super) fn number(
    nodes: &mut [NodeSpec],
    stores: &[Arc<StoreDeclaration>],
    global: &[usize],
) -> Vec<Subtopology> {
    let global_reads = take_global_reads(nodes, stores, global);
    let nodes = &*nodes;
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
    for (index, read) in global_reads.into_iter().enumerate() {
        let at = *by_root.entry(sets.root(index)).or_insert_with(|| {
            let number = u32::try_from(subtopologies.len()).unwrap_or(u32::MAX);
            subtopologies.push(Subtopology { number, ..Subtopology::default() });
            subtopologies.len() - 1
        });
        let sub = &mut subtopologies[at];
        sub.nodes.push(index);
        sub.is_global |= global.contains(&index);
        for store in read {
            if !sub.globals.contains(&store) {
                sub.globals.push(store);
            }
        }
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

/// By node: the global stores that it reads. They are none of its own any more.
fn take_global_reads(
    nodes: &mut [NodeSpec],
    stores: &[Arc<StoreDeclaration>],
    global: &[usize],
) -> Vec<Vec<usize>> {
    let writes = |&node: &usize| stores_of(&nodes[node]).map(Arc::<str>::from).collect::<Vec<_>>();
    let global_stores: Vec<Arc<str>> = global.iter().flat_map(writes).collect();
    let index = |name: &Arc<str>| stores.iter().position(|store| store.name() == name);
    let take = |(at, node): (usize, &mut NodeSpec)| match &mut node.kind {
        NodeKind::Processor { stores } if !global.contains(&at) => {
            let global = stores.extract_if(.., |store| global_stores.contains(store));
            global.filter_map(|store| index(&store)).collect()
        }
        _ => Vec::new(),
    };
    nodes.iter_mut().enumerate().map(take).collect()
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
