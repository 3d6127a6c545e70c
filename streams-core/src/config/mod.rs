//! The configuration of an application: by methods, by name, from files and from the environment.
//!
//! Names are Kafka Streams', and librdkafka's for connections (`security.protocol`, `sasl.*`,
//! `ssl.*`). All of them are in [`KNOWN_KEYS`] and in `docs/configuration.md`. Nothing is checked
//! until [`StreamsConfig::validate`], which reports all mistakes at once; starting an application
//! calls it.

mod client_settings;
#[cfg(test)]
mod documentation;
mod environment;
mod error;
mod foreign_keys;
mod handlers;
mod keys;
mod kind;
mod librdkafka_keys;
mod names;
mod properties;
mod redact;
mod resolve;
mod resolved;
mod streams_config;
mod values;

pub use client_settings::ClientSettings;
pub use error::{ConfigError, ConfigMistake};
pub use handlers::{
    ErrorHandler, EventListener, Handlers, RestoreListener, RestorePhase, RestoreProgress, State,
    StateListener, StreamsEvent, ThreadErrorHandler,
};
pub use keys::{ConfigKey, KNOWN_KEYS, Section};
pub use kind::Kind;
pub use names::ClientScope;
pub use resolved::{
    DslStore, Engines, GroupProtocol, HostInfo, OffsetReset, ProcessingGuarantee,
    RackAwareStrategy, RecordingLevel, ResolvedConfig, TopologyOptimization,
};
pub use streams_config::StreamsConfig;
