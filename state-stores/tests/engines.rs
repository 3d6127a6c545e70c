//! Engines of the application's own in a state directory: which store lies where.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, RwLock};

use common::{apply, commit, metadata, put, rows};
use state_stores::{
    Batch, Direction, EngineError, EngineKind, EngineSupplier, KeyRange, StateDirectory,
    StateDirectoryOptions, StateError, StorageEngine, StoreSpec, TaskKey,
};

const TASK: TaskKey = TaskKey::new(0, 0);

/// Rows that live as long as the test: an engine on another machine.
#[derive(Clone, Default)]
struct Remote {
    rows: Arc<RwLock<BTreeMap<Vec<u8>, Vec<u8>>>>,
    is_down: Arc<RwLock<bool>>,
}

impl Remote {
    fn supplier(&self, name: &str) -> EngineSupplier {
        let remote = self.clone();
        EngineSupplier::new(name, move |_: &Path| remote.reach().map(|()| remote.clone()))
    }

    fn reach(&self) -> Result<(), EngineError> {
        if *self.is_down.read().unwrap() { Err("no route to host".into()) } else { Ok(()) }
    }
}

impl StorageEngine for Remote {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.reach()?;
        Ok(self.rows.read().unwrap().get(key).cloned())
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        self.reach()?;
        let rows = self.rows.read().unwrap();
        let mut rows: Vec<_> = rows.range::<[u8], _>(range.bounds()).collect();
        if direction == Direction::Backward {
            rows.reverse();
        }
        let _ = rows.into_iter().try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn write(&self, mut batch: Batch<'_>) -> Result<(), EngineError> {
        self.reach()?;
        let mut rows = self.rows.write().unwrap();
        while let Some((key, value)) = batch.next_row() {
            match value {
                Some(value) => rows.insert(key.to_vec(), value.to_vec()),
                None => rows.remove(key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.reach()
    }
}

/// RocksDB, but for the stores that are named.
fn open(path: &Path, engines: &[(&str, EngineKind)]) -> Arc<StateDirectory> {
    let mut options = StateDirectoryOptions::new(path);
    for (store, engine) in engines {
        options.engine_of_store.insert((*store).to_owned(), engine.clone());
    }
    StateDirectory::open(options).unwrap()
}

fn fill(directory: &Arc<StateDirectory>, store: &str, next_offset: usize) {
    let mut store =
        directory.lease(TASK).unwrap().open_store(&StoreSpec::key_value(store)).unwrap();
    commit(&mut store, next_offset, vec![put(b"key", b"value")]);
    apply(&mut store);
}

#[test]
fn another_engine_passes_the_suite_as_far_as_it_can() {
    // What it has lies elsewhere: each directory is another one.
    let disks = Arc::new(RwLock::new(BTreeMap::<_, Remote>::new()));
    let open = move |path: &Path| {
        Ok::<_, EngineError>(disks.write().unwrap().entry(path.to_owned()).or_default().clone())
    };
    use state_stores::conformance::{Conformance, Survives};
    Conformance::of(open).survives(Survives::Closing).check();
}

#[test]
fn a_store_lies_in_its_engine_and_others_in_rocksdb() {
    let disk = tempfile::tempdir().unwrap();
    let (one, two) = (Remote::default(), Remote::default());
    let shared = EngineKind::from(one.supplier("one"));
    let engines =
        [("a", shared.clone()), ("b", shared), ("c", EngineKind::from(two.supplier("two")))];
    {
        let directory = open(disk.path(), &engines);
        for (n, store) in ["a", "b", "c", "d"].into_iter().enumerate() {
            fill(&directory, store, n + 1);
        }
        directory.flush_all().unwrap();
    }
    let directory = open(disk.path(), &engines);
    assert_eq!(directory.tasks(), [TASK]);
    let storage = directory.lease(TASK).unwrap();
    assert_eq!(storage.stores(), ["a", "b", "c", "d"]);
    for (n, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        assert_eq!(directory.store_metadata(TASK, name).unwrap(), Some(metadata(n + 1)));
        assert_eq!(rows(&storage.open_store(&StoreSpec::key_value(name)).unwrap()).len(), 1);
    }
    // Rows of two stores and of one, a metadata row for each, and the inventory.
    assert_eq!(one.rows.read().unwrap().len(), 2 * 2 + 3);
    assert_eq!(two.rows.read().unwrap().len(), 2 + 2);
    assert!(disk.path().join("engine-one").exists() && disk.path().join("db").exists());
    drop(storage);
    directory.remove_task(TASK).unwrap();
    for now_ms in 0..3 {
        directory.flush_due(now_ms * 1_000_000).into_iter().for_each(|job| job.run().unwrap());
    }
    let left: Vec<_> = one.rows.read().unwrap().keys().cloned().collect();
    assert_eq!(left.len(), 1, "ids are never used again, and nothing else is left: {left:?}");
}

#[test]
fn a_store_that_moved_to_another_engine_is_empty_there() {
    let disk = tempfile::tempdir().unwrap();
    fill(&open(disk.path(), &[]), "s", 5);
    let remote = Remote::default();
    {
        let directory = open(disk.path(), &[("s", remote.supplier("remote").into())]);
        assert_eq!(directory.store_metadata(TASK, "s").unwrap(), None);
        assert!(directory.tasks().is_empty(), "what RocksDB has of it does not count");
        fill(&directory, "s", 9);
        assert_eq!(directory.store_metadata(TASK, "s").unwrap(), Some(metadata(9)));
    }
    let everywhere = StateDirectoryOptions {
        engine: remote.supplier("remote").into(),
        ..StateDirectoryOptions::new(disk.path())
    };
    let directory = StateDirectory::open(everywhere).unwrap();
    assert_eq!(directory.store_metadata(TASK, "s").unwrap(), Some(metadata(9)));
}

#[test]
fn an_engine_that_fails_is_named_with_its_own_words() {
    let disk = tempfile::tempdir().unwrap();
    let remote = Remote::default();
    let directory = open(disk.path(), &[("s", remote.supplier("remote").into())]);
    let storage = directory.lease(TASK).unwrap();
    let spec = StoreSpec::key_value("s");
    *remote.is_down.write().unwrap() = true;
    let text = storage.open_store(&spec).err().unwrap().to_string();
    assert!(text.contains("cannot open (remote in ") && text.contains("no route"), "{text}");
    *remote.is_down.write().unwrap() = false;
    let mut store = storage.open_store(&spec).unwrap();
    commit(&mut store, 1, vec![put(b"key", b"value")]);
    *remote.is_down.write().unwrap() = true;
    let applied = store.apply().unwrap().run();
    let text = store.finish_apply(applied).err().unwrap().to_string();
    assert_eq!(text, "state engine cannot write a batch (remote): no route to host");
    assert!(matches!(store.get(b"other"), Err(StateError::Engine { .. })));
    assert!(directory.flush_all().is_err(), "rows of the inventory are not durable");
    // Nothing was lost.
    *remote.is_down.write().unwrap() = false;
    apply(&mut store);
    assert_eq!(store.applied_metadata(), Some(&metadata(1)));
    directory.flush_all().unwrap();
}

#[test]
fn two_engines_of_one_name_are_refused() {
    let disk = tempfile::tempdir().unwrap();
    let mut options = StateDirectoryOptions::new(disk.path());
    for store in ["a", "b"] {
        let engine = Remote::default().supplier("same").into();
        options.engine_of_store.insert(store.to_owned(), engine);
    }
    let error = StateDirectory::open(options).err().unwrap();
    assert!(error.to_string().starts_with("two engines are called \"same\""), "{error}");
}

#[test]
#[should_panic(expected = "engine name \"../up\" cannot be used")]
fn names_are_those_of_directories() {
    Remote::default().supplier("../up");
}

/// Tells when it is dropped, and whether its directory could be opened by another one then.
struct Guarded(Remote, std::path::PathBuf, Arc<RwLock<Vec<bool>>>);

impl StorageEngine for Guarded {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.get(key)
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        self.0.scan(range, direction, visit)
    }

    fn write(&self, batch: Batch<'_>) -> Result<(), EngineError> {
        self.0.write(batch)
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.0.flush()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let opened = StateDirectory::open(StateDirectoryOptions::new(&self.1));
        self.2.write().unwrap().push(opened.is_ok());
    }
}

#[test]
fn a_directory_stays_locked_until_its_engine_is_dropped() {
    let disk = tempfile::tempdir().unwrap();
    let drops = Arc::new(RwLock::new(Vec::new()));
    let spec = StoreSpec::key_value("s");
    for last in ["store", "job", "load", "directory"] {
        let (path, told) = (disk.path().to_owned(), drops.clone());
        let engine = EngineSupplier::new("guarded", move |_: &Path| {
            Ok::<_, EngineError>(Guarded(Remote::default(), path.clone(), told.clone()))
        });
        let directory = open(disk.path(), &[("s", engine.into())]);
        let mut store = directory.lease(TASK).unwrap().open_store(&spec).unwrap();
        let load = store.bulk_load().unwrap();
        match last {
            "store" => drop((load, directory, store)),
            "load" => drop((directory, store, load)),
            "job" => {
                drop((load, directory));
                commit(&mut store, 1, vec![put(b"key", b"value")]);
                let job = store.apply().unwrap();
                drop((store, job.run()));
            }
            _ => drop((load, store, directory)),
        }
    }
    assert_eq!(*drops.read().unwrap(), [false; 4], "somebody else could open the directory");
}
