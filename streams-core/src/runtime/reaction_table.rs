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
mod tests {
    use super::*;

    const STAGES: [Stage; 8] = [
        Stage::Init,
        Stage::Send,
        Stage::Delivery,
        Stage::Flush,
        Stage::Aborted,
        Stage::Unknown,
        Stage::Fatal,
        Stage::Abort,
    ];

    #[test]
    fn stages_and_standings_are_the_columns_in_their_order() {
        assert!(STAGES.iter().enumerate().all(|(at, stage)| *stage as usize == at));
        let standings = [Standing::Revoked, Standing::Kept, Standing::Restoring];
        assert!(standings.iter().enumerate().all(|(at, standing)| *standing as usize == at));
    }

    #[test]
    fn a_kind_has_the_row_with_its_name() {
        for (kind, name) in [
            (ClientErrorKind::Retriable, "retriable"),
            (ClientErrorKind::Group(crate::client::GroupError::UnknownMember), "group"),
            (ClientErrorKind::ProducerFenced, "producer fenced"),
            (ClientErrorKind::AbortTransaction, "abort transaction"),
            (ClientErrorKind::Fatal, "fatal"),
            (ClientErrorKind::Invalid, "invalid"),
            (ClientErrorKind::RecordTooLarge, "record too large"),
            (ClientErrorKind::UnknownTopic, "unknown topic"),
            (ClientErrorKind::TopicExists, "topic exists"),
            (ClientErrorKind::OffsetOutOfRange, "out of range"),
            (ClientErrorKind::Authentication, "authentication"),
            (ClientErrorKind::Authorization, "authorization"),
            (ClientErrorKind::Unsupported, "unsupported"),
        ] {
            assert_eq!(ERRORS[row(kind)].0, name);
        }
    }

    #[test]
    fn an_unknown_outcome_is_never_taken_for_an_abort() {
        for (name, reactions) in &ERRORS {
            let reaction = reactions[Stage::Unknown as usize];
            assert_ne!(reaction, ErrorReaction::Abort, "{name}");
        }
    }

    #[test]
    fn a_dead_producer_is_never_used_again() {
        for stage in STAGES {
            for kind in [ClientErrorKind::ProducerFenced, ClientErrorKind::Fatal] {
                assert_eq!(error_reaction(stage, kind), ErrorReaction::NewProducer, "{stage:?}");
            }
        }
        for (name, reactions) in &ERRORS {
            let reaction = reactions[Stage::Fatal as usize];
            assert!(
                matches!(reaction, ErrorReaction::NewProducer | ErrorReaction::Fail),
                "{name}: {reaction:?}"
            );
        }
    }

    #[test]
    fn only_what_was_committed_is_kept_as_committed() {
        for (event, reactions) in &TASKS {
            let commits = reactions.contains(&TaskReaction::Commit);
            assert_eq!(commits, *event == Event::Committed, "{event:?}");
        }
    }
}
