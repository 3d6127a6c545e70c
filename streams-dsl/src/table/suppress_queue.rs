//! Who is next among the changes that a suppression holds back.

use std::collections::BTreeMap;

use crate::options::BufferLimits;

/// So many places are held in memory; the later ones are read from the store when their turn comes.
const PLACES_MAX: usize = 1 << 17;

/// A place: by time, then by the key's bytes.
type Place = (i64, Box<[u8]>);

/// The queue of a task: what is first, and how much there is of all.
pub(super) struct Queue<K> {
    places: BTreeMap<Place, K>,
    places_max: usize,
    /// From there on the places are not in memory.
    beyond: Option<Place>,
    records: u64,
    bytes: u64,
}

impl<K> Queue<K> {
    pub(super) fn new() -> Self {
        Self::with_places(PLACES_MAX)
    }

    fn with_places(places_max: usize) -> Self {
        Self { places: BTreeMap::new(), places_max, beyond: None, records: 0, bytes: 0 }
    }

    /// Adds a key that is not in the queue.
    pub(super) fn push(&mut self, time: i64, bytes: Box<[u8]>, key: K, size: u64) {
        self.records += 1;
        self.bytes += size;
        self.place((time, bytes), key);
    }

    fn place(&mut self, place: Place, key: K) {
        if self.beyond.as_ref().is_some_and(|beyond| place >= *beyond) {
            return;
        }
        self.places.insert(place, key);
        if self.places.len() > self.places_max {
            let half = self.places.keys().nth(self.places_max / 2).cloned();
            if let Some(half) = half {
                self.places.split_off(&half);
                self.beyond = Some(half);
            }
        }
    }

    /// The time of the first.
    pub(super) fn first_time(&self) -> Option<i64> {
        self.places.first_key_value().map(|((time, _), _)| *time)
    }

    /// Takes the first out; its row is to be told with [`left`](Self::left).
    pub(super) fn pop(&mut self) -> Option<(Box<[u8]>, K)> {
        self.places.pop_first().map(|((_, bytes), key)| (bytes, key))
    }

    /// A row of that size has left.
    pub(super) fn left(&mut self, size: u64) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }

    /// A row changed its size.
    pub(super) fn resize(&mut self, before: u64, after: u64) {
        self.bytes = (self.bytes + after).saturating_sub(before);
    }

    /// Whether the first is not in memory.
    pub(super) fn has_more_in_store(&self) -> bool {
        self.places.is_empty() && self.beyond.is_some()
    }

    /// All rows follow, with [`refill`](Self::refill).
    pub(super) fn begin_refill(&mut self) {
        self.beyond = None;
    }

    /// A row that is in the queue already.
    pub(super) fn refill(&mut self, time: i64, bytes: Box<[u8]>, key: K) {
        self.place((time, bytes), key);
    }

    pub(super) fn is_over(&self, limits: &BufferLimits) -> bool {
        limits.records_max.is_some_and(|max| self.records > max)
            || limits.bytes_max.is_some_and(|max| self.bytes > max)
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_queue_that_is_too_long_for_memory_has_the_same_order(
            times in proptest::collection::vec(0..50_i64, 1..60),
            pops in proptest::collection::vec(any::<bool>(), 60),
        ) {
            let mut queue = Queue::with_places(4);
            let mut rows: BTreeMap<Place, usize> = BTreeMap::new();
            for ((key, time), pop) in times.into_iter().enumerate().zip(pops) {
                let bytes: Box<[u8]> = key.to_string().into_bytes().into();
                rows.insert((time, bytes.clone()), key);
                queue.push(time, bytes, key, 1);
                if pop {
                    let expected = rows.pop_first();
                    prop_assert_eq!(queue.first_time(), expected.as_ref().map(|((time, _), _)| *time));
                    prop_assert_eq!(queue.pop().map(|(_, key)| key), expected.map(|(_, key)| key));
                    queue.left(1);
                    if queue.has_more_in_store() {
                        queue.begin_refill();
                        for ((time, bytes), key) in &rows {
                            queue.refill(*time, bytes.clone(), *key);
                        }
                    }
                }
                prop_assert_eq!(queue.records(), rows.len() as u64);
                prop_assert_eq!(queue.bytes(), rows.len() as u64);
            }
        }
    }
}
