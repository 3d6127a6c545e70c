//! How the records of a changelog come into a store: as rows in bulk, or put by put where a row
//! depends on those before it.

use state_stores::{BulkLoad, LayeredStore, StateError, StoreMetadata};

use crate::stores::{ChangelogFormat, RestoredRows, VersionedRows};

/// A store that is being restored.
pub(crate) enum StoreLoad {
    Bulk(Box<Bulk>),
    Versioned(Box<VersionedRows>),
}

pub(crate) struct Bulk {
    store: LayeredStore,
    load: BulkLoad,
    rows: RestoredRows,
}

impl StoreLoad {
    /// Begins with what the store has. On an error the store comes back.
    pub(crate) fn begin(
        mut store: LayeredStore,
        format: ChangelogFormat,
    ) -> Result<Self, Box<(LayeredStore, StateError)>> {
        if format == ChangelogFormat::VERSIONED {
            return Ok(Self::Versioned(Box::new(VersionedRows::new(store))));
        }
        let rows = RestoredRows::new(format, store.notes());
        match store.bulk_load() {
            Ok(load) => Ok(Self::Bulk(Box::new(Bulk { store, load, rows }))),
            Err(error) => Err(Box::new((store, error))),
        }
    }

    /// Takes one record.
    pub(crate) fn take(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: i64,
    ) -> Result<(), StateError> {
        match self {
            Self::Bulk(bulk) => {
                let Bulk { load, rows, .. } = &mut **bulk;
                rows.take(key, value, timestamp, |key, value| load.push(key, value));
                Ok(())
            }
            // What had expired when it was put has expired now.
            Self::Versioned(rows) => rows.put(key, value.map(Into::into), timestamp).map(|_| ()),
        }
    }

    /// All records before `metadata.next_offset` were taken. May block on the engine.
    pub(crate) fn checkpoint(&mut self, metadata: StoreMetadata) -> Result<(), StateError> {
        match self {
            Self::Bulk(bulk) => {
                let metadata = metadata.with_notes(bulk.rows.notes());
                bulk.load.checkpoint(&metadata).map(|_| ())
            }
            Self::Versioned(rows) => rows.checkpoint(metadata, false),
        }
    }

    /// All records were taken.
    pub(crate) fn finish(self, metadata: StoreMetadata) -> Result<LayeredStore, StateError> {
        match self {
            Self::Bulk(bulk) => {
                let Bulk { mut store, load, rows } = *bulk;
                let loaded = load.finish(metadata.with_notes(rows.notes()))?;
                store.finish_load(loaded);
                Ok(store)
            }
            Self::Versioned(mut rows) => {
                rows.checkpoint(metadata, true)?;
                Ok(rows.into_layers())
            }
        }
    }

    /// Gives the store back before the end: what was not written is forgotten.
    pub(crate) fn into_store(self) -> LayeredStore {
        match self {
            Self::Bulk(bulk) => bulk.store,
            Self::Versioned(rows) => rows.into_layers(),
        }
    }
}
