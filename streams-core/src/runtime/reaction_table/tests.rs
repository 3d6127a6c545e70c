use super::*;
use crate::client::kafka_errors::{self, kind_of};

const REQUEST_KINDS: [Request; 4] =
    [Request::CommitPositions, Request::Prepare, Request::Fetch, Request::Restore];

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
        assert_eq!(REQUESTS[row(kind)].0, name);
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

#[test]
fn every_code_has_a_reaction_everywhere_and_only_what_may_pass_is_repeated() {
    for code in kafka_errors::codes() {
        let kind = kind_of(code);
        for stage in STAGES {
            let reaction = error_reaction(stage, kind);
            let passes = kind == ClientErrorKind::Retriable
                || (stage == Stage::Abort && kind == ClientErrorKind::AbortTransaction);
            assert!(passes || reaction != ErrorReaction::Repeat, "{code} at {stage:?}");
        }
        for request in REQUEST_KINDS {
            let reaction = request_reaction(request, kind);
            let passes = matches!(
                kind,
                ClientErrorKind::Retriable
                    | ClientErrorKind::Group(_)
                    | ClientErrorKind::UnknownTopic
            );
            assert!(passes || reaction != RequestReaction::Repeat, "{code} of {request:?}");
        }
    }
}

#[test]
fn what_only_people_can_mend_ends_the_thread_at_every_stage() {
    for kind in [
        ClientErrorKind::Authentication,
        ClientErrorKind::Authorization,
        ClientErrorKind::Unsupported,
    ] {
        for stage in STAGES {
            assert_eq!(error_reaction(stage, kind), ErrorReaction::Fail, "{kind:?} {stage:?}");
        }
        for request in REQUEST_KINDS {
            assert_eq!(request_reaction(request, kind), RequestReaction::Fail);
        }
    }
}

/// The reactions to a code, a letter each: of a transaction by [`Stage`] (Repeat, Abort, New
/// producer, Fail), then of a request by [`Request`] (Repeat, O: by the reset policy, Fail).
fn letters(code: i16) -> String {
    let kind = kind_of(code);
    let stages = STAGES.map(|stage| match error_reaction(stage, kind) {
        ErrorReaction::Repeat => 'R',
        ErrorReaction::Abort => 'A',
        ErrorReaction::NewProducer => 'N',
        ErrorReaction::Fail => 'F',
    });
    let requests = REQUEST_KINDS.map(|request| match request_reaction(request, kind) {
        RequestReaction::Repeat => 'R',
        RequestReaction::Reset => 'O',
        RequestReaction::Fail => 'F',
    });
    stages.iter().chain(&[' ']).chain(&requests).collect()
}

macro_rules! a_test_per_row {
    ($($name:ident: $code:literal => $letters:literal,)*) => {
        mod row {
            $(#[test]
            fn $name() {
                assert_eq!(super::letters($code), $letters);
            })*
        }

        /// Codes of transactions, fetches, offsets and memberships that have their test.
        const ROWS: &[i16] = &[$($code),*];
    };
}

a_test_per_row! {
//                                         Init Send Delivery Flush Aborted Unknown Fatal Abort
//                                                               Commit Prepare Fetch Restore
    unknown_server_error: -1 => "RAARARNR RRRR",
    offset_out_of_range: 1 => "FFFFFNNN FFOO",
    corrupt_message: 2 => "RAARARNR RRRR",
    unknown_topic_or_partition: 3 => "FFFFFNNN RRFR",
    leader_not_available: 5 => "RAARARNR RRRR",
    not_leader_or_follower: 6 => "RAARARNR RRRR",
    request_timed_out: 7 => "RAARARNR RRRR",
    broker_not_available: 8 => "RAARARNR RRRR",
    replica_not_available: 9 => "RAARARNR RRRR",
    message_too_large: 10 => "FFFFFNNN FFFF",
    stale_controller_epoch: 11 => "RAARARNR RRRR",
    network_exception: 13 => "RAARARNR RRRR",
    coordinator_load_in_progress: 14 => "RAARARNR RRRR",
    coordinator_not_available: 15 => "RAARARNR RRRR",
    not_coordinator: 16 => "RAARARNR RRRR",
    record_list_too_large: 18 => "FFFFFNNN FFFF",
    not_enough_replicas: 19 => "RAARARNR RRRR",
    not_enough_replicas_after_append: 20 => "RAARARNR RRRR",
    illegal_generation: 22 => "NAAAANNN RRFF",
    inconsistent_group_protocol: 23 => "NAAAANNN RRFF",
    unknown_member_id: 25 => "NAAAANNN RRFF",
    invalid_session_timeout: 26 => "NAAAANNN RRFF",
    rebalance_in_progress: 27 => "NAAAANNN RRFF",
    topic_authorization_failed: 29 => "FFFFFFFF FFFF",
    group_authorization_failed: 30 => "FFFFFFFF FFFF",
    cluster_authorization_failed: 31 => "FFFFFFFF FFFF",
    topic_already_exists: 36 => "FFFFFNNN FFFF",
    not_controller: 41 => "RAARARNR RRRR",
    out_of_order_sequence_number: 45 => "NAAAANNR FFFF",
    duplicate_sequence_number: 46 => "NAAAANNR FFFF",
    invalid_producer_epoch: 47 => "NNNNNNNN FFFF",
    invalid_txn_state: 48 => "NNNNNNNN FFFF",
    invalid_producer_id_mapping: 49 => "NNNNNNNN FFFF",
    concurrent_transactions: 51 => "RAARARNR RRRR",
    transaction_coordinator_fenced: 52 => "NNNNNNNN FFFF",
    transactional_id_authorization_failed: 53 => "FFFFFFFF FFFF",
    operation_not_attempted: 55 => "RAARARNR RRRR",
    kafka_storage_error: 56 => "RAARARNR RRRR",
    unknown_producer_id: 59 => "NAAAANNR FFFF",
    reassignment_in_progress: 60 => "RAARARNR RRRR",
    delegation_token_authorization_failed: 65 => "FFFFFFFF FFFF",
    group_id_not_found: 69 => "NAAAANNN RRFF",
    fetch_session_id_not_found: 70 => "RAARARNR RRRR",
    invalid_fetch_session_epoch: 71 => "RAARARNR RRRR",
    listener_not_found: 72 => "RAARARNR RRRR",
    fenced_leader_epoch: 74 => "RAARARNR RRRR",
    unknown_leader_epoch: 75 => "RAARARNR RRRR",
    stale_broker_epoch: 77 => "RAARARNR RRRR",
    offset_not_available: 78 => "RAARARNR RRRR",
    member_id_required: 79 => "NAAAANNN RRFF",
    preferred_leader_not_available: 80 => "RAARARNR RRRR",
    group_max_size_reached: 81 => "NAAAANNN RRFF",
    fenced_instance_id: 82 => "NAAAANNN RRFF",
    eligible_leaders_not_available: 83 => "RAARARNR RRRR",
    election_not_needed: 84 => "RAARARNR RRRR",
    no_reassignment_in_progress: 85 => "RAARARNR RRRR",
    unstable_offset_commit: 88 => "NAAAANNN RRFF",
    throttling_quota_exceeded: 89 => "RAARARNR RRRR",
    producer_fenced: 90 => "NNNNNNNN FFFF",
    unknown_topic_id: 100 => "FFFFFNNN RRFR",
    inconsistent_topic_id: 103 => "RAARARNR RRRR",
    inconsistent_cluster_id: 104 => "NNNNNNNN FFFF",
    fetch_session_topic_id_error: 106 => "RAARARNR RRRR",
    ineligible_replica: 107 => "RAARARNR RRRR",
    new_leader_elected: 108 => "RAARARNR RRRR",
    offset_moved_to_tiered_storage: 109 => "RAARARNR RRRR",
    fenced_member_epoch: 110 => "NAAAANNN RRFF",
    unreleased_instance_id: 111 => "RAARARNR RRRR",
    unsupported_assignor: 112 => "NAAAANNN RRFF",
    stale_member_epoch: 113 => "NAAAANNN RRFF",
    transaction_abortable: 120 => "NAAAANNR FFFF",
    share_session_not_found: 122 => "RAARARNR RRRR",
    invalid_share_session_epoch: 123 => "RAARARNR RRRR",
    rebootstrap_required: 129 => "RAARARNR RRRR",
}

#[test]
fn what_a_transaction_a_fetch_or_a_member_may_be_told_has_a_test() {
    use ClientErrorKind::{Authentication, Invalid, Unsupported};
    for code in kafka_errors::codes() {
        // Their reaction is the same wherever they come up.
        let common = matches!(kind_of(code), Authentication | Invalid | Unsupported);
        assert!(common || ROWS.contains(&code), "{code}: {}", letters(code));
    }
}
