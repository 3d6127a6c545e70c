//! The databases of persistent stores: which engine a store has, and what is open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::database::Database;
use crate::engine::{
    EngineSupplier, MemoryEngine, RocksOptions, custom_open, rocks_exists, rocks_open,
};
use crate::sync::lock;
use crate::{StateDirectoryOptions, StateError};

const ROCKSDB_DIRECTORY: &str = "db";
/// Of the directories of other engines, before their names.
const CUSTOM_PREFIX: &str = "engine-";

/// Where persistent stores keep their rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// One RocksDB database for all stores of the process.
    #[default]
    RocksDb,
    /// Memory: nothing outlives the process.
    Memory,
    /// An engine of the application's own.
    Custom(EngineSupplier),
}

impl From<EngineSupplier> for EngineKind {
    fn from(supplier: EngineSupplier) -> Self {
        Self::Custom(supplier)
    }
}

/// The engines of a directory. Each is opened when the first of its stores is asked for.
pub(super) struct Persistent {
    /// That of stores of which nothing else is said comes first.
    places: Vec<Place>,
    of_store: BTreeMap<String, usize>,
}

struct Place {
    engine: EngineKind,
    source: Source,
    database: Mutex<Option<Arc<Database>>>,
}

enum Source {
    Memory(MemoryKind),
    RocksDb(RocksOptions),
    Custom(EngineSupplier, PathBuf),
}

enum MemoryKind {
    Volatile,
    /// Flushed rows survive a crash.
    SimulatedDisk,
}

impl Persistent {
    /// The engines that `options` name. Nothing is opened yet.
    pub(super) fn new(options: &StateDirectoryOptions, ingest: &Path) -> Result<Self, StateError> {
        let mut places = Vec::new();
        let default = place_of(&mut places, &options.engine, options, ingest)?;
        debug_assert_eq!(default, 0);
        let mut of_store = BTreeMap::new();
        for (store, engine) in &options.engine_of_store {
            of_store.insert(store.clone(), place_of(&mut places, engine, options, ingest)?);
        }
        let new = Self { places, of_store };
        for path in new.left_behind(&options.path) {
            tracing::warn!(
                path = %path.display(),
                "no store uses the engine of this directory any more: what lies there may be removed"
            );
        }
        Ok(new)
    }

    /// The directories of engines below `root` that no store uses.
    fn left_behind(&self, root: &Path) -> Vec<PathBuf> {
        let used: Vec<_> = self.places.iter().filter_map(Place::path).collect();
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let is_engine = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            path.is_dir() && (name == ROCKSDB_DIRECTORY || name.starts_with(CUSTOM_PREFIX))
        };
        let engines = entries.map(|entry| entry.path()).filter(is_engine);
        engines.filter(|path| !used.contains(&path.as_path())).collect()
    }

    /// Memory for all stores; what is flushed survives a crash.
    pub(super) fn simulated_disk() -> Self {
        let source = Source::Memory(MemoryKind::SimulatedDisk);
        let place = Place { engine: EngineKind::Memory, source, database: Mutex::default() };
        Self { places: vec![place], of_store: BTreeMap::new() }
    }

    /// The database of a store, which is opened or made if it is not open.
    pub(super) fn database_of(&self, store: &str) -> Result<Arc<Database>, StateError> {
        self.place_of(store).open()
    }

    /// Whether a store's rows lie in `database`. What an engine has of stores that were moved to
    /// another one does not count.
    pub(super) fn holds(&self, database: &Arc<Database>, store: &str) -> bool {
        lock(&self.place_of(store).database).as_ref().is_some_and(|of| Arc::ptr_eq(of, database))
    }

    /// The databases that exist, and are opened if they can be.
    pub(super) fn existing(&self) -> Vec<Arc<Database>> {
        for place in self.places.iter().filter(|place| place.exists()) {
            if let Err(error) = place.open() {
                tracing::warn!(%error, "cannot look for state on disk");
            }
        }
        self.open()
    }

    /// The databases that are open.
    pub(super) fn open(&self) -> Vec<Arc<Database>> {
        self.places.iter().filter_map(|place| lock(&place.database).clone()).collect()
    }

    /// All databases, if nothing of them is on a disk.
    pub(super) fn all_in_memory(&self) -> Option<Vec<Arc<Database>>> {
        let in_memory = |place: &Place| matches!(place.source, Source::Memory(_));
        self.places.iter().all(in_memory).then(|| self.open())
    }

    fn place_of(&self, store: &str) -> &Place {
        &self.places[self.of_store.get(store).copied().unwrap_or(0)]
    }
}

impl Place {
    fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::Memory(_) => None,
            Source::RocksDb(options) => Some(&options.path),
            Source::Custom(_, path) => Some(path),
        }
    }

    fn exists(&self) -> bool {
        match &self.source {
            Source::Memory(_) => false,
            Source::RocksDb(options) => rocks_exists(options),
            Source::Custom(_, path) => path.exists(),
        }
    }

    fn open(&self) -> Result<Arc<Database>, StateError> {
        let mut database = lock(&self.database);
        if let Some(open) = &*database {
            return Ok(Arc::clone(open));
        }
        let engine = match &self.source {
            Source::Memory(MemoryKind::Volatile) => Box::new(MemoryEngine::volatile()),
            Source::Memory(MemoryKind::SimulatedDisk) => Box::new(MemoryEngine::simulated_disk()),
            Source::RocksDb(options) => rocks_open(options)?,
            Source::Custom(supplier, path) => custom_open(supplier, path)?,
        };
        Ok(Arc::clone(database.insert(Arc::new(Database::new(engine)?))))
    }
}

/// The index of an engine's place, which is made if there is none.
fn place_of(
    places: &mut Vec<Place>,
    engine: &EngineKind,
    options: &StateDirectoryOptions,
    ingest: &Path,
) -> Result<usize, StateError> {
    if let Some(index) = places.iter().position(|place| place.engine == *engine) {
        return Ok(index);
    }
    let source = match engine {
        EngineKind::Memory => Source::Memory(MemoryKind::Volatile),
        EngineKind::RocksDb => Source::RocksDb(RocksOptions {
            path: options.path.join(ROCKSDB_DIRECTORY),
            ingest: ingest.to_owned(),
            memory_budget_bytes: options.memory_budget_bytes,
        }),
        EngineKind::Custom(supplier) => {
            let path = options.path.join(format!("{CUSTOM_PREFIX}{}", supplier.name()));
            let same =
                |place: &Place| matches!(&place.source, Source::Custom(_, other) if *other == path);
            if places.iter().any(same) {
                return Err(StateError::EngineName { name: supplier.name().to_owned() });
            }
            Source::Custom(supplier.clone(), path)
        }
    };
    places.push(Place { engine: engine.clone(), source, database: Mutex::default() });
    Ok(places.len() - 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn engines_that_no_store_uses_are_known() {
        let disk = tempfile::tempdir().unwrap();
        for directory in ["db", "engine-old", "engine-new", "ingest", "other"] {
            std::fs::create_dir(disk.path().join(directory)).unwrap();
        }
        let mut options = StateDirectoryOptions::new(disk.path());
        let left_behind = |options: &StateDirectoryOptions| {
            let persistent = Persistent::new(options, disk.path()).unwrap();
            let mut found = persistent.left_behind(disk.path());
            found.sort();
            found
        };
        let of =
            |names: &[&str]| names.iter().map(|name| disk.path().join(name)).collect::<Vec<_>>();
        assert_eq!(left_behind(&options), of(&["engine-new", "engine-old"]));
        let new =
            EngineSupplier::new("new", |_| Err::<Arc<dyn crate::StorageEngine>, _>("not opened"));
        options.engine_of_store.insert("s".to_owned(), new.clone().into());
        assert_eq!(left_behind(&options), of(&["engine-old"]));
        options.engine = new.into();
        assert_eq!(left_behind(&options), of(&["db", "engine-old"]));
    }
}
