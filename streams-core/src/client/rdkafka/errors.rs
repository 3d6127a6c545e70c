//! What librdkafka's error codes ask for, as a table. Brokers' codes are passed on by librdkafka as
//! they are, those too that it does not know.

use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t::{self as Code, *};

use super::native;
use crate::client::error::{ClientError, ClientErrorKind as Kind, GroupError};
use crate::client::kafka_errors;

/// The first code that comes from brokers.
const BROKER_CODES: i32 = -1;

/// Librdkafka's own codes. Those of brokers are in the table of all of Kafka's codes.
const TABLE: &[(Code, Kind)] = &[
    (RD_KAFKA_RESP_ERR__BAD_MSG, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__BAD_COMPRESSION, Kind::Fatal),
    (RD_KAFKA_RESP_ERR__DESTROY, Kind::Fatal),
    (RD_KAFKA_RESP_ERR__FAIL, Kind::Fatal),
    (RD_KAFKA_RESP_ERR__TRANSPORT, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, Kind::Fatal),
    (RD_KAFKA_RESP_ERR__RESOLVE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__PARTITION_EOF, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, Kind::UnknownTopic),
    (RD_KAFKA_RESP_ERR__FS, Kind::Fatal),
    (RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, Kind::UnknownTopic),
    (RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__INVALID_ARG, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__TIMED_OUT, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__QUEUE_FULL, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__ISR_INSUFF, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__NODE_UPDATE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__SSL, Kind::Authentication),
    (RD_KAFKA_RESP_ERR__WAIT_COORD, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__UNKNOWN_GROUP, Kind::Group(GroupError::UnknownMember)),
    (RD_KAFKA_RESP_ERR__IN_PROGRESS, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__EXISTING_SUBSCRIPTION, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, Kind::Fatal),
    (RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS, Kind::Fatal),
    (RD_KAFKA_RESP_ERR__CONFLICT, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__STATE, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__UNKNOWN_PROTOCOL, Kind::Unsupported),
    (RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED, Kind::Unsupported),
    (RD_KAFKA_RESP_ERR__AUTHENTICATION, Kind::Authentication),
    (RD_KAFKA_RESP_ERR__NO_OFFSET, Kind::OffsetOutOfRange),
    (RD_KAFKA_RESP_ERR__OUTDATED, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, Kind::Unsupported),
    (RD_KAFKA_RESP_ERR__WAIT_CACHE, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__INTR, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__KEY_SERIALIZATION, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__VALUE_SERIALIZATION, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__KEY_DESERIALIZATION, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__VALUE_DESERIALIZATION, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__PARTIAL, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__READ_ONLY, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__NOENT, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__UNDERFLOW, Kind::Unsupported),
    (RD_KAFKA_RESP_ERR__INVALID_TYPE, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__RETRY, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__PURGE_QUEUE, Kind::AbortTransaction),
    (RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, Kind::AbortTransaction),
    (RD_KAFKA_RESP_ERR__FATAL, Kind::Fatal),
    (RD_KAFKA_RESP_ERR__INCONSISTENT, Kind::AbortTransaction),
    (RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE, Kind::AbortTransaction),
    (RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__UNKNOWN_BROKER, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__NOT_CONFIGURED, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__FENCED, Kind::ProducerFenced),
    (RD_KAFKA_RESP_ERR__APPLICATION, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST, Kind::Fatal),
    (RD_KAFKA_RESP_ERR__NOOP, Kind::Retriable),
    (RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, Kind::OffsetOutOfRange),
    (RD_KAFKA_RESP_ERR__LOG_TRUNCATION, Kind::OffsetOutOfRange),
    (RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD, Kind::Invalid),
    (RD_KAFKA_RESP_ERR__DESTROY_BROKER, Kind::Retriable),
];

/// What a code asks for. What is listed nowhere is [`Kind::Fatal`]: repeating blindly what nobody
/// understood could go on for ever.
pub(super) fn kind(code: i32) -> Kind {
    if code >= BROKER_CODES {
        return i16::try_from(code).map_or(Kind::Fatal, |code| kafka_errors::row(code).kind);
    }
    TABLE.iter().find(|(listed, _)| *listed as i32 == code).map_or(Kind::Fatal, |(_, kind)| *kind)
}

/// An error of `code` at `place`, with librdkafka's own words.
pub(super) fn from_code(code: i32, place: &str) -> ClientError {
    ClientError::new(kind(code), format!("{place}: {}{}", code_text(code), acl(code)))
}

/// An error of `code` with a text that says more than the code.
pub(super) fn with_text(code: i32, place: &str, text: &str) -> ClientError {
    if text.is_empty() {
        return from_code(code, place);
    }
    ClientError::new(kind(code), format!("{place}: {}{}", trim(text), acl(code)))
}

/// Which ACL is missing, if one is.
fn acl(code: i32) -> String {
    match i16::try_from(code).map(kafka_errors::row) {
        Ok(row) if row.kind == Kind::Authorization => format!(": {}", row.advice),
        _ => String::new(),
    }
}

/// The error that killed an instance: nothing but a new instance helps, whatever the code; and
/// where not even that helps, the code says so.
pub(super) fn fatal(code: i32, text: impl AsRef<str>) -> ClientError {
    let kind = match kind(code) {
        kind @ (Kind::ProducerFenced
        | Kind::Authorization
        | Kind::Authentication
        | Kind::Unsupported) => kind,
        // A transaction timeout that the broker does not allow, as an example.
        Kind::Invalid if code > 0 => Kind::Invalid,
        _ => Kind::Fatal,
    };
    ClientError::new(kind, format!("{}{}", trim(text.as_ref()), acl(code)))
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
        ClientError::new(kind, format!("{place}: {}{}", trim(&self.text), acl(self.code)))
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
    fn every_code_that_librdkafka_has_words_for_has_its_row() {
        let (mut descriptions, mut count) = (std::ptr::null(), 0);
        // SAFETY: the pointers are valid; the descriptions are static.
        let descriptions = unsafe {
            sys::rd_kafka_get_err_descs(&raw mut descriptions, &raw mut count);
            // The code is read as the integer that it is: a gap in the table is no variant.
            std::slice::from_raw_parts(descriptions, count)
                .iter()
                .map(|description| {
                    ((&raw const description.code).cast::<i32>().read(), description.name)
                })
                .filter(|(_, name)| !name.is_null())
                .collect::<Vec<_>>()
        };
        assert!(descriptions.len() > 150, "{}", descriptions.len());
        for (code, name) in descriptions {
            let range_mark = [Code::RD_KAFKA_RESP_ERR__BEGIN, Code::RD_KAFKA_RESP_ERR__END];
            if code == 0 || range_mark.iter().any(|mark| is(code, *mark)) {
                continue;
            }
            let own = TABLE.iter().any(|(listed, _)| is(code, *listed));
            let kafkas = i16::try_from(code).is_ok_and(kafka_errors::is_listed);
            // SAFETY: a static string.
            let name = unsafe { native::text(name) };
            assert!(own != kafkas, "{name} ({code}) must be listed once");
        }
    }

    #[test]
    fn what_transactions_may_be_told_asks_for_what_it_did_when_it_was_thought_through() {
        let codes: [(i32, Kind); 12] = [
            (45, Kind::AbortTransaction),
            (47, Kind::ProducerFenced),
            (48, Kind::Fatal),
            (49, Kind::ProducerFenced),
            (51, Kind::Retriable),
            (53, Kind::Authorization),
            (59, Kind::AbortTransaction),
            (90, Kind::ProducerFenced),
            (110, Kind::Group(GroupError::IllegalGeneration)),
            (113, Kind::Group(GroupError::IllegalGeneration)),
            // librdkafka 2.12 has no name for it, and passes it on.
            (120, Kind::AbortTransaction),
            (-144, Kind::ProducerFenced),
        ];
        for (code, expected) in codes {
            assert_eq!(kind(code), expected, "{code}");
        }
    }

    #[test]
    fn a_missing_acl_is_named() {
        let code = Code::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED as i32;
        for error in [from_code(code, "x"), with_text(code, "x", "no."), fatal(code, "x: no")] {
            assert_eq!(error.kind, Kind::Authorization);
            assert!(error.message.contains("on TransactionalIds prefixed by"), "{error}");
        }
        let other = Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS as i32;
        assert_eq!(with_text(other, "x", "no.").message, "x: no");
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
