//! What a call over our own connections fails with, and whether it is repeated within the call.

use crate::client::error::ClientError;
use crate::client::kafka_errors::row;

pub(super) use crate::client::kafka_errors::Next;

/// What a connection or a broker refused, and whether asking again within the call is right.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: ClientError,
    pub(super) next: Next,
    /// Kafka's code, if it was a broker that refused.
    pub(super) code: Option<i16>,
}

impl Failure {
    /// Nothing that repeating within the call would mend.
    pub(super) fn stop(error: ClientError) -> Self {
        Self { error, next: Next::Stop, code: None }
    }

    /// The connection or the broker is gone.
    pub(super) fn look_up(error: ClientError) -> Self {
        Self { error, next: Next::LookUp, code: None }
    }

    /// Why a connection ended: where the configuration is wrong, another one would end like it.
    pub(super) fn of_connection(error: ClientError) -> Self {
        if error.is_retriable() { Self::look_up(error) } else { Self::stop(error) }
    }

    /// The failure of an error code; `what` names the request, with topic and partition.
    pub(super) fn of_code(code: i16, what: &str, details: Option<&str>) -> Self {
        let row = row(code);
        let mut message = format!("{what}: {} ({code})", row.name);
        for text in [details.unwrap_or(""), row.advice] {
            if !text.is_empty() {
                message.push_str(": ");
                message.push_str(text.trim_end_matches('.'));
            }
        }
        Self { error: ClientError::new(row.kind, message), next: row.next, code: Some(code) }
    }

    /// `Ok` for code 0.
    pub(super) fn check(code: i16, what: impl FnOnce() -> String) -> Result<(), Self> {
        match code {
            0 => Ok(()),
            code => Err(Self::of_code(code, &what(), None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_request_code_reason_and_advice() {
        let failure = Failure::of_code(38, "creating topic a", Some("only 1 broker."));
        assert_eq!(
            failure.error.message,
            "creating topic a: INVALID_REPLICATION_FACTOR (38): only 1 broker: are fewer brokers \
             alive than the replication factor asks for?"
        );
    }
}
