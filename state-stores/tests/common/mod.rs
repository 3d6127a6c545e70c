//! What several tests need.
#![allow(dead_code, reason = "each test crate uses a part")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use state_stores::{
    Attempt, Cursor, Direction, KeyRange, LayeredStore, StateDirectory, StateDirectoryOptions,
    StoreMetadata, Write,
};
use uuid::Uuid;

pub(crate) const TOPIC: Uuid = Uuid::from_u128(0x70);

pub(crate) fn open(path: &std::path::Path) -> Arc<StateDirectory> {
    StateDirectory::open(StateDirectoryOptions::new(path)).unwrap()
}

pub(crate) fn metadata(next_offset: usize) -> StoreMetadata {
    StoreMetadata::new(TOPIC, i64::try_from(next_offset).unwrap())
}

pub(crate) fn put(key: &[u8], value: &[u8]) -> Write {
    (key.into(), Some(value.into()))
}

pub(crate) fn delete(key: &[u8]) -> Write {
    (key.into(), None)
}

/// Commits `writes` as one attempt.
pub(crate) fn commit(store: &mut LayeredStore, next_offset: usize, writes: Vec<Write>) {
    let attempt = Attempt(next_offset as u64);
    store.seal(attempt, writes);
    store.commit(attempt, metadata(next_offset));
}

pub(crate) fn apply(store: &mut LayeredStore) {
    if let Some(job) = store.apply() {
        store.finish_apply(job.run()).unwrap();
    }
}

pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// What `log` leaves.
pub(crate) fn replay<'a>(log: impl IntoIterator<Item = &'a Write>) -> Rows {
    let mut rows = Rows::new();
    for (key, value) in log {
        match value {
            Some(value) => rows.insert(key.to_vec(), value.to_vec()),
            None => rows.remove(&key[..]),
        };
    }
    rows
}

pub(crate) fn rows(store: &LayeredStore) -> Rows {
    read(store, KeyRange::all(), Direction::Forward, Cursor::ROWS_MAX).into_iter().collect()
}

pub(crate) fn read(
    store: &LayeredStore,
    range: KeyRange,
    direction: Direction,
    rows_max: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut cursor = Cursor::new(range, direction).with_rows_max(rows_max);
    let (mut batch, mut all) = (Vec::new(), Vec::new());
    while cursor.next(store, &mut batch).unwrap() {
        assert!(batch.len() <= rows_max);
        all.extend(batch.drain(..).map(|(key, value)| (key.into_vec(), value.into_vec())));
    }
    all
}
