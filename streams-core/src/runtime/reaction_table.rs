//! What follows when a transaction ends in one way or another, as data: what becomes of the
//! thread's tasks, and what an error of the producer asks for.
//!
//! All tasks of a thread share its transaction, so what happens to one happens to all.

use crate::client::ClientErrorKind;

/// What happened to the work since the last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It is committed.
    Committed,
    /// It certainly is not, and never will be; the producer goes on.
    Aborted,
    /// Nobody knows yet: the commit is asked for again.
    Unknown,
    /// The producer is dead. Whether the last commit came to pass, only Kafka knows.
    ProducerLost,
    /// The group has given our tasks to others.
    MembershipLost,
    /// The application's code or the configuration is wrong: the thread ends.
    Failed,
}

/// How a task stands when that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Runs, and is to be given up.
    Revoked,
    /// Runs, and stays.
    Kept,
    /// Does not run yet, so it has no part in the transaction.
    Restoring,
}

/// What becomes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskReaction {
    /// Its sealed layers join the committed ones.
    Commit,
    /// It is closed as it is: whoever goes on starts from the last commit.
    Drop,
    /// Its arena is made anew over its committed layers, its inputs go back to where they were
    /// committed.
    Rebuild,
    /// It is dropped and created again: where it stands is read from Kafka.
    Recreate,
    /// Nothing.
    Keep,
}

/// By event: of a revoked, a kept, and a restoring task.
#[rustfmt::skip]
const TASKS: [(Event, [TaskReaction; 3]); 6] = {
    use TaskReaction::{Commit, Drop, Keep, Rebuild, Recreate};
    [
        (Event::Committed,      [Commit, Commit,   Keep]),
        (Event::Aborted,        [Drop,   Rebuild,  Keep]),
        (Event::Unknown,        [Keep,   Keep,     Keep]),
        (Event::ProducerLost,   [Drop,   Recreate, Keep]),
        (Event::MembershipLost, [Drop,   Drop,     Drop]),
        (Event::Failed,         [Drop,   Drop,     Drop]),
    ]
};

/// What becomes of a task.
pub(crate) fn task_reaction(event: Event, standing: Standing) -> TaskReaction {
    let row = TASKS.iter().find(|(of, _)| *of == event);
    row.expect("every event has its row").1[standing as usize]
}

/// Where an error of a transactional producer came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The producer's start: the transactional id is taken.
    Init,
    /// A record was not taken, or a transaction not begun.
    Send,
    /// A record was not written.
    Delivery,
    /// Waiting until everything is written.
    Flush,
    /// The outcome of a commit: certainly not committed.
    Aborted,
    /// The outcome of a commit: nobody knows.
    Unknown,
    /// The outcome of a commit: certainly not committed, by a producer that is dead.
    Fatal,
    /// The abort of a transaction.
    Abort,
}

/// What an error asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorReaction {
    /// The same call again, a little later.
    Repeat,
    /// Abort the transaction, rebuild the tasks, go on with the same producer.
    Abort,
    /// A new producer with the same id, which resolves what is open; then the truth is read anew.
    NewProducer,
    /// End the thread with this error, after an abort if that is still possible.
    Fail,
}

/// By kind of error: at each [`Stage`], in their order. No row for an outcome that is unknown
/// rewinds to a remembered position: a new producer makes Kafka decide first.
#[rustfmt::skip]
const ERRORS: [(&str, [ErrorReaction; 8]); 13] = {
    use ErrorReaction::{Abort as A, Fail as F, NewProducer as N, Repeat as R};
    [
        //                   Init Send Delivery Flush Aborted Unknown Fatal Abort
        ("retriable",         [R,  A,   A,       R,    A,      R,      N,    R]),
        ("group",             [N,  A,   A,       A,    A,      N,      N,    N]),
        ("producer fenced",   [N,  N,   N,       N,    N,      N,      N,    N]),
        ("abort transaction", [N,  A,   A,       A,    A,      N,      N,    R]),
        ("fatal",             [N,  N,   N,       N,    N,      N,      N,    N]),
        ("invalid",           [F,  F,   F,       F,    F,      N,      N,    N]),
        ("record too large",  [F,  F,   F,       F,    F,      N,      N,    N]),
        ("unknown topic",     [F,  F,   F,       F,    F,      N,      N,    N]),
        ("topic exists",      [F,  F,   F,       F,    F,      N,      N,    N]),
        ("out of range",      [F,  F,   F,       F,    F,      N,      N,    N]),
        ("authentication",    [F,  F,   F,       F,    F,      F,      F,    F]),
        ("authorization",     [F,  F,   F,       F,    F,      F,      F,    F]),
        ("unsupported",       [F,  F,   F,       F,    F,      F,      F,    F]),
    ]
};

/// What an error asks for.
pub(crate) fn error_reaction(stage: Stage, kind: ClientErrorKind) -> ErrorReaction {
    ERRORS[row(kind)].1[stage as usize]
}

/// A call to Kafka that is no part of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The positions of the inputs are committed, under at-least-once.
    CommitPositions,
    /// What has to be known before a task runs: positions, topics, ends of logs.
    Prepare,
    /// An input is read.
    Fetch,
    /// A changelog is read.
    Restore,
}

/// What an error of a [`Request`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestReaction {
    /// The same again, a little later; for as long as `task.timeout.ms` allows, where that is
    /// bounded at all. What ends a membership is told by the member.
    Repeat,
    /// The position is not in the log: the reset policy decides for an input, a store is rebuilt.
    Reset,
    /// End the thread with this error.
    Fail,
}

/// By kind of error: of each [`Request`], in their order.
#[rustfmt::skip]
const REQUESTS: [(&str, [RequestReaction; 4]); 13] = {
    use RequestReaction::{Fail as F, Repeat as R, Reset as O};
    [
        //                   Commit Prepare Fetch Restore
        ("retriable",         [R,   R,      R,    R]),
        ("group",             [R,   R,      F,    F]),
        ("producer fenced",   [F,   F,      F,    F]),
        ("abort transaction", [F,   F,      F,    F]),
        ("fatal",             [F,   F,      F,    F]),
        ("invalid",           [F,   F,      F,    F]),
        ("record too large",  [F,   F,      F,    F]),
        // A topic is known to one broker before another; only who reads has waited long enough.
        ("unknown topic",     [R,   R,      F,    R]),
        ("topic exists",      [F,   F,      F,    F]),
        ("out of range",      [F,   F,      O,    O]),
        ("authentication",    [F,   F,      F,    F]),
        ("authorization",     [F,   F,      F,    F]),
        ("unsupported",       [F,   F,      F,    F]),
    ]
};

/// What an error asks for.
pub(crate) fn request_reaction(request: Request, kind: ClientErrorKind) -> RequestReaction {
    REQUESTS[row(kind)].1[request as usize]
}

/// Without a wildcard: a new kind of error does not compile before it has its row.
fn row(kind: ClientErrorKind) -> usize {
    match kind {
        ClientErrorKind::Retriable => 0,
        ClientErrorKind::Group(_) => 1,
        ClientErrorKind::ProducerFenced => 2,
        ClientErrorKind::AbortTransaction => 3,
        ClientErrorKind::Fatal => 4,
        ClientErrorKind::Invalid => 5,
        ClientErrorKind::RecordTooLarge => 6,
        ClientErrorKind::UnknownTopic => 7,
        ClientErrorKind::TopicExists => 8,
        ClientErrorKind::OffsetOutOfRange => 9,
        ClientErrorKind::Authentication => 10,
        ClientErrorKind::Authorization => 11,
        ClientErrorKind::Unsupported => 12,
    }
}

#[cfg(test)]
mod tests;
