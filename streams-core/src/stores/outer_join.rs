//! The store that both sides of a left or outer stream-stream join share: records that found no
//! partner yet, oldest first.

use super::builder::{StoreBuilder, Stores};
use super::key_value::{KeyValueHandle, KeyValueStore};
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::Timestamp;
use crate::serdes::{List, Serde, SerdeContext, SerdeError, SerdeRef};

/// Records without a partner, by time, side and key: a key-value store of lists. Append by
/// [`update`](super::KeyValueAccess::update), remove by [`delete`](super::KeyValueAccess::delete),
/// read the oldest first by [`all`](super::StoreHandle::all).
pub type OuterJoinStore<K, L, R> = KeyValueStore<OuterJoinKey<K>, Vec<LeftOrRight<L, R>>>;

/// What a processor holds of an [`OuterJoinStore`].
pub type OuterJoinHandle<K, L, R> = KeyValueHandle<OuterJoinKey<K>, Vec<LeftOrRight<L, R>>>;

/// One of the two streams of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JoinSide {
    /// The other one. Its rows lie before those of the left side.
    Right,
    /// The stream on which the join was called.
    Left,
}

/// The key of an [`OuterJoinStore`]: ordered by time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OuterJoinKey<K> {
    /// The record's time.
    pub timestamp: Timestamp,
    /// Whose record it is.
    pub side: JoinSide,
    /// The record's key.
    pub key: K,
}

/// A value of one of the two streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOrRight<L, R> {
    /// Of the left stream.
    Left(L),
    /// Of the right stream.
    Right(R),
}

impl Stores {
    /// The store of records without a partner.
    pub fn outer_join_with<K: Data, L: Data, R: Data>(
        name: &str,
        key: impl Serde<K>,
        left: impl Serde<L>,
        right: impl Serde<R>,
    ) -> StoreBuilder<OuterJoinStore<K, L, R>> {
        let key = OuterJoinKeySerde(SerdeRef::new(key));
        let value = LeftOrRightSerde { left: SerdeRef::new(left), right: SerdeRef::new(right) };
        Self::key_value_with(name, key, List(value))
    }
}

/// Kafka Streams' `TimestampedKeyAndJoinSideSerde`: the time, 1 for left or 0 for right, the key.
struct OuterJoinKeySerde<K>(SerdeRef<K>);

const HEAD_LEN: usize = 9;

impl<K: Data> Serde<OuterJoinKey<K>> for OuterJoinKeySerde<K> {
    fn serialize(
        &self,
        key: &OuterJoinKey<K>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        out.extend_from_slice(&key.timestamp.as_millis().to_be_bytes());
        out.push(u8::from(key.side == JoinSide::Left));
        self.0.serialize(&key.key, out, cx)
    }

    fn deserialize(
        &self,
        bytes: &[u8],
        cx: &mut SerdeContext<'_>,
    ) -> Result<OuterJoinKey<K>, BoxError> {
        let Some(([time @ .., side], key)) = bytes.split_first_chunk::<HEAD_LEN>() else {
            return Err(malformed(format!("it has {} bytes", bytes.len())));
        };
        let timestamp = time.iter().fold(0, |time, byte| time << 8 | i64::from(*byte));
        Ok(OuterJoinKey {
            timestamp: Timestamp::from_millis(timestamp),
            side: if *side == 1 { JoinSide::Left } else { JoinSide::Right },
            key: self.0.deserialize(key, cx)?,
        })
    }
}

/// Kafka Streams' `LeftOrRightValueSerde`: 1 for left or 0 for right, the value.
struct LeftOrRightSerde<L, R> {
    left: SerdeRef<L>,
    right: SerdeRef<R>,
}

impl<L: Data, R: Data> Serde<LeftOrRight<L, R>> for LeftOrRightSerde<L, R> {
    fn serialize(
        &self,
        value: &LeftOrRight<L, R>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        match value {
            LeftOrRight::Left(left) => {
                out.push(1);
                self.left.serialize(left, out, cx)
            }
            LeftOrRight::Right(right) => {
                out.push(0);
                self.right.serialize(right, out, cx)
            }
        }
    }

    fn deserialize(
        &self,
        bytes: &[u8],
        cx: &mut SerdeContext<'_>,
    ) -> Result<LeftOrRight<L, R>, BoxError> {
        match bytes.split_first() {
            Some((1, left)) => Ok(LeftOrRight::Left(self.left.deserialize(left, cx)?)),
            Some((0, right)) => Ok(LeftOrRight::Right(self.right.deserialize(right, cx)?)),
            Some((side, _)) => Err(malformed(format!("its side is {side}"))),
            None => Err(malformed("it is empty".to_owned())),
        }
    }
}

fn malformed(why: String) -> BoxError {
    SerdeError::Malformed { format: "a row of a join", why }.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::record::Headers;
    use crate::serdes::{BigEndian, Utf8};

    #[test]
    fn bytes_are_the_jvms() {
        let (mut out, mut headers) = (Vec::new(), Headers::new());
        let mut cx = SerdeContext::key("t", &mut headers);
        let serde = OuterJoinKeySerde(SerdeRef::<String>::new(Utf8));
        let timestamp = Timestamp::from_millis(258);
        let key = OuterJoinKey { timestamp, side: JoinSide::Left, key: "k".to_owned() };
        serde.serialize(&key, &mut out, &mut cx).unwrap();
        assert_eq!(out, *b"\0\0\0\0\0\0\x01\x02\x01k");
        assert_eq!(serde.deserialize(&out, &mut cx).unwrap(), key);
        assert!(serde.deserialize(&out[..8], &mut cx).is_err());

        let element = LeftOrRightSerde::<i32, String> {
            left: SerdeRef::new(BigEndian),
            right: SerdeRef::new(Utf8),
        };
        let list = List(element);
        let values = vec![LeftOrRight::Left(3), LeftOrRight::Right("r".to_owned())];
        out.clear();
        list.serialize(&values, &mut out, &mut cx).unwrap();
        assert_eq!(out, *b"\x01\0\0\0\x02\0\0\0\x05\x01\0\0\0\x03\0\0\0\x02\0r");
        assert_eq!(list.deserialize(&out, &mut cx).unwrap(), values);
        assert!(list.deserialize(b"\x01\0\0\0\x01\0\0\0\x01\x07", &mut cx).is_err());
    }
}
