//! Ranges of keys, in unsigned byte order, and the ends of scans over them.

use std::ops::Bound;

use crate::Bytes;

/// The keys from `lower` (inclusive) to `upper` (exclusive, none for the end of the store).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that belongs to the range.
    pub lower: Bytes,
    /// The first key after the range; without one the range ends with the store.
    pub upper: Option<Bytes>,
}

/// In which order a scan yields rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Backward,
}

/// Why a scan stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// The batch is full; the rest of the range is to be scanned by the next call.
    More(KeyRange),
    /// The range has no further rows.
    Done,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self { lower: Bytes::default(), upper: None }
    }

    /// The keys from `lower` to before `upper`.
    pub fn new(lower: impl Into<Bytes>, upper: impl Into<Bytes>) -> Self {
        Self { lower: lower.into(), upper: Some(upper.into()) }
    }

    /// The keys from `lower` on.
    pub fn from(lower: impl Into<Bytes>) -> Self {
        Self { lower: lower.into(), upper: None }
    }

    /// The keys from `lower` up to and including `last`, as the ranges of Kafka Streams.
    pub fn inclusive(lower: impl Into<Bytes>, last: &[u8]) -> Self {
        Self { lower: lower.into(), upper: Some(key_after(last)) }
    }

    /// The keys that start with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { lower: prefix.into(), upper: end_of_prefix(prefix) }
    }

    /// The range as `BTreeMap::range` takes it, which panics if it is [empty](Self::is_empty).
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let upper = self.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(&*self.lower), upper)
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.upper.as_deref().is_some_and(|upper| upper <= &*self.lower)
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &*self.lower && self.upper.as_deref().is_none_or(|upper| key < upper)
    }

    /// What is left of the range when a scan in `direction` has yielded `key`.
    pub(crate) fn after(&self, key: &[u8], direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self { lower: key_after(key), upper: self.upper.clone() },
            Direction::Backward => Self { lower: self.lower.clone(), upper: Some(key.into()) },
        }
    }
}

fn key_after(key: &[u8]) -> Bytes {
    let mut after = Vec::with_capacity(key.len() + 1);
    after.extend_from_slice(key);
    after.push(0);
    after.into()
}

/// The first key behind all keys that start with `prefix`; none if there cannot be one.
fn end_of_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prefix_range_has_the_keys_with_the_prefix(
            prefix in prop::collection::vec(prop_oneof![Just(0u8), Just(254), Just(255)], 0..4),
            key in prop::collection::vec(prop_oneof![Just(0u8), Just(254), Just(255)], 0..6),
        ) {
            let range = KeyRange::prefix(&prefix);
            prop_assert_eq!(range.contains(&key), key.starts_with(&prefix));
        }

        #[test]
        fn an_inclusive_range_has_its_last_key(lower: Vec<u8>, last: Vec<u8>, key: Vec<u8>) {
            let range = KeyRange::inclusive(lower.clone(), &last);
            prop_assert_eq!(range.contains(&key), lower <= key && key <= last);
            prop_assert_eq!(range.contains(&last), lower <= last);
        }

        #[test]
        fn the_rest_of_a_scan_has_every_key_beyond_the_last(key: Vec<u8>, other: Vec<u8>) {
            let forward = KeyRange::all().after(&key, Direction::Forward);
            prop_assert_eq!(forward.contains(&other), other > key);
            let backward = KeyRange::all().after(&key, Direction::Backward);
            prop_assert_eq!(backward.contains(&other), other < key);
        }
    }
}
