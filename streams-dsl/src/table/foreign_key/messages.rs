//! What the two sides of a foreign-key join send each other, in the JVM's format.
//!
//! A *subscription* goes from the left row to the partition of its foreign key: `version` (the
//! highest bit: there is no hash), `instruction`, hash, primary key, and since version 1 the
//! partition that the answer goes to. A *response* comes back: `version` 0 (the same bit), hash,
//! and the right row's value, or nothing.

use streams_core::BoxError;
use streams_core::serdes::{Bytes, Serde, SerdeContext};

use super::murmur3::{HASH_LEN, ValueHash};

const NO_HASH: u8 = 0x80;
const SUBSCRIPTION_VERSION_MAX: u8 = 1;
const RESPONSE_VERSION: u8 = 0;

/// What the side of the foreign key is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// Forget the subscription.
    Delete,
    /// Forget the subscription, and answer that there is nothing.
    DeleteAndPropagate,
    /// Remember it, and answer in any case.
    PropagateAlways,
    /// Remember it, and answer if there is a row.
    PropagateIfFound,
}

/// A left row asks for the right row of its foreign key, now and whenever that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// Of the left value; `None` if the left row was deleted.
    pub(crate) hash: Option<ValueHash>,
    pub(crate) instruction: Instruction,
    pub(crate) primary_key: Bytes,
    /// Where the left row is; versions before 1 do not tell.
    pub(crate) partition: Option<i32>,
}

/// The right row of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// Of the left value that asked.
    pub(crate) hash: Option<ValueHash>,
    /// Of the right row. Empty bytes are no value, as in the JVM.
    pub(crate) value: Option<Bytes>,
    /// Where the response goes; not part of the bytes.
    pub(crate) partition: Option<i32>,
}

/// Reads and writes subscriptions.
pub(crate) struct SubscriptionSerde;

/// Reads and writes responses.
pub(crate) struct ResponseSerde;

impl Serde<Subscription> for SubscriptionSerde {
    fn serialize(
        &self,
        subscription: &Subscription,
        out: &mut Vec<u8>,
        _: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        let version = u8::from(subscription.partition.is_some());
        out.push(version | flag(subscription.hash));
        out.push(subscription.instruction.as_byte());
        out.extend(subscription.hash.iter().flatten());
        out.extend_from_slice(subscription.primary_key.as_slice());
        if let Some(partition) = subscription.partition {
            out.extend(partition.to_be_bytes());
        }
        Ok(())
    }

    fn deserialize(
        &self,
        bytes: &[u8],
        _: &mut SerdeContext<'_>,
    ) -> Result<Subscription, BoxError> {
        let (&[version, instruction], rest) =
            bytes.split_first_chunk().ok_or(Malformed::TooShort)?;
        let (hash, mut primary_key) = split_hash(version, rest)?;
        let version = version & !NO_HASH;
        if version > SUBSCRIPTION_VERSION_MAX {
            return Err(Malformed::Version { what: "subscription", version }.into());
        }
        let mut partition = None;
        if version > 0 {
            let (key, last) = primary_key.split_last_chunk().ok_or(Malformed::TooShort)?;
            (primary_key, partition) = (key, Some(i32::from_be_bytes(*last)));
        }
        let instruction = Instruction::from_byte(instruction)?;
        Ok(Subscription { hash, instruction, primary_key: Bytes::from(primary_key), partition })
    }
}

impl Serde<Response> for ResponseSerde {
    fn serialize(
        &self,
        response: &Response,
        out: &mut Vec<u8>,
        _: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        out.push(RESPONSE_VERSION | flag(response.hash));
        out.extend(response.hash.iter().flatten());
        out.extend(response.value.iter().flat_map(|value| value.as_slice()));
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8], _: &mut SerdeContext<'_>) -> Result<Response, BoxError> {
        let (&version, rest) = bytes.split_first().ok_or(Malformed::TooShort)?;
        let (hash, value) = split_hash(version, rest)?;
        let version = version & !NO_HASH;
        if version != RESPONSE_VERSION {
            return Err(Malformed::Version { what: "response", version }.into());
        }
        let value = (!value.is_empty()).then(|| Bytes::from(value));
        Ok(Response { hash, value, partition: None })
    }
}

impl Instruction {
    fn as_byte(self) -> u8 {
        match self {
            Self::Delete => 0,
            Self::DeleteAndPropagate => 1,
            Self::PropagateAlways => 2,
            Self::PropagateIfFound => 3,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, Malformed> {
        match byte {
            0 => Ok(Self::Delete),
            1 => Ok(Self::DeleteAndPropagate),
            2 => Ok(Self::PropagateAlways),
            3 => Ok(Self::PropagateIfFound),
            _ => Err(Malformed::Instruction(byte)),
        }
    }
}

fn flag(hash: Option<ValueHash>) -> u8 {
    if hash.is_none() { NO_HASH } else { 0 }
}

fn split_hash(version: u8, bytes: &[u8]) -> Result<(Option<ValueHash>, &[u8]), Malformed> {
    if version & NO_HASH != 0 {
        return Ok((None, bytes));
    }
    let (hash, rest) = bytes.split_first_chunk::<HASH_LEN>().ok_or(Malformed::TooShort)?;
    Ok((Some(*hash), rest))
}

#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error("the bytes of a foreign-key join's message end too early")]
    TooShort,
    #[error(
        "the {what} of a foreign-key join has version {version}: was it written by a newer version?"
    )]
    Version { what: &'static str, version: u8 },
    #[error("a subscription of a foreign-key join has the unknown instruction {0}")]
    Instruction(u8),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use streams_core::Headers;

    use super::*;

    fn bytes<T>(serde: &impl Serde<T>, value: &T) -> Vec<u8> {
        let (mut headers, mut out) = (Headers::new(), Vec::new());
        serde.serialize(value, &mut out, &mut SerdeContext::value("t", &mut headers)).unwrap();
        out
    }

    fn read<T>(serde: &impl Serde<T>, bytes: &[u8]) -> Result<T, BoxError> {
        let mut headers = Headers::new();
        serde.deserialize(bytes, &mut SerdeContext::value("t", &mut headers))
    }

    fn subscriptions() -> Vec<Subscription> {
        let mut all = Vec::new();
        for byte in 0..4 {
            for hash in [None, Some([7; HASH_LEN])] {
                for partition in [None, Some(0), Some(-1), Some(77)] {
                    for key in ["", "pk"] {
                        all.push(Subscription {
                            hash,
                            instruction: Instruction::from_byte(byte).unwrap(),
                            primary_key: Bytes::from(key.as_bytes()),
                            partition,
                        });
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_bytes_are_the_jvms() {
        let subscription = Subscription {
            hash: None,
            instruction: Instruction::Delete,
            primary_key: Bytes::from(&b"pk"[..]),
            partition: Some(0),
        };
        assert_eq!(bytes(&SubscriptionSerde, &subscription), b"\x81\x00pk\0\0\0\0");
        let response =
            Response { hash: None, value: Some(Bytes::from(&b"v"[..])), partition: None };
        assert_eq!(bytes(&ResponseSerde, &response), b"\x80v");
    }

    #[test]
    fn what_was_written_is_read() {
        for subscription in subscriptions() {
            let bytes = bytes(&SubscriptionSerde, &subscription);
            assert_eq!(read(&SubscriptionSerde, &bytes).unwrap(), subscription);
        }
        for hash in [None, Some([7; HASH_LEN])] {
            for value in [None, Some(Bytes::from(&b"v"[..]))] {
                let response = Response { hash, value, partition: None };
                let bytes = bytes(&ResponseSerde, &response);
                assert_eq!(read(&ResponseSerde, &bytes).unwrap(), response);
            }
        }
    }

    #[test]
    fn malformed_bytes_are_errors() {
        for bytes in [&b""[..], b"\x81", b"\x81\x04pk\0\0\0\0", b"\x82\0", b"\x01\0x", b"\x81\0\0"]
        {
            assert!(read(&SubscriptionSerde, bytes).is_err(), "{bytes:?}");
        }
        for bytes in [&b""[..], b"\0short", b"\x81v"] {
            assert!(read(&ResponseSerde, bytes).is_err(), "{bytes:?}");
        }
    }
}
