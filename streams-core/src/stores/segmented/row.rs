//! How rows of segmented stores are keyed.
//!
//! - A row: `segment (8) | 0 | key | time (8) | rest`; from the key on it is the key of the
//!   changelog. The time is a window's start or a session's end, and says the segment.
//! - Its entry in the index by time, if the store has one: `segment (8) | 1 | time (8) | rest | key`,
//!   without a value.

use state_stores::Segments;

use crate::serdes::Bytes;

/// What the rows of a kind of segmented store look like.
pub trait Shape: Send + Sync + 'static {
    /// Bytes behind the time: a sequence number (4), or the start of a session (8).
    const REST_LEN: usize;
    /// Whether a stored value begins with the time of its last write.
    const HAS_TIMESTAMP: bool;
    /// Whether the rest is a sequence number, which every write takes the next of.
    const HAS_SEQUENCE: bool;
    /// What the metadata row calls the format.
    const STORE_TYPE: &'static str;
}

/// Segment and mark.
pub(crate) const HEAD_LEN: usize = 9;
pub(super) const TIME_LEN: usize = 8;
const SEGMENT_LEN: usize = 8;
const ROW_MARK: u8 = 0;
const BY_TIME_MARK: u8 = 1;

/// What a row's key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) time: i64,
    pub(crate) rest: u64,
}

/// The parts of a row's key, or of a changelog's key without its head.
pub(crate) fn parts(changelog_key: &[u8], rest_len: usize) -> Option<Parts<'_>> {
    let tail_len = TIME_LEN + rest_len;
    let key_len = changelog_key.len().checked_sub(tail_len)?;
    let (key, tail) = changelog_key.split_at(key_len);
    let (time, rest) = tail.split_first_chunk::<TIME_LEN>()?;
    let rest = rest.iter().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
    Some(Parts { key, time: i64::from_be_bytes(*time), rest })
}

/// A row's key without its head: the key of the changelog.
#[inline]
pub(super) fn changelog_key(row: &[u8]) -> &[u8] {
    &row[HEAD_LEN..]
}

/// Begins a row's key; the key follows.
#[inline]
pub(crate) fn write_head(segment: u64, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&segment.to_be_bytes());
    out.push(ROW_MARK);
}

/// Ends a row's key.
#[inline]
pub(super) fn write_tail(time: i64, rest: u64, rest_len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&time.to_be_bytes());
    out.extend_from_slice(&rest.to_be_bytes()[8 - rest_len..]);
}

/// Begins the entries of a segment in the index by time.
pub(super) fn write_by_time_head(segment: u64, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&segment.to_be_bytes());
    out.push(BY_TIME_MARK);
}

/// The entry in the index by time of a row.
pub(crate) fn by_time_of(row: &[u8], rest_len: usize) -> Bytes {
    let (segment, rest) = row.split_at(SEGMENT_LEN);
    let (key, tail) = rest[1..].split_at(rest.len() - 1 - TIME_LEN - rest_len);
    [segment, &[BY_TIME_MARK], tail, key].concat().into()
}

/// The row of an entry in the index by time.
pub(super) fn row_of_by_time(entry: &[u8], rest_len: usize, row: &mut Vec<u8>) {
    let (tail, key) = entry[HEAD_LEN..].split_at(TIME_LEN + rest_len);
    row.clear();
    row.extend_from_slice(&entry[..SEGMENT_LEN]);
    row.push(ROW_MARK);
    row.extend_from_slice(key);
    row.extend_from_slice(tail);
}

/// How the records of a changelog become rows of a segmented store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowFormat {
    pub(crate) segments: Segments,
    pub(crate) rest_len: usize,
    pub(crate) has_timestamp: bool,
    pub(crate) by_time: bool,
    /// Whether the rest is a sequence number to go on from.
    pub(crate) has_sequence: bool,
}

impl RowFormat {
    pub(crate) const fn of<S: Shape>(segments: Segments, by_time: bool) -> Self {
        Self {
            segments,
            rest_len: S::REST_LEN,
            has_timestamp: S::HAS_TIMESTAMP,
            by_time,
            has_sequence: S::HAS_SEQUENCE,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(segment: u64, key: &[u8], time: i64, rest: u64, rest_len: usize) -> Vec<u8> {
        let mut row = Vec::new();
        write_head(segment, &mut row);
        row.extend_from_slice(key);
        write_tail(time, rest, rest_len, &mut row);
        row
    }

    proptest! {
        #[test]
        fn rows_have_their_parts_and_their_index_entry(
            segment: u64, key: Vec<u8>, time in 0..i64::MAX, rest: u32, long: bool,
        ) {
            let (rest, rest_len) = (u64::from(rest), if long { 8 } else { 4 });
            let row = row(segment, &key, time, rest, rest_len);
            let found = parts(changelog_key(&row), rest_len);
            prop_assert_eq!(found, Some(Parts { key: &key, time, rest }));
            let mut back = Vec::new();
            row_of_by_time(&by_time_of(&row, rest_len), rest_len, &mut back);
            prop_assert_eq!(back, row);
        }

        #[test]
        fn short_keys_are_no_rows(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            prop_assert_eq!(parts(&bytes, 4), None);
        }

        #[test]
        fn the_index_is_in_the_order_of_time_then_key(
            a: Vec<u8>, b: Vec<u8>, time_a in 0..5_i64, time_b in 0..5_i64,
        ) {
            let entry = |key: &[u8], time| by_time_of(&row(7, key, time, 0, 4), 4);
            let order = (time_a, &a).cmp(&(time_b, &b));
            prop_assert_eq!(entry(&a, time_a).cmp(&entry(&b, time_b)), order);
        }
    }
}
