//! What later children need of tables above them: old values, and stores to look values up.

use super::{GraphState, NodeId, Origin};

/// Carries asks upward. Children have higher ids than their parents, so one walk backwards is
/// enough.
pub(super) fn resolve(state: &mut GraphState) {
    walk(state);
}

/// Whether a table as it is so far can send old values without a store that it would not have
/// otherwise.
pub(super) fn has_old(state: &mut GraphState, id: NodeId) -> bool {
    let wanted = walk(state);
    let mut at = id;
    loop {
        let Some(table) = state.tables.get(&at) else { return false };
        let is_join = state.node(at).parents.len() > 1;
        match table.origin {
            Origin::Own | Origin::Buffer => return true,
            Origin::Topic => return table.store_asked || wanted[at as usize],
            Origin::Parents if table.store_asked || is_join => return true,
            Origin::Parents => at = state.node(at).parents[0],
        }
    }
}

/// Settles all tables; answers which ones something is wanted of.
fn walk(state: &mut GraphState) -> Vec<bool> {
    let mut old: Vec<_> = state.nodes.iter().map(|node| node.sends_old).collect();
    let mut read = vec![false; state.nodes.len()];
    for id in state.ids().rev() {
        for ask in &state.node(id).asks {
            old[ask.of as usize] |= ask.old;
            read[ask.of as usize] |= ask.read;
        }
        if state.tables.contains_key(&id) {
            let (old_above, read_above) = settle(state, id, old[id as usize], read[id as usize]);
            for parent in &state.nodes[id as usize].parents {
                old[*parent as usize] |= old_above;
                read[*parent as usize] |= read_above;
            }
            let node = &state.nodes[id as usize];
            // It takes old values of the table above, which has them.
            if let (true, Some(parent)) = (node.sends_old, node.parents.first()) {
                old[*parent as usize] = true;
            }
        }
    }
    old.iter().zip(&read).map(|(old, read)| *old || *read).collect()
}

/// Decides for one table; answers what it asks of its parents in turn.
fn settle(state: &mut GraphState, id: NodeId, old: bool, read: bool) -> (bool, bool) {
    let is_join = state.node(id).parents.len() > 1;
    let Some(table) = state.tables.get_mut(&id) else {
        return (false, false);
    };
    table.send_old = old;
    match table.origin {
        Origin::Own => table.materialized = true,
        Origin::Buffer => {
            table.materialized = true;
            // What is not held back is looked up above.
            return (false, read);
        }
        Origin::Topic => table.materialized = table.store_asked || old || read,
        Origin::Parents => {
            table.materialized = table.store_asked;
            // A store of its own answers both; without one both are computed from above. A join asks
            // for old values in any case, as in the JVM: what its sides need not send, they do not.
            return if table.materialized { (old && is_join, false) } else { (old, read) };
        }
    }
    (false, false)
}
