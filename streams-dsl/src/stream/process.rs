//! Processors written by hand.

use std::sync::Arc;

use streams_core::processor::{
    FixedKey, FixedKeyContext, FixedKeyInit, FixedKeyProcessor, Processor, ProcessorContext,
    ProcessorInit, process_fn, process_values_fn,
};
use streams_core::stores::{ConnectedStores, StoreSet};
use streams_core::{BoxError, Data};

use super::KStream;
use crate::graph::{Call, Changes, Keeps, Kind, NewNode};

impl<K: Data, V: Data> KStream<K, V> {
    /// Sends each record through a processor with stores and timers.
    ///
    /// `stores` is a store, a table, or a tuple of these; the supplier gets a handle to each in the
    /// same shape. It runs once per task, and again after an abort. Counts as a change of key.
    #[track_caller]
    pub fn process<S: StoreSet, P: Processor<KIn = K, VIn = V>>(
        &self,
        stores: S,
        supplier: impl Fn(S::Handles, &mut ProcessorInit<'_, P>) -> P + Send + Sync + 'static,
    ) -> KStream<P::KOut, P::VOut> {
        let name = self.graph.name(None, &[("KSTREAM-PROCESSOR-", "")]);
        let stores = ConnectedStores::new(stores);
        let node = NewNode::new(Call::new("process"), name, &[self.node], Kind::Stream)
            .changes(Changes::Key)
            .lower(move |lowering| lowering.processor::<K, V, _, P>(stores, supplier));
        KStream::new(self.graph.clone(), self.graph.add(node))
    }

    /// As [`process`](Self::process), with a closure for a processor.
    #[track_caller]
    pub fn process_fn<S: StoreSet, K2: Data, W: Data>(
        &self,
        stores: S,
        f: impl Fn(&S::Handles, K, V, &mut ProcessorContext<'_, K2, W>) -> Result<(), BoxError>
        + Send
        + Sync
        + 'static,
    ) -> KStream<K2, W> {
        let name = self.graph.name(None, &[("KSTREAM-PROCESSOR-", "")]);
        let (stores, f) = (ConnectedStores::new(stores), Arc::new(f));
        let node = NewNode::new(Call::new("process_fn"), name, &[self.node], Kind::Stream)
            .changes(Changes::Key)
            .lower(move |lowering| {
                lowering.processor::<K, V, _, _>(stores, move |handles, _| {
                    process_fn(handles, f.clone())
                });
            });
        KStream::new(self.graph.clone(), self.graph.add(node))
    }

    /// As [`process`](Self::process), with a processor that cannot change the key: no repartition
    /// follows.
    #[track_caller]
    pub fn process_values<S: StoreSet, P: FixedKeyProcessor<Key = K, VIn = V>>(
        &self,
        stores: S,
        supplier: impl Fn(S::Handles, &mut FixedKeyInit<'_, '_, P>) -> P + Send + Sync + 'static,
    ) -> KStream<K, P::VOut> {
        let name = self.graph.name(None, &[("KSTREAM-PROCESSVALUES-", "")]);
        let stores = ConnectedStores::new(stores);
        let node = NewNode::new(Call::new("process_values"), name, &[self.node], Kind::Stream)
            .changes(Changes::Value)
            .keeps(Keeps::Key)
            .lower(move |lowering| lowering.fixed_key_processor::<_, P>(stores, supplier));
        KStream::new(self.graph.clone(), self.graph.add(node))
    }

    /// As [`process_values`](Self::process_values), with a closure for a processor.
    #[track_caller]
    pub fn process_values_fn<S: StoreSet, W: Data>(
        &self,
        stores: S,
        f: impl Fn(&S::Handles, FixedKey<K>, V, &mut FixedKeyContext<'_, K, W>) -> Result<(), BoxError>
        + Send
        + Sync
        + 'static,
    ) -> KStream<K, W> {
        let name = self.graph.name(None, &[("KSTREAM-PROCESSVALUES-", "")]);
        let (stores, f) = (ConnectedStores::new(stores), Arc::new(f));
        let node = NewNode::new(Call::new("process_values_fn"), name, &[self.node], Kind::Stream)
            .changes(Changes::Value)
            .keeps(Keeps::Key)
            .lower(move |lowering| {
                lowering.fixed_key_processor(stores, move |handles, _| {
                    process_values_fn(handles, f.clone())
                });
            });
        KStream::new(self.graph.clone(), self.graph.add(node))
    }
}
