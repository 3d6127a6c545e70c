//! Kafka's error codes and what each asks for, as one table: every code that the protocol has,
//! whoever received it, librdkafka or our own connections.

use super::error::ClientErrorKind::{self, *};
use super::error::GroupError;
use super::error::GroupError::*;

/// What to do within the same call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Give the error to the caller.
    Stop,
    /// The same broker, a little later.
    Wait,
    /// The broker is the wrong one, or gone: look up leader or coordinator again.
    LookUp,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) code: i16,
    pub(super) name: &'static str,
    pub(super) kind: ClientErrorKind,
    pub(super) next: Next,
    pub(super) advice: &'static str,
}

/// The row of a code; codes without one are fatal.
pub(super) fn row(code: i16) -> Row {
    let unknown =
        Row { code, name: "unknown error code", kind: Fatal, next: Next::Stop, advice: "" };
    TABLE.iter().find(|row| row.code == code).copied().unwrap_or(unknown)
}

/// What a code asks for, for tests of what follows from it.
#[cfg(test)]
pub(crate) fn kind_of(code: i16) -> ClientErrorKind {
    row(code).kind
}

/// Every code.
#[cfg(test)]
pub(crate) fn codes() -> impl Iterator<Item = i16> {
    TABLE.iter().map(|row| row.code)
}

/// Whether a code has its row.
#[cfg(test)]
pub(super) fn is_listed(code: i16) -> bool {
    TABLE.iter().any(|row| row.code == code)
}

const fn stop(code: i16, name: &'static str, kind: ClientErrorKind, advice: &'static str) -> Row {
    Row { code, name, kind, next: Next::Stop, advice }
}

const fn group(code: i16, name: &'static str, error: GroupError) -> Row {
    Row { code, name, kind: Group(error), next: Next::Stop, advice: "" }
}

const fn wait(code: i16, name: &'static str) -> Row {
    Row { code, name, kind: Retriable, next: Next::Wait, advice: "" }
}

const fn look_up(code: i16, name: &'static str) -> Row {
    Row { code, name, kind: Retriable, next: Next::LookUp, advice: "" }
}

const TOPIC_ACL: &str = "grant this principal Describe and Read, or Write, on the Topic; for the \
    application's own topics everything, on Topics prefixed by its id";
const GROUP_ACL: &str =
    "grant this principal Read and Describe on the Group of the application's id";
const CLUSTER_ACL: &str = "grant it to this principal on the Cluster";
const TRANSACTIONAL_ID_ACL: &str = "grant this principal Write and Describe on TransactionalIds \
    prefixed by the application's id";
const PASSWORD: &str = "check sasl.mechanism, sasl.username and sasl.password";
const CONTROLLER: &str = "bootstrap.servers must name brokers, not controllers";
const REPLICAS: &str = "are fewer brokers alive than the replication factor asks for?";

/// Sorted by code, without gaps: errors of requests that only brokers or other tools send are
/// listed too.
const TABLE: &[Row] = &[
    wait(-1, "UNKNOWN_SERVER_ERROR"),
    stop(1, "OFFSET_OUT_OF_RANGE", OffsetOutOfRange, ""),
    wait(2, "CORRUPT_MESSAGE"),
    stop(3, "UNKNOWN_TOPIC_OR_PARTITION", UnknownTopic, "create it, or check its name"),
    stop(4, "INVALID_FETCH_SIZE", Invalid, ""),
    look_up(5, "LEADER_NOT_AVAILABLE"),
    look_up(6, "NOT_LEADER_OR_FOLLOWER"),
    wait(7, "REQUEST_TIMED_OUT"),
    look_up(8, "BROKER_NOT_AVAILABLE"),
    look_up(9, "REPLICA_NOT_AVAILABLE"),
    stop(10, "MESSAGE_TOO_LARGE", RecordTooLarge, "raise max.message.bytes of the topic"),
    wait(11, "STALE_CONTROLLER_EPOCH"),
    stop(12, "OFFSET_METADATA_TOO_LARGE", Invalid, "raise offset.metadata.max.bytes"),
    look_up(13, "NETWORK_EXCEPTION"),
    wait(14, "COORDINATOR_LOAD_IN_PROGRESS"),
    look_up(15, "COORDINATOR_NOT_AVAILABLE"),
    look_up(16, "NOT_COORDINATOR"),
    stop(17, "INVALID_TOPIC_EXCEPTION", Invalid, "the topic's name is not allowed"),
    stop(18, "RECORD_LIST_TOO_LARGE", RecordTooLarge, "raise segment.bytes of the topic"),
    wait(19, "NOT_ENOUGH_REPLICAS"),
    wait(20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
    stop(21, "INVALID_REQUIRED_ACKS", Invalid, ""),
    group(22, "ILLEGAL_GENERATION", IllegalGeneration),
    group(23, "INCONSISTENT_GROUP_PROTOCOL", InconsistentProtocol),
    stop(24, "INVALID_GROUP_ID", Invalid, "the application id must not be empty"),
    group(25, "UNKNOWN_MEMBER_ID", UnknownMember),
    group(26, "INVALID_SESSION_TIMEOUT", InvalidSessionTimeout),
    group(27, "REBALANCE_IN_PROGRESS", RebalanceInProgress),
    stop(28, "INVALID_COMMIT_OFFSET_SIZE", Invalid, ""),
    stop(29, "TOPIC_AUTHORIZATION_FAILED", Authorization, TOPIC_ACL),
    stop(30, "GROUP_AUTHORIZATION_FAILED", Authorization, GROUP_ACL),
    stop(31, "CLUSTER_AUTHORIZATION_FAILED", Authorization, CLUSTER_ACL),
    stop(32, "INVALID_TIMESTAMP", Invalid, ""),
    stop(33, "UNSUPPORTED_SASL_MECHANISM", Authentication, PASSWORD),
    stop(34, "ILLEGAL_SASL_STATE", Authentication, "does security.protocol match the listener?"),
    stop(35, "UNSUPPORTED_VERSION", Unsupported, "the broker is too old or too new for this"),
    stop(36, "TOPIC_ALREADY_EXISTS", TopicExists, ""),
    stop(37, "INVALID_PARTITIONS", Invalid, ""),
    stop(38, "INVALID_REPLICATION_FACTOR", Invalid, REPLICAS),
    stop(39, "INVALID_REPLICA_ASSIGNMENT", Invalid, ""),
    stop(40, "INVALID_CONFIG", Invalid, ""),
    look_up(41, "NOT_CONTROLLER"),
    stop(42, "INVALID_REQUEST", Invalid, ""),
    stop(43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", Unsupported, ""),
    stop(44, "POLICY_VIOLATION", Invalid, "the broker's policy forbids it"),
    stop(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", AbortTransaction, ""),
    stop(46, "DUPLICATE_SEQUENCE_NUMBER", AbortTransaction, ""),
    stop(47, "INVALID_PRODUCER_EPOCH", ProducerFenced, ""),
    stop(48, "INVALID_TXN_STATE", Fatal, ""),
    stop(49, "INVALID_PRODUCER_ID_MAPPING", ProducerFenced, ""),
    stop(50, "INVALID_TRANSACTION_TIMEOUT", Invalid, "it is above transaction.max.timeout.ms"),
    wait(51, "CONCURRENT_TRANSACTIONS"),
    stop(52, "TRANSACTION_COORDINATOR_FENCED", ProducerFenced, ""),
    stop(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Authorization, TRANSACTIONAL_ID_ACL),
    stop(54, "SECURITY_DISABLED", Unsupported, ""),
    wait(55, "OPERATION_NOT_ATTEMPTED"),
    look_up(56, "KAFKA_STORAGE_ERROR"),
    stop(57, "LOG_DIR_NOT_FOUND", Invalid, ""),
    stop(58, "SASL_AUTHENTICATION_FAILED", Authentication, PASSWORD),
    stop(59, "UNKNOWN_PRODUCER_ID", AbortTransaction, ""),
    wait(60, "REASSIGNMENT_IN_PROGRESS"),
    stop(61, "DELEGATION_TOKEN_AUTH_DISABLED", Authentication, ""),
    stop(62, "DELEGATION_TOKEN_NOT_FOUND", Authentication, ""),
    stop(63, "DELEGATION_TOKEN_OWNER_MISMATCH", Authentication, ""),
    stop(64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", Authentication, ""),
    stop(65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", Authorization, ""),
    stop(66, "DELEGATION_TOKEN_EXPIRED", Authentication, ""),
    stop(67, "INVALID_PRINCIPAL_TYPE", Invalid, ""),
    stop(68, "NON_EMPTY_GROUP", Invalid, "stop its members first"),
    group(69, "GROUP_ID_NOT_FOUND", UnknownMember),
    wait(70, "FETCH_SESSION_ID_NOT_FOUND"),
    wait(71, "INVALID_FETCH_SESSION_EPOCH"),
    look_up(72, "LISTENER_NOT_FOUND"),
    stop(73, "TOPIC_DELETION_DISABLED", Invalid, "set delete.topic.enable on the broker"),
    look_up(74, "FENCED_LEADER_EPOCH"),
    look_up(75, "UNKNOWN_LEADER_EPOCH"),
    stop(76, "UNSUPPORTED_COMPRESSION_TYPE", Unsupported, ""),
    wait(77, "STALE_BROKER_EPOCH"),
    wait(78, "OFFSET_NOT_AVAILABLE"),
    group(79, "MEMBER_ID_REQUIRED", MemberIdRequired),
    look_up(80, "PREFERRED_LEADER_NOT_AVAILABLE"),
    group(81, "GROUP_MAX_SIZE_REACHED", GroupFull),
    group(82, "FENCED_INSTANCE_ID", FencedInstance),
    look_up(83, "ELIGIBLE_LEADERS_NOT_AVAILABLE"),
    wait(84, "ELECTION_NOT_NEEDED"),
    wait(85, "NO_REASSIGNMENT_IN_PROGRESS"),
    stop(86, "GROUP_SUBSCRIBED_TO_TOPIC", Invalid, ""),
    stop(87, "INVALID_RECORD", Invalid, ""),
    group(88, "UNSTABLE_OFFSET_COMMIT", UnstableOffset),
    wait(89, "THROTTLING_QUOTA_EXCEEDED"),
    stop(90, "PRODUCER_FENCED", ProducerFenced, ""),
    stop(91, "RESOURCE_NOT_FOUND", Invalid, ""),
    stop(92, "DUPLICATE_RESOURCE", Invalid, ""),
    stop(93, "UNACCEPTABLE_CREDENTIAL", Authentication, ""),
    stop(94, "INCONSISTENT_VOTER_SET", Invalid, ""),
    stop(95, "INVALID_UPDATE_VERSION", Invalid, ""),
    stop(96, "FEATURE_UPDATE_FAILED", Invalid, ""),
    stop(97, "PRINCIPAL_DESERIALIZATION_FAILURE", Invalid, ""),
    stop(98, "SNAPSHOT_NOT_FOUND", Invalid, ""),
    stop(99, "POSITION_OUT_OF_RANGE", Invalid, ""),
    stop(100, "UNKNOWN_TOPIC_ID", UnknownTopic, ""),
    stop(101, "DUPLICATE_BROKER_REGISTRATION", Invalid, ""),
    stop(102, "BROKER_ID_NOT_REGISTERED", Invalid, ""),
    look_up(103, "INCONSISTENT_TOPIC_ID"),
    stop(104, "INCONSISTENT_CLUSTER_ID", Fatal, "bootstrap.servers names two clusters"),
    stop(105, "TRANSACTIONAL_ID_NOT_FOUND", Invalid, ""),
    wait(106, "FETCH_SESSION_TOPIC_ID_ERROR"),
    look_up(107, "INELIGIBLE_REPLICA"),
    look_up(108, "NEW_LEADER_ELECTED"),
    wait(109, "OFFSET_MOVED_TO_TIERED_STORAGE"),
    group(110, "FENCED_MEMBER_EPOCH", IllegalGeneration),
    wait(111, "UNRELEASED_INSTANCE_ID"),
    group(112, "UNSUPPORTED_ASSIGNOR", InconsistentProtocol),
    group(113, "STALE_MEMBER_EPOCH", IllegalGeneration),
    stop(114, "MISMATCHED_ENDPOINT_TYPE", Invalid, CONTROLLER),
    stop(115, "UNSUPPORTED_ENDPOINT_TYPE", Invalid, CONTROLLER),
    stop(116, "UNKNOWN_CONTROLLER_ID", Invalid, ""),
    stop(117, "UNKNOWN_SUBSCRIPTION_ID", Invalid, ""),
    stop(118, "TELEMETRY_TOO_LARGE", Invalid, ""),
    stop(119, "INVALID_REGISTRATION", Invalid, ""),
    stop(120, "TRANSACTION_ABORTABLE", AbortTransaction, ""),
    stop(121, "INVALID_RECORD_STATE", Invalid, ""),
    wait(122, "SHARE_SESSION_NOT_FOUND"),
    wait(123, "INVALID_SHARE_SESSION_EPOCH"),
    stop(124, "FENCED_STATE_EPOCH", Invalid, ""),
    stop(125, "INVALID_VOTER_KEY", Invalid, ""),
    stop(126, "DUPLICATE_VOTER", Invalid, ""),
    stop(127, "VOTER_NOT_FOUND", Invalid, ""),
    stop(128, "INVALID_REGULAR_EXPRESSION", Invalid, ""),
    look_up(129, "REBOOTSTRAP_REQUIRED"),
    stop(130, "STREAMS_INVALID_TOPOLOGY", Invalid, ""),
    stop(131, "STREAMS_INVALID_TOPOLOGY_EPOCH", Invalid, ""),
    stop(132, "STREAMS_TOPOLOGY_FENCED", Invalid, ""),
    stop(133, "SHARE_SESSION_LIMIT_REACHED", Invalid, ""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use kacrab_protocol::generated::ErrorCode;

    /// Kafka's own name of a code, from the message definitions: an independent source.
    fn name_in_protocol(code: i16) -> String {
        let camel = format!("{:?}", ErrorCode::from(code));
        let mut name = String::new();
        for letter in camel.chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }

    #[test]
    fn every_row_bears_the_name_that_the_protocol_gives_its_code() {
        for row in TABLE {
            assert_eq!(name_in_protocol(row.code), row.name, "code {}", row.code);
        }
        assert!(TABLE.is_sorted_by(|a, b| a.code < b.code));
    }

    #[test]
    fn what_is_repeated_within_a_call_is_retriable_for_the_caller_too_and_nothing_else_is() {
        for row in TABLE {
            assert_eq!(row.kind == Retriable, row.next != Next::Stop, "{}", row.name);
        }
    }

    #[test]
    fn what_the_protocol_calls_retriable_is_not_given_up_but_where_the_caller_knows_better() {
        // The caller decides on these: a missing topic may be made, a member reacts to what its
        // group says, a producer's transaction is not ours to repeat.
        let callers =
            |kind| matches!(kind, UnknownTopic | Group(_) | AbortTransaction | ProducerFenced);
        for row in TABLE {
            if ErrorCode::from(row.code).is_retriable() && !callers(row.kind) {
                assert_eq!(row.kind, Retriable, "{}", row.name);
            }
        }
    }

    #[test]
    fn membership_errors_have_their_own_kinds() {
        let expected = [
            (22, IllegalGeneration),
            (23, InconsistentProtocol),
            (25, UnknownMember),
            (26, InvalidSessionTimeout),
            (27, RebalanceInProgress),
            (79, MemberIdRequired),
            (81, GroupFull),
            (82, FencedInstance),
            (88, UnstableOffset),
        ];
        for (code, error) in expected {
            assert_eq!(row(code).kind, Group(error));
        }
    }

    #[test]
    fn every_code_of_the_protocol_has_its_row() {
        for code in (i16::MIN..=i16::MAX).filter(|code| *code != 0) {
            let known = !matches!(ErrorCode::from(code), ErrorCode::Unknown(_));
            let listed = TABLE.iter().any(|row| row.code == code);
            assert_eq!(known, listed, "{code} {:?}", ErrorCode::from(code));
        }
    }

    #[test]
    fn a_code_of_the_future_is_fatal() {
        assert_eq!(row(9999).kind, Fatal);
    }
}
