//! Keys of rows in a column family, or in the one map of a custom engine.

use crate::engine::{InstanceId, is_segmented};
use crate::{Bytes, KeyRange};

const METADATA_MARK: u8 = 0;
const DATA_MARK: u8 = 1;
/// Instance id and mark.
const PREFIX_LEN: usize = 5;
const ID_LEN: usize = 4;
pub(super) const SEGMENT_LEN: usize = 8;
/// Segment and instance id.
pub(super) const SEGMENTED_PREFIX_LEN: usize = SEGMENT_LEN + ID_LEN;
/// Behind all segments: no time is that late.
const METADATA_SEGMENT: u64 = u64::MAX;
/// Keys up to this are put together on the stack.
const SHORT_LEN: usize = 120;

/// How rows of several instances share a family. Rows of a segmented family begin with their
/// segment, so that files of old segments can be deleted; their metadata rows lie behind the data,
/// or they would stretch every file over all segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `instance id (4 bytes, big endian) | 1 | key`, and `instance id | 0`.
    Keyed,
    /// `segment (8) | instance id (4) | rest of the key`, and `255 (8 times) | instance id`.
    Segmented,
}

impl Layout {
    pub(super) fn of(family: &str) -> Self {
        if is_segmented(family) { Self::Segmented } else { Self::Keyed }
    }

    /// The key of an instance's metadata row.
    pub(super) fn metadata_key(self, id: InstanceId) -> Vec<u8> {
        match self {
            Self::Keyed => prefix(id, METADATA_MARK).to_vec(),
            Self::Segmented => segment_prefix(METADATA_SEGMENT, id).to_vec(),
        }
    }

    /// Calls `with` with the row's key in the family.
    #[inline]
    pub(super) fn with_data_key<R>(
        self,
        id: InstanceId,
        key: &[u8],
        with: impl FnOnce(&[u8]) -> R,
    ) -> R {
        let id = id.0.to_be_bytes();
        let (head, middle, tail): (&[u8], &[u8], &[u8]) = match self {
            Self::Keyed => (&id, &[DATA_MARK], key),
            Self::Segmented => {
                debug_assert!(key.len() >= SEGMENT_LEN, "a key without a segment");
                let (segment, rest) = key.split_at(SEGMENT_LEN.min(key.len()));
                (segment, &id, rest)
            }
        };
        if key.len() > SHORT_LEN {
            return with(&[head, middle, tail].concat());
        }
        let mut buffer = [0; PREFIX_LEN + SHORT_LEN];
        let (middle_at, tail_at) = (head.len(), head.len() + middle.len());
        let len = tail_at + tail.len();
        buffer[..middle_at].copy_from_slice(head);
        buffer[middle_at..tail_at].copy_from_slice(middle);
        buffer[tail_at..len].copy_from_slice(tail);
        with(&buffer[..len])
    }

    /// `range` of an instance as bounds of the family. Between the bounds of a segmented family
    /// lie rows of others too.
    pub(super) fn data_bounds(self, id: InstanceId, range: &KeyRange) -> (Vec<u8>, Vec<u8>) {
        let bound = |key: &[u8]| match self {
            Self::Keyed => [&prefix(id, DATA_MARK), key].concat(),
            Self::Segmented => segmented_bound(id, key),
        };
        let end = || match self {
            Self::Keyed => prefix(id, DATA_MARK + 1).to_vec(),
            Self::Segmented => METADATA_SEGMENT.to_be_bytes().to_vec(),
        };
        (bound(&range.lower), range.upper.as_ref().map_or_else(end, |upper| bound(upper)))
    }

    /// What an instance calls the key of the family; `None` if it is not the key of a row of it.
    pub(super) fn own_key<'a>(
        self,
        id: InstanceId,
        key: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        match self {
            Self::Keyed => key.get(PREFIX_LEN..),
            Self::Segmented => {
                let (segment, own, rest) = split_segmented(key)?;
                if own != id || segment == METADATA_SEGMENT {
                    return None;
                }
                scratch.clear();
                scratch.extend_from_slice(&segment.to_be_bytes());
                scratch.extend_from_slice(rest);
                Some(scratch)
            }
        }
    }
}

/// The first key of an instance of a keyed family, and the first behind it: no key is that short,
/// so nothing lies on the bound itself.
pub(super) fn instance_bounds(id: InstanceId) -> (Vec<u8>, Vec<u8>) {
    let from = id.0.to_be_bytes().to_vec();
    let to = id.0.checked_add(1).map_or(vec![u8::MAX; 5], |next| next.to_be_bytes().to_vec());
    (from, to)
}

/// Whose row `key` of a keyed family is.
pub(super) fn instance_of(key: &[u8]) -> Option<InstanceId> {
    key.first_chunk().map(|id| InstanceId(u32::from_be_bytes(*id)))
}

/// The first key of an instance in a segment, and the first behind it.
pub(super) fn segment_bounds(segment: u64, id: InstanceId) -> (Vec<u8>, Vec<u8>) {
    (segment_prefix(segment, id).to_vec(), after_instance(segment, id))
}

/// The first key of a segmented family behind an instance's rows of a segment.
pub(super) fn after_instance(segment: u64, id: InstanceId) -> Vec<u8> {
    match (id.0.checked_add(1), segment.checked_add(1)) {
        (Some(next), _) => segment_prefix(segment, InstanceId(next)).to_vec(),
        (None, Some(next)) => next.to_be_bytes().to_vec(),
        (None, None) => vec![u8::MAX; SEGMENTED_PREFIX_LEN + 1],
    }
}

/// Segment, instance, and what is left of a key of a segmented family.
pub(super) fn split_segmented(key: &[u8]) -> Option<(u64, InstanceId, &[u8])> {
    let (segment, key) = key.split_first_chunk()?;
    let (id, rest) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*segment), InstanceId(u32::from_be_bytes(*id)), rest))
}

pub(super) fn is_metadata_segment(segment: u64) -> bool {
    segment == METADATA_SEGMENT
}

/// The segment that a store's key begins with.
pub(super) fn segment_of(key: &[u8]) -> Option<&[u8; SEGMENT_LEN]> {
    key.first_chunk()
}

/// Keys below a bound that is shorter than a segment are those below the segment that it begins.
fn segmented_bound(id: InstanceId, key: &[u8]) -> Vec<u8> {
    match segment_of(key) {
        Some(segment) => [segment, &id.0.to_be_bytes()[..], &key[SEGMENT_LEN..]].concat(),
        None => {
            let mut segment: Bytes = [0; SEGMENT_LEN].into();
            segment[..key.len()].copy_from_slice(key);
            segment.into()
        }
    }
}

fn prefix(id: InstanceId, mark: u8) -> [u8; PREFIX_LEN] {
    let [a, b, c, d] = id.0.to_be_bytes();
    [a, b, c, d, mark]
}

pub(super) fn segment_prefix(segment: u64, id: InstanceId) -> [u8; SEGMENTED_PREFIX_LEN] {
    let mut key = [0; SEGMENTED_PREFIX_LEN];
    key[..SEGMENT_LEN].copy_from_slice(&segment.to_be_bytes());
    key[SEGMENT_LEN..].copy_from_slice(&id.0.to_be_bytes());
    key
}
