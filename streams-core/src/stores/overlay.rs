//! The written rows of a cache laid over the rows of the layers below, batch by batch.

use std::cmp::Ordering;
use std::ops::Bound;

use state_stores::{Direction, KeyRange, LayeredStore, ScanEnd, StateError};

use super::held::Held;
use super::typed_cache::{Row, TypedCache};

/// Rows of the first batch of a cursor; each further batch is twice as large.
pub(super) const FIRST_BATCH_ROWS: usize = 16;
/// Rows of a batch at most.
pub(super) const BATCH_ROWS_MAX: usize = 512;

/// A row's value: of the cache, or still as bytes.
pub(super) enum Found<V> {
    Above(Held<V>, i64),
    Below(Box<[u8]>),
}

/// The next rows of a range.
pub(super) struct Batch<V> {
    pub(super) rows: Vec<(Box<[u8]>, Found<V>)>,
    /// What is left of the range.
    pub(super) rest: Option<KeyRange>,
}

/// Reads up to `rows_max` rows of `range`; there may be more if `rest` is there, also if there are
/// no rows.
pub(super) fn next_batch<V: Clone>(
    cache: &mut TypedCache<V>,
    layers: &LayeredStore,
    range: &KeyRange,
    direction: Direction,
    rows_max: usize,
) -> Result<Batch<V>, StateError> {
    let mut below = Vec::new();
    let end = layers.scan(range, direction, rows_max, &mut below)?;
    let (seen, mut rest) = split(range, end, direction);
    let merged = merge(cache, below.into_iter(), &seen, direction, rows_max);
    if let Some(last) = &merged.full_at {
        rest = Some(after(range, last, direction));
    }
    Ok(Batch { rows: merged.rows, rest: rest.filter(|rest| !rest.is_empty()) })
}

struct Merged<V> {
    rows: Vec<(Box<[u8]>, Found<V>)>,
    /// The last key that was looked at, if there may be more in the range.
    full_at: Option<Box<[u8]>>,
}

/// Lays the dirty rows of `seen` over the rows from below, up to `rows_max`.
fn merge<V: Clone>(
    cache: &mut TypedCache<V>,
    below: impl Iterator<Item = state_stores::Row>,
    seen: &KeyRange,
    direction: Direction,
    rows_max: usize,
) -> Merged<V> {
    let mut merged = Merged { rows: Vec::new(), full_at: None };
    if seen.is_empty() {
        return merged;
    }
    let upper = seen.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let dirty = cache.dirty_range(Bound::Included(&*seen.lower), upper);
    let forward = direction == Direction::Forward;
    let dirty: &mut dyn Iterator<Item = (&[u8], &Row<V>)> =
        if forward { &mut { dirty } } else { &mut dirty.rev() };
    let (mut dirty, mut below) = (dirty.peekable(), below.peekable());
    while merged.rows.len() < rows_max {
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
pub(super) fn split(
    range: &KeyRange,
    end: ScanEnd,
    direction: Direction,
) -> (KeyRange, Option<KeyRange>) {
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
pub(super) fn after(range: &KeyRange, key: &[u8], direction: Direction) -> KeyRange {
    match direction {
        Direction::Forward => {
            let mut lower = key.to_vec();
            lower.push(0);
            KeyRange { lower: lower.into(), upper: range.upper.clone() }
        }
        Direction::Backward => KeyRange { lower: range.lower.clone(), upper: Some(key.into()) },
    }
}
