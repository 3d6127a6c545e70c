//! Topologies, tasks, state, membership and the runtime of the stream processing library.
//! Applications depend on `streams-dsl`, which re-exports what they need of this.

pub mod assignment;
pub mod client;
pub mod config;
pub mod error;
pub mod membership;
pub mod partitioning;
pub mod processor;
pub mod reaction;
pub mod record;
pub mod runtime;
pub mod serdes;
pub mod stores;
pub mod task;
pub mod task_id;
pub mod time;
pub mod topology;
pub mod windowed;

pub use config::{ResolvedConfig, StreamsConfig};
pub use error::{BoxError, StreamsError};
pub use processor::Data;
pub use reaction::{ErrorContext, Reaction, ThreadReaction};
pub use record::{Headers, Record, RecordContext, RecordMetadata, RecordRef, Timestamp};
pub use runtime::{CloseOptions, KafkaStreams};
pub use serdes::{DefaultSerde, Serde, SerdeContext, SerdeRef};
pub use task_id::TaskId;
pub use topology::Topology;
pub use windowed::{SessionWindow, SessionWindowed, TimeWindow, Window, Windowed};
