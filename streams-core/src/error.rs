//! Errors, by what is done about them.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::client::{ClientError, ClientErrorKind};
use crate::config::ConfigError;
use crate::record::RecordMetadata;
use crate::task_id::TaskId;

pub use crate::reaction::{ErrorContext, ErrorStage, Reaction, ThreadReaction};

/// Whatever went wrong in code of the application: in closures, processors and serdes.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why an application could not start, or stopped.
///
/// The variants are what one can do about it; causes are in the chain of
/// [`source`](Error::source), which `{:?}` prints too, as a `main` does that returns it.
#[derive(Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// Correct the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Correct the topology.
    #[error("the topology cannot run")]
    Topology(#[source] BoxError),
    /// Correct the credentials: `security.protocol`, `sasl.*`, `ssl.*`.
    #[error(
        "the broker refused the credentials: check `security.protocol`, `sasl.mechanism`, \
         `sasl.username`, `sasl.password` and `ssl.*`"
    )]
    Authentication(#[source] ClientError),
    /// Have the broker's administrator allow it.
    #[error("the broker forbids it to this principal: have its administrator add an ACL")]
    Authorization(#[source] ClientError),
    /// Nothing answers: start it, or correct the address.
    #[error(
        "no Kafka broker answers at {bootstrap_servers}: check that one runs there, the addresses \
         in `bootstrap.servers`, and that `security.protocol` is the one of that port"
    )]
    Unavailable {
        /// Where it was looked for.
        bootstrap_servers: String,
        /// The last attempt.
        source: BoxError,
    },
    /// Create the topics, or correct their names.
    #[error("these input topics do not exist: {}; create them, or correct the names", .topics.join(", "))]
    MissingTopics {
        /// As the broker should know them.
        topics: Vec<String>,
    },
    /// Make the numbers of partitions fit: topics that are joined must have equally many, and
    /// internal topics must have as many as there are tasks.
    #[error("{message}")]
    Partitions {
        /// Which topics, how many partitions they have, and what to do.
        message: String,
    },
    /// Name what has a generated name; or accept that state is left behind.
    #[error(
        "generated names have moved since the last start in {}: {moved}. State and records under \
         the old names would be left behind, or be taken for others'. Give stores and repartition \
         topics names (`ensure.explicit.internal.resource.naming=true` finds those without), or \
         set `accept.changed.topology=true` for one start", .directory.display()
    )]
    MovedNames {
        /// The state directory that knows the earlier topology.
        directory: PathBuf,
        /// Each name, with what it was and is.
        moved: String,
    },
    /// Repair the state directory, or name another one by `state.dir`.
    #[error("the state directory {} cannot be used", .directory.display())]
    State {
        /// Of the application, or of one task.
        directory: PathBuf,
        /// Why.
        source: BoxError,
    },
    /// A record could not be read, and the handler said to fail.
    #[error(
        "cannot read the {what} of the record at {at}; \
         `on_deserialization_error` may skip such records or send them to a dead letter queue"
    )]
    Deserialization {
        /// "key" or "value".
        what: &'static str,
        /// Which record.
        at: Box<Coordinates>,
        /// What the serde or the timestamp extractor says.
        source: BoxError,
    },
    /// The application's code failed on a record, and the handler said to fail.
    #[error(
        "processing failed at {at}; \
         `on_processing_error` may skip such records or send them to a dead letter queue"
    )]
    Processing {
        /// Which node, and which record.
        at: Box<Coordinates>,
        /// What the application's code says.
        source: BoxError,
    },
    /// The application's code panicked.
    #[error("panicked at {at}: {message}")]
    Panicked {
        /// Which node, and which record.
        at: Box<Coordinates>,
        /// The panic's message.
        message: String,
    },
    /// A record could not be written, and the handler said to fail.
    #[error("cannot write to topic {topic}, at {at}")]
    Production {
        /// Where it was to go.
        topic: Arc<str>,
        /// Which node, and which input record.
        at: Box<Coordinates>,
        /// What the serde or the broker says.
        source: BoxError,
    },
    /// A task made no progress for `task.timeout.ms`.
    #[error("task {task} made no progress for {} s (`task.timeout.ms`)", .timeout.as_secs())]
    TaskTimeout {
        /// Which task.
        task: TaskId,
        /// What was allowed.
        timeout: Duration,
        /// The last attempt.
        source: BoxError,
    },
    /// Another instance asked all of the application to shut down.
    #[error("an instance of the application asked all of them to shut down")]
    ShutdownRequested,
    /// The application is closed, or was not started.
    #[error("the application is not running: it is {state}")]
    NotRunning {
        /// What it is.
        state: crate::config::State,
    },
    /// Something that nobody outside can mend; the message is for a bug report.
    #[error("{message}")]
    Fatal {
        /// What happened.
        message: String,
        /// Why, if that is known.
        source: Option<BoxError>,
    },
}

impl StreamsError {
    /// Something that nobody outside can mend.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::Fatal { message: message.into(), source: None }
    }

    /// What an error of the client means once it is not retried any more. `doing` completes
    /// "failed to ..", `bootstrap_servers` says where.
    pub fn from_client(
        error: ClientError,
        doing: impl fmt::Display,
        bootstrap_servers: &str,
    ) -> Self {
        match error.kind {
            ClientErrorKind::Authentication => Self::Authentication(error),
            ClientErrorKind::Authorization => Self::Authorization(error),
            ClientErrorKind::Retriable => Self::Unavailable {
                bootstrap_servers: bootstrap_servers.to_owned(),
                source: error.into(),
            },
            _ => Self::Fatal { message: format!("failed to {doing}"), source: Some(error.into()) },
        }
    }
}

/// The message, then each cause on a line of its own: `main` prints an error by `{:?}`.
impl fmt::Debug for StreamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, "\n  caused by: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Where it happened, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coordinates {
    /// The task.
    pub task: Option<TaskId>,
    /// The node of the topology.
    pub node: Option<Arc<str>>,
    /// The input record that was being processed.
    pub record: Option<RecordMetadata>,
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(RecordMetadata { topic, partition, offset }) = &self.record {
            write!(f, "topic {topic}, partition {partition}, offset {offset}")?;
            separator = ", ";
        }
        if let Some(node) = &self.node {
            write!(f, "{separator}node {node}")?;
            separator = ", ";
        }
        if let Some(task) = &self.task {
            write!(f, "{separator}task {task}")?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("an unknown place") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_it_happened_and_why() {
        let error = StreamsError::Processing {
            at: Box::new(Coordinates {
                task: Some(TaskId::new(0, 3)),
                node: Some("KSTREAM-MAPVALUES-0000000001".into()),
                record: Some(RecordMetadata { topic: "orders".into(), partition: 3, offset: 17 }),
            }),
            source: "no such customer".into(),
        };
        let place = "topic orders, partition 3, offset 17, \
                     node KSTREAM-MAPVALUES-0000000001, task 0_3";
        let advice =
            "`on_processing_error` may skip such records or send them to a dead letter queue";
        assert_eq!(error.to_string(), format!("processing failed at {place}; {advice}"));
        assert_eq!(format!("{error:?}"), format!("{error}\n  caused by: no such customer"));
    }

    #[test]
    fn what_the_client_says_becomes_what_to_do() {
        let error = ClientError::retriable("connection refused");
        let error = StreamsError::from_client(error, "describe topics", "localhost:9092");
        assert!(matches!(&error, StreamsError::Unavailable { .. }), "{error}");
        assert!(error.to_string().starts_with("no Kafka broker answers at localhost:9092: "));
        assert!(format!("{error:?}").ends_with("\n  caused by: connection refused"));
        let error = ClientError::new(ClientErrorKind::Invalid, "bad");
        let error = StreamsError::from_client(error, "describe topics", "localhost:9092");
        assert_eq!(format!("{error:?}"), "failed to describe topics\n  caused by: bad");
    }

    #[test]
    fn an_error_is_small_and_crosses_threads() {
        fn is_send<T: Send + Sync + 'static>() {}
        is_send::<StreamsError>();
        assert!(size_of::<StreamsError>() <= 64, "{}", size_of::<StreamsError>());
    }
}
