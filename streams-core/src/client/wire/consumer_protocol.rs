//! What wraps our subscriptions and assignments, so that Kafka's own tools and its broker can read
//! topics and partitions from them. Our bytes travel inside as user data.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kacrab_protocol::generated::{
    ConsumerProtocolAssignmentData, ConsumerProtocolSubscriptionData,
    consumer_protocol_assignment as assignment,
};
use kacrab_protocol::{KafkaString, Result};

use super::super::seam::TopicPartition;

/// Of a group whose members the tools can decode.
pub(super) const PROTOCOL_TYPE: &str = "consumer";

/// The oldest layout has all that is needed, and everybody reads it.
const VERSION: i16 = 0;

/// A subscription to `topics`, with our bytes.
pub(super) fn wrap_subscription(topics: &[Arc<str>], bytes: Vec<u8>) -> Result<Bytes> {
    let mut names: Vec<&str> = topics.iter().map(|name| &**name).collect();
    names.sort_unstable();
    names.dedup();
    let subscription = ConsumerProtocolSubscriptionData {
        topics: names.into_iter().map(|name| KafkaString::from(name.to_owned())).collect(),
        user_data: Some(bytes.into()),
        ..Default::default()
    };
    let mut wrapped = BytesMut::new();
    wrapped.put_i16(VERSION);
    subscription.write(&mut wrapped, VERSION)?;
    Ok(wrapped.freeze())
}

/// Our bytes of a member's subscription; empty if there are none.
pub(super) fn unwrap_subscription(wrapped: Bytes) -> Result<Vec<u8>> {
    unwrap(wrapped, |from, version| {
        Ok(ConsumerProtocolSubscriptionData::read(from, version)?.user_data)
    })
}

/// An assignment of `partitions`, with our bytes.
pub(super) fn wrap_assignment(partitions: &[TopicPartition], bytes: Vec<u8>) -> Result<Bytes> {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        by_topic.entry(&partition.topic).or_default().push(partition.partition);
    }
    let to_topic = |(topic, mut partitions): (&str, Vec<i32>)| {
        partitions.sort_unstable();
        let topic = KafkaString::from(topic.to_owned());
        assignment::TopicPartition { topic, partitions, ..Default::default() }
    };
    let assignment = ConsumerProtocolAssignmentData {
        assigned_partitions: by_topic.into_iter().map(to_topic).collect(),
        user_data: Some(bytes.into()),
        ..Default::default()
    };
    let mut wrapped = BytesMut::new();
    wrapped.put_i16(VERSION);
    assignment.write(&mut wrapped, VERSION)?;
    Ok(wrapped.freeze())
}

/// Our bytes of an assignment; empty if there are none.
pub(super) fn unwrap_assignment(wrapped: Bytes) -> Result<Vec<u8>> {
    unwrap(wrapped, |from, version| {
        Ok(ConsumerProtocolAssignmentData::read(from, version)?.user_data)
    })
}

/// Layouts only grow at their end: a newer one is read as the newest that is known.
fn unwrap(
    mut wrapped: Bytes,
    read: impl FnOnce(&mut Bytes, i16) -> Result<Option<Bytes>>,
) -> Result<Vec<u8>> {
    const NEWEST: i16 = 3;
    if wrapped.len() < 2 {
        return Ok(Vec::new());
    }
    let version = wrapped.get_i16().min(NEWEST);
    Ok(read(&mut wrapped, version)?.map_or_else(Vec::new, |bytes| bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lies_on_the_wire_as_kafka_has_it() {
        let wrapped = wrap_subscription(&["b".into(), "a".into(), "b".into()], vec![7]).unwrap();
        let expected = [0, 0, 0, 0, 0, 2, 0, 1, b'a', 0, 1, b'b', 0, 0, 0, 1, 7];
        assert_eq!(&wrapped[..], &expected[..]);
        let partitions = [TopicPartition::new("a", 2), TopicPartition::new("a", 1)];
        let wrapped = wrap_assignment(&partitions, vec![7]).unwrap();
        let expected =
            [0, 0, 0, 0, 0, 1, 0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 7];
        assert_eq!(&wrapped[..], &expected[..]);
    }

    #[test]
    fn nothing_is_empty_and_rubbish_is_an_error() {
        assert!(unwrap_assignment(Bytes::new()).unwrap().is_empty());
        assert!(unwrap_subscription(Bytes::from_static(&[0, 1, 0, 0, 0, 9])).is_err());
        assert!(unwrap_assignment(Bytes::from_static(&[255, 255, 0])).is_err());
    }

    proptest! {
        #[test]
        fn our_bytes_come_back(
            topics in proptest::collection::vec("[a-z]{1,4}", 0..4),
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let partitions: Vec<_> = topics.iter().map(|t| TopicPartition::new(&**t, 3)).collect();
            let topics: Vec<Arc<str>> = topics.iter().map(|t| t.as_str().into()).collect();
            let wrapped = wrap_subscription(&topics, bytes.clone()).unwrap();
            prop_assert_eq!(unwrap_subscription(wrapped).unwrap(), bytes.clone());
            let wrapped = wrap_assignment(&partitions, bytes.clone()).unwrap();
            prop_assert_eq!(unwrap_assignment(wrapped).unwrap(), bytes);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = unwrap_subscription(bytes.clone().into());
            let _ = unwrap_assignment(bytes.into());
        }
    }
}
