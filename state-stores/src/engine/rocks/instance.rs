//! The rows of one incarnation of a store in RocksDB.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rocksdb::{
    BoundColumnFamily, IngestExternalFileOptions, Range, ReadOptions, SstFileWriter, WriteBatch,
};

use super::key::{
    PREFIX_LEN, data_bounds, data_prefix, instance_bounds, metadata_key, with_data_key,
};
use super::{Shared, failed};
use crate::engine::{Instance, InstanceId, SortedWrite};
use crate::{Direction, KeyRange, StateError};

/// A restore of fewer bytes is cheaper as a batch: a file costs a millisecond of everybody's.
const INGEST_BYTES_EMPTY: usize = 1 << 20;
/// Into rows that exist, files pay from here on, by bytes, or by rows and share of the store.
pub(super) const INGEST_BYTES: usize = 32 << 20;
const INGEST_ROWS: usize = 100_000;
const INGEST_SHARE: u64 = 100;

pub(super) struct RocksInstance {
    shared: Arc<Shared>,
    family: Box<str>,
    id: InstanceId,
    prefix: [u8; PREFIX_LEN],
}

impl RocksInstance {
    pub(super) fn new(shared: Arc<Shared>, family: &str, id: InstanceId) -> Self {
        Self { shared, family: family.into(), id, prefix: data_prefix(id) }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(rocksdb::Error) -> StateError {
        failed(action, &self.family)
    }

    fn handle(&self) -> Result<Arc<BoundColumnFamily<'_>>, StateError> {
        self.shared.family(&self.family)
    }

    /// Files cost a flush of what they overlap, and lie in level 0 until they are compacted: they
    /// pay for many rows, and when they go straight to the last level.
    fn pays_to_ingest(&self, write: &SortedWrite<'_>) -> bool {
        if write.into_empty {
            return write.bytes >= INGEST_BYTES_EMPTY;
        }
        write.bytes >= INGEST_BYTES
            || (write.row_count >= INGEST_ROWS
                && write.row_count as u64 >= self.approximate_len() / INGEST_SHARE)
    }

    fn write_batch(&self, write: SortedWrite<'_>) -> Result<(), StateError> {
        let handle = self.handle()?;
        let per_row = PREFIX_LEN + 8;
        let mut batch = WriteBatch::with_capacity_bytes(write.bytes + write.row_count * per_row);
        if let Some(metadata) = write.metadata {
            batch.put_cf(&handle, metadata_key(self.id), metadata);
        }
        for (key, value) in write.rows {
            with_data_key(self.prefix, key, |key| match value {
                Some(value) => batch.put_cf(&handle, key, value),
                None => batch.delete_cf(&handle, key),
            });
        }
        self.shared.db.write_without_wal(batch).map_err(self.failed("write a batch"))
    }

    fn write_file(&self, write: SortedWrite<'_>) -> Result<(), StateError> {
        let path = self.shared.next_ingest_file();
        let result = self.fill_file(&path, write).and_then(|()| self.ingest(&path));
        if result.is_err() {
            // It may not have come to exist; what is left is removed at the next start.
            let _ = fs::remove_file(&path);
        }
        result
    }

    fn fill_file(&self, path: &Path, write: SortedWrite<'_>) -> Result<(), StateError> {
        let failed = || self.failed("write a file of rows");
        let mut file = SstFileWriter::create(&self.shared.options);
        file.open(path).map_err(failed())?;
        if let Some(metadata) = write.metadata {
            file.put(metadata_key(self.id), metadata).map_err(failed())?;
        }
        for (key, value) in write.rows {
            with_data_key(self.prefix, key, |key| match value {
                Some(value) => file.put(key, value),
                None => file.delete(key),
            })
            .map_err(failed())?;
        }
        file.finish().map_err(failed())
    }

    fn ingest(&self, path: &Path) -> Result<(), StateError> {
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.shared
            .db
            .ingest_external_file_cf_opts(&self.handle()?, &options, vec![path])
            .map_err(self.failed("ingest a file of rows"))
    }
}

impl Instance for RocksInstance {
    fn get(&self, key: &[u8], found: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StateError> {
        let handle = self.handle()?;
        let value =
            with_data_key(self.prefix, key, |key| self.shared.db.get_pinned_cf(&handle, key))
                .map_err(self.failed("get a row"))?;
        found(value.as_deref());
        Ok(())
    }

    fn metadata(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.shared
            .db
            .get_cf(&self.handle()?, metadata_key(self.id))
            .map_err(self.failed("get the metadata row"))
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        if range.is_empty() {
            return Ok(());
        }
        let handle = self.handle()?;
        let (lower, upper) = data_bounds(self.prefix, range);
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(lower);
        options.set_iterate_upper_bound(upper);
        let mut rows = self.shared.db.raw_iterator_cf_opt(&handle, options);
        match direction {
            Direction::Forward => rows.seek_to_first(),
            Direction::Backward => rows.seek_to_last(),
        }
        while let Some((key, value)) = rows.item() {
            if visit(&key[PREFIX_LEN..], value).is_break() {
                return Ok(());
            }
            match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.prev(),
            }
        }
        // The end of the rows, or an error.
        rows.status().map_err(self.failed("scan rows"))
    }

    fn write(&self, write: SortedWrite<'_>) -> Result<(), StateError> {
        let has_rows = write.row_count > 0 || write.metadata.is_some();
        if has_rows && self.pays_to_ingest(&write) {
            self.write_file(write)
        } else {
            self.write_batch(write)
        }
    }

    /// The family's rows, by the share of its files that is this instance's.
    fn approximate_len(&self) -> u64 {
        let Ok(handle) = self.handle() else { return 0 };
        let rows = self.shared.estimated_rows(&handle);
        let (from, to) = instance_bounds(self.id);
        let everything = [u8::MAX; 16];
        let sizes = self.shared.db.get_approximate_sizes_cf(
            &handle,
            &[Range::new(&from, &to), Range::new(&[], &everything)],
        );
        match sizes[..] {
            [ours, all] if all > 0 => {
                let share = u128::from(rows) * u128::from(ours) / u128::from(all);
                u64::try_from(share).unwrap_or(u64::MAX)
            }
            // Nothing is in files yet.
            _ => rows,
        }
    }
}
