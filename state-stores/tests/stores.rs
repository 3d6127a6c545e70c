//! Stores over both engines: what opening, wiping, loading and applying promise.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{apply, commit, delete, metadata, open, put, read, rows};
use state_stores::{
    Attempt, Direction, KeyRange, ScanEnd, StateDirectory, StateError, StoreMetadata, StoreSpec,
    TaskKey,
};

const TASK: TaskKey = TaskKey::new(2, 0);

/// Runs `check` on memory and on RocksDB.
fn on_both(check: impl Fn(&Arc<StateDirectory>)) {
    check(&StateDirectory::in_memory());
    let disk = tempfile::tempdir().unwrap();
    check(&open(disk.path()));
}

fn run_upkeep(directory: &Arc<StateDirectory>, now_ms: i64) -> usize {
    let jobs = directory.flush_due(now_ms);
    let count = jobs.len();
    for job in jobs {
        job.run().unwrap();
    }
    count
}

#[test]
fn layers_hide_what_lies_below() {
    on_both(|directory| {
        let storage = directory.lease(TASK).unwrap();
        let mut store = storage.open_store(&StoreSpec::key_value("s")).unwrap();
        commit(&mut store, 1, vec![put(b"a", b"1"), put(b"b", b"1"), put(b"c", b"1")]);
        apply(&mut store);
        commit(&mut store, 2, vec![put(b"a", b"2"), delete(b"b")]);
        let job = store.apply().unwrap();
        assert!(store.apply().is_none(), "one job at a time");
        commit(&mut store, 3, vec![put(b"b", b"3"), delete(b"c")]);
        store.seal(Attempt(4), vec![put(b"d", b"4"), put(b"d", b"5")]);
        let seen = || [(b"a".to_vec(), b"2".to_vec()), (b"b".to_vec(), b"3".to_vec())];
        let with_sealed = [&seen()[..], &[(b"d".to_vec(), b"5".to_vec())]].concat();
        assert_eq!(rows(&store), with_sealed.into_iter().collect());
        assert_eq!(store.metadata(), Some(&metadata(3)));
        assert_eq!(store.applied_metadata(), Some(&metadata(1)));
        store.finish_apply(job.run()).unwrap();
        store.abort(Attempt(4));
        assert_eq!(rows(&store), seen().into_iter().collect());
        assert_eq!(store.applied_metadata(), Some(&metadata(2)));
        apply(&mut store);
        assert_eq!(rows(&store), seen().into_iter().collect());
        assert_eq!((store.committed_bytes(), store.sealed_bytes()), (0, 0));
        assert_eq!(store.committed_since_ms(), None);
    });
}

#[test]
fn a_commit_without_writes_moves_the_offset() {
    on_both(|directory| {
        let storage = directory.lease(TASK).unwrap();
        let spec = StoreSpec::key_value("s");
        let mut store = storage.open_store(&spec).unwrap();
        let wall_time = |wall_time_ms| StoreMetadata { wall_time_ms, ..metadata(9) };
        store.commit(Attempt(1), wall_time(1_000));
        store.commit(Attempt(2), wall_time(2_000));
        assert_eq!(store.committed_since_ms(), Some(1_000));
        apply(&mut store);
        drop(store);
        let store = storage.open_store(&spec).unwrap();
        assert_eq!(store.metadata(), Some(&wall_time(2_000)));
    });
}

#[test]
fn a_lost_job_is_handed_out_again() {
    on_both(|directory| {
        let storage = directory.lease(TASK).unwrap();
        let mut store = storage.open_store(&StoreSpec::key_value("s")).unwrap();
        commit(&mut store, 1, vec![put(b"a", b"1")]);
        drop(store.apply().unwrap());
        // Run, but its outcome was lost.
        drop(store.apply().unwrap().run());
        assert_eq!(store.applied_metadata(), None);
        apply(&mut store);
        assert_eq!(store.applied_metadata(), Some(&metadata(1)));
    });
}

#[test]
fn a_wiped_store_stays_empty() {
    let disk = tempfile::tempdir().unwrap();
    let spec = StoreSpec::key_value("s");
    let directory = open(disk.path());
    let mut neighbour = directory.lease(TaskKey::new(2, 1)).unwrap().open_store(&spec).unwrap();
    commit(&mut neighbour, 5, vec![put(b"n", b"1")]);
    apply(&mut neighbour);
    let storage = directory.lease(TASK).unwrap();
    let mut store = storage.open_store(&spec).unwrap();
    commit(&mut store, 1, (0..1000u32).map(|n| put(&n.to_be_bytes(), b"old")).collect());
    apply(&mut store);
    directory.flush_store(&spec).unwrap();

    store.wipe().unwrap();
    assert_eq!((rows(&store).len(), store.metadata()), (0, None));
    commit(&mut store, 1, vec![put(&7u32.to_be_bytes(), b"new")]);
    apply(&mut store);
    assert_eq!(run_upkeep(&directory, 0), 1, "the removal of the old rows");
    assert_eq!(run_upkeep(&directory, 0), 1, "a flush of what says that they are gone");
    assert_eq!(run_upkeep(&directory, 0), 0);
    assert_eq!(rows(&store).len(), 1);
    drop((store, storage, neighbour, directory));

    let directory = open(disk.path());
    let store = directory.lease(TASK).unwrap().open_store(&spec).unwrap();
    assert_eq!(store.get(&7u32.to_be_bytes()).unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(rows(&store).len(), 1);
    let neighbour = directory.lease(TaskKey::new(2, 1)).unwrap().open_store(&spec).unwrap();
    assert_eq!(neighbour.metadata(), Some(&metadata(5)));
    assert_eq!(rows(&neighbour).len(), 1);
}

#[test]
fn rows_whose_owner_a_crash_forgot_are_nobodys() {
    let directory = StateDirectory::in_memory();
    let spec = StoreSpec::key_value("s");
    let mut store = directory.lease(TASK).unwrap().open_store(&spec).unwrap();
    commit(&mut store, 1, vec![put(b"a", b"1")]);
    apply(&mut store);
    directory.flush_store(&spec).unwrap();
    directory.crash().unwrap();
    assert!(directory.tasks().is_empty(), "the inventory was not flushed");
    let mut other = directory.lease(TaskKey::new(7, 7)).unwrap().open_store(&spec).unwrap();
    assert_eq!((rows(&other).len(), other.metadata()), (0, None));
    commit(&mut other, 1, vec![put(b"b", b"1")]);
    apply(&mut other);
    assert_eq!(run_upkeep(&directory, 0), 2, "the inventory, and the search for such rows");
    assert_eq!(rows(&other).len(), 1);
}

#[test]
fn state_of_another_type_is_reported_and_kept_until_it_is_wiped() {
    on_both(|directory| {
        let storage = directory.lease(TASK).unwrap();
        let plain = StoreSpec::key_value("s");
        let timestamped = plain.clone().with_store_type("timestamped-key-value");
        let mut store = storage.open_store(&plain).unwrap();
        commit(&mut store, 1, vec![put(b"a", b"1")]);
        apply(&mut store);
        drop(store);
        let error = storage.open_store(&timestamped).err().unwrap();
        assert!(matches!(error, StateError::Incompatible { .. }));
        let text = error.to_string();
        assert!(text.contains("found key-value, wanted timestamped-key-value"), "{text}");
        assert_eq!(rows(&storage.open_store(&plain).unwrap()).len(), 1);
        storage.wipe_store(&timestamped).unwrap();
        let store = storage.open_store(&timestamped).unwrap();
        assert_eq!((rows(&store).len(), store.metadata()), (0, None));
    });
}

#[test]
fn in_memory_stores_outlive_a_lease_and_not_a_crash() {
    let directory = StateDirectory::in_memory();
    let spec = StoreSpec::key_value("s").in_memory();
    let mut store = directory.lease(TASK).unwrap().open_store(&spec).unwrap();
    commit(&mut store, 1, vec![put(b"a", b"1")]);
    apply(&mut store);
    drop(store);
    directory.flush_all().unwrap();
    let mut store = directory.lease(TASK).unwrap().open_store(&spec).unwrap();
    assert_eq!(rows(&store).len(), 1);
    directory.crash().unwrap();
    assert!(matches!(store.get(b"b"), Err(StateError::Crashed)));
    commit(&mut store, 2, vec![put(b"b", b"2")]);
    let applied = store.apply().unwrap().run();
    assert!(store.finish_apply(applied).is_err());
    // Its lease ended with the crash, and dropping it does not end the next one.
    let storage = directory.lease(TASK).unwrap();
    drop(store);
    assert!(directory.lease(TASK).is_err());
    assert!(rows(&storage.open_store(&spec).unwrap()).is_empty());
}

#[test]
fn a_load_keeps_the_last_record_of_each_key() {
    on_both(|directory| {
        let storage = directory.lease(TASK).unwrap();
        // Small runs are batches; large ones are files, first into an empty range, then over rows.
        for (name, run_bytes) in [("batches", 4_000), ("files", 3 << 20), ("one", 64 << 20)] {
            let mut store = storage.open_store(&StoreSpec::key_value(name)).unwrap();
            let mut load = store.bulk_load().unwrap().with_run_bytes_max(run_bytes);
            let mut runs = 0;
            for offset in 0..60_000usize {
                let key = (offset % 20_000).to_be_bytes();
                let value = [u8::try_from(offset / 20_000).unwrap(); 100];
                load.push(&key, (offset % 5 != 4 || offset < 40_000).then_some(&value[..]));
                if offset % 500 == 499 {
                    runs += usize::from(load.checkpoint(&metadata(offset + 1)).unwrap());
                }
            }
            assert_eq!(runs == 0, name == "one");
            let loaded = load.finish(metadata(60_001)).unwrap();
            store.finish_load(loaded);
            assert_eq!(store.metadata(), Some(&metadata(60_001)));
            let rows = rows(&store);
            assert_eq!(rows.len(), 16_000, "{name}");
            assert!(rows.values().all(|value| value[0] == 2 && value.len() == 100));
            commit(&mut store, 60_002, vec![put(b"z", b"after")]);
            apply(&mut store);
            assert_eq!(read(&store, KeyRange::all(), Direction::Backward, 512)[0].0, b"z");
        }
    });
}

#[test]
fn a_load_needs_a_store_without_layers() {
    on_both(|directory| {
        let storage = directory.lease(TASK).unwrap();
        let mut store = storage.open_store(&StoreSpec::key_value("s")).unwrap();
        commit(&mut store, 1, vec![put(b"a", b"1")]);
        assert!(matches!(store.bulk_load(), Err(StateError::LayersPending { .. })));
        apply(&mut store);
        assert!(store.bulk_load().is_ok());
    });
}

#[test]
fn a_load_goes_on_where_one_was_given_up() {
    on_both(|directory| {
        let storage = directory.lease(TASK).unwrap();
        let mut store = storage.open_store(&StoreSpec::key_value("s")).unwrap();
        let mut load = store.bulk_load().unwrap().with_run_bytes_max(1);
        load.push(b"a", Some(b"1"));
        assert!(matches!(store.bulk_load(), Err(StateError::StoreOpen { .. })));
        assert!(load.checkpoint(&metadata(1)).unwrap());
        load.push(b"b", Some(b"not written"));
        drop(load);
        let mut load = store.bulk_load().unwrap();
        assert_eq!(store.metadata(), Some(&metadata(1)));
        load.push(b"a", None);
        let loaded = load.finish(metadata(2)).unwrap();
        store.finish_load(loaded);
        assert!(rows(&store).is_empty());
    });
}

#[test]
fn a_batch_of_large_values_ends_early() {
    on_both(|directory| {
        let storage = directory.lease(TASK).unwrap();
        let mut store = storage.open_store(&StoreSpec::key_value("s")).unwrap();
        let large = vec![7; 1 << 20];
        commit(&mut store, 1, (0..10u8).map(|n| put(&[n], &large)).collect());
        let mut batch = Vec::new();
        let end = store.scan(&KeyRange::all(), Direction::Forward, 512, &mut batch).unwrap();
        assert!(batch.len() < 10 && matches!(end, ScanEnd::More(_)));
        apply(&mut store);
        assert_eq!(rows(&store).len(), 10);
    });
}

#[test]
fn families_are_flushed_by_age_and_by_rows() {
    on_both(|directory| {
        let storage = directory.lease(TASK).unwrap();
        let mut store = storage.open_store(&StoreSpec::key_value("s")).unwrap();
        run_upkeep(directory, 0);
        run_upkeep(directory, 60_000);
        assert_eq!(run_upkeep(directory, 60_000), 0);
        commit(&mut store, 1, vec![put(b"a", b"1")]);
        apply(&mut store);
        assert_eq!(run_upkeep(directory, 100_000), 0);
        assert_eq!(run_upkeep(directory, 159_999), 0);
        let jobs = directory.flush_due(160_000);
        assert_eq!(jobs.len(), 1);
        assert!(directory.flush_due(160_000).is_empty(), "a job is handed out once");
        drop(jobs);
        assert_eq!(run_upkeep(directory, 160_000), 1, "and again if it was dropped");
        assert_eq!(run_upkeep(directory, 900_000), 0, "nothing is unflushed");
    });
}

#[test]
fn store_names_are_checked() {
    let directory = StateDirectory::in_memory();
    let storage = directory.lease(TASK).unwrap();
    let error = storage.open_store(&StoreSpec::key_value("")).err().unwrap();
    assert!(matches!(error, StateError::StoreName { .. }));
    // Names of families that exist anyway are no trap.
    assert!(storage.open_store(&StoreSpec::key_value("default")).is_ok());
}

#[test]
fn readers_see_what_is_applied_and_keep_the_store_open() {
    on_both(|directory| {
        let storage = directory.lease(TaskKey::GLOBAL).unwrap();
        let spec = StoreSpec::key_value("s");
        let mut store = storage.open_store(&spec).unwrap();
        let reader = store.reader();
        commit(&mut store, 1, vec![put(b"a", b"1"), put(b"b", b"1")]);
        assert_eq!(rows(&reader).len(), 0, "not applied yet");
        let job = store.apply().unwrap();
        assert_eq!(job.keys().collect::<Vec<_>>(), [b"a", b"b"]);
        store.finish_apply(job.run()).unwrap();
        assert_eq!(rows(&reader), rows(&store));
        commit(&mut store, 2, vec![delete(b"a")]);
        apply(&mut store);
        assert_eq!(reader.get(b"a").unwrap(), None);
        assert_eq!(directory.tasks(), [], "it belongs to no task");
        drop(store);
        let again = storage.open_store(&spec);
        assert!(matches!(again, Err(StateError::StoreOpen { .. })), "it is being read");
        drop(reader);
        assert_eq!(storage.open_store(&spec).unwrap().metadata(), Some(&metadata(2)));
    });
}
