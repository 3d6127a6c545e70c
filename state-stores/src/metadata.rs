//! The metadata row: how far a store's data goes, written with the data it speaks for.

use uuid::Uuid;

/// The version of the local disk format. State of another version is reported as
/// [`StateError::Incompatible`](crate::StateError::Incompatible).
pub const FORMAT_VERSION: u16 = 1;

/// What a store's state contains. It lies in the same column family as the data and is written in
/// the same batch, so the two never disagree. The store adds [`FORMAT_VERSION`] and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreMetadata {
    /// The topic whose records the state was made from: a topic that was recreated under the same
    /// name has another id.
    pub changelog_topic_id: Uuid,
    /// The offset of the next changelog record to apply.
    pub next_offset: i64,
    /// The leader epoch of the last applied record, or -1: finds truncated logs.
    pub leader_epoch: i32,
    /// The committed stream time in milliseconds, or -1. Expiry follows it, and nothing newer.
    pub stream_time_ms: i64,
    /// The wall clock in milliseconds at this commit: state older than the changelog's
    /// `delete.retention.ms` may have missed tombstones.
    pub wall_time_ms: i64,
    /// Bytes of the layer above: sequence numbers, positions of source partitions.
    pub extra: Vec<u8>,
}

/// What a store says of itself in its metadata row. A store that says nothing has the stream time
/// of its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreNotes {
    /// The largest time that was written to the store, in milliseconds, or -1.
    pub stream_time_ms: i64,
    /// See [`StoreMetadata::extra`].
    pub extra: Vec<u8>,
}

impl Default for StoreNotes {
    fn default() -> Self {
        Self { stream_time_ms: -1, extra: Vec::new() }
    }
}

impl StoreMetadata {
    /// What the store said of itself.
    pub fn notes(&self) -> StoreNotes {
        StoreNotes { stream_time_ms: self.stream_time_ms, extra: self.extra.clone() }
    }

    /// The same metadata with what a store says of itself.
    pub fn with_notes(self, notes: StoreNotes) -> Self {
        Self { stream_time_ms: notes.stream_time_ms, extra: notes.extra, ..self }
    }

    /// State made from the records before `next_offset`; everything else unknown (-1), wall time 0.
    pub fn new(changelog_topic_id: Uuid, next_offset: i64) -> Self {
        Self {
            changelog_topic_id,
            next_offset,
            leader_epoch: -1,
            stream_time_ms: -1,
            wall_time_ms: 0,
            extra: Vec::new(),
        }
    }

    pub(crate) fn encode(&self, store_type: &str) -> Vec<u8> {
        let mut row = Vec::with_capacity(52 + store_type.len() + self.extra.len());
        row.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
        row.extend_from_slice(self.changelog_topic_id.as_bytes());
        row.extend_from_slice(&self.next_offset.to_be_bytes());
        row.extend_from_slice(&self.leader_epoch.to_be_bytes());
        row.extend_from_slice(&self.stream_time_ms.to_be_bytes());
        row.extend_from_slice(&self.wall_time_ms.to_be_bytes());
        let type_len = u16::try_from(store_type.len()).unwrap_or(u16::MAX);
        row.extend_from_slice(&type_len.to_be_bytes());
        row.extend_from_slice(&store_type.as_bytes()[..usize::from(type_len)]);
        row.extend_from_slice(&self.extra);
        row
    }

    /// The metadata and the store type in `row`; else what the row is, in words.
    pub(crate) fn decode(row: &[u8]) -> Result<(Self, String), String> {
        let mut rest = row;
        let version = u16::from_be_bytes(take(&mut rest)?);
        if version != FORMAT_VERSION {
            return Err(format!("format version {version}"));
        }
        let mut metadata = Self::new(Uuid::from_bytes(take(&mut rest)?), 0);
        metadata.next_offset = i64::from_be_bytes(take(&mut rest)?);
        metadata.leader_epoch = i32::from_be_bytes(take(&mut rest)?);
        metadata.stream_time_ms = i64::from_be_bytes(take(&mut rest)?);
        metadata.wall_time_ms = i64::from_be_bytes(take(&mut rest)?);
        let type_len = usize::from(u16::from_be_bytes(take(&mut rest)?));
        let (store_type, extra) =
            rest.split_at_checked(type_len).ok_or("a malformed metadata row")?;
        let store_type =
            str::from_utf8(store_type).map_err(|_| "a malformed metadata row")?.to_owned();
        metadata.extra = extra.to_vec();
        Ok((metadata, store_type))
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or("a malformed metadata row")?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_decodes_to_what_was_encoded(
            id: u128, next_offset: i64, leader_epoch: i32, stream_time_ms: i64, wall_time_ms: i64,
            extra: Vec<u8>, store_type in "[a-z-]{0,40}",
        ) {
            let metadata = StoreMetadata {
                changelog_topic_id: Uuid::from_u128(id),
                next_offset, leader_epoch, stream_time_ms, wall_time_ms, extra,
            };
            let decoded = StoreMetadata::decode(&metadata.encode(&store_type)).unwrap();
            prop_assert_eq!(decoded, (metadata, store_type));
        }

        #[test]
        fn garbage_never_panics(row: Vec<u8>) {
            let _ = StoreMetadata::decode(&row);
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut row = StoreMetadata::new(Uuid::nil(), 7).encode("key-value");
        row[1] = 9;
        assert_eq!(StoreMetadata::decode(&row).unwrap_err(), "format version 9");
    }
}
