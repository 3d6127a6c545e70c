//! One layer of writes above an engine: the latest write per key, in key order.

use std::collections::{BTreeMap, btree_map};
use std::iter::Rev;
use std::ops::Bound;

use crate::{Bytes, Direction, KeyRange, Write};

/// What a row costs beyond its bytes: two boxes and its share of a tree node.
const ROW_OVERHEAD_BYTES: usize = 64;

/// Writes by key; `None` is a delete that hides what lies below.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    rows: BTreeMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

/// A row of a layer.
pub(crate) type LayerRow<'a> = (&'a [u8], Option<&'a [u8]>);

impl Layer {
    /// The last write per key of `writes`.
    pub(crate) fn from_writes(writes: Vec<Write>) -> Self {
        // Collecting sorts once and builds the tree from the sorted rows; later writes win.
        let rows: BTreeMap<_, _> = writes.into_iter().collect();
        let bytes = rows.iter().map(|(key, value)| row_bytes(key, value.as_deref())).sum();
        Self { rows, bytes }
    }

    /// The write to `key`, if there is one: `Some(None)` is a delete.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.rows.get(key).map(Option::as_deref)
    }

    /// Puts a newer layer on top of this one, and makes them one.
    pub(crate) fn merge(&mut self, newer: Self) {
        if self.rows.is_empty() {
            *self = newer;
            return;
        }
        for (key, value) in newer.rows {
            self.insert(key, value);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Memory held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = LayerRow<'_>> {
        self.rows.iter().map(|(key, value)| (&**key, value.as_deref()))
    }

    pub(crate) fn scan(&self, range: &KeyRange, direction: Direction) -> LayerScan<'_> {
        if range.is_empty() {
            return LayerScan::Empty;
        }
        let lower = Bound::Included(&*range.lower);
        let upper = range.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows.range::<[u8], _>((lower, upper));
        match direction {
            Direction::Forward => LayerScan::Forward(rows),
            Direction::Backward => LayerScan::Backward(rows.rev()),
        }
    }

    fn insert(&mut self, key: Bytes, value: Option<Bytes>) {
        self.bytes += row_bytes(&key, value.as_deref());
        let key_len = key.len();
        if let Some(old) = self.rows.insert(key, value) {
            let old_len = old.map_or(0, |value| value.len());
            self.bytes -= key_len + old_len + ROW_OVERHEAD_BYTES;
        }
    }
}

/// The rows of a range of a layer, in one direction.
pub(crate) enum LayerScan<'a> {
    Empty,
    Forward(btree_map::Range<'a, Bytes, Option<Bytes>>),
    Backward(Rev<btree_map::Range<'a, Bytes, Option<Bytes>>>),
}

impl<'a> Iterator for LayerScan<'a> {
    type Item = LayerRow<'a>;

    fn next(&mut self) -> Option<LayerRow<'a>> {
        let (key, value) = match self {
            Self::Empty => return None,
            Self::Forward(rows) => rows.next()?,
            Self::Backward(rows) => rows.next()?,
        };
        Some((key, value.as_deref()))
    }
}

fn row_bytes(key: &[u8], value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len) + ROW_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_rows_that_are_left() {
        let write = |key: &[u8], value: Option<&[u8]>| (key.into(), value.map(Into::into));
        let mut layer = Layer::from_writes(vec![write(b"a", Some(b"1234")), write(b"a", None)]);
        layer.merge(Layer::from_writes(vec![write(b"a", Some(b"12")), write(b"b", None)]));
        assert_eq!(layer.len(), 2);
        assert_eq!(layer.bytes(), 2 * ROW_OVERHEAD_BYTES + 4);
    }
}
