//! Why a member cannot go on.

use super::messages::AssignmentError;
use crate::client::{ClientError, ClientErrorKind, GroupError};

/// A member's end. Trying again without a change of topics, rights or configuration is no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MemberError {
    /// What kind of change would help.
    pub kind: MemberErrorKind,
    /// For people: what is wrong and what to do.
    pub message: String,
}

/// The kinds of [`MemberError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberErrorKind {
    /// Topics that the application reads do not exist.
    MissingSourceTopics,
    /// Topics that are joined have different partition counts, or a count cannot be derived.
    PartitionCounts,
    /// An internal topic has the wrong number of partitions, or could not be made.
    InternalTopics,
    /// Wrong credentials.
    Authentication,
    /// The principal lacks a right.
    Authorization,
    /// A setting is wrong, or the group is used by clients of another kind or version.
    Configuration,
    /// Another member took this one's instance id.
    Fenced,
    /// Some member asked all processes of the application to stop.
    Shutdown,
    /// The client is broken.
    Client,
}

impl MemberError {
    pub(super) fn new(kind: MemberErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(super) fn of_client(doing: &str, error: &ClientError) -> Self {
        let kind = match error.kind {
            ClientErrorKind::Authentication => MemberErrorKind::Authentication,
            ClientErrorKind::Authorization => MemberErrorKind::Authorization,
            ClientErrorKind::Group(GroupError::FencedInstance) => MemberErrorKind::Fenced,
            ClientErrorKind::Group(_) | ClientErrorKind::Invalid | ClientErrorKind::Unsupported => {
                MemberErrorKind::Configuration
            }
            _ => MemberErrorKind::Client,
        };
        Self::new(kind, format!("{doing}: {error}{}", hint(error.kind)))
    }

    /// What the leader's refusal means; `None` where the member just has no tasks.
    pub(super) fn of_refusal(error: AssignmentError, text: String) -> Option<Self> {
        let kind = match error {
            AssignmentError::None | AssignmentError::OtherTopology => return None,
            AssignmentError::MissingSourceTopics => MemberErrorKind::MissingSourceTopics,
            AssignmentError::PartitionCounts => MemberErrorKind::PartitionCounts,
            AssignmentError::InternalTopics => MemberErrorKind::InternalTopics,
            AssignmentError::UnreadableSubscription
            | AssignmentError::LeaderFailed
            | AssignmentError::Unknown(_) => MemberErrorKind::Configuration,
            AssignmentError::Shutdown => MemberErrorKind::Shutdown,
        };
        Some(Self::new(kind, text))
    }
}

fn hint(kind: ClientErrorKind) -> &'static str {
    match kind {
        ClientErrorKind::Group(GroupError::InconsistentProtocol) => {
            ": the group has members of another kind (a plain consumer, or Kafka Streams on the \
             JVM): stop them, or use another application id"
        }
        ClientErrorKind::Group(GroupError::GroupFull) => {
            ": raise the broker's group.max.size, or run fewer stream threads"
        }
        ClientErrorKind::Group(GroupError::InvalidSessionTimeout) => {
            ": session.timeout.ms must lie between the broker's group.min.session.timeout.ms and \
             group.max.session.timeout.ms"
        }
        _ => "",
    }
}
