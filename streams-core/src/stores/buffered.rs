//! What a suppression holds back: rows of a key-value store whose values are buffered changes, in
//! the format of the JVM's changelog, version 3.

use std::sync::Arc;

use state_stores::StoreSpec;

use super::builder::{StoreBuilder, Stores};
use super::held::Held;
use super::key_value::{KeyValueHandle, KeyValueStore};
use super::key_value_instance::KeyValueInstance;
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::{Headers, RecordContext, RecordMetadata, Timestamp};
use crate::serdes::{Serde, SerdeContext, SerdeError, SerdeRef};

/// Changes that are held back, by key.
pub type BufferStore<K, V> = KeyValueStore<K, Buffered<V>>;

/// What a processor holds of a [`BufferStore`].
pub type BufferHandle<K, V> = KeyValueHandle<K, Buffered<V>>;

/// The version of the format, as a header of each record of the changelog.
const VERSION: (&str, [u8; 1]) = ("v", [3]);

/// A change that is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffered<V> {
    /// Its place in the queue; later changes of the key keep it.
    pub time: Timestamp,
    /// The record of the latest change.
    pub record: RecordContext,
    /// What those below have seen last.
    pub prior: Option<Held<V>>,
    /// What the latest change replaced.
    pub old: Option<Held<V>>,
    /// What it replaced it by.
    pub new: Option<Held<V>>,
}

impl Stores {
    /// A store of changes that are held back.
    pub fn buffer_with<K: Data, V: Data>(
        name: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> StoreBuilder<BufferStore<K, V>> {
        let key = SerdeRef::new(key);
        let value = SerdeRef::new(BufferedSerde(SerdeRef::new(value)));
        let spec = StoreSpec::key_value(name).with_store_type("suppress-buffer");
        StoreBuilder::new(spec, move |parts| {
            KeyValueInstance::new(parts, key.clone(), value.clone())
                .with_changelog_header(VERSION.0, &VERSION.1)
        })
    }
}

/// Record, prior, old and new value, place in the queue.
pub struct BufferedSerde<V>(pub SerdeRef<V>);

const FORMAT: &str = "a buffered change";
const NULL: i32 = -1;
/// In place of the old value: it is the prior one.
const SAME_AS_PRIOR: i32 = -2;

impl<V: Data> Serde<Buffered<V>> for BufferedSerde<V> {
    fn serialize(
        &self,
        buffered: &Buffered<V>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        write_record(&buffered.record, out)?;
        let prior = self.write(buffered.prior.as_deref(), out, cx)?;
        let at = out.len();
        let old = self.write(buffered.old.as_deref(), out, cx)?;
        if buffered.old.is_some() && out[prior] == out[old] {
            out.truncate(at);
            out.extend_from_slice(&SAME_AS_PRIOR.to_be_bytes());
        }
        self.write(buffered.new.as_deref(), out, cx)?;
        out.extend_from_slice(&buffered.time.as_millis().to_be_bytes());
        Ok(())
    }

    fn deserialize(
        &self,
        bytes: &[u8],
        cx: &mut SerdeContext<'_>,
    ) -> Result<Buffered<V>, BoxError> {
        let mut reader = Reader(bytes);
        let record = reader.record()?;
        let prior = reader.part()?.flatten();
        let old = reader.part()?.map_or(prior, |old| old);
        let new = reader.part()?.flatten();
        let time = Timestamp::from_millis(reader.int64()?);
        let mut value = |bytes: Option<&[u8]>| {
            bytes.map(|bytes| self.0.deserialize(bytes, cx).map(Held::new)).transpose()
        };
        Ok(Buffered { time, record, prior: value(prior)?, old: value(old)?, new: value(new)? })
    }
}

impl<V: Data> BufferedSerde<V> {
    /// Writes a value behind its length; where its bytes lie.
    fn write(
        &self,
        value: Option<&V>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<std::ops::Range<usize>, BoxError> {
        let Some(value) = value else {
            out.extend_from_slice(&NULL.to_be_bytes());
            return Ok(out.len()..out.len());
        };
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        self.0.serialize(value, out, cx)?;
        let length = length(out.len() - at - 4)?;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(at..out.len())
    }
}

fn write_record(record: &RecordContext, out: &mut Vec<u8>) -> Result<(), SerdeError> {
    let (topic, partition, offset) = match record.metadata() {
        Some(from) => (&*from.topic, from.partition, from.offset),
        None => ("", -1, -1),
    };
    out.extend_from_slice(&record.timestamp().as_millis().to_be_bytes());
    out.extend_from_slice(&offset.to_be_bytes());
    write_bytes(topic.as_bytes(), out)?;
    out.extend_from_slice(&partition.to_be_bytes());
    out.extend_from_slice(&length(record.headers().len())?.to_be_bytes());
    for (name, value) in record.headers().iter() {
        write_bytes(name.as_bytes(), out)?;
        match value {
            Some(value) => write_bytes(value, out)?,
            None => out.extend_from_slice(&NULL.to_be_bytes()),
        }
    }
    Ok(())
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), SerdeError> {
    out.extend_from_slice(&length(bytes.len())?.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn length(len: usize) -> Result<i32, SerdeError> {
    i32::try_from(len).map_err(|_| SerdeError::TooLong { format: FORMAT, len })
}

/// What is left of some bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, needed: usize) -> Result<&'a [u8], SerdeError> {
        let left = self.0.len();
        let cut = self.0.split_at_checked(needed);
        let (head, rest) = cut.ok_or(SerdeError::Truncated { format: FORMAT, needed, left })?;
        self.0 = rest;
        Ok(head)
    }

    fn int32(&mut self) -> Result<i32, SerdeError> {
        let bytes = self.take(4)?.try_into().expect("four bytes were asked for");
        Ok(i32::from_be_bytes(bytes))
    }

    fn int64(&mut self) -> Result<i64, SerdeError> {
        let bytes = self.take(8)?.try_into().expect("eight bytes were asked for");
        Ok(i64::from_be_bytes(bytes))
    }

    /// A part behind its length: `None` stands for what came before it, the inner one for null.
    fn part(&mut self) -> Result<Option<Option<&'a [u8]>>, SerdeError> {
        match self.int32()? {
            SAME_AS_PRIOR => Ok(None),
            NULL => Ok(Some(None)),
            length => match usize::try_from(length) {
                Ok(length) => Ok(Some(Some(self.take(length)?))),
                Err(_) => Err(malformed(format!("a length of {length}"))),
            },
        }
    }

    fn text(&mut self) -> Result<&'a str, SerdeError> {
        let bytes = self.part()?.flatten().unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|error| malformed(error.to_string()))
    }

    fn record(&mut self) -> Result<RecordContext, SerdeError> {
        let timestamp = Timestamp::from_millis(self.int64()?);
        let offset = self.int64()?;
        let topic = self.text()?;
        let partition = self.int32()?;
        let mut headers = Headers::new();
        for _ in 0..self.int32()? {
            let name = self.text()?;
            match self.part()?.flatten() {
                Some(value) => headers.push(name, value),
                None => headers.push_null(name),
            };
        }
        if topic.is_empty() {
            return Ok(RecordContext::new(timestamp, headers));
        }
        let metadata = RecordMetadata { topic: Arc::from(topic), partition, offset };
        Ok(RecordContext::from_source(timestamp, headers, metadata))
    }
}

fn malformed(why: String) -> SerdeError {
    SerdeError::Malformed { format: FORMAT, why }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::serdes::Utf8;

    fn buffered(prior: Option<&str>, old: Option<&str>, new: Option<&str>) -> Buffered<String> {
        let held = |value: Option<&str>| value.map(|value| Held::new(value.to_owned()));
        let mut headers = Headers::new();
        headers.push("h", b"1");
        headers.push_null("n");
        let metadata = RecordMetadata { topic: "t".into(), partition: 2, offset: 3 };
        let record = RecordContext::from_source(Timestamp::from_millis(1), headers, metadata);
        let time = Timestamp::from_millis(9);
        Buffered { time, record, prior: held(prior), old: held(old), new: held(new) }
    }

    fn bytes(buffered: &Buffered<String>) -> Vec<u8> {
        let (mut out, mut headers) = (Vec::new(), Headers::new());
        let mut cx = SerdeContext::value("t", &mut headers);
        BufferedSerde(SerdeRef::new(Utf8)).serialize(buffered, &mut out, &mut cx).unwrap();
        out
    }

    fn read(bytes: &[u8]) -> Result<Buffered<String>, BoxError> {
        let mut headers = Headers::new();
        let mut cx = SerdeContext::value("t", &mut headers);
        BufferedSerde(SerdeRef::new(Utf8)).deserialize(bytes, &mut cx)
    }

    #[test]
    fn the_format_is_the_jvms_version_3() {
        let record = b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x03\0\0\0\x01t\0\0\0\x02\
            \0\0\0\x02\0\0\0\x01h\0\0\0\x011\0\0\0\x01n\xff\xff\xff\xff";
        let values = b"\0\0\0\x01p\xff\xff\xff\xfe\0\0\0\x02nn\0\0\0\0\0\0\0\x09";
        let expected = [&record[..], &values[..]].concat();
        assert_eq!(bytes(&buffered(Some("p"), Some("p"), Some("nn"))), expected);
        let values = b"\xff\xff\xff\xff\0\0\0\x01o\xff\xff\xff\xff\0\0\0\0\0\0\0\x09";
        let expected = [&record[..], &values[..]].concat();
        assert_eq!(bytes(&buffered(None, Some("o"), None)), expected);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            prior in proptest::option::of("[ab]{0,2}"),
            old in proptest::option::of("[ab]{0,2}"),
            new in proptest::option::of("[ab]{0,2}"),
        ) {
            let change = buffered(prior.as_deref(), old.as_deref(), new.as_deref());
            let bytes = bytes(&change);
            prop_assert_eq!(read(&bytes).unwrap(), change);
            for end in 0..bytes.len() {
                prop_assert!(read(&bytes[..end]).is_err());
            }
        }
    }
}
