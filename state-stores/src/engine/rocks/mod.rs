//! The engine on disk: one RocksDB database per process, a column family per store name.
//!
//! - Key of a data row: `instance id (4 bytes, big endian) | 1 | key`; of the metadata row:
//!   `instance id | 0`. Segmented families: `segment (8) | instance id | rest of the key`, metadata
//!   rows behind all segments; see [`super::key::Layout`].
//! - The log of RocksDB is off: the changelog is the log. What a crash leaves of each family is
//!   one of its past states, and the metadata rows in it say which.

#[cfg(test)]
mod atomicity_tests;
mod expiry;
mod instance;
mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rocksdb::properties::{
    ESTIMATE_NUM_KEYS, NUM_ENTRIES_ACTIVE_MEM_TABLE, NUM_ENTRIES_IMM_MEM_TABLES,
};
use rocksdb::{
    BoundColumnFamily, ColumnFamilyDescriptor, DBWithThreadMode, MultiThreaded, Options,
    WriteOptions,
};

use self::expiry::{Watermarks, segmented_options};
use self::instance::RocksInstance;
use super::key::{self, Layout, SEGMENT_LEN};
use super::{Engine, Instance, InstanceId};
use crate::StateError;
use crate::sync::lock;

type Db = DBWithThreadMode<MultiThreaded>;

/// Where and how the database is opened.
pub(crate) struct RocksOptions {
    /// The directory of the database.
    pub(crate) path: PathBuf,
    /// An empty directory of the same file system, for files on their way into the database.
    pub(crate) ingest: PathBuf,
    pub(crate) memory_budget_bytes: u64,
}

/// Whether there is a database.
pub(crate) fn rocks_exists(options: &RocksOptions) -> bool {
    options.path.join("CURRENT").exists()
}

/// Opens the database with all its families, or makes it.
pub(crate) fn rocks_open(options: &RocksOptions) -> Result<Box<dyn Engine>, StateError> {
    Ok(Box::new(open(options)?))
}

fn open(options: &RocksOptions) -> Result<RocksEngine, StateError> {
    let database_options = options::database_options(options.memory_budget_bytes);
    let families = if rocks_exists(options) {
        Db::list_cf(&database_options, &options.path)
            .map_err(failed("list the families", &options.path.display().to_string()))?
    } else {
        vec![rocksdb::DEFAULT_COLUMN_FAMILY_NAME.to_owned()]
    };
    options::raise_file_limit(families.len());
    let watermarks = Mutex::default();
    let descriptors = families.iter().map(|name| {
        ColumnFamilyDescriptor::new(name, family_options(name, &database_options, &watermarks))
    });
    let db = Db::open_cf_descriptors(&database_options, &options.path, descriptors)
        .map_err(failed("open the database", &options.path.display().to_string()))?;
    Ok(RocksEngine {
        shared: Arc::new(Shared {
            db,
            options: database_options,
            ingest: options.ingest.clone(),
            next_file: AtomicU64::new(0),
            watermarks,
        }),
        families: Mutex::new(families),
    })
}

struct RocksEngine {
    shared: Arc<Shared>,
    /// The names of the families; the lock also keeps two threads from making the same family.
    families: Mutex<Vec<String>>,
}

/// The database and what is needed to write to it.
struct Shared {
    db: Db,
    options: Options,
    ingest: PathBuf,
    next_file: AtomicU64,
    watermarks: Mutex<FamilyWatermarks>,
}

/// By segmented family.
type FamilyWatermarks = BTreeMap<String, Arc<Watermarks>>;

fn family_options(
    family: &str,
    database: &Options,
    watermarks: &Mutex<FamilyWatermarks>,
) -> Options {
    match Layout::of(family) {
        Layout::Keyed => database.clone(),
        Layout::Segmented => {
            let mut watermarks = lock(watermarks);
            segmented_options(database, watermarks.entry(family.to_owned()).or_default())
        }
    }
}

impl Shared {
    fn family(&self, name: &str) -> Result<Arc<BoundColumnFamily<'_>>, StateError> {
        self.db.cf_handle(name).ok_or_else(|| StateError::Engine {
            action: "find the family",
            place: name.to_owned(),
            message: "it is not open".to_owned(),
        })
    }

    fn next_ingest_file(&self) -> PathBuf {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        Path::new(&self.ingest).join(format!("{number}.sst"))
    }

    /// The segments that a segmented family has, that of the metadata rows last.
    fn segments(&self, family: &str) -> Result<Vec<u64>, StateError> {
        let handle = self.family(family)?;
        let mut rows = self.db.raw_iterator_cf(&handle);
        let mut found: Vec<u64> = Vec::new();
        rows.seek_to_first();
        while let Some(segment) = rows.key().and_then(|key| key.first_chunk::<SEGMENT_LEN>()) {
            let segment = u64::from_be_bytes(*segment);
            found.push(segment);
            // One seek a segment.
            match segment.checked_add(1) {
                Some(next) => rows.seek(next.to_be_bytes()),
                None => break,
            }
        }
        rows.status().map_err(failed("scan the family", family))?;
        Ok(found)
    }

    fn keyed_instances(&self, family: &str) -> Result<Vec<InstanceId>, StateError> {
        let handle = self.family(family)?;
        let mut rows = self.db.raw_iterator_cf(&handle);
        let mut found = Vec::new();
        rows.seek_to_first();
        while let Some(id) = rows.key().and_then(key::instance_of) {
            found.push(id);
            // One seek an instance.
            rows.seek(key::instance_bounds(id).1);
        }
        rows.status().map_err(failed("scan the family", family))?;
        Ok(found)
    }

    fn segmented_instances(&self, family: &str) -> Result<Vec<InstanceId>, StateError> {
        let handle = self.family(family)?;
        let mut rows = self.db.raw_iterator_cf(&handle);
        let mut found = BTreeSet::new();
        rows.seek_to_first();
        while let Some((segment, id, _)) = rows.key().and_then(key::split_segmented) {
            found.insert(id);
            // One seek an instance and segment.
            rows.seek(key::after_instance(segment, id));
        }
        rows.status().map_err(failed("scan the family", family))?;
        Ok(found.into_iter().collect())
    }

    fn estimated_rows(&self, family: &Arc<BoundColumnFamily<'_>>) -> u64 {
        self.db.property_int_value_cf(family, ESTIMATE_NUM_KEYS).ok().flatten().unwrap_or(0)
    }
}

impl Engine for RocksEngine {
    fn instance(&self, family: &str, id: InstanceId) -> Result<Arc<dyn Instance>, StateError> {
        let mut families = lock(&self.families);
        if !families.iter().any(|name| name == family) {
            let options = family_options(family, &self.shared.options, &self.shared.watermarks);
            self.shared
                .db
                .create_cf(family, &options)
                .map_err(failed("create the family", family))?;
            families.push(family.to_owned());
        }
        Ok(Arc::new(RocksInstance::new(Arc::clone(&self.shared), family, id)))
    }

    fn families(&self) -> Vec<String> {
        lock(&self.families).clone()
    }

    fn flush(&self, family: &str) -> Result<(), StateError> {
        self.shared
            .db
            .flush_cf(&self.shared.family(family)?)
            .map_err(failed("flush the family", family))
    }

    fn unflushed_rows(&self, family: &str) -> u64 {
        let Ok(handle) = self.shared.family(family) else { return 0 };
        [NUM_ENTRIES_ACTIVE_MEM_TABLE, NUM_ENTRIES_IMM_MEM_TABLES]
            .into_iter()
            .filter_map(|name| self.shared.db.property_int_value_cf(&handle, name).ok().flatten())
            .sum()
    }

    fn purge(&self, family: &str, id: InstanceId) -> Result<(), StateError> {
        let handle = self.shared.family(family)?;
        let ranges = match Layout::of(family) {
            Layout::Keyed => vec![key::instance_bounds(id)],
            Layout::Segmented => {
                let segments = self.shared.segments(family)?.into_iter();
                segments.map(|segment| key::segment_bounds(segment, id)).collect()
            }
        };
        for (from, to) in ranges {
            // Whole files first; the tombstone that hides the rest must not go with one of them.
            self.shared
                .db
                .delete_file_in_range_cf(&handle, &from, &to)
                .map_err(failed("delete files of the family", family))?;
            self.shared
                .db
                .delete_range_cf_opt(&handle, &from, &to, &without_log())
                .map_err(failed("delete a range of the family", family))?;
        }
        Ok(())
    }

    fn expire(
        &self,
        family: &str,
        oldest_live: &BTreeMap<InstanceId, u64>,
    ) -> Result<(), StateError> {
        let watermarks = lock(&self.shared.watermarks).get(family).cloned();
        let Some(watermarks) = watermarks else { return Ok(()) };
        watermarks.set(oldest_live);
        let Some(floor) = watermarks.take_risen_floor() else { return Ok(()) };
        let (from, to) = (0_u64.to_be_bytes(), floor.to_be_bytes());
        self.shared
            .db
            .delete_file_in_range_cf(&self.shared.family(family)?, from, to)
            .map_err(failed("delete files of expired segments", family))
    }

    fn instances(&self, family: &str) -> Result<Vec<InstanceId>, StateError> {
        match Layout::of(family) {
            Layout::Keyed => self.shared.keyed_instances(family),
            Layout::Segmented => self.shared.segmented_instances(family),
        }
    }

    fn crash(&self) -> Result<(), StateError> {
        Err(StateError::CrashUnsupported)
    }
}

fn without_log() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

fn failed(action: &'static str, place: &str) -> impl FnOnce(rocksdb::Error) -> StateError {
    let place = place.to_owned();
    move |error| StateError::Engine { action, place, message: error.into_string() }
}
