//! The text that goes with a committed offset: the partition's time, in the JVM's format, so that
//! stream time survives a restart and a move from or to the JVM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::record::Timestamp;
use crate::task::committed_times::is_optional;

/// What brokers take beside an offset: `offset.metadata.max.bytes` is 4096 unless it was changed.
const TEXT_BYTES_MAX: usize = 4096;
/// The JVM's version 2: version, partition time, processor metadata.
const VERSION: u8 = 2;

/// What is committed beside an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommittedMetadata {
    /// The highest timestamp seen in the partition; `None` before the first record.
    pub partition_time: Option<Timestamp>,
    /// What processors keep there (the JVM: the last emitted window), by key.
    pub processors: Vec<(String, i64)>,
}

impl CommittedMetadata {
    /// Base64 text. What would make it longer than a broker takes, and can be done without, is left
    /// out.
    pub(crate) fn encode(&self) -> String {
        let text = self.encode_if(|_| true);
        if text.len() <= TEXT_BYTES_MAX {
            return text;
        }
        self.encode_if(|key| !is_optional(key))
    }

    fn encode_if(&self, wanted: impl Fn(&str) -> bool) -> String {
        let wanted = self.processors.iter().filter(|(key, _)| wanted(key));
        let processors: Vec<_> = wanted.collect();
        let mut bytes = vec![VERSION];
        let time = self.partition_time.map_or(-1, Timestamp::as_millis);
        bytes.extend_from_slice(&time.to_be_bytes());
        if !processors.is_empty() {
            bytes.extend_from_slice(&length(processors.len()).to_be_bytes());
            for (key, value) in processors {
                bytes.extend_from_slice(&length(key.len()).to_be_bytes());
                bytes.extend_from_slice(key.as_bytes());
                bytes.extend_from_slice(&value.to_be_bytes());
            }
        }
        STANDARD.encode(bytes)
    }

    /// Reads any version; what is not understood (another program committed it) counts as absent.
    pub(crate) fn decode(text: &str) -> Self {
        Self::try_decode(text).unwrap_or(Self { partition_time: None, processors: Vec::new() })
    }

    fn try_decode(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        let mut rest = bytes.as_slice();
        let version = take::<1>(&mut rest)?[0];
        if version == 0 || version > VERSION {
            return None;
        }
        let time = i64::from_be_bytes(take(&mut rest)?);
        let mut processors = Vec::new();
        if version >= 2 && !rest.is_empty() {
            let count = i32::from_be_bytes(take(&mut rest)?);
            for _ in 0..count {
                let length = usize::try_from(i32::from_be_bytes(take(&mut rest)?)).ok()?;
                let key = rest.get(..length)?;
                rest = &rest[length..];
                let key = String::from_utf8(key.to_vec()).ok()?;
                processors.push((key, i64::from_be_bytes(take(&mut rest)?)));
            }
        }
        let partition_time = (time >= 0).then(|| Timestamp::from_millis(time));
        Some(Self { partition_time, processors })
    }
}

fn length(length: usize) -> i32 {
    i32::try_from(length).expect("keys of processors are short and few")
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_partition_time_is_nine_bytes_of_base64() {
        let metadata = CommittedMetadata {
            partition_time: Some(Timestamp::from_millis(1)),
            processors: Vec::new(),
        };
        assert_eq!(metadata.encode(), "AgAAAAAAAAAB");
        assert_eq!(CommittedMetadata::decode("AQAAAAAAAAAB"), metadata, "the JVM's version 1");
    }

    #[test]
    fn the_text_of_another_program_counts_as_absent() {
        for text in ["", "hello", "AAAA", "/////w==", "AgAAAAAAAAABAAAAAQ=="] {
            let metadata = CommittedMetadata::decode(text);
            assert_eq!(metadata.partition_time, None, "{text:?}");
        }
    }

    #[test]
    fn what_is_too_long_for_a_broker_is_left_out_if_it_can_be() {
        let processor = |n: i64| (format!("observed:an-operator-with-a-long-name-{n}"), n);
        let mut processors: Vec<_> = (0..100).map(processor).collect();
        processors.push(("store".into(), 7));
        let metadata = CommittedMetadata { partition_time: None, processors };
        let text = metadata.encode();
        assert!(text.len() < 100);
        assert_eq!(CommittedMetadata::decode(&text).processors, [("store".to_owned(), 7)]);
    }

    proptest! {
        #[test]
        fn what_was_committed_is_read_back(
            time in proptest::option::of(0i64..),
            processors in proptest::collection::vec(("[a-z]{0,8}", any::<i64>()), 0..4),
        ) {
            let partition_time = time.map(Timestamp::from_millis);
            let metadata = CommittedMetadata { partition_time, processors };
            prop_assert_eq!(CommittedMetadata::decode(&metadata.encode()), metadata);
        }
    }
}
