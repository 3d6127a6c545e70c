//! The envelope around our messages: the subscription and assignment structures of protocol type
//! `consumer`. Kafka's tools read them, so `kafka-consumer-groups` shows members, partitions and
//! lag; and the broker reads the topics, so that it does not expire offsets that are in use.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::byte_codec::{Malformed, Reader, Writer};
use crate::client::TopicPartition;

const SUBSCRIPTION_VERSION: i16 = 1;
const ASSIGNMENT_VERSION: i16 = 1;
const NULL: u32 = u32::MAX;

/// A subscription to `topics`, with our own message in it. Owned partitions are left empty: the
/// leader takes the owned tasks from our message.
pub(super) fn encode_subscription<'a>(
    topics: impl ExactSizeIterator<Item = &'a Arc<str>>,
    user_data: &[u8],
) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.i16(SUBSCRIPTION_VERSION);
    writer.list(topics, |w, topic| short_text(w, topic));
    writer.bytes(user_data);
    writer.list([(); 0].into_iter(), |_, ()| ());
    writer.0
}

/// Our message in a subscription of any version.
pub(super) fn decode_subscription(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader(bytes);
    version(&mut reader)?;
    reader.list(|r| r_short_text(r).map(|_| ()))?;
    user_data(&mut reader)
}

/// An assignment of `partitions`, with our own message in it.
pub(super) fn encode_assignment(partitions: &[TopicPartition], user_data: &[u8]) -> Vec<u8> {
    let mut by_topic: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
    for TopicPartition { topic, partition } in partitions {
        by_topic.entry(topic).or_default().push(*partition);
    }
    let mut writer = Writer::default();
    writer.i16(ASSIGNMENT_VERSION);
    writer.list(by_topic.into_iter(), |w, (topic, partitions)| {
        short_text(w, topic);
        w.list(partitions.into_iter(), Writer::i32);
    });
    writer.bytes(user_data);
    writer.0
}

/// Our message in an assignment of any version.
pub(super) fn decode_assignment(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader(bytes);
    version(&mut reader)?;
    reader.list(|r| {
        r_short_text(r)?;
        r.list(Reader::i32).map(|_| ())
    })?;
    user_data(&mut reader)
}

fn version(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    match reader.i16()? {
        0.. => Ok(()),
        _ => Err(Malformed("the envelope has a negative version")),
    }
}

fn user_data<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let mut ahead = Reader(reader.0);
    if ahead.u32()? == NULL {
        return Err(Malformed("it is from another kind of client"));
    }
    reader.bytes()
}

/// With a 16-bit length. Topic names have at most 249 bytes.
fn short_text(writer: &mut Writer, text: &str) {
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    writer.i16(length);
    writer.raw(&text.as_bytes()[..usize::try_from(length).unwrap_or(0)]);
}

fn r_short_text<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let length = reader.i16()?;
    reader.raw(usize::try_from(length).map_err(|_| Malformed("a length is negative"))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use kacrab_protocol::generated::{
        ConsumerProtocolAssignmentData, ConsumerProtocolSubscriptionData,
    };

    use super::*;

    #[test]
    fn the_envelopes_are_kafkas() {
        let topics = [Arc::from("a"), Arc::from("b")];
        let bytes = encode_subscription(topics.iter(), b"ours");
        let mut body = bytes::Bytes::from(bytes.clone()).slice(2..);
        let read = ConsumerProtocolSubscriptionData::read(&mut body, 1).unwrap();
        assert!(body.is_empty());
        assert_eq!(read.topics.len(), 2);
        assert_eq!(read.user_data.as_deref(), Some(&b"ours"[..]));
        assert_eq!(decode_subscription(&bytes), Ok(&b"ours"[..]));

        let partitions = [TopicPartition::new("a", 1), TopicPartition::new("a", 3)];
        let bytes = encode_assignment(&partitions, b"ours");
        let mut body = bytes::Bytes::from(bytes.clone()).slice(2..);
        let read = ConsumerProtocolAssignmentData::read(&mut body, 1).unwrap();
        assert!(body.is_empty());
        assert_eq!(read.assigned_partitions[0].partitions, [1, 3]);
        assert_eq!(decode_assignment(&bytes), Ok(&b"ours"[..]));
    }

    #[test]
    fn other_clients_are_told_apart() {
        let mut bytes = encode_subscription([].into_iter(), b"");
        bytes[6..10].copy_from_slice(&NULL.to_be_bytes());
        assert!(decode_subscription(&bytes).is_err());
        assert!(decode_subscription(&[]).is_err());
    }
}
