//! Optimisations of the logical graph: a list of passes, each from graph to graph.

use std::collections::BTreeMap;

use super::{GraphState, Kind, NodeId};

/// A rewriting pass.
type Pass = fn(&mut GraphState);

/// The passes in the order in which they run. None changes names or numbers.
const PASSES: &[(&str, Pass)] = &[("merge-sources", merge_sources)];

/// Runs all passes.
pub(super) fn rewrite(state: &mut GraphState) {
    for (_name, pass) in PASSES {
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
