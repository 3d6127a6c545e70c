//! Records of a stream that wait until they are joined with a table as it was at their time: rows of
//! a key-value store, oldest first, in the format of the JVM's changelog.

use super::buffered::{Buffered, BufferedSerde};
use super::builder::{StoreBuilder, Stores};
use super::key_value::{KeyValueHandle, KeyValueStore};
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::Timestamp;
use crate::serdes::{Serde, SerdeContext, SerdeError, SerdeRef};

/// Records that wait. The value of a record is the new one of its [`Buffered`]; it has no others.
pub type WaitingStore<K, V> = KeyValueStore<WaitingKey<K>, Buffered<V>>;

/// What a processor holds of a [`WaitingStore`].
pub type WaitingHandle<K, V> = KeyValueHandle<WaitingKey<K>, Buffered<V>>;

/// The place of a record that waits: ordered by time, then by the bytes of the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaitingKey<K> {
    /// The record's time.
    pub timestamp: Timestamp,
    /// The record's key.
    pub key: K,
    /// Tells records of one key and time apart; later records have larger numbers.
    pub sequence: i32,
}

impl Stores {
    /// A store of records that wait: the buffer of a stream-table join with grace.
    pub fn waiting_with<K: Data, V: Data>(
        name: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> StoreBuilder<WaitingStore<K, V>> {
        let key = WaitingKeySerde(SerdeRef::new(key));
        Self::key_value_with(name, key, BufferedSerde(SerdeRef::new(value)))
    }
}

/// Kafka Streams' `TimeFirstWindowKeySchema`: 0, the time, the key, the number.
struct WaitingKeySerde<K>(SerdeRef<K>);

const MARK: u8 = 0;
const HEAD_LEN: usize = 9;
const TAIL_LEN: usize = 4;

impl<K: Data> Serde<WaitingKey<K>> for WaitingKeySerde<K> {
    fn serialize(
        &self,
        key: &WaitingKey<K>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        out.push(MARK);
        out.extend_from_slice(&key.timestamp.as_millis().to_be_bytes());
        self.0.serialize(&key.key, out, cx)?;
        out.extend_from_slice(&key.sequence.to_be_bytes());
        Ok(())
    }

    fn deserialize(
        &self,
        bytes: &[u8],
        cx: &mut SerdeContext<'_>,
    ) -> Result<WaitingKey<K>, BoxError> {
        let parts = bytes.split_first_chunk::<HEAD_LEN>();
        let parts =
            parts.and_then(|(head, rest)| Some((head, rest.split_last_chunk::<TAIL_LEN>()?)));
        let Some(([MARK, time @ ..], (key, sequence))) = parts else {
            let why = format!("it has {} bytes", bytes.len());
            return Err(SerdeError::Malformed { format: "the key of a waiting record", why }.into());
        };
        let timestamp = time.iter().fold(0, |time, byte| time << 8 | i64::from(*byte));
        Ok(WaitingKey {
            timestamp: Timestamp::from_millis(timestamp),
            key: self.0.deserialize(key, cx)?,
            sequence: i32::from_be_bytes(*sequence),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::record::Headers;
    use crate::serdes::Utf8;

    fn bytes(key: &WaitingKey<String>) -> Vec<u8> {
        let (mut out, mut headers) = (Vec::new(), Headers::new());
        let mut cx = SerdeContext::key("t", &mut headers);
        WaitingKeySerde(SerdeRef::new(Utf8)).serialize(key, &mut out, &mut cx).unwrap();
        out
    }

    fn read(bytes: &[u8]) -> Result<WaitingKey<String>, BoxError> {
        let mut headers = Headers::new();
        let mut cx = SerdeContext::key("t", &mut headers);
        WaitingKeySerde(SerdeRef::new(Utf8)).deserialize(bytes, &mut cx)
    }

    #[test]
    fn the_format_is_the_jvms() {
        let key =
            WaitingKey { timestamp: Timestamp::from_millis(258), key: "ab".into(), sequence: 3 };
        assert_eq!(bytes(&key), b"\0\0\0\0\0\0\0\x01\x02ab\0\0\0\x03");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_older_is_less(
            one in (0..i64::MAX, "[ab]{0,3}", 0..i32::MAX),
            other in (0..i64::MAX, "[ab]{0,3}", 0..i32::MAX),
        ) {
            let key = |(time, key, sequence): (i64, String, i32)| {
                WaitingKey { timestamp: Timestamp::from_millis(time), key, sequence }
            };
            let (one, other) = (key(one), key(other));
            prop_assert_eq!(&read(&bytes(&one)).unwrap(), &one);
            prop_assert!(read(&bytes(&one)[..12]).is_err());
            if one.timestamp != other.timestamp {
                let is_older = one.timestamp < other.timestamp;
                prop_assert_eq!(bytes(&one) < bytes(&other), is_older);
            }
        }
    }
}
