//! The text that goes with a committed offset: the partition's time, in the JVM's format, so that
//! stream time survives a restart and a move from or to the JVM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::record::Timestamp;

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
    /// Base64 text.
    pub(crate) fn encode(&self) -> String {
        let mut bytes = vec![VERSION];
        let time = self.partition_time.map_or(-1, Timestamp::as_millis);
        bytes.extend_from_slice(&time.to_be_bytes());
        if !self.processors.is_empty() {
            bytes.extend_from_slice(&length(self.processors.len()).to_be_bytes());
            for (key, value) in &self.processors {
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
