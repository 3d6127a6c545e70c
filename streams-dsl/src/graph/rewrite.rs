//! Optimisations of the logical graph: passes from graph to graph.

use std::collections::BTreeMap;

use super::merge_repartitions::merge_repartitions;
use super::{GraphState, Kind, NodeId};

/// A rewriting pass.
type Pass = fn(&mut GraphState);

/// Runs the passes that the options ask for, in the JVM's order.
///
/// Reusing a table's source topic as its changelog changes no node: see `Lowering::table_parts`.
pub(super) fn rewrite(state: &mut GraphState) {
    let optional = |wanted: bool, pass: Pass| wanted.then_some(pass);
    let passes = [
        Some(merge_sources as Pass),
        optional(state.options.optimization.merge_repartition_topics, merge_repartitions),
    ];
    for pass in passes.into_iter().flatten() {
        pass(state);
    }
}

/// Streams of the same topics share the first one's source, since a topic can be read only once.
fn merge_sources(state: &mut GraphState) {
    let mut first: BTreeMap<(bool, Vec<String>), NodeId> = BTreeMap::new();
    for id in state.ids() {
        let Kind::Source(source) = &mut state.nodes[id as usize].kind else { continue };
        let topics = (source.pattern, source.topics.clone());
        let earlier = *first.entry(topics).or_insert(id);
        source.same_as = (earlier != id).then_some(earlier);
    }
}
