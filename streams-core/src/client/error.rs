//! Errors of the client, by what the runtime does about them.

use std::fmt;

/// What went wrong at the client, and what that asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    /// What to do about it.
    pub kind: ClientErrorKind,
    /// For people: lower case, no final dot, with topic, partition, broker where they matter.
    pub message: String,
}

/// The reaction that an error asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// Nothing answered, or not yet: the same call again later is right.
    Retriable,
    /// The group has something to say: see [`GroupError`].
    Group(GroupError),
    /// Another producer has our transactional id, or our epoch is old: this producer is dead.
    ProducerFenced,
    /// The transaction cannot be committed any more: abort it, then go on with the same producer.
    AbortTransaction,
    /// The position asked for is not in the log.
    OffsetOutOfRange,
    /// There is no such topic or partition.
    UnknownTopic,
    /// A topic that was to be created is there already.
    TopicExists,
    /// A record is larger than the broker or the client takes.
    RecordTooLarge,
    /// Wrong credentials, or none: only the configuration helps.
    Authentication,
    /// The principal may not do this: only the broker's administrator helps.
    Authorization,
    /// The configuration or the request is wrong.
    Invalid,
    /// The broker does not speak this version.
    Unsupported,
    /// Nothing helps; the client must be made anew.
    Fatal,
}

/// What a group coordinator answers a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupError {
    /// Join again, with the member id of the answer (code 79).
    MemberIdRequired,
    /// The group does not know this member (25): everything it had is lost.
    UnknownMember,
    /// The generation is not the group's (22): everything it had is lost.
    IllegalGeneration,
    /// Another member took this instance id (82).
    FencedInstance,
    /// A rebalance is under way (27): join again.
    RebalanceInProgress,
    /// The members speak different protocols (23).
    InconsistentProtocol,
    /// The group has as many members as it may (81).
    GroupFull,
    /// The session or rebalance timeout is outside what the broker allows (26).
    InvalidSessionTimeout,
    /// An offset is being written by a transaction (88): read it again a little later.
    UnstableOffset,
}

impl ClientError {
    /// An error of that kind.
    pub fn new(kind: ClientErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Try again later.
    pub fn retriable(message: impl Into<String>) -> Self {
        Self::new(ClientErrorKind::Retriable, message)
    }

    /// The other side is gone.
    pub fn disconnected(message: impl Into<String>) -> Self {
        Self::new(ClientErrorKind::Retriable, message)
    }

    /// The group's answer.
    pub fn group(error: GroupError, message: impl Into<String>) -> Self {
        Self::new(ClientErrorKind::Group(error), message)
    }

    /// Whether the same call may be repeated.
    pub fn is_retriable(&self) -> bool {
        self.kind == ClientErrorKind::Retriable
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ClientError {}
