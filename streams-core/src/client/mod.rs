//! The seam to Kafka: narrow traits, dynamic at batch granularity, and their implementation on
//! librdkafka (fetching, producing) and on our own connections (everything else).
//!
//! Two implementations exist: this module's, and the embedded cluster of `streams-test`. The
//! runtime knows only the traits. Reading order: [`call`] (how a call that takes time is started
//! and polled), [`seam`] (the traits), [`raw_record`], [`error`].
//!
//! `unsafe` is allowed here and nowhere else in the workspace.

pub mod call;
pub mod error;
pub mod kafka_clients;
pub(crate) mod kafka_errors;
pub mod raw_record;
pub mod rdkafka;
pub mod seam;
pub mod wire;

pub use self::kafka_clients::KafkaClients;
pub use self::rdkafka::{RdkafkaClients, RdkafkaSettings};
pub use call::{Call, Reply, Wake, WakeRef};
pub use error::{ClientError, ClientErrorKind, GroupError};
pub use raw_record::{MemoryRecord, RawRecord};
pub use seam::*;
