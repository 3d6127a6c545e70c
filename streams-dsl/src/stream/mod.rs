//! `KStream`: what is consumed comes to a closure by value, what stays (in a store, or travels on)
//! by reference.

mod emitter;
mod fallible;
mod global;
mod grace;
mod group;
mod join;
mod nulls;
mod process;
mod repartition;
mod sink;
mod split;
mod stateless;
mod table;
mod time;

use std::marker::PhantomData;
use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::{BoxError, Data, SerdeRef};

use crate::graph::{Call, Changes, Graph, Keeps, Kind, NewNode, NodeId};
pub use emitter::Emitter;
pub use split::Split;

/// A stream of records: a typed handle to one operator of the topology. Using it twice fans out.
///
/// Closures are shared by all tasks: what they remember belongs into a store (see
/// [`process`](Self::process)). The counterpart of Kafka Streams' `KStream`.
#[must_use = "a stream that reaches no sink, table or `for_each` does nothing"]
pub struct KStream<K, V> {
    pub(crate) graph: Graph,
    pub(crate) node: NodeId,
    records: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.graph.clone(), self.node)
    }
}

impl<K, V> KStream<K, V> {
    pub(crate) fn new(graph: Graph, node: NodeId) -> Self {
        Self { graph, node, records: PhantomData }
    }

    /// Names the operator that made this stream. Numbers of other operators do not move.
    pub fn named(self, name: &str) -> Self {
        self.graph.rename(self.node, name);
        self
    }
}

/// What distinguishes one stateless operator from another.
pub(crate) struct Operator {
    pub(crate) call: Call,
    /// Of generated names: `KSTREAM-MAP-`.
    pub(crate) prefix: &'static str,
    pub(crate) changes: Changes,
    pub(crate) keeps: Keeps,
}

impl Operator {
    /// Neither key nor value change.
    pub(crate) fn looks(call: Call, prefix: &'static str) -> Self {
        Self { call, prefix, changes: Changes::Nothing, keeps: Keeps::Both }
    }

    /// The value changes.
    pub(crate) fn maps_value(call: Call, prefix: &'static str) -> Self {
        Self { call, prefix, changes: Changes::Value, keeps: Keeps::Key }
    }

    /// Key and value may change.
    pub(crate) fn maps_record(call: Call, prefix: &'static str) -> Self {
        Self { call, prefix, changes: Changes::Key, keeps: Keeps::Nothing }
    }
}

/// What a stateless operator does with a record.
type Function<K, V, K2, V2> =
    dyn Fn(&(), K, V, &mut ProcessorContext<'_, K2, V2>) -> Result<(), BoxError> + Send + Sync;

/// Any stateless operator.
struct Stateless<K, V, K2, V2> {
    f: Arc<Function<K, V, K2, V2>>,
}

impl<K: Data, V: Data, K2: Data, V2: Data> Processor for Stateless<K, V, K2, V2> {
    type KIn = K;
    type VIn = V;
    type KOut = K2;
    type VOut = V2;

    #[inline]
    fn process(
        &mut self,
        key: K,
        value: V,
        ctx: &mut ProcessorContext<'_, K2, V2>,
    ) -> Result<(), BoxError> {
        (self.f)(&(), key, value, ctx)
    }
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Appends an operator without stores.
    #[track_caller]
    pub(crate) fn stateless<K2: Data, V2: Data, F>(
        &self,
        operator: Operator,
        f: F,
    ) -> KStream<K2, V2>
    where
        F: Fn(&(), K, V, &mut ProcessorContext<'_, K2, V2>) -> Result<(), BoxError>
            + Send
            + Sync
            + 'static,
    {
        self.add_stateless(operator, Arc::new(f))
    }

    /// Not generic over the closure: one more operator between the same types costs little.
    #[track_caller]
    fn add_stateless<K2: Data, V2: Data>(
        &self,
        operator: Operator,
        f: Arc<Function<K, V, K2, V2>>,
    ) -> KStream<K2, V2> {
        let name = self.graph.name(None, &[(operator.prefix, "")]);
        let node = NewNode::new(operator.call, name, &[self.node], Kind::Stream)
            .changes(operator.changes)
            .keeps(operator.keeps)
            .lower(move |lowering| {
                lowering.processor::<K, V, _, _>((), move |(), _| Stateless { f: f.clone() });
            });
        KStream::new(self.graph.clone(), self.graph.add(node))
    }

    /// The serde of the keys, if they are as they were read.
    pub(crate) fn key_serde(&self) -> Option<SerdeRef<K>> {
        self.graph.key_serde(self.node)
    }

    /// The serde of the values, if they are as they were read.
    pub(crate) fn value_serde(&self) -> Option<SerdeRef<V>> {
        self.graph.value_serde(self.node)
    }
}
