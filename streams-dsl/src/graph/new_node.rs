//! What an operator says of itself when it is called.

use std::sync::Arc;

use streams_core::SerdeRef;

use super::node::{Ask, Call, Changes, ErasedSerde, Keeps, Kind, Lower, NodeId};
use super::{Lowering, NodeName};

/// A node to be added with [`Graph::add`](super::Graph::add).
pub(crate) struct NewNode {
    pub(crate) call: Call,
    pub(crate) name: NodeName,
    pub(crate) parents: Vec<NodeId>,
    pub(crate) kind: Kind,
    /// What the operator itself may change.
    pub(crate) changes: Changes,
    pub(crate) keeps: Keeps,
    pub(crate) asks: Vec<Ask>,
    pub(crate) sends_old: bool,
    pub(crate) key_serde: Option<ErasedSerde>,
    pub(crate) value_serde: Option<ErasedSerde>,
    pub(crate) lower: Option<Lower>,
}

impl NewNode {
    pub(crate) fn new(call: Call, name: NodeName, parents: &[NodeId], kind: Kind) -> Self {
        Self {
            call,
            name,
            parents: parents.to_vec(),
            kind,
            changes: Changes::Nothing,
            keeps: Keeps::Nothing,
            asks: Vec::new(),
            sends_old: false,
            key_serde: None,
            value_serde: None,
            lower: None,
        }
    }

    pub(crate) fn changes(mut self, changes: Changes) -> Self {
        self.changes = changes;
        self
    }

    pub(crate) fn keeps(mut self, keeps: Keeps) -> Self {
        self.keeps = keeps;
        self
    }

    /// The serdes of what comes out, as far as they are known.
    pub(crate) fn serdes<K: 'static, V: 'static>(
        mut self,
        key: Option<SerdeRef<K>>,
        value: Option<SerdeRef<V>>,
    ) -> Self {
        self.key_serde = key.map(|serde| Arc::new(serde) as ErasedSerde);
        self.value_serde = value.map(|serde| Arc::new(serde) as ErasedSerde);
        self
    }

    pub(crate) fn asks(mut self, ask: Ask) -> Self {
        self.asks.push(ask);
        self
    }

    /// The table sends old values, whoever asks for them.
    pub(crate) fn sends_old(mut self, sends_old: bool) -> Self {
        self.sends_old = sends_old;
        self
    }

    pub(crate) fn lower(mut self, lower: impl FnOnce(&mut Lowering<'_>) + Send + 'static) -> Self {
        self.lower = Some(Box::new(lower));
        self
    }
}
