//! How cursors walk a key-value store: in batches, the written rows of the cache laid over the rows
//! of the layers below.

use std::cmp::Ordering;
use std::ops::Bound;

use state_stores::{Direction, KeyRange, ScanEnd};

use super::cursor::Walk;
use super::held::Held;
use super::key_value_instance::{KeyValueInstance, decode};
use super::typed_cache::{Row, TypedCache};
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::Timestamp;
use crate::serdes::{Serde, SerdeContext};

/// Rows of the first batch of a cursor; each further batch is twice as large.
const FIRST_BATCH_ROWS: usize = 16;
/// Rows of a batch at most.
const BATCH_ROWS_MAX: usize = 512;

/// A range of keys, and how far a cursor came in it.
pub struct KeyValueWalk<K> {
    range: WalkRange<K>,
    direction: Direction,
    rows_max: usize,
}

enum WalkRange<K> {
    /// Not begun: keys are serialised when the store is at hand.
    Keys(Bound<K>, Bound<K>),
    Bytes(KeyRange),
    Done,
}

impl<K> KeyValueWalk<K> {
    pub(super) fn keys(lower: Bound<K>, upper: Bound<K>) -> Self {
        Self::new(WalkRange::Keys(lower, upper))
    }

    pub(super) fn bytes(range: KeyRange) -> Self {
        Self::new(WalkRange::Bytes(range))
    }

    fn new(range: WalkRange<K>) -> Self {
        Self { range, direction: Direction::Forward, rows_max: FIRST_BATCH_ROWS }
    }
}

impl<K: Send + 'static> Walk for KeyValueWalk<K> {
    fn reverse(&mut self) {
        self.direction = match self.direction {
            Direction::Forward => Direction::Backward,
            Direction::Backward => Direction::Forward,
        };
    }
}

impl<K: Data, V: Data> KeyValueInstance<K, V> {
    /// Appends the next rows of `walk`: key, value and time.
    pub(super) fn read_ahead(
        &mut self,
        walk: &mut KeyValueWalk<K>,
        mut yield_row: impl FnMut(K, Held<V>, Timestamp),
    ) -> Result<(), BoxError> {
        self.begin(walk)?;
        let mut below = Vec::new();
        let mut found = false;
        while let (false, WalkRange::Bytes(range)) = (found, &walk.range) {
            below.clear();
            let end = self.layers.scan(range, walk.direction, walk.rows_max, &mut below)?;
            let (seen, mut rest) = split(range, end, walk.direction);
            let merged = merge(&mut self.cache, below.drain(..), &seen, walk);
            if let Some(last) = &merged.full_at {
                rest = Some(after(range, last, walk.direction));
            }
            for (key, value) in merged.rows {
                found = true;
                let mut cx = SerdeContext::key(&self.topic, &mut self.headers);
                let key = self.key_serde.deserialize(&key, &mut cx)?;
                let (value, timestamp) = match value {
                    Found::Above(value, timestamp) => (value, timestamp),
                    Found::Below(bytes) => {
                        let mut cx = SerdeContext::value(&self.topic, &mut self.headers);
                        let (value, timestamp) = decode(&self.value_serde, &bytes, &mut cx)?;
                        (Held::new(value), timestamp)
                    }
                };
                yield_row(key, value, Timestamp::from_millis(timestamp));
            }
            walk.rows_max = (walk.rows_max * 2).min(BATCH_ROWS_MAX);
            walk.range = match rest {
                Some(rest) if !rest.is_empty() => WalkRange::Bytes(rest),
                _ => WalkRange::Done,
            };
        }
        Ok(())
    }

    fn begin(&mut self, walk: &mut KeyValueWalk<K>) -> Result<(), BoxError> {
        let WalkRange::Keys(lower, upper) = &walk.range else { return Ok(()) };
        let mut bound = |key: &K, after: bool| -> Result<Box<[u8]>, BoxError> {
            self.serialize_key(key)?;
            if after {
                self.scratch.push(0);
            }
            Ok(self.scratch.as_slice().into())
        };
        let lower = match lower {
            Bound::Included(key) => bound(key, false)?,
            Bound::Excluded(key) => bound(key, true)?,
            Bound::Unbounded => Box::default(),
        };
        let upper = match upper {
            Bound::Included(key) => Some(bound(key, true)?),
            Bound::Excluded(key) => Some(bound(key, false)?),
            Bound::Unbounded => None,
        };
        walk.range = WalkRange::Bytes(KeyRange { lower, upper });
        Ok(())
    }
}

/// A row's value: of the cache, or still as bytes.
enum Found<V> {
    Above(Held<V>, i64),
    Below(Box<[u8]>),
}

struct Merged<V> {
    rows: Vec<(Box<[u8]>, Found<V>)>,
    /// The last key that was looked at, if there may be more in the range.
    full_at: Option<Box<[u8]>>,
}

/// Lays the dirty rows of `seen` over the rows from below, up to the walk's batch.
fn merge<K, V: Clone>(
    cache: &mut TypedCache<V>,
    below: impl Iterator<Item = state_stores::Row>,
    seen: &KeyRange,
    walk: &KeyValueWalk<K>,
) -> Merged<V> {
    let mut merged = Merged { rows: Vec::new(), full_at: None };
    if seen.is_empty() {
        return merged;
    }
    let upper = seen.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let dirty = cache.dirty_range(Bound::Included(&*seen.lower), upper);
    let forward = walk.direction == Direction::Forward;
    let dirty: &mut dyn Iterator<Item = (&[u8], &Row<V>)> =
        if forward { &mut { dirty } } else { &mut dirty.rev() };
    let (mut dirty, mut below) = (dirty.peekable(), below.peekable());
    while merged.rows.len() < walk.rows_max {
        let order = match (dirty.peek(), below.peek()) {
            (None, None) => return merged,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((above, _)), Some((key, _))) if forward => (*above).cmp(key),
            (Some((above, _)), Some((key, _))) => (**key).cmp(above),
        };
        if order == Ordering::Greater {
            merged.rows.extend(below.next().map(|(key, value)| (key, Found::Below(value))));
            continue;
        }
        if order == Ordering::Equal {
            below.next();
        }
        if let Some((key, row)) = dirty.next()
            && let Some(value) = &row.value
        {
            merged.rows.push((key.into(), Found::Above(value.clone(), row.timestamp)));
        }
    }
    merged.full_at = merged.rows.last().map(|(key, _)| key.clone());
    merged
}

/// The part of `range` that a scan has seen, and the part that is left.
fn split(range: &KeyRange, end: ScanEnd, direction: Direction) -> (KeyRange, Option<KeyRange>) {
    match (end, direction) {
        (ScanEnd::Done, _) => (range.clone(), None),
        (ScanEnd::More(rest), Direction::Forward) => {
            let seen = KeyRange { lower: range.lower.clone(), upper: Some(rest.lower.clone()) };
            (seen, Some(rest))
        }
        (ScanEnd::More(rest), Direction::Backward) => {
            let lower = rest.upper.clone().unwrap_or_default();
            (KeyRange { lower, upper: range.upper.clone() }, Some(rest))
        }
    }
}

/// What is left of `range` when `key` was yielded.
fn after(range: &KeyRange, key: &[u8], direction: Direction) -> KeyRange {
    match direction {
        Direction::Forward => {
            let mut lower = key.to_vec();
            lower.push(0);
            KeyRange { lower: lower.into(), upper: range.upper.clone() }
        }
        Direction::Backward => KeyRange { lower: range.lower.clone(), upper: Some(key.into()) },
    }
}
