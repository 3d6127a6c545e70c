//! One repartition topic for all operators below a change of the key that need one: the JVM's
//! `merge.repartition.topics`.
//!
//! The topic moves up, right below the operator that changes the key; what lay between reads from
//! it. Nothing in between changes values or their type, so the serdes of the first topic fit. It keeps the name
//! of the first one, and its processors are named after it.

use std::collections::BTreeSet;

use super::node::Changes;
use super::{GraphState, Kind, NodeId};

/// A change of the key, or a merge below several, with the topics that follow from it.
type Plan = Vec<(NodeId, Vec<NodeId>)>;

pub(super) fn merge_repartitions(state: &mut GraphState) {
    for (changer, mut topics) in gather_at_merges(state, topics_by_key_change(state)) {
        // The JVM moves them all, and casts.
        topics.retain(|topic| is_of_type(state, *topic, changer));
        if let [first, others @ ..] = &topics[..] {
            move_up(state, changer, *first, others);
        }
    }
}

/// For each change of the key the repartition topics whose nearest change above it is.
fn topics_by_key_change(state: &GraphState) -> Plan {
    let mut plan: Plan = Vec::new();
    for id in state.ids() {
        let node = state.node(id);
        match &node.kind {
            Kind::Repartition(topic) if topic.automatic => {
                // Not beyond a change of the value: what is written there is another one.
                let changes = |n| matches!(state.node(n).changes, Changes::Key | Changes::Value);
                let change = nearest(state, id, changes);
                let above = change.filter(|n| state.node(*n).changes == Changes::Key);
                if let Some((_, topics)) = plan.iter_mut().find(|(at, _)| Some(*at) == above) {
                    topics.push(id);
                }
            }
            _ if node.changes == Changes::Key => plan.push((id, Vec::new())),
            _ => {}
        }
    }
    plan
}

/// If all topics of a change lie below a merge, that is where the one topic will stand.
fn gather_at_merges(state: &GraphState, plan: Plan) -> Plan {
    let below = |id: NodeId, above: NodeId| {
        nearest(state, id, |n| state.node(n).parents.contains(&above)).is_some()
    };
    let mut gathered: Plan = Vec::new();
    let mut moved = BTreeSet::new();
    for merge in state.ids().filter(|id| matches!(state.node(*id).kind, Kind::Merge)) {
        let mut here = Vec::new();
        for (changer, topics) in &plan {
            if below(merge, *changer) && topics.iter().all(|topic| below(*topic, merge)) {
                here.extend(topics);
                moved.insert(*changer);
            }
        }
        gathered.push((merge, here));
    }
    let mut rest: Plan = plan.into_iter().filter(|(at, _)| !moved.contains(at)).collect();
    rest.extend(gathered);
    rest
}

/// The nearest node that fits, from `node` itself upward: a parent that fits, else what is nearest
/// to the last parent. Which of several is found is the JVM's choice.
fn nearest(state: &GraphState, node: NodeId, fits: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    let mut at = Some(node);
    while let Some(id) = at.filter(|id| !fits(*id)) {
        let parents = &state.node(id).parents;
        let fitting = parents.iter().find(|parent| fits(**parent));
        at = fitting.or(parents.last()).copied();
    }
    at
}

/// Whether records have the same type right below `changer` and where `topic` is, by all ways.
fn is_of_type(state: &GraphState, topic: NodeId, changer: NodeId) -> bool {
    let between = |id: &NodeId| *id != changer && state.ancestors(*id).contains(&changer);
    let between = state.ancestors(topic).into_iter().filter(between);
    between.map(|id| state.node(id).changes).all(|changes| changes == Changes::Nothing)
}

/// `first` goes right below `changer`; the branches that led to it and to `others` begin there.
fn move_up(state: &mut GraphState, changer: NodeId, first: NodeId, others: &[NodeId]) {
    for topic in std::iter::once(&first).chain(others) {
        let begins = |id: NodeId| state.node(id).parents.contains(&changer);
        let branch = nearest(state, *topic, begins);
        bypass(state, *topic, changer, first);
        // `first` itself: the branch was moved with another topic of it.
        if let Some(branch) = branch.filter(|branch| branch != topic && *branch != first) {
            replace_parent(state, branch, changer, first);
            if let Kind::Merge = state.node(branch).kind {
                // The JVM takes one parent off and adds the other, which is the last one then.
                let parents = &mut state.nodes[branch as usize].parents;
                parents.sort_by_key(|parent| *parent == first);
            }
        }
    }
    for topic in others {
        // What remains is a name for what stands in its place.
        state.nodes[*topic as usize].kind = Kind::Stream;
        state.nodes[*topic as usize].lower = None;
    }
    if let Kind::Repartition(topic) = &mut state.nodes[first as usize].kind {
        topic.moved = true;
    }
}

/// What read `topic` reads what wrote it, which reads `first` in its turn.
fn bypass(state: &mut GraphState, topic: NodeId, changer: NodeId, first: NodeId) {
    let above = state.node(topic).parents[0];
    let instead = if above == changer { first } else { above };
    for id in state.ids().filter(|id| *id != topic) {
        replace_parent(state, id, topic, instead);
    }
    state.nodes[topic as usize].parents = vec![if topic == first { changer } else { instead }];
}

fn replace_parent(state: &mut GraphState, node: NodeId, parent: NodeId, new: NodeId) {
    for above in &mut state.nodes[node as usize].parents {
        if *above == parent {
            *above = new;
        }
    }
}
