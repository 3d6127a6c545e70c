//! `StreamsBuilder`: sources, and `build`.

use std::any::{TypeId, type_name};
use std::sync::Arc;

use streams_core::config::DslStore;
use streams_core::processor::{Processor, ProcessorInit};
use streams_core::stores::{KeyValueHandle, KeyValueStore, ReadOnlyStore, StoreBuilder};
use streams_core::topology::{Consumed, Mistake, Topics, Topology, TopologyError};
use streams_core::{Data, SerdeRef, StreamsConfig};

use crate::graph::{BuildOptions, Call, Graph, Kind, NewNode, Origin, SourceTopics};
use crate::options::{KeyValueKind, Materialized};
use crate::stream::KStream;
use crate::table::{GlobalKTable, KTable, NewTable, TableSource, stored};

/// Begins a topology: sources are made with it, everything else with the handles that they return.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// builder
///     .stream_values::<String>("lines")
///     .flat_map_values(|line, out| out.extend(line.split_whitespace().map(str::to_lowercase)))
///     .group_by(|_, word| word.clone(), "words")
///     .count("counts")
///     .to("word-counts");
/// let topology = builder.build()?;
/// # Ok::<_, TopologyError>(())
/// ```
#[derive(Clone, Default)]
pub struct StreamsBuilder {
    graph: Graph,
}

impl StreamsBuilder {
    /// An empty topology.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one topic, several, or all that match a pattern. A second stream of the same topics
    /// shares the source.
    #[track_caller]
    pub fn stream<K: Data, V: Data>(&self, topics: impl Into<Consumed<K, V>>) -> KStream<K, V> {
        self.stream_in(Call::new("stream"), topics.into())
    }

    /// Reads topics whose keys are null or do not matter.
    #[track_caller]
    pub fn stream_values<V: Data>(&self, topics: impl Into<Consumed<(), V>>) -> KStream<(), V> {
        self.stream_in(Call::new("stream_values"), topics.into())
    }

    #[track_caller]
    fn stream_in<K: Data, V: Data>(&self, call: Call, consumed: Consumed<K, V>) -> KStream<K, V> {
        let name = self.graph.name(consumed.name(), &[("KSTREAM-SOURCE-", "")]);
        let source = Kind::Source(source_topics(&consumed, false));
        let (key, value) = source_serdes(&self.graph, call, &consumed);
        let node =
            NewNode::new(call, name, &[], source).serdes(key, value).lower(move |lowering| {
                match lowering.same_source() {
                    Some(first) => lowering.alias::<K, V>(first),
                    None => {
                        let node = lowering.source(0, consumed);
                        lowering.output(node);
                    }
                }
            });
        KStream::new(self.graph.clone(), self.graph.add(node))
    }

    /// Reads a topic as a table: a record without a value deletes its key, a record without a key
    /// is dropped.
    ///
    /// A store with a name is there to be queried; `auto()` makes one only if an operator below
    /// needs it.
    #[track_caller]
    pub fn table<K: Data, V: Data>(
        &self,
        topic: impl Into<Consumed<K, V>>,
        store: impl Into<Materialized<K, V, KeyValueKind>>,
    ) -> KTable<K, V> {
        let call = Call::new("table");
        let (consumed, options) = (topic.into(), store.into());
        let topics = source_topics(&consumed, true);
        if topics.pattern || topics.topics.len() != 1 {
            self.graph.mistake(call, "a table is read from one topic: name it, without a pattern");
        }
        let prefix = format!("{}-", topics.topics.first().map_or("", String::as_str));
        let store = self.graph.store_name(options.name.as_deref(), &prefix);
        let parts = [("KSTREAM-SOURCE-", "-source"), ("KTABLE-SOURCE-", "")];
        let name = self.graph.name(consumed.name(), &parts);
        let (key, value) = source_serdes(&self.graph, call, &consumed);
        let rows = options.value.resolve(value.as_ref());
        let keys = options.key.resolve(key.as_ref());
        let stored = stored(&self.graph, call, keys, rows, options.settings);
        let table = NewTable {
            node: NewNode::new(call, name, &[], Kind::Source(topics)),
            origin: Origin::Topic,
            store: stored.map(|stored| (store, stored)),
            store_asked: options.name.is_some(),
        };
        let table = table.lower(move |lowering| {
            let Some(rows) = consumed.for_table() else {
                return lowering.bug("a table without serdes was not refused");
            };
            let records = lowering.source(0, rows);
            let parts = lowering.table_parts::<K, V>();
            lowering.set_getter(parts.getter());
            let table = lowering.add_below(1, &[records], parts.stores(), move |stores, _| {
                TableSource::new(parts.output(&stores), Arc::new(|row: Option<V>| row))
            });
            lowering.output(table);
        });
        table.add(&self.graph)
    }

    /// Reads a topic as a table of which each instance of the application has all rows, whatever
    /// its partitions: for tables that are small, and looked up by other keys than that of the
    /// record in hand. See [`join_global`](KStream::join_global).
    ///
    /// The table is complete up to the end of the topic before any task that looks it up runs, and
    /// follows the topic from then on. The topic is the changelog of its store.
    #[track_caller]
    pub fn global_table<K: Data, V: Data>(
        &self,
        topic: impl Into<Consumed<K, V>>,
        store: impl Into<Materialized<K, V, KeyValueKind>>,
    ) -> GlobalKTable<K, V> {
        GlobalKTable::read(&self.graph, Call::new("global_table"), topic.into(), store.into())
    }

    /// A store of which each instance of the application has all rows, written by a processor that
    /// gets every record of `topic`, whatever its partition. Other processors read it: give them
    /// what this returns as one of their stores.
    ///
    /// The processor can have no timers, and what it forwards goes nowhere. When an instance loses
    /// its disk, or the end of what it had written in a crash, the processor gets these records
    /// again: that must not matter.
    #[track_caller]
    pub fn add_global_store<K: Data, V: Data, RK: Data, RV: Data, P>(
        &self,
        store: StoreBuilder<KeyValueStore<RK, RV>>,
        topic: impl Into<Consumed<K, V>>,
        supplier: impl Fn(KeyValueHandle<RK, RV>, &mut ProcessorInit<'_, P>) -> P
        + Send
        + Sync
        + 'static,
    ) -> ReadOnlyStore<KeyValueStore<RK, RV>>
    where
        P: Processor<KIn = K, VIn = V>,
    {
        let (call, consumed) = (Call::new("add_global_store"), topic.into());
        let topics = source_topics(&consumed, true);
        let parts = [("KSTREAM-SOURCE-", "-source"), ("KTABLE-SOURCE-", "")];
        let name = self.graph.name(consumed.name(), &parts);
        source_serdes(&self.graph, call, &consumed);
        let read = ReadOnlyStore::named(store.name().clone());
        let node = NewNode::new(call, name, &[], Kind::Source(topics));
        self.graph.add(node.lower(move |lowering| {
            lowering.global_store(consumed, store, supplier);
        }));
        read
    }

    /// Checks what was called, and makes the topology. All mistakes at once, each with the user's
    /// call.
    ///
    /// # Errors
    /// Each [`Mistake`](streams_core::topology::Mistake) says what to do, and where.
    #[track_caller]
    pub fn build(self) -> Result<Topology, TopologyError> {
        self.graph.build(BuildOptions::default())
    }

    /// As [`build`](Self::build), with what the configuration says about topologies:
    /// `emit.on.commit`, `dsl.store`, `topology.optimization` and
    /// `ensure.explicit.internal.resource.naming`.
    ///
    /// # Errors
    /// As [`build`](Self::build); and if the configuration is not valid.
    #[track_caller]
    pub fn build_with(self, config: &StreamsConfig) -> Result<Topology, TopologyError> {
        let here = std::panic::Location::caller();
        let config = config
            .validate()
            .map_err(|error| TopologyError::new(vec![Mistake::new(error.to_string(), here)]))?;
        self.graph.build(BuildOptions {
            emit_on_commit: config.emit_on_commit,
            emit_interval: Some(config.windowed_emit_interval),
            join_emit_interval: Some(config.outer_join_emit_interval),
            in_memory: config.default_dsl_store == DslStore::InMemory,
            explicit_names: config.ensure_explicit_internal_resource_naming,
            optimization: config.topology_optimization,
        })
    }
}

/// The serdes of a source; a mistake if there are none.
pub(crate) fn source_serdes<K: 'static, V: 'static>(
    graph: &Graph,
    call: Call,
    consumed: &Consumed<K, V>,
) -> (Option<SerdeRef<K>>, Option<SerdeRef<V>>) {
    let key = consumed.key_serde().resolve(None);
    let value = consumed.value_serde().resolve(None);
    if key.is_none() || value.is_none() {
        graph.mistake(call, "a source has nobody to inherit serdes from");
    }
    (key, value)
}

pub(crate) fn source_topics<K: 'static, V: 'static>(
    consumed: &Consumed<K, V>,
    table: bool,
) -> SourceTopics {
    let (mut topics, pattern) = match consumed.topics() {
        Topics::List(topics) => (topics.clone(), false),
        Topics::Pattern(pattern) => (vec![pattern.clone()], true),
    };
    topics.sort();
    let records = (TypeId::of::<(K, V)>(), type_name::<(K, V)>());
    let (reset, reading) = (consumed.reset(), consumed.reading());
    SourceTopics { topics, pattern, table, records, reset, reading, same_as: None }
}
