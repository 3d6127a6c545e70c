//! Why a task cannot go on.

use std::fmt;

use crate::client::ClientError;
use crate::error::{BoxError, StreamsError};

/// Why a task gave up. What it wrote since the last commit must be dropped, and the task be made
/// anew.
#[derive(Debug)]
pub enum TaskError {
    /// The producer has something to say: the runtime reacts by its kind.
    Client(ClientError),
    /// The application's code, a serde or a store failed.
    Streams(StreamsError),
    /// The same, and the handler said to try the task again from its last commit.
    Retry(StreamsError),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Streams(error) | Self::Retry(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => std::error::Error::source(error),
            Self::Streams(error) | Self::Retry(error) => std::error::Error::source(error),
        }
    }
}

impl From<ClientError> for TaskError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<StreamsError> for TaskError {
    fn from(error: StreamsError) -> Self {
        Self::Streams(error)
    }
}

/// What travels up through processors when the task has given up: the reason lies in the task, so
/// that a processor can neither hide nor change it.
#[derive(Debug, thiserror::Error)]
#[error("the task has given up: the reason was reported where it happened")]
pub(crate) struct Escalated;

impl Escalated {
    pub(crate) fn boxed() -> BoxError {
        Box::new(Self)
    }
}
