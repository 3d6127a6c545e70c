//! Restoring a store from its changelog: large sorted runs, each with the metadata row it goes up
//! to.

use std::sync::{Arc, Weak};

use crate::directory::StoreGuard;
use crate::engine::{Instance, InstanceId, SortedWrite};
use crate::layer::{LayerRow, head};
use crate::{StateError, StoreMetadata};

/// A run is written when it holds this much: it is what a load needs of memory, once.
const RUN_BYTES_MAX: usize = 64 << 20;

/// Takes the records of a changelog in log order and writes them to the engine in runs, the last
/// value per key. Each run carries its own metadata row, so that a crash between two runs leaves
/// a store that is right up to that row, and needs the rest of the log only.
pub struct BulkLoad {
    instance: Arc<dyn Instance>,
    instance_id: InstanceId,
    run: Run,
    run_bytes_max: usize,
    into_empty: bool,
    written: Option<StoreMetadata>,
    /// Lives as long as the load.
    token: Arc<()>,
    // Last: who holds an engine holds the lock of its directory.
    guard: Arc<StoreGuard>,
}

/// A finished load, to be given to [`LayeredStore::finish_load`](crate::LayeredStore::finish_load).
#[must_use = "the store does not know of the load until then"]
pub struct Loaded {
    pub(crate) instance_id: InstanceId,
    pub(crate) metadata: StoreMetadata,
    _guard: Arc<StoreGuard>,
}

impl BulkLoad {
    pub(crate) fn new(
        guard: Arc<StoreGuard>,
        instance: Arc<dyn Instance>,
        instance_id: InstanceId,
        into_empty: bool,
    ) -> Self {
        Self {
            guard,
            instance,
            instance_id,
            run: Run::default(),
            run_bytes_max: RUN_BYTES_MAX,
            into_empty,
            written: None,
            token: Arc::new(()),
        }
    }

    pub(crate) fn token(&self) -> Weak<()> {
        Arc::downgrade(&self.token)
    }

    /// The same load with runs of about `bytes` (64 MB by default).
    pub fn with_run_bytes_max(self, bytes: usize) -> Self {
        Self { run_bytes_max: bytes.max(1), ..self }
    }

    /// Takes one record: a key with its value, or with `None` for a tombstone.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.run.push(key, value);
    }

    /// Says that all records before `metadata.next_offset` were pushed; call it after each fetched
    /// batch. Writes a run if enough has come together, and then blocks for as long as the engine
    /// takes; `true` if it did.
    ///
    /// # Errors
    /// What the engine reports. The run is kept, and may be tried again.
    pub fn checkpoint(&mut self, metadata: &StoreMetadata) -> Result<bool, StateError> {
        let full = self.run.bytes >= self.run_bytes_max;
        if full {
            self.write_run(metadata)?;
        }
        Ok(full)
    }

    /// Writes what is left, up to `metadata`. Blocks for as long as the engine takes.
    ///
    /// # Errors
    /// What the engine reports. What was written before stays, with the metadata of that run.
    pub fn finish(mut self, metadata: StoreMetadata) -> Result<Loaded, StateError> {
        if !self.run.rows.is_empty() || self.written.as_ref() != Some(&metadata) {
            self.write_run(&metadata)?;
        }
        Ok(Loaded { instance_id: self.instance_id, metadata, _guard: self.guard })
    }

    /// How far the engine is: the metadata of the last run that was written.
    pub fn written(&self) -> Option<&StoreMetadata> {
        self.written.as_ref()
    }

    fn write_run(&mut self, metadata: &StoreMetadata) -> Result<(), StateError> {
        self.run.sort(self.into_empty);
        let row = metadata.encode(&self.guard.spec.store_type);
        self.instance.write(SortedWrite {
            row_count: self.run.rows.len(),
            bytes: self.run.buffer.len(),
            rows: Box::new(self.run.rows()),
            metadata: Some(&row),
            into_empty: self.into_empty,
        })?;
        self.into_empty = false;
        self.run.clear();
        self.written = Some(metadata.clone());
        Ok(())
    }
}

/// Records in one buffer: a load allocates nothing per record.
#[derive(Default)]
struct Run {
    buffer: Vec<u8>,
    rows: Vec<RunRow>,
    bytes: usize,
}

struct RunRow {
    /// The first bytes of the key: decides most comparisons without a look into the buffer.
    head: u64,
    /// Where the key starts in the buffer; the value follows.
    start: usize,
    /// Place in the log: empty rows start where their successors do.
    order: usize,
    key_len: usize,
    value_len: Option<usize>,
}

impl Run {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.rows.push(RunRow {
            head: head(key),
            start: self.buffer.len(),
            order: self.rows.len(),
            key_len: key.len(),
            value_len: value.map(<[u8]>::len),
        });
        self.buffer.extend_from_slice(key);
        self.buffer.extend_from_slice(value.unwrap_or_default());
        self.bytes += key.len() + value.map_or(0, <[u8]>::len) + size_of::<RunRow>();
    }

    /// Sorts by key and keeps the last record of each; without tombstones if they hide nothing.
    fn sort(&mut self, without_tombstones: bool) {
        let Self { buffer, rows, .. } = self;
        let key = |row: &RunRow| &buffer[row.start..row.start + row.key_len];
        // Behind the key, later records first: `dedup` keeps the first of equals.
        rows.sort_unstable_by(|a, b| {
            a.head.cmp(&b.head).then_with(|| key(a).cmp(key(b))).then_with(|| b.order.cmp(&a.order))
        });
        rows.dedup_by(|later, kept| later.head == kept.head && key(later) == key(kept));
        if without_tombstones {
            rows.retain(|row| row.value_len.is_some());
        }
    }

    fn rows(&self) -> impl Iterator<Item = LayerRow<'_>> {
        self.rows.iter().map(|row| {
            let value_start = row.start + row.key_len;
            let value = row.value_len.map(|len| &self.buffer[value_start..value_start + len]);
            (&self.buffer[row.start..value_start], value)
        })
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.rows.clear();
        self.bytes = 0;
    }
}
