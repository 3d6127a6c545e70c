//! The text that Kafka Streams' `Topology#describe` prints, byte for byte.
//!
//! Its order of nodes and names is not only that of sizes and names: it also depends on how Java's
//! collections iterate, which `jvm_order` follows.

mod jvm_order;

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt::Write;

use self::jvm_order::{SearchTree, hash_order};
use super::graph::{Graph, NodeKind, NodeSpec, SourceTopics, Subtopology, Topology};
use super::subtopologies::stores_of;

impl Topology {
    /// The topology as Kafka Streams describes it. Tools for its text can read it.
    pub fn describe(&self) -> String {
        let graph = self.graph();
        let mut text = String::from("Topologies:\n ");
        for sub in &graph.subtopologies {
            describe_subtopology(graph, sub, &mut text);
        }
        text
    }
}

fn describe_subtopology(graph: &Graph, sub: &Subtopology, text: &mut String) {
    let kind = if sub.is_global { " for global store (will not generate tasks)" } else { "" };
    let _ = writeln!(text, "  Sub-topology: {}{kind}", sub.number);
    let neighbours = Neighbours::find(graph, sub);
    let mut nodes = sub.nodes.clone();
    nodes.sort_by(|&a, &b| neighbours.compare(graph, a, b));
    for node in nodes {
        let spec = &graph.nodes[node];
        let _ = writeln!(text, "    {}", headline(spec));
        let place = neighbours.place(node);
        if !matches!(spec.kind, NodeKind::Sink { .. }) {
            let _ = writeln!(text, "      --> {}", names(graph, &neighbours.successors[place]));
        }
        if !matches!(spec.kind, NodeKind::Source { .. }) {
            let _ = writeln!(text, "      <-- {}", names(graph, &neighbours.predecessors[place]));
        }
    }
    if !sub.is_global {
        text.push('\n');
    }
}

fn headline(spec: &NodeSpec) -> String {
    let name = &spec.name;
    match &spec.kind {
        NodeKind::Source { topics: SourceTopics::List(topics), .. } => {
            let topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
            format!("Source: {name} (topics: {})", set(&topics))
        }
        NodeKind::Source { topics: SourceTopics::Pattern(regex), .. } => {
            format!("Source: {name} (topics: {regex})")
        }
        NodeKind::Processor { .. } => {
            let stores: Vec<&str> = stores_of(spec).collect();
            format!("Processor: {name} (stores: {})", set(&stores))
        }
        NodeKind::Sink { topic: Some(topic) } => format!("Sink: {name} (topic: {topic})"),
        NodeKind::Sink { topic: None } => format!("Sink: {name} (extractor class: closure)"),
    }
}

fn set(names: &[&str]) -> String {
    let names: Vec<&str> = hash_order(names).into_iter().map(|at| names[at]).collect();
    format!("[{}]", names.join(", "))
}

fn names(graph: &Graph, nodes: &[usize]) -> String {
    if nodes.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = nodes.iter().map(|&node| &*graph.nodes[node].name).collect();
    names.join(", ")
}

/// The nodes of a sub-topology with sizes and neighbours, found in the JVM's order: it sorts the
/// neighbours of a node by sizes that are still growing.
struct Neighbours<'a> {
    nodes: &'a [usize],
    /// By place in `nodes`: one plus the sizes of all successors, one that is reached by two ways
    /// counted twice.
    sizes: Vec<u64>,
    predecessors: Vec<Vec<usize>>,
    successors: Vec<Vec<usize>>,
}

impl<'a> Neighbours<'a> {
    fn find(graph: &Graph, sub: &'a Subtopology) -> Self {
        let nodes = &sub.nodes;
        let place = |node: usize| nodes.binary_search(&node).unwrap_or_default();
        let node_names: Vec<&str> = nodes.iter().map(|&node| &*graph.nodes[node].name).collect();
        let sizes = RefCell::new(vec![1_u64; nodes.len()]);
        let mut predecessors: Vec<SearchTree> = nodes.iter().map(|_| SearchTree::new()).collect();
        let mut successors: Vec<SearchTree> = nodes.iter().map(|_| SearchTree::new()).collect();
        let compare = |&a: &usize, &b: &usize| compare(&sizes.borrow(), &node_names, a, b);
        for at in hash_order(&node_names) {
            for &parent in &graph.nodes[nodes[at]].parents {
                let parent = place(parent);
                predecessors[at].insert(parent, compare);
                successors[parent].insert(at, compare);
                let delta = sizes.borrow()[at];
                grow(&mut sizes.borrow_mut(), &predecessors, parent, delta);
            }
        }
        let to_nodes = |trees: Vec<SearchTree>| {
            let in_order = |tree: SearchTree| tree.in_order().into_iter().map(|at| nodes[at]);
            trees.into_iter().map(|tree| in_order(tree).collect()).collect()
        };
        let (predecessors, successors) = (to_nodes(predecessors), to_nodes(successors));
        Self { nodes, sizes: sizes.into_inner(), predecessors, successors }
    }

    fn place(&self, node: usize) -> usize {
        self.nodes.binary_search(&node).unwrap_or_default()
    }

    fn compare(&self, graph: &Graph, a: usize, b: usize) -> Ordering {
        let sizes = self.sizes[self.place(b)].cmp(&self.sizes[self.place(a)]);
        sizes.then_with(|| graph.nodes[a].name.cmp(&graph.nodes[b].name))
    }
}

fn compare(sizes: &[u64], names: &[&str], a: usize, b: usize) -> Ordering {
    sizes[b].cmp(&sizes[a]).then_with(|| names[a].cmp(names[b]))
}

/// Adds `delta` to the size of a node and of all that lie above it as far as is known, once per
/// way.
fn grow(sizes: &mut [u64], predecessors: &[SearchTree], at: usize, delta: u64) {
    sizes[at] = sizes[at].saturating_add(delta);
    for parent in predecessors[at].in_order() {
        grow(sizes, predecessors, parent, delta);
    }
}
