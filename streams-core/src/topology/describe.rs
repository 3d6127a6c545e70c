//! The text that Kafka Streams' `Topology#describe` prints, byte for byte.

use std::cmp::Reverse;
use std::fmt::Write;
use std::sync::Arc;

use super::graph::{Graph, NodeKind, SourceTopics, Subtopology, Topology};
use super::subtopologies::stores_of;

impl Topology {
    /// The topology as Kafka Streams describes it. Tools for its text can read it.
    pub fn describe(&self) -> String {
        let graph = self.graph();
        let sizes = sizes(graph);
        let mut text = String::from("Topologies:\n");
        for sub in &graph.subtopologies {
            describe_subtopology(graph, sub, &sizes, &mut text);
        }
        text
    }
}

fn describe_subtopology(graph: &Graph, sub: &Subtopology, sizes: &[u64], text: &mut String) {
    let _ = writeln!(text, "   Sub-topology: {}", sub.number);
    for node in in_order(graph, sizes, &sub.nodes) {
        let spec = &graph.nodes[node];
        let name = &spec.name;
        let _ = match &spec.kind {
            NodeKind::Source { topics: SourceTopics::List(topics), .. } => {
                let mut topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
                topics.sort_unstable();
                writeln!(text, "    Source: {name} (topics: [{}])", topics.join(", "))
            }
            NodeKind::Source { topics: SourceTopics::Pattern(regex), .. } => {
                writeln!(text, "    Source: {name} (topics: {regex})")
            }
            NodeKind::Processor { .. } => {
                let stores: Vec<&str> = stores_of(spec).collect();
                writeln!(text, "    Processor: {name} (stores: [{}])", stores.join(", "))
            }
            NodeKind::Sink { topic: Some(topic) } => {
                writeln!(text, "    Sink: {name} (topic: {topic})")
            }
            NodeKind::Sink { topic: None } => {
                writeln!(text, "    Sink: {name} (extractor class: closure)")
            }
        };
        if !matches!(spec.kind, NodeKind::Sink { .. }) {
            let _ = writeln!(text, "      --> {}", names(graph, sizes, &graph.children[node]));
        }
        if !matches!(spec.kind, NodeKind::Source { .. }) {
            let _ = writeln!(text, "      <-- {}", names(graph, sizes, &spec.parents));
        }
    }
    text.push('\n');
}

/// One plus the sizes of all children: a node that is reached by two ways counts twice.
fn sizes(graph: &Graph) -> Vec<u64> {
    let mut sizes = vec![1_u64; graph.nodes.len()];
    for node in (0..graph.nodes.len()).rev() {
        for &child in &graph.children[node] {
            sizes[node] = sizes[node].saturating_add(sizes[child]);
        }
    }
    sizes
}

/// Largest first, then by name.
fn in_order(graph: &Graph, sizes: &[u64], nodes: &[usize]) -> Vec<usize> {
    let mut nodes = nodes.to_vec();
    nodes.sort_by_key(|&node| (Reverse(sizes[node]), Arc::clone(&graph.nodes[node].name)));
    nodes
}

fn names(graph: &Graph, sizes: &[u64], nodes: &[usize]) -> String {
    if nodes.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> =
        in_order(graph, sizes, nodes).into_iter().map(|n| &*graph.nodes[n].name).collect();
    names.join(", ")
}
