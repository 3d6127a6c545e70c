//! Data and metadata become visible together (I2), by batch and by file. What is visible at once is
//! flushed at once, so this is what the kill test samples, seen through thousands of snapshots.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::instance::{INGEST_BYTES, RocksInstance};
use super::{RocksOptions, Shared, open};
use crate::engine::{Instance, InstanceId, SortedWrite, key};

const FAMILY: &str = "kv.s";
const ID: InstanceId = InstanceId(7);
const ROWS: u8 = 50;

/// Writes `versions` versions of all rows, the version in each value and in the metadata, while
/// another thread takes snapshots; gives the versions that were seen.
fn seen_in_snapshots(versions: u32, claimed_bytes: usize) -> BTreeSet<Vec<u8>> {
    let disk = tempfile::tempdir().unwrap();
    let ingest = disk.path().join("ingest");
    std::fs::create_dir(&ingest).unwrap();
    let path = disk.path().join("db");
    let engine = open(&RocksOptions { path, ingest, memory_budget_bytes: 8 << 20 }).unwrap();
    crate::engine::Engine::instance(&engine, FAMILY, ID).unwrap();
    let instance = RocksInstance::new(engine.shared.clone(), FAMILY, ID);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                seen.extend(snapshot(&engine.shared));
            }
            seen
        });
        // Also if a write fails: the reader would never end, and the test would hang.
        let stop = StopOnDrop(&done);
        for version in 0..versions {
            let version = version.to_be_bytes();
            let keys: Vec<[u8; 1]> = (0..ROWS).map(|n| [n]).collect();
            instance
                .write(SortedWrite {
                    rows: Box::new(keys.iter().map(|key| (&key[..], Some(&version[..])))),
                    row_count: keys.len(),
                    bytes: claimed_bytes,
                    metadata: Some(&version),
                    into_empty: false,
                })
                .unwrap();
        }
        drop(stop);
        reader.join().unwrap()
    })
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The one version of everything in a snapshot.
fn snapshot(shared: &Shared) -> Option<Vec<u8>> {
    let handle = shared.family(FAMILY).unwrap();
    let mut rows = shared.db.raw_iterator_cf(&handle);
    rows.seek(key::Layout::of(FAMILY).metadata_key(ID));
    let metadata = rows.value()?.to_vec();
    let mut count = 0;
    while let Some(value) = rows.value() {
        assert_eq!(value, metadata, "row {count} is of another version than the metadata");
        count += 1;
        rows.next();
    }
    assert_eq!(count, usize::from(ROWS) + 1);
    Some(metadata)
}

#[test]
fn a_batch_is_visible_with_its_metadata() {
    assert!(seen_in_snapshots(5_000, 1).len() > 50, "too few snapshots to prove anything");
}

#[test]
fn a_file_is_visible_with_its_metadata() {
    assert!(seen_in_snapshots(150, INGEST_BYTES).len() > 20, "too few snapshots");
}
