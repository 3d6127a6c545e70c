//! What librdkafka's error codes ask for, as a table.

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t::{self as Code, *};

use super::native;
use crate::client::error::{ClientError, ClientErrorKind as Kind, GroupError};

/// Codes and their reactions. What is not listed is [`Kind::Fatal`]: repeating blindly what nobody
/// understood could go on for ever.
const TABLE: &[(Code, Kind)] = &[
    // Of librdkafka itself.
    (RD_KAFKA_RESP_ERR__TRANSPORT, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__RESOLVE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__TIMED_OUT, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__QUEUE_FULL, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__WAIT_COORD, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__WAIT_CACHE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__IN_PROGRESS, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__INTR, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__RETRY, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__OUTDATED, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__PURGE_QUEUE, Kind::AbortTransaction),
    (RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, Kind::AbortTransaction),
    (RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, Kind::UnknownTopic),
    (RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, Kind::UnknownTopic),
    (RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, Kind::OffsetOutOfRange),
    (RD_KAFKA_RESP_ERR__LOG_TRUNCATION, Kind::OffsetOutOfRange),
    (RD_KAFKA_RESP_ERR__NO_OFFSET, Kind::OffsetOutOfRange),
    (RD_KAFKA_RESP_ERR__AUTHENTICATION, Kind::Authentication),
    (RD_KAFKA_RESP_ERR__SSL, Kind::Authentication),
    (RD_KAFKA_RESP_ERR__FENCED, Kind::ProducerFenced),
    (RD_KAFKA_RESP_ERR__INVALID_ARG, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__INVALID_TYPE, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__STATE, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__CONFLICT, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__NOT_CONFIGURED, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, Kind::Unsupported),
    (RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED, Kind::Unsupported),
    // Of brokers.
    (RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, Kind::OffsetOutOfRange),
    (RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, Kind::UnknownTopic),
    (RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID, Kind::UnknownTopic),
    (RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, Kind::Invalid),
    (RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, Kind::TopicExists),
    (RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_INVALID_MSG, Kind::Retriable),
    (RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, Kind::RecordTooLarge),
    (RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, Kind::RecordTooLarge),
    (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Kind::Authorization),
    (RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, Kind::Authorization),
    (RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, Kind::Authorization),
    (RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Kind::Authorization),
    (RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, Kind::Authentication),
    (RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, Kind::Authentication),
    (RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE, Kind::Authentication),
    (RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Kind::ProducerFenced),
    (RD_KAFKA_RESP_ERR_PRODUCER_FENCED, Kind::ProducerFenced),
    (RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, Kind::Group(GroupError::IllegalGeneration)),
    (RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH, Kind::Group(GroupError::IllegalGeneration)),
    (RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, Kind::Group(GroupError::UnknownMember)),
    (RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, Kind::Group(GroupError::FencedInstance)),
    (RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, Kind::Group(GroupError::RebalanceInProgress)),
    (RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, Kind::Group(GroupError::UnstableOffset)),
    (RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, Kind::Invalid),
    (RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, Kind::Invalid),
    (RD_KAFKA_RESP_ERR_INVALID_RECORD, Kind::Invalid),
    (RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, Kind::Invalid),
    (RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE, Kind::Invalid),
    (RD_KAFKA_RESP_ERR_POLICY_VIOLATION, Kind::Invalid),
    (RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, Kind::Unsupported),
    (RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT, Kind::Unsupported),
    (RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE, Kind::Unsupported),
];

/// The reaction to a code.
pub(super) fn kind(code: i32) -> Kind {
    TABLE.iter().find(|(listed, _)| *listed as i32 == code).map_or(Kind::Fatal, |(_, kind)| *kind)
}

/// An error of `code` at `place`, with librdkafka's own words.
pub(super) fn from_code(code: i32, place: &str) -> ClientError {
    ClientError::new(kind(code), format!("{place}: {}", code_text(code)))
}

/// An error of `code` with a text that says more than the code.
pub(super) fn with_text(code: i32, place: &str, text: &str) -> ClientError {
    if text.is_empty() {
        return from_code(code, place);
    }
    ClientError::new(kind(code), format!("{place}: {}", trim(text)))
}

/// The error that killed an instance: nothing but a new instance helps, whatever the code.
pub(super) fn fatal(code: i32, text: impl AsRef<str>) -> ClientError {
    let kind = match kind(code) {
        kind @ (Kind::ProducerFenced | Kind::Authorization | Kind::Authentication) => kind,
        _ => Kind::Fatal,
    };
    ClientError::new(kind, trim(text.as_ref()))
}

/// Whether a code is the given one.
pub(super) fn is(code: i32, wanted: Code) -> bool {
    code == wanted as i32
}

/// An error object of librdkafka, read.
#[derive(Debug)]
pub(super) struct NativeError {
    pub(super) code: i32,
    pub(super) text: String,
    pub(super) fatal: bool,
    pub(super) retriable: bool,
    pub(super) requires_abort: bool,
}

impl NativeError {
    /// Takes over an error object; null is success.
    ///
    /// # Safety
    /// `error` is null, or a live error object that nobody else destroys.
    pub(super) unsafe fn take(error: *mut sys::rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the object is live and ours (the caller's promise); destroyed once, after the
        // text was copied.
        unsafe {
            let taken = Self {
                code: native::rd_kafka_error_code(error),
                text: native::text(sys::rd_kafka_error_string(error)),
                fatal: sys::rd_kafka_error_is_fatal(error) != 0,
                retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                requires_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            };
            sys::rd_kafka_error_destroy(error);
            Err(taken)
        }
    }

    /// By what the flags say, and the code within that.
    pub(super) fn into_client_error(self, place: &str) -> ClientError {
        if self.fatal {
            return fatal(self.code, format!("{place}: {}", trim(&self.text)));
        }
        let kind = match kind(self.code) {
            kind @ (Kind::Group(_) | Kind::Authorization | Kind::ProducerFenced) => kind,
            _ if self.requires_abort => Kind::AbortTransaction,
            _ if self.retriable => Kind::Retriable,
            kind => kind,
        };
        ClientError::new(kind, format!("{place}: {}", trim(&self.text)))
    }
}

/// librdkafka's words for a code.
pub(super) fn code_text(code: i32) -> String {
    // SAFETY: returns a static string, or one of a thread-local buffer, for any number.
    let text = unsafe { native::text(native::rd_kafka_err2str(code)) };
    format!("{} (code {code})", trim(&text))
}

fn trim(text: &str) -> &str {
    text.trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_listed_once() {
        for (index, (code, _)) in TABLE.iter().enumerate() {
            assert!(TABLE[..index].iter().all(|(other, _)| other != code), "{code:?} twice");
        }
    }

    #[test]
    fn a_code_of_the_future_is_fatal_and_has_words() {
        assert_eq!(kind(4711), Kind::Fatal);
        assert!(from_code(4711, "topic a").message.starts_with("topic a: "));
    }

    #[test]
    fn death_is_fatal_but_says_who_is_to_blame() {
        assert_eq!(fatal(RD_KAFKA_RESP_ERR__TIMED_OUT as i32, "x").kind, Kind::Fatal);
        assert_eq!(fatal(RD_KAFKA_RESP_ERR__FENCED as i32, "x").kind, Kind::ProducerFenced);
    }
}
