//! The typed DSL of the stream processing library: [`StreamsBuilder`], [`KStream`], [`KTable`].
//!
//! Applications depend on this crate alone and begin with `use streams_dsl::prelude::*;`: it
//! re-exports what they need of the core.
//!
//! Reading order: `builder`, `stream`, `grouped`, `table`, `options`; then `graph`, where the calls
//! become a topology.

extern crate self as streams_dsl;

mod builder;
mod graph;
mod grouped;
mod options;
pub mod prelude;
mod stream;
mod table;
mod windows;

pub use builder::StreamsBuilder;
pub use grouped::{
    AnyTimeWindows, CogroupedKStream, KGroupedStream, KGroupedTable,
    SessionWindowedCogroupedKStream, SessionWindowedKStream, TimeWindowedCogroupedKStream,
    TimeWindowedKStream, WindowDefinition,
};
pub use options::{
    Auto, Grouped, Joined, KeyValueKind, Materialized, Repartitioned, WindowKind, auto,
};
pub use options::{Buffer, EmitEarly, ShutDown, Suppressed, WhenFull};
pub use options::{StreamJoined, TableJoined};
pub use stream::{Emitter, KStream, Split};
pub use streams_core as core;
pub use streams_core::{KafkaStreams, StreamsConfig, StreamsError};
pub use streams_core::{config, json_serde, processor, reaction, record, serdes, stores, topology};
pub use table::{GlobalKTable, KTable, TableVersions};
pub use windows::{
    EmitStrategy, JoinWindows, SessionWindows, SlidingWindows, TimeWindows, UnlimitedWindows,
};
