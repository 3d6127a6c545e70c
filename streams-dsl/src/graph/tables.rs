//! What the graph knows of tables beside their nodes: the stores that they have or may have.

use std::sync::Arc;

use super::node::{Call, ErasedStored, NodeId, Origin, TableFacts};
use super::{Graph, StoreName};
use crate::options::Versions;
use crate::windows::millis;

impl Graph {
    /// Adds what a table needs beside its node.
    pub(crate) fn add_table(
        &self,
        node: NodeId,
        origin: Origin,
        store: Option<StoreName>,
        stored: Option<ErasedStored>,
        asked: bool,
    ) {
        let facts = TableFacts {
            origin,
            store,
            stored,
            store_asked: asked,
            history_ms: None,
            materialized: false,
            send_old: false,
        };
        self.state().tables.insert(node, facts);
    }

    /// The store of a table is versioned, or is not.
    pub(crate) fn set_history(&self, node: NodeId, versions: Option<Versions>) {
        if let Some(table) = self.state().tables.get_mut(&node) {
            table.history_ms = versions.map(|versions| millis(versions.history_retention));
        }
    }

    /// A store that the table takes if something needs it. Until `materialize` tells the serdes, it
    /// cannot be made.
    pub(crate) fn offer_store(&self, node: NodeId, store: StoreName) {
        if let Some(table) = self.state().tables.get_mut(&node) {
            table.store = Some(store);
        }
    }

    /// Gives a table a store of its own. Without a name the table's own number becomes the store's,
    /// and the table takes the next one, as if the store had been asked for in the call of the
    /// operator.
    pub(crate) fn materialize(
        &self,
        call: Call,
        node: NodeId,
        name: Option<&str>,
        stored: ErasedStored,
    ) {
        let mut state = self.state();
        let taken = state.tables.get(&node).filter(|table| table.store_asked);
        if let Some(store) = taken.and_then(|table| table.store.as_ref()) {
            let message = format!("{call} gives a second store to a table that has {store}");
            return state.mistakes.push((message, call));
        }
        let offered = state.tables.get_mut(&node).and_then(|table| table.store.take());
        let store = match (name, offered) {
            (Some(name), offered) => {
                state.give_back_store_number(offered.as_ref());
                StoreName::Given(name.to_owned())
            }
            (None, Some(offered)) => offered,
            (None, None) => StoreName::Generated(state.burn_store_of(node)),
        };
        if let Some(table) = state.tables.get_mut(&node) {
            (table.store, table.stored) = (Some(store), Some(stored));
            table.store_asked = true;
        }
    }

    /// Makes sure that a table has a store, which is made from `stored` if it had none.
    pub(crate) fn ensure_store(&self, node: NodeId, stored: Option<ErasedStored>) {
        let mut state = self.state();
        let Some(table) = state.tables.get(&node) else { return };
        let (has_name, has_stored) = (table.store.is_some(), table.stored.is_some());
        let call = state.node(node).call;
        if !has_stored && stored.is_none() {
            let message = format!(
                "a processor looks things up in the table of {call}, which has no store, and no \
                 serdes for one: use .materialize(\"name\") on the table"
            );
            state.mistakes.push((message, call));
        }
        let store = (!has_name).then(|| StoreName::Generated(state.burn_store_of(node)));
        if let Some(table) = state.tables.get_mut(&node) {
            table.store_asked = true;
            table.store = table.store.take().or(store);
            table.stored = table.stored.take().or(stored);
        }
    }

    /// Whether a table as it is so far can send old values without a store that it would not have
    /// otherwise: then a filter below spares deletions of rows that it never let through.
    pub(crate) fn has_old(&self, node: NodeId) -> bool {
        super::resolve::has_old(&mut self.state(), node)
    }

    /// The name of a table's store.
    pub(crate) fn store_of(&self, node: NodeId) -> Arc<str> {
        let state = self.state();
        let store = state.tables.get(&node).and_then(|table| table.store.as_ref());
        store.map(ToString::to_string).unwrap_or_default().into()
    }
}
