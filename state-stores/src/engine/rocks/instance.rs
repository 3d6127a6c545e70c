//! The rows of one incarnation of a store in RocksDB.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use rocksdb::{
    BoundColumnFamily, DBRawIteratorWithThreadMode, IngestExternalFileOptions, Range, ReadOptions,
    SstFileWriter, WriteBatch,
};

use super::{Shared, failed};
use crate::engine::key::{
    Layout, SEGMENTED_PREFIX_LEN, after_instance, instance_bounds, segment_bounds, segment_of,
    segment_prefix, split_segmented,
};
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
    layout: Layout,
}

impl RocksInstance {
    pub(super) fn new(shared: Arc<Shared>, family: &str, id: InstanceId) -> Self {
        Self { shared, family: family.into(), id, layout: Layout::of(family) }
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
        let per_row = SEGMENTED_PREFIX_LEN + 8;
        let mut batch = WriteBatch::with_capacity_bytes(write.bytes + write.row_count * per_row);
        if let Some(metadata) = write.metadata {
            batch.put_cf(&handle, self.layout.metadata_key(self.id), metadata);
        }
        for (key, value) in write.rows {
            self.layout.with_data_key(self.id, key, |key| match value {
                Some(value) => batch.put_cf(&handle, key, value),
                None => batch.delete_cf(&handle, key),
            });
        }
        self.shared.db.write_without_wal(batch).map_err(self.failed("write a batch"))
    }

    fn write_files(&self, write: SortedWrite<'_>) -> Result<(), StateError> {
        let mut files = Files { instance: self, open: None, paths: Vec::new() };
        let result = files.fill(write).and_then(|()| self.ingest(&files.paths));
        if result.is_err() {
            // They may not have come to exist; what is left is removed at the next start.
            for path in &files.paths {
                let _ = fs::remove_file(path);
            }
        }
        result
    }

    /// All files become visible at once.
    fn ingest(&self, paths: &[PathBuf]) -> Result<(), StateError> {
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.shared
            .db
            .ingest_external_file_cf_opts(&self.handle()?, &options, paths.to_vec())
            .map_err(self.failed("ingest files of rows"))
    }

    /// Between the rows of an instance in two segments lie those of others.
    fn visit_segmented(
        &self,
        rows: &mut DBRawIteratorWithThreadMode<'_, super::Db>,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) {
        let mut scratch = Vec::new();
        while let Some((key, value)) = rows.item() {
            if let Some(key) = self.layout.own_key(self.id, key, &mut scratch) {
                if visit(key, value).is_break() {
                    return;
                }
                step(rows, direction);
                continue;
            }
            let Some((segment, id, _)) = split_segmented(key) else { return };
            let target = match direction {
                Direction::Forward if id < self.id => {
                    Some(segment_prefix(segment, self.id).to_vec())
                }
                Direction::Forward => {
                    segment.checked_add(1).map(|next| segment_prefix(next, self.id).to_vec())
                }
                Direction::Backward if id > self.id => Some(after_instance(segment, self.id)),
                Direction::Backward => {
                    segment.checked_sub(1).map(|next| after_instance(next, self.id))
                }
            };
            match (target, direction) {
                (None, _) => return,
                (Some(target), Direction::Forward) => rows.seek(target),
                (Some(target), Direction::Backward) => {
                    rows.seek_for_prev(&target);
                    if rows.key() == Some(&target) {
                        // The first row of our neighbour.
                        rows.prev();
                    }
                }
            }
        }
    }
}

/// Sorted rows on their way into files: one file, or in a segmented family one for each segment,
/// so that none lies over rows of others.
struct Files<'a> {
    instance: &'a RocksInstance,
    open: Option<SstFileWriter<'a>>,
    paths: Vec<PathBuf>,
}

impl Files<'_> {
    fn fill(&mut self, write: SortedWrite<'_>) -> Result<(), StateError> {
        let RocksInstance { layout, id, .. } = *self.instance;
        let metadata = write.metadata.map(|row| (layout.metadata_key(id), row));
        if layout == Layout::Keyed
            && let Some((key, row)) = &metadata
        {
            self.put(key, Some(row))?;
        }
        let mut segment = None;
        for (key, value) in write.rows {
            if layout == Layout::Segmented && segment_of(key) != segment.as_ref() {
                self.finish()?;
                segment = segment_of(key).copied();
            }
            layout.with_data_key(id, key, |key| self.put(key, value))?;
        }
        if layout == Layout::Segmented
            && let Some((key, row)) = &metadata
        {
            self.finish()?;
            self.put(key, Some(row))?;
        }
        self.finish()
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        let failed = || self.instance.failed("write a file of rows");
        if self.open.is_none() {
            let path = self.instance.shared.next_ingest_file();
            let file = SstFileWriter::create(&self.instance.shared.options);
            file.open(&path).map_err(failed())?;
            self.paths.push(path);
            self.open = Some(file);
        }
        let file = self.open.as_mut().expect("was opened");
        match value {
            Some(value) => file.put(key, value),
            None => file.delete(key),
        }
        .map_err(failed())
    }

    fn finish(&mut self) -> Result<(), StateError> {
        match self.open.take() {
            Some(mut file) => file.finish().map_err(self.instance.failed("write a file of rows")),
            None => Ok(()),
        }
    }
}

fn step(rows: &mut DBRawIteratorWithThreadMode<'_, super::Db>, direction: Direction) {
    match direction {
        Direction::Forward => rows.next(),
        Direction::Backward => rows.prev(),
    }
}

impl Instance for RocksInstance {
    fn get(&self, key: &[u8], found: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StateError> {
        let handle = self.handle()?;
        let value = self
            .layout
            .with_data_key(self.id, key, |key| self.shared.db.get_pinned_cf(&handle, key))
            .map_err(self.failed("get a row"))?;
        found(value.as_deref());
        Ok(())
    }

    fn metadata(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.shared
            .db
            .get_cf(&self.handle()?, self.layout.metadata_key(self.id))
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
        let (lower, upper) = self.layout.data_bounds(self.id, range);
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(lower);
        options.set_iterate_upper_bound(upper);
        let mut rows = self.shared.db.raw_iterator_cf_opt(&handle, options);
        match direction {
            Direction::Forward => rows.seek_to_first(),
            Direction::Backward => rows.seek_to_last(),
        }
        match self.layout {
            Layout::Segmented => self.visit_segmented(&mut rows, direction, visit),
            Layout::Keyed => {
                let mut unused = Vec::new();
                while let Some((key, value)) = rows.item()
                    && let Some(key) = self.layout.own_key(self.id, key, &mut unused)
                {
                    if visit(key, value).is_break() {
                        return Ok(());
                    }
                    step(&mut rows, direction);
                }
            }
        }
        // The end of the rows, or an error.
        rows.status().map_err(self.failed("scan rows"))
    }

    fn write(&self, write: SortedWrite<'_>) -> Result<(), StateError> {
        let has_rows = write.row_count > 0 || write.metadata.is_some();
        if has_rows && self.pays_to_ingest(&write) {
            self.write_files(write)
        } else {
            self.write_batch(write)
        }
    }

    /// The family's rows, by the share of its files that is this instance's.
    fn approximate_len(&self) -> u64 {
        let Ok(handle) = self.handle() else { return 0 };
        let rows = self.shared.estimated_rows(&handle);
        let ours = match self.layout {
            Layout::Keyed => vec![instance_bounds(self.id)],
            Layout::Segmented => {
                let segments = self.shared.segments(&self.family).unwrap_or_default().into_iter();
                segments.map(|segment| segment_bounds(segment, self.id)).collect()
            }
        };
        let everything = [u8::MAX; 16];
        let mut ranges: Vec<_> = ours.iter().map(|(from, to)| Range::new(from, to)).collect();
        ranges.push(Range::new(&[], &everything));
        let mut sizes = self.shared.db.get_approximate_sizes_cf(&handle, &ranges);
        let all = sizes.pop().unwrap_or(0);
        match sizes.iter().sum::<u64>() {
            ours if all > 0 => {
                let share = u128::from(rows) * u128::from(ours) / u128::from(all);
                u64::try_from(share).unwrap_or(u64::MAX)
            }
            // Nothing is in files yet.
            _ => rows,
        }
    }
}
