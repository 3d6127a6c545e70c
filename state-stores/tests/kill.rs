//! kill -9 at random times: what RocksDB has afterwards is what its metadata row says, in full
//! (invariants I2, I3).
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "the moment of a kill is what is tested")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, path::Path};

use common::{commit, metadata, open, replay, rows};
use state_stores::{LayeredStore, Segments, StoreMetadata, StoreSpec, TaskKey, Write};

const CHILD_DIRECTORY: &str = "STATE_STORES_TEST_KILLED_DIRECTORY";
/// Are wiped and loaded again and again; the second has segments.
const RELOADED: [&str; 2] = ["reloaded", "reloaded-segments"];
/// The second has segments.
const STORES: [&str; 3] = ["a", "b", "c"];
const TASK: TaskKey = TaskKey::new(0, 0);
const ROUNDS: u64 = 42;

fn spec(name: &str) -> StoreSpec {
    if name == STORES[1] || name == RELOADED[1] {
        StoreSpec::segmented(name, Segments::of_retention(i64::MAX))
    } else {
        StoreSpec::key_value(name)
    }
}

/// The record at `offset` of the changelog of `store`, always the same.
fn record(store: usize, offset: usize) -> Write {
    let mut hash = (offset as u64 ^ (store as u64) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 29;
    let key = hash % 20_000;
    let key = [(key / 4_000).to_be_bytes(), key.to_be_bytes()].concat();
    let value = vec![u8::try_from(hash % 251).unwrap(); 20 + (hash % 100) as usize];
    (key.into(), (!hash.is_multiple_of(7)).then(|| value.into()))
}

/// Not a test by itself: writes until it is killed.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(path) = env::var_os(CHILD_DIRECTORY) else { return };
    let directory = open(Path::new(&path));
    let storage = directory.lease(TASK).unwrap();
    let mut stores = STORES.map(|name| storage.open_store(&spec(name)).unwrap());
    let mut reloaded = RELOADED.map(|name| storage.open_store(&spec(name)).unwrap());
    directory.flush_due(0).into_iter().for_each(|job| job.run().unwrap());
    // As in an application, flushes come at any moment of a write: on the writing thread they
    // would never fall between data and metadata, and the test would prove nothing.
    let flusher = Arc::clone(&directory);
    std::thread::spawn(move || {
        loop {
            for name in STORES.iter().chain(&RELOADED) {
                flusher.flush_store(&spec(name)).unwrap();
            }
        }
    });
    for round in 0u64.. {
        println!("round {round}.");
        for (index, store) in stores.iter_mut().enumerate() {
            write_some(index, store, round);
        }
        if round % 4 == 3 {
            reload(&mut reloaded[(round / 4 % 2) as usize], round);
            // Purges among them.
            directory.flush_due(0).into_iter().for_each(|job| job.run().unwrap());
        }
    }
}

fn write_some(index: usize, store: &mut LayeredStore, round: u64) {
    let start = next_offset(store);
    let end = start + 50 + (round as usize * 37 + index) % 200;
    if round % 6 == index as u64 {
        let mut load = store.bulk_load().unwrap().with_run_bytes_max(4_000);
        for offset in start..end {
            let (key, value) = record(index, offset);
            load.push(&key, value.as_deref());
            load.checkpoint(&metadata(offset + 1)).unwrap();
        }
        let loaded = load.finish(metadata(end)).unwrap();
        store.finish_load(loaded);
    } else {
        commit(store, end, (start..end).map(|offset| record(index, offset)).collect());
        common::apply(store);
    }
}

/// Wipes the store and loads it in files, always with other rows than before.
fn reload(store: &mut LayeredStore, round: u64) {
    store.wipe().unwrap();
    let mut load = store.bulk_load().unwrap().with_run_bytes_max(2 << 20);
    let version = round as usize % 100 + std::process::id() as usize % 50 * 100;
    for n in 0..20_000 {
        let (key, value) = record(version, n);
        load.push(&key, value.as_deref());
        load.checkpoint(&reloaded_metadata(version, n + 1)).unwrap();
    }
    let loaded = load.finish(reloaded_metadata(version, 20_000)).unwrap();
    store.finish_load(loaded);
}

fn reloaded_metadata(version: usize, next_offset: usize) -> StoreMetadata {
    StoreMetadata { wall_time_ms: i64::try_from(version).unwrap(), ..metadata(next_offset) }
}

fn version_of(metadata: &StoreMetadata) -> usize {
    usize::try_from(metadata.wall_time_ms).unwrap()
}

fn next_offset(store: &LayeredStore) -> usize {
    store.metadata().map_or(0, |found| usize::try_from(found.next_offset).unwrap())
}

#[test]
fn what_a_kill_leaves_is_what_the_metadata_says() {
    let disk = tempfile::tempdir().unwrap();
    let mut survived = [0; STORES.len()];
    let mut reloads = 0;
    // On a slow machine it takes longer until something is flushed.
    for round in 0..ROUNDS * 4 {
        let all_survived = survived.iter().all(|offset| *offset > 0) && reloads > 0;
        if round >= ROUNDS && all_survived {
            break;
        }
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD_DIRECTORY, disk.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // How far the child comes must not depend on the machine, or slow ones test nothing.
        let kill_at = format!("round {}.", round * 5 % 7);
        assert!(lines.any(|line| line.unwrap().contains(&kill_at)));
        // Where in the round it is killed is left to chance; nothing is waited for.
        std::thread::sleep(std::time::Duration::from_micros(round * 1_777 % 40_000));
        child.kill().unwrap();
        child.wait().unwrap();

        let directory = open(disk.path());
        let storage = directory.lease(TASK).unwrap();
        for (index, name) in STORES.iter().enumerate() {
            let store = storage.open_store(&spec(name)).unwrap();
            let offset = next_offset(&store);
            assert!(offset >= survived[index], "store {name} went back");
            survived[index] = offset;
            let log: Vec<_> = (0..offset).map(|offset| record(index, offset)).collect();
            assert_eq!(rows(&store), replay(&log), "store {name} at {offset}");
        }
        for name in RELOADED {
            let reloaded = storage.open_store(&spec(name)).unwrap();
            let version = reloaded.metadata().map_or(0, version_of);
            let offset = next_offset(&reloaded);
            let log: Vec<_> = (0..offset).map(|n| record(version, n)).collect();
            assert!(rows(&reloaded) == replay(&log), "{name} {version} at {offset}");
            reloads += usize::from(offset > 0);
        }
    }
    assert!(survived.iter().all(|offset| *offset > 0) && reloads > 0, "{survived:?} {reloads}");
}
