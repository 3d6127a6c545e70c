//! One layer of writes above an engine: the latest write per key.
//!
//! Keys and values lie in one buffer, found by hash: a commit copies bytes and allocates nothing
//! per row, and a layer that was applied is freed at once. The order of keys is made when a scan
//! asks for it; a store that is never scanned never pays for it.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::sync::lock;
use crate::{Direction, KeyRange};

/// What a row costs beyond its bytes: its place in the buffer, in the index and in the order.
const ROW_OVERHEAD_BYTES: usize = size_of::<Place>() + 16;
/// The length of no value.
const DELETED: u32 = u32::MAX;
/// Replaced values are dropped from the buffer when they are this much and half of it.
const GARBAGE_BYTES_MIN: usize = 1 << 20;
/// Rows that came since the last scan are merged into the order when they are this share of it.
const TAIL_SHARE: usize = 8;

/// Always the same, so that equal runs stay equal.
const HASHER: FixedState = FixedState::with_seed(0x5374_6f72_6573);

/// A row of a layer; without a value it is a delete that hides what lies below.
pub(crate) type LayerRow<'a> = (&'a [u8], Option<&'a [u8]>);

/// Writes by key.
#[derive(Default)]
pub(crate) struct Layer {
    buffer: Vec<u8>,
    /// One for each key, in the order of their first writes.
    places: Vec<Place>,
    index: HashTable<Slot>,
    /// Bytes of replaced values in the buffer.
    garbage: usize,
    order: Mutex<Order>,
}

/// From the hash of a key to its place. With the hash in it the table grows, and is searched,
/// without a look at the keys.
#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    index: u32,
}

/// Where a row lies in the buffer.
struct Place {
    /// The first bytes of the key: decides most comparisons without a look into the buffer.
    head: u64,
    key_start: usize,
    value_start: usize,
    key_len: u32,
    value_len: u32,
}

impl Layer {
    /// The last write per key of `writes`.
    pub(crate) fn from_writes<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        writes: impl IntoIterator<Item = (K, Option<V>)>,
    ) -> Self {
        let mut layer = Self::default();
        let writes = writes.into_iter();
        layer.reserve(writes.size_hint().0);
        for (key, value) in writes {
            layer.insert(key.as_ref(), value.as_ref().map(V::as_ref));
        }
        layer
    }

    /// The write to `key`, if there is one: `Some(None)` is a delete.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.places.is_empty() {
            return None;
        }
        let index = self.find(hash(key), key)?;
        Some(self.value(&self.places[index as usize]))
    }

    /// Puts a newer layer on top of this one, and makes them one.
    pub(crate) fn merge(&mut self, newer: Self) {
        if self.places.is_empty() {
            *self = newer;
            return;
        }
        self.reserve(newer.places.len());
        for place in &newer.places {
            self.insert(newer.key(place), newer.value(place));
        }
    }

    /// How many keys were written.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Memory held.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len() + self.places.len() * ROW_OVERHEAD_BYTES
    }

    /// The bytes of keys and values.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.buffer.len() - self.garbage
    }

    /// All rows by key. Sorts anew: this is for workers, who must not wait for readers.
    pub(crate) fn sorted_rows(&self) -> impl Iterator<Item = LayerRow<'_>> {
        let order = self.sort(0..self.places.len());
        order.into_iter().map(|index| self.row(index))
    }

    /// The rows of `range` by key, in `direction`.
    pub(crate) fn scan(&self, range: &KeyRange, direction: Direction) -> LayerScan<'_> {
        let (main, tail) = if self.places.is_empty() || range.is_empty() {
            Default::default()
        } else {
            self.order()
        };
        LayerScan {
            main: self.window(main, range),
            tail: self.window(tail, range),
            layer: self,
            direction,
        }
    }

    fn insert(&mut self, key: &[u8], value: Option<&[u8]>) {
        let hash = hash(key);
        match self.find(hash, key) {
            Some(index) => self.replace(index, value),
            None => self.append(hash, key, value),
        }
    }

    fn append(&mut self, hash: u32, key: &[u8], value: Option<&[u8]>) {
        let index = u32::try_from(self.places.len()).expect("a layer has fewer than 2^32 rows");
        let key_start = self.buffer.len();
        self.buffer.extend_from_slice(key);
        let value_start = self.buffer.len();
        self.buffer.extend_from_slice(value.unwrap_or_default());
        self.places.push(Place {
            head: head(key),
            key_start,
            value_start,
            key_len: len_u32(key),
            value_len: value.map_or(DELETED, len_u32),
        });
        self.index.insert_unique(spread(hash), Slot { hash, index }, |slot| spread(slot.hash));
    }

    fn replace(&mut self, index: u32, value: Option<&[u8]>) {
        let place = &mut self.places[index as usize];
        let old_len = place.stored_len();
        let new = value.unwrap_or_default();
        if new.len() <= old_len {
            // Counters and their like stay where they are.
            self.buffer[place.value_start..place.value_start + new.len()].copy_from_slice(new);
            self.garbage += old_len - new.len();
        } else {
            place.value_start = self.buffer.len();
            self.buffer.extend_from_slice(new);
            self.garbage += old_len;
        }
        place.value_len = value.map_or(DELETED, len_u32);
        if self.garbage >= GARBAGE_BYTES_MIN && self.garbage > self.buffer.len() / 2 {
            self.collect_garbage();
        }
    }

    fn collect_garbage(&mut self) {
        let mut buffer = Vec::with_capacity(self.payload_bytes());
        for place in &mut self.places {
            let key = key_of(&self.buffer, place);
            let value = &self.buffer[place.value_start..place.value_start + place.stored_len()];
            place.key_start = buffer.len();
            buffer.extend_from_slice(key);
            place.value_start = buffer.len();
            buffer.extend_from_slice(value);
        }
        self.buffer = buffer;
        self.garbage = 0;
    }

    fn reserve(&mut self, rows: usize) {
        // Beyond it both grow by doubling.
        if self.places.len() < rows {
            self.places.reserve(rows);
            self.index.reserve(rows, |slot| spread(slot.hash));
        }
    }

    fn row(&self, index: u32) -> LayerRow<'_> {
        let place = &self.places[index as usize];
        (self.key(place), self.value(place))
    }

    fn key(&self, place: &Place) -> &[u8] {
        key_of(&self.buffer, place)
    }

    fn value(&self, place: &Place) -> Option<&[u8]> {
        (place.value_len != DELETED)
            .then(|| &self.buffer[place.value_start..place.value_start + place.stored_len()])
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        let slot = self.index.find(spread(hash), |slot| {
            slot.hash == hash && self.key(&self.places[slot.index as usize]) == key
        });
        slot.map(|slot| slot.index)
    }
}

impl Place {
    fn stored_len(&self) -> usize {
        if self.value_len == DELETED { 0 } else { self.value_len as usize }
    }
}

/// Indexes of places by key, in two parts: rows that came since the last scan are few, and are
/// merged into the many only now and then.
#[derive(Default)]
struct Order {
    main: Arc<Vec<u32>>,
    tail: Arc<Vec<u32>>,
}

impl Layer {
    /// The order of all rows, brought up to date.
    fn order(&self) -> (Arc<Vec<u32>>, Arc<Vec<u32>>) {
        let mut order = lock(&self.order);
        let covered = order.main.len() + order.tail.len();
        if covered < self.places.len() {
            let new = self.sort(covered..self.places.len());
            order.tail = Arc::new(self.merge_orders(&order.tail, &new));
            if order.tail.len() > order.main.len() / TAIL_SHARE {
                order.main = Arc::new(self.merge_orders(&order.main, &order.tail));
                order.tail = Arc::default();
            }
        }
        (Arc::clone(&order.main), Arc::clone(&order.tail))
    }

    fn sort(&self, indexes: std::ops::Range<usize>) -> Vec<u32> {
        let first = u32::try_from(indexes.start).expect("a layer has fewer than 2^32 rows");
        let mut order: Vec<(u64, u32)> =
            self.places[indexes].iter().map(|place| place.head).zip(first..).collect();
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| self.row(a.1).0.cmp(self.row(b.1).0))
        });
        order.into_iter().map(|(_, index)| index).collect()
    }

    fn merge_orders(&self, a: &[u32], b: &[u32]) -> Vec<u32> {
        let mut merged = Vec::with_capacity(a.len() + b.len());
        let (mut a, mut b) = (a, b);
        while let ([first_a, rest_a @ ..], [first_b, rest_b @ ..]) = (a, b) {
            if self.compare(*first_a, *first_b).is_lt() {
                merged.push(*first_a);
                a = rest_a;
            } else {
                merged.push(*first_b);
                b = rest_b;
            }
        }
        merged.extend_from_slice(a);
        merged.extend_from_slice(b);
        merged
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (&self.places[a as usize], &self.places[b as usize]);
        a.head.cmp(&b.head).then_with(|| self.key(a).cmp(self.key(b)))
    }

    /// The part of `order` that lies in `range`.
    fn window(&self, order: Arc<Vec<u32>>, range: &KeyRange) -> Window {
        let start = order.partition_point(|index| self.row(*index).0 < &*range.lower);
        let end = match range.upper.as_deref() {
            Some(upper) => order.partition_point(|index| self.row(*index).0 < upper),
            None => order.len(),
        };
        Window { order, start, end }
    }
}

/// The rows of a range of a layer, in one direction.
pub(crate) struct LayerScan<'a> {
    layer: &'a Layer,
    main: Window,
    tail: Window,
    direction: Direction,
}

/// What is left of an order.
struct Window {
    order: Arc<Vec<u32>>,
    start: usize,
    end: usize,
}

impl Window {
    fn peek(&self, direction: Direction) -> Option<u32> {
        let rest = &self.order[self.start..self.end.max(self.start)];
        match direction {
            Direction::Forward => rest.first().copied(),
            Direction::Backward => rest.last().copied(),
        }
    }

    fn advance(&mut self, direction: Direction) {
        match direction {
            Direction::Forward => self.start += 1,
            Direction::Backward => self.end -= 1,
        }
    }
}

impl<'a> Iterator for LayerScan<'a> {
    type Item = LayerRow<'a>;

    fn next(&mut self) -> Option<LayerRow<'a>> {
        let direction = self.direction;
        let from_main = match (self.main.peek(direction), self.tail.peek(direction)) {
            (None, None) => return None,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(main), Some(tail)) => {
                self.layer.compare(main, tail).is_lt() == (direction == Direction::Forward)
            }
        };
        let window = if from_main { &mut self.main } else { &mut self.tail };
        let index = window.peek(direction)?;
        window.advance(direction);
        Some(self.layer.row(index))
    }
}

fn key_of<'a>(buffer: &'a [u8], place: &Place) -> &'a [u8] {
    &buffer[place.key_start..place.key_start + place.key_len as usize]
}

/// The first bytes of a key, so that heads compare as keys do, or are equal.
pub(crate) fn head(key: &[u8]) -> u64 {
    if let Some(head) = key.first_chunk() {
        return u64::from_be_bytes(*head);
    }
    let mut head = [0; 8];
    head[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(head)
}

fn hash(key: &[u8]) -> u32 {
    let hash = HASHER.hash_one(key);
    (hash ^ (hash >> 32)) as u32
}

/// The table takes its position from the low bits and its tags from the high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

fn len_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len())
        .ok()
        .filter(|len| *len != DELETED)
        .expect("keys and values are below 4 GB, as records are")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    fn owned(row: LayerRow<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
        (row.0.to_vec(), row.1.map(<[u8]>::to_vec))
    }

    fn batches() -> impl Strategy<Value = Vec<Writes>> {
        let key = prop::collection::vec(prop_oneof![Just(0u8), Just(5), Just(255)], 0..11);
        let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..5));
        prop::collection::vec(prop::collection::vec((key, value), 0..20), 1..12)
    }

    proptest! {
        #[test]
        fn a_layer_is_an_ordered_map(batches in batches(), scan_each: bool) {
            let mut layer = Layer::default();
            let mut map = BTreeMap::new();
            for batch in batches {
                layer.merge(Layer::from_writes(batch.clone()));
                map.extend(batch);
                if scan_each {
                    layer.collect_garbage();
                    let range = KeyRange { lower: [5].into(), upper: Some([255].into()) };
                    let backward: Vec<_> =
                        layer.scan(&range, Direction::Backward).map(owned).collect();
                    let in_range = map.iter().filter(|(key, _)| range.contains(key));
                    let expected: Vec<_> =
                        in_range.rev().map(|(key, value)| (key.clone(), value.clone())).collect();
                    prop_assert_eq!(backward, expected);
                }
            }
            for (key, value) in &map {
                prop_assert_eq!(layer.get(key), Some(value.as_deref()));
            }
            prop_assert_eq!(layer.get(b"absent"), None);
            let expected: Vec<_> = map.into_iter().collect();
            prop_assert_eq!(layer.len(), expected.len());
            prop_assert_eq!(layer.sorted_rows().map(owned).collect::<Vec<_>>(), &expected[..]);
            let scanned: Vec<_> =
                layer.scan(&KeyRange::all(), Direction::Forward).map(owned).collect();
            prop_assert_eq!(scanned, expected);
        }
    }

    #[test]
    fn replaced_values_do_not_pile_up() {
        let mut layer = Layer::default();
        for len in 0..4_000usize {
            layer.merge(Layer::from_writes([(b"key", Some(vec![7; len]))]));
        }
        assert_eq!(layer.get(b"key").unwrap().unwrap().len(), 3_999);
        assert!(layer.bytes() < 4 * GARBAGE_BYTES_MIN, "{}", layer.bytes());
        assert_eq!(layer.payload_bytes(), 3 + 3_999);
        layer.merge(Layer::from_writes([(b"key", Some(b"short"))]));
        assert_eq!(layer.payload_bytes(), 3 + 5);
    }
}
