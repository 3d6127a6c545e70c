//! How cursors walk a segmented store: segment by segment, in batches.

use std::collections::BTreeSet;
use std::ops::{Bound, RangeBounds, RangeInclusive};

use state_stores::{Direction, KeyRange, LayeredStore, StateError};

use super::instance::SegmentedInstance;
use super::row::{
    HEAD_LEN, Shape, TIME_LEN, changelog_key, parts, row_of_by_time, write_by_time_head, write_head,
};
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::Timestamp;
use crate::serdes::Bytes;
use crate::stores::cursor::Walk;
use crate::stores::held::Held;
use crate::stores::overlay::{
    BATCH_ROWS_MAX, Batch, FIRST_BATCH_ROWS, Found, after, next_batch, split,
};

/// Keys and times, and how far a cursor came in them.
pub struct SegmentedWalk<K> {
    /// Until the store is at hand, which serialises the keys.
    asked: Option<Asked<K>>,
    raw: RawWalk,
}

enum Asked<K> {
    Key(K),
    Keys(Bound<K>, Bound<K>),
}

/// A walk whose keys are bytes.
pub(super) struct RawWalk {
    keys: Keys,
    /// Both included.
    times: (i64, i64),
    /// The largest rest that is wanted.
    rest_max: u64,
    direction: Direction,
    rows_max: usize,
    begun: bool,
    /// The segments not begun.
    segments: RangeInclusive<u64>,
    /// What is left of the segment in hand.
    range: Option<KeyRange>,
}

enum Keys {
    One(Box<[u8]>),
    Range(Bound<Box<[u8]>>, Bound<Box<[u8]>>),
    All,
    /// All, in the order of time.
    ByTime,
}

/// A row's key, value and time.
pub(super) type WalkedRow<V> = (Box<[u8]>, Held<V>, i64);

impl<K> SegmentedWalk<K> {
    pub(super) fn key(key: K, times: impl RangeBounds<Timestamp>) -> Self {
        Self { asked: Some(Asked::Key(key)), raw: RawWalk::new(Keys::All, millis(&times)) }
    }

    pub(super) fn keys(lower: Bound<K>, upper: Bound<K>, times: (i64, i64)) -> Self {
        Self { asked: Some(Asked::Keys(lower, upper)), raw: RawWalk::new(Keys::All, times) }
    }

    pub(super) fn all(times: impl RangeBounds<Timestamp>) -> Self {
        Self { asked: None, raw: RawWalk::new(Keys::All, millis(&times)) }
    }

    pub(super) fn by_time(times: impl RangeBounds<Timestamp>) -> Self {
        Self { asked: None, raw: RawWalk::new(Keys::ByTime, millis(&times)) }
    }

    pub(super) fn with_rest_max(mut self, rest_max: u64) -> Self {
        self.raw.rest_max = rest_max;
        self
    }
}

impl<K: Send + 'static> Walk for SegmentedWalk<K> {
    fn reverse(&mut self) {
        self.raw.reverse();
    }
}

impl RawWalk {
    fn new(keys: Keys, times: (i64, i64)) -> Self {
        Self {
            keys,
            times,
            rest_max: u64::MAX,
            direction: Direction::Forward,
            rows_max: FIRST_BATCH_ROWS,
            begun: false,
            segments: RangeInclusive::new(1, 0),
            range: None,
        }
    }

    /// The rows of one key, whose bytes are `key`.
    pub(super) fn key(key: Box<[u8]>, times: (i64, i64), rest_max: u64) -> Self {
        Self { rest_max, ..Self::new(Keys::One(key), times) }
    }

    pub(super) fn reverse(&mut self) {
        self.direction = match self.direction {
            Direction::Forward => Direction::Backward,
            Direction::Backward => Direction::Forward,
        };
    }

    /// The next segment's range; `None` after the last segment.
    fn next_range(&mut self, rest_len: usize) -> Option<KeyRange> {
        let segment = match self.direction {
            Direction::Forward => self.segments.next(),
            Direction::Backward => self.segments.next_back(),
        }?;
        let mut lower = Vec::new();
        let (from, to) = self.times;
        if let Keys::ByTime = self.keys {
            write_by_time_head(segment, &mut lower);
            return Some(with_times(lower, from, to));
        }
        write_head(segment, &mut lower);
        Some(match &self.keys {
            Keys::One(key) => {
                lower.extend_from_slice(key);
                with_times(lower, from, to)
            }
            Keys::Range(first, last) => {
                let end = match last {
                    Bound::Included(last) | Bound::Excluded(last) => {
                        Some([&*lower, &*end_of_keys(last, rest_len)].concat().into())
                    }
                    Bound::Unbounded => KeyRange::prefix(&lower).upper,
                };
                if let Bound::Included(first) | Bound::Excluded(first) = first {
                    lower.extend_from_slice(first);
                }
                KeyRange { lower: lower.into(), upper: end }
            }
            Keys::All | Keys::ByTime => KeyRange::prefix(&lower),
        })
    }

    fn wants(&self, row: &[u8], rest_len: usize) -> bool {
        let Some(parts) = parts(changelog_key(row), rest_len) else { return false };
        let (from, to) = self.times;
        let key_fits = match &self.keys {
            // Between the rows of a key lie those of longer keys.
            Keys::One(key) => parts.key == &**key,
            Keys::Range(first, last) => {
                let bounds = (first.as_ref().map(|key| &**key), last.as_ref().map(|key| &**key));
                <(Bound<&[u8]>, Bound<&[u8]>) as RangeBounds<[u8]>>::contains(&bounds, parts.key)
            }
            Keys::All | Keys::ByTime => true,
        };
        key_fits && from <= parts.time && parts.time <= to && parts.rest <= self.rest_max
    }
}

impl<S: Shape, K: Data, V: Data> SegmentedInstance<S, K, V> {
    /// The next rows of `walk`; none if there are none left.
    pub(super) fn next_rows(
        &mut self,
        walk: &mut SegmentedWalk<K>,
    ) -> Result<Vec<WalkedRow<V>>, BoxError> {
        if let Some(asked) = walk.asked.take() {
            walk.raw.keys = match asked {
                Asked::Key(key) => Keys::One(self.key_bytes(&key)?),
                Asked::Keys(lower, upper) => {
                    Keys::Range(self.bound_bytes(lower)?, self.bound_bytes(upper)?)
                }
            };
        }
        self.next_raw_rows(&mut walk.raw)
    }

    /// The next rows of `walk`; none if there are none left.
    pub(super) fn next_raw_rows(
        &mut self,
        walk: &mut RawWalk,
    ) -> Result<Vec<WalkedRow<V>>, BoxError> {
        self.begin(walk);
        let mut rows = Vec::new();
        while rows.is_empty() {
            if walk.range.is_none() {
                walk.range = walk.next_range(S::REST_LEN);
            }
            let Some(range) = walk.range.take() else { break };
            let batch = match walk.keys {
                Keys::ByTime => self.next_by_time(&range, walk)?,
                _ => next_batch(
                    &mut self.cache,
                    &self.layers,
                    &range,
                    walk.direction,
                    walk.rows_max,
                )?,
            };
            walk.range = batch.rest;
            walk.rows_max = (walk.rows_max * 2).min(BATCH_ROWS_MAX);
            for (key, value) in batch.rows {
                if !walk.wants(&key, S::REST_LEN) {
                    continue;
                }
                let (value, timestamp) = match value {
                    Found::Above(value, timestamp) => (value, timestamp),
                    Found::Below(bytes) => {
                        let (value, timestamp) = self.decode_value(&bytes)?;
                        (Held::new(value), timestamp)
                    }
                };
                rows.push((key, value, timestamp));
            }
        }
        Ok(rows)
    }

    /// Bounds the walk by what is visible now.
    fn begin(&self, walk: &mut RawWalk) {
        if std::mem::replace(&mut walk.begun, true) {
            return;
        }
        let (from, to) = walk.times;
        let oldest = match walk.keys {
            // What closes may expire with the write that closes it.
            Keys::ByTime => self.segments.oldest_kept_ms(self.observed),
            _ => self.segments.oldest_visible_ms(self.observed),
        };
        let from = from.max(oldest).max(0);
        let to = to.min(self.observed);
        walk.times = (from, to);
        if from <= to {
            walk.segments = self.segments.segment(from)..=self.segments.segment(to);
        }
    }

    /// The rows of the next entries of the index by time.
    fn next_by_time(&mut self, range: &KeyRange, walk: &RawWalk) -> Result<Batch<V>, BoxError> {
        let none = BTreeSet::new();
        let dirty = self.by_time.as_ref().unwrap_or(&none);
        let (entries, rest) =
            next_entries(dirty, &self.layers, range, walk.direction, walk.rows_max)?;
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            row_of_by_time(&entry, S::REST_LEN, &mut self.scratch);
            let hash = self.cache.hash(&self.scratch);
            let found = match self.cache.find(hash, &self.scratch) {
                Some(at) => {
                    let row = self.cache.row(at);
                    row.value.clone().map(|value| Found::Above(value, row.timestamp))
                }
                // A scan leaves the cache to those who come again.
                None => self.layers.get_with(&self.scratch, |bytes| {
                    bytes.map(|bytes| Found::Below(bytes.into()))
                })?,
            };
            rows.extend(found.map(|found| (self.scratch.as_slice().into(), found)));
        }
        Ok(Batch { rows, rest })
    }

    pub(super) fn key_bytes(&mut self, key: &K) -> Result<Box<[u8]>, BoxError> {
        let mut bytes = Vec::new();
        self.serialize_key(key, &mut bytes)?;
        Ok(bytes.into())
    }

    fn bound_bytes(&mut self, bound: Bound<K>) -> Result<Bound<Box<[u8]>>, BoxError> {
        Ok(match bound {
            Bound::Included(key) => Bound::Included(self.key_bytes(&key)?),
            Bound::Excluded(key) => Bound::Excluded(self.key_bytes(&key)?),
            Bound::Unbounded => Bound::Unbounded,
        })
    }
}

/// The first and last millisecond of a range of times, both included.
pub(super) fn millis(times: &impl RangeBounds<Timestamp>) -> (i64, i64) {
    let from = match times.start_bound() {
        Bound::Included(from) => from.as_millis(),
        Bound::Excluded(from) => from.as_millis().saturating_add(1),
        Bound::Unbounded => i64::MIN,
    };
    let to = match times.end_bound() {
        Bound::Included(to) => to.as_millis(),
        Bound::Excluded(to) => to.as_millis().saturating_sub(1),
        Bound::Unbounded => i64::MAX,
    };
    (from, to)
}

/// The next entries of the index by time: dirty ones and those of the layers, up to `rows_max`.
#[expect(clippy::type_complexity, reason = "taken apart at once")]
fn next_entries(
    dirty: &BTreeSet<Bytes>,
    layers: &LayeredStore,
    range: &KeyRange,
    direction: Direction,
    rows_max: usize,
) -> Result<(Vec<Box<[u8]>>, Option<KeyRange>), StateError> {
    let mut below = Vec::new();
    let end = layers.scan(range, direction, rows_max, &mut below)?;
    let (seen, mut rest) = split(range, end, direction);
    let mut entries: Vec<Box<[u8]>> = below.into_iter().map(|(entry, _)| entry).collect();
    if !seen.is_empty() {
        let upper = seen.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let dirty = dirty.range::<[u8], _>((Bound::Included(&*seen.lower), upper));
        let to_box = |entry: &Bytes| Box::from(entry.as_slice());
        match direction {
            Direction::Forward => entries.extend(dirty.take(rows_max).map(to_box)),
            Direction::Backward => entries.extend(dirty.rev().take(rows_max).map(to_box)),
        }
    }
    entries.sort_unstable();
    entries.dedup();
    if direction == Direction::Backward {
        entries.reverse();
    }
    if entries.len() >= rows_max {
        entries.truncate(rows_max);
        rest = entries.last().map(|last| after(range, last, direction));
    }
    Ok((entries, rest.filter(|rest| !rest.is_empty())))
}

/// The keys that begin with `lower` and go on with a time of the range, both included.
fn with_times(lower: Vec<u8>, from: i64, to: i64) -> KeyRange {
    let to = [&*lower, &(to.max(0).unsigned_abs() + 1).to_be_bytes()].concat();
    let lower = [&*lower, &from.max(0).to_be_bytes()].concat();
    KeyRange::new(lower, to)
}

/// Behind every row whose key is `last` or before it: a key's row may lie behind the rows of keys
/// that it is the beginning of.
fn end_of_keys(last: &[u8], rest_len: usize) -> Vec<u8> {
    let tail = vec![u8::MAX; TIME_LEN + rest_len];
    let prefixes = (0..=last.len()).map(|len| [&last[..len], &*tail].concat());
    prefixes.max().unwrap_or_default()
}

const _: () = assert!(HEAD_LEN == TIME_LEN + 1, "a head is a segment and a mark");
