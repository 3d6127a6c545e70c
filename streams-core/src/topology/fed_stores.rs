//! Stores that a topic feeds through one processor, and that all others only read: global ones,
//! and such as are read-only.

use super::builder::TopologyBuilder;
use super::consumed::Consumed;
use super::topic::Topics;
use crate::processor::{Data, Processor, ProcessorInit};
use crate::stores::{ChangelogKind, KeyValueHandle, KeyValueStore, ReadOnlyStore, StoreBuilder};

impl TopologyBuilder {
    /// A store of which each instance of the application has all rows, of all partitions of
    /// `topic`: for small tables that every task has to look things up in. Others read it by what
    /// this returns.
    ///
    /// `supplier` makes the processor that writes the store, which runs once per instance, beside
    /// the tasks: when the instance starts until the end of the topic is reached, before the first
    /// task runs, and on each record from then on. What it has processed it does not process again
    /// after a restart, unless a crash has lost it: it must not matter. It can have no timers,
    /// and whatever it forwards goes nowhere. The topic itself is the store's changelog.
    ///
    /// Kafka Streams' `addGlobalStore`.
    #[track_caller]
    pub fn add_global_store<K: Data, V: Data, RK: Data, RV: Data, P>(
        &mut self,
        source: &str,
        topic: impl Into<Consumed<K, V>>,
        processor: &str,
        store: StoreBuilder<KeyValueStore<RK, RV>>,
        supplier: impl Fn(KeyValueHandle<RK, RV>, &mut ProcessorInit<'_, P>) -> P
        + Send
        + Sync
        + 'static,
    ) -> ReadOnlyStore<KeyValueStore<RK, RV>>
    where
        P: Processor<KIn = K, VIn = V>,
    {
        let consumed = topic.into();
        self.check_fed("global", store.name(), &consumed);
        if consumed.reset.is_some() {
            let name = store.name();
            self.mistake(format!(
                "global store `{name}` is always read from the beginning of its topic: leave \
                 offset_reset() out"
            ));
        }
        // Only who puts the records as they are says that the topic has the same rows.
        let store = match store.declaration().changelog() {
            ChangelogKind::SourceTopic(_) => store,
            _ => store.logging_disabled(),
        };
        let read = self.feed(source, consumed, processor, store, supplier);
        self.globals.push(self.nodes.len() - 1);
        read
    }

    /// A store that is written from `topic` alone, which is its changelog: nothing is written to
    /// another one, and a task that lost it restores it from there. Others read it by what this
    /// returns; they run in the same tasks.
    ///
    /// `supplier` makes the processor that writes the store. A restore does not go through it, but
    /// takes the records as rows: it must put each record's key, value and time as they are.
    ///
    /// Kafka Streams' `addReadOnlyStateStore`.
    #[track_caller]
    pub fn add_read_only_store<K: Data, V: Data, RK: Data, RV: Data, P>(
        &mut self,
        source: &str,
        topic: impl Into<Consumed<K, V>>,
        processor: &str,
        store: StoreBuilder<KeyValueStore<RK, RV>>,
        supplier: impl Fn(KeyValueHandle<RK, RV>, &mut ProcessorInit<'_, P>) -> P
        + Send
        + Sync
        + 'static,
    ) -> ReadOnlyStore<KeyValueStore<RK, RV>>
    where
        P: Processor<KIn = K, VIn = V>,
    {
        let consumed = topic.into();
        let topic = self.check_fed("read-only", store.name(), &consumed);
        let store = store.source_topic_changelog(&topic);
        self.feed(source, consumed, processor, store, supplier)
    }

    #[track_caller]
    fn feed<K: Data, V: Data, RK: Data, RV: Data, P>(
        &mut self,
        source: &str,
        consumed: Consumed<K, V>,
        processor: &str,
        store: StoreBuilder<KeyValueStore<RK, RV>>,
        supplier: impl Fn(KeyValueHandle<RK, RV>, &mut ProcessorInit<'_, P>) -> P
        + Send
        + Sync
        + 'static,
    ) -> ReadOnlyStore<KeyValueStore<RK, RV>>
    where
        P: Processor<KIn = K, VIn = V>,
    {
        let name = store.name().clone();
        let records = self.add_source(source, consumed);
        self.add_processor(processor, &[&records], store, supplier);
        self.sole_writers.insert(name.clone(), processor.into());
        ReadOnlyStore::named(name)
    }

    /// The topic that feeds a store; empty if it is not one.
    #[track_caller]
    fn check_fed<K: 'static, V: 'static>(
        &mut self,
        kind: &str,
        store: &str,
        consumed: &Consumed<K, V>,
    ) -> String {
        match consumed.topics() {
            Topics::List(topics) if topics.len() == 1 => topics[0].clone(),
            _ => {
                self.mistake(format!(
                    "{kind} store `{store}` is fed by one topic: name it, without a pattern"
                ));
                String::new()
            }
        }
    }
}
