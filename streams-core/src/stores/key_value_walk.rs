//! How cursors walk a key-value store: in batches, the written rows of the cache laid over the rows
//! of the layers below.

use std::ops::Bound;

use state_stores::{Direction, KeyRange};

use super::cursor::Walk;
use super::held::Held;
use super::key_value_instance::{KeyValueInstance, decode};
use super::overlay::{BATCH_ROWS_MAX, FIRST_BATCH_ROWS, Found, next_batch};
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::Timestamp;
use crate::serdes::{Serde, SerdeContext};

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
        let mut found = false;
        while let (false, WalkRange::Bytes(range)) = (found, &walk.range) {
            let Self { cache, layers, .. } = self;
            let batch = next_batch(cache, layers, range, walk.direction, walk.rows_max)?;
            for (key, value) in batch.rows {
                let (value, timestamp) = match value {
                    Found::Above(value, timestamp) => (value, timestamp),
                    Found::Below(bytes) => {
                        let mut cx = SerdeContext::value(&self.topic, &mut self.headers);
                        let (value, timestamp) = decode(&self.value_serde, &bytes, &mut cx)?;
                        (Held::new(value), timestamp)
                    }
                };
                if self.is_expired(timestamp) {
                    continue;
                }
                found = true;
                let mut cx = SerdeContext::key(&self.topic, &mut self.headers);
                let key = self.key_serde.deserialize(&key, &mut cx)?;
                yield_row(key, value, Timestamp::from_millis(timestamp));
            }
            walk.rows_max = (walk.rows_max * 2).min(BATCH_ROWS_MAX);
            walk.range = batch.rest.map_or(WalkRange::Done, WalkRange::Bytes);
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
