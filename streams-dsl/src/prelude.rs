//! Everything that an application needs: `use streams_dsl::prelude::*;`

pub use streams_core::config::State;
pub use streams_core::processor::{
    Data, FixedKey, FixedKeyContext, FixedKeyInit, FixedKeyProcessor, Processor, ProcessorContext,
    ProcessorInit,
};
pub use streams_core::serdes::{
    BigEndian, Bytes, DefaultSerde, Json, Serde, SerdeContext, SerdeRef, SessionWindowedKey,
    TimeWindowedKey, Utf8,
};
pub use streams_core::stores::{
    KeyValueHandle, KeyValueStore, ReadOnlyHandle, ReadOnlyStore, SessionStore, StoreBuilder,
    StoreHandle, StoreName, Stores, WindowStore,
};
pub use streams_core::topology::{
    Consumed, OffsetReset, Partitions, Produced, Topic, Topics, Topology, TopologyError,
};
pub use streams_core::{
    BoxError, CloseOptions, Headers, KafkaStreams, Reaction, Record, RecordContext, RecordRef,
    SessionWindow, SessionWindowed, StreamsConfig, StreamsError, TaskId, TimeWindow, Timestamp,
    Window, Windowed, json_serde,
};

pub use crate::builder::StreamsBuilder;
pub use crate::grouped::{
    CogroupedKStream, KGroupedStream, KGroupedTable, SessionWindowedCogroupedKStream,
    SessionWindowedKStream, TimeWindowedCogroupedKStream, TimeWindowedKStream,
};
pub use crate::options::{Auto, Grouped, Joined, Materialized, Repartitioned, auto};
pub use crate::options::{Buffer, Suppressed};
pub use crate::options::{StreamJoined, TableJoined};
pub use crate::stream::{Emitter, KStream};
pub use crate::table::{GlobalKTable, KTable};
pub use crate::windows::{
    EmitStrategy, JoinWindows, SessionWindows, SlidingWindows, TimeWindows, UnlimitedWindows,
};
