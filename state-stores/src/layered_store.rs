//! One store of one task: layers of writes over an engine.

use std::sync::{Arc, Weak};

use crate::apply::FrozenLayer;
use crate::database::Database;
use crate::directory::StoreGuard;
use crate::engine::Instance;
use crate::inventory::Incarnation;
use crate::layer::Layer;
use crate::merge::scan_merged;
use crate::{
    Applied, ApplyJob, BulkLoad, Direction, KeyRange, Loaded, Row, ScanEnd, StateError,
    StoreMetadata, StoreNotes, StoreSpec,
};

/// Numbers the attempts to commit of one task, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

/// One store of one task. From new to old:
/// - *sealed* layers, each tied to a commit attempt whose outcome is not known yet;
/// - the *committed* layer: committed to Kafka, not in the engine;
/// - the *frozen* layer: the same, on its way into the engine;
/// - the *engine*, at the last committed state that was applied.
///
/// The writes of the commit interval that runs (the *active* layer) belong to the layer above.
/// Dropping the store drops its layers: what was not applied comes back from the changelog.
pub struct LayeredStore {
    database: Arc<Database>,
    incarnation: Incarnation,
    instance: Arc<dyn Instance>,
    /// Oldest first.
    sealed: Vec<Sealed>,
    committed: Layer,
    committed_metadata: Option<StoreMetadata>,
    /// The wall time of the oldest commit in the committed layer.
    committed_since_ms: Option<i64>,
    frozen: Option<Arc<FrozenLayer>>,
    applied_metadata: Option<StoreMetadata>,
    /// What the store says of itself as of the last commit; none if it never said anything.
    notes: Option<StoreNotes>,
    /// Whether a bulk load lives.
    load: Weak<()>,
    // Last: who holds an engine holds the lock of its directory.
    guard: Arc<StoreGuard>,
}

struct Sealed {
    attempt: Attempt,
    layer: Layer,
    notes: Option<StoreNotes>,
}

impl LayeredStore {
    /// Opens the state of `guard`'s store; it must fit the store that is wanted.
    pub(crate) fn open(
        guard: Arc<StoreGuard>,
        database: Arc<Database>,
    ) -> Result<Self, StateError> {
        let spec = &guard.spec;
        let task = guard.task();
        let incompatible = |found: String| StateError::Incompatible {
            task,
            store: spec.name.clone(),
            found,
            wanted: format!("{} in the layout {:?}", spec.store_type, spec.kind),
        };
        let incarnation = database.find_or_allocate(task, spec)?;
        if let Some(misfit) = incarnation.misfit(spec) {
            return Err(incompatible(misfit));
        }
        let instance = database.instance(&incarnation)?;
        let row = instance.metadata()?;
        let found =
            row.map(|row| StoreMetadata::decode(&row)).transpose().map_err(&incompatible)?;
        if let Some((_, store_type)) = &found
            && *store_type != spec.store_type
        {
            return Err(incompatible(store_type.clone()));
        }
        let applied_metadata = found.map(|(metadata, _)| metadata);
        Ok(Self {
            guard,
            database,
            incarnation,
            instance,
            sealed: Vec::new(),
            committed: Layer::default(),
            committed_metadata: None,
            committed_since_ms: None,
            frozen: None,
            applied_metadata,
            notes: None,
            load: Weak::new(),
        })
    }

    /// What the engine has of this store, for others to read while this one is written: each sees
    /// every layer as soon as it is applied. Nothing is to be sealed in it, and after a
    /// [`wipe`](Self::wipe) it has the rows from before. The store counts as open as long as any
    /// reader lives.
    #[must_use]
    pub fn reader(&self) -> Self {
        Self {
            guard: Arc::clone(&self.guard),
            database: Arc::clone(&self.database),
            incarnation: self.incarnation.clone(),
            instance: Arc::clone(&self.instance),
            sealed: Vec::new(),
            committed: Layer::default(),
            committed_metadata: None,
            committed_since_ms: None,
            frozen: None,
            applied_metadata: self.applied_metadata.clone(),
            notes: None,
            load: Weak::new(),
        }
    }

    /// The store that was asked for.
    pub fn spec(&self) -> &StoreSpec {
        &self.guard.spec
    }

    /// The newest value of `key`, copied.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.get_with(key, |value| value.map(<[u8]>::to_vec))
    }

    /// What `read` makes of the newest value of `key`, without copying it.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn get_with<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StateError> {
        if let Some(value) = self.layers().find_map(|layer| layer.get(key)) {
            return Ok(read(value));
        }
        let mut read = Some(read);
        let mut result = None;
        self.instance.get(key, &mut |value| {
            result = read.take().map(|read| read(value));
        })?;
        Ok(result.expect("an engine calls back exactly once"))
    }

    /// Appends up to `rows_max` rows of `range` to `out`, in unsigned byte order of the keys.
    /// A batch may end before that if its values are large.
    ///
    /// # Errors
    /// What the engine reports; `out` may have rows then.
    pub fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        rows_max: usize,
        out: &mut Vec<Row>,
    ) -> Result<ScanEnd, StateError> {
        scan_merged(self.layers(), &*self.instance, range, direction, rows_max, out)
    }

    /// Puts `writes` on top of the store, tied to `attempt`: later writes of a key win, and
    /// `None` deletes. The bytes are copied, so an iterator over borrowed keys and values serves
    /// as well as a `Vec<Write>`.
    ///
    /// # Panics
    /// If a key or a value has 4 GB or more.
    pub fn seal<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        attempt: Attempt,
        writes: impl IntoIterator<Item = (K, Option<V>)>,
    ) {
        debug_assert!(self.sealed.last().is_none_or(|newest| newest.attempt <= attempt));
        let layer = Layer::from_writes(writes);
        if layer.len() > 0 {
            self.sealed.push(Sealed { attempt, layer, notes: None });
        }
    }

    /// Says what the metadata row is to have of the store itself, once `attempt` is committed; from
    /// then on each commit keeps it until it is said anew.
    pub fn note(&mut self, attempt: Attempt, notes: StoreNotes) {
        match self.sealed.last_mut().filter(|newest| newest.attempt == attempt) {
            Some(newest) => newest.notes = Some(notes),
            None => {
                self.sealed.push(Sealed { attempt, layer: Layer::default(), notes: Some(notes) });
            }
        }
    }

    /// What was said last, not yet committed attempts included.
    pub fn notes(&self) -> StoreNotes {
        let sealed = self.sealed.iter().rev().find_map(|sealed| sealed.notes.as_ref());
        sealed.cloned().unwrap_or_else(|| self.committed_notes())
    }

    fn committed_notes(&self) -> StoreNotes {
        match &self.notes {
            Some(notes) => notes.clone(),
            None => self.metadata().map_or_else(StoreNotes::default, StoreMetadata::notes),
        }
    }

    /// `attempt` was committed to Kafka, and with it all attempts before: their layers become the
    /// committed state that `metadata` describes. Attempts without writes may be committed too.
    pub fn commit(&mut self, attempt: Attempt, metadata: StoreMetadata) {
        if self.guard.spec.segments.is_some() && self.notes.is_none() {
            // The task's stream time would be another one than the store's.
            self.notes = Some(self.committed_notes());
        }
        while self.sealed.first().is_some_and(|oldest| oldest.attempt <= attempt) {
            let sealed = self.sealed.remove(0);
            self.committed.merge(sealed.layer);
            self.notes = sealed.notes.or(self.notes.take());
        }
        let metadata = match &self.notes {
            Some(notes) => metadata.with_notes(notes.clone()),
            None => metadata,
        };
        self.committed_since_ms.get_or_insert(metadata.wall_time_ms);
        self.committed_metadata = Some(metadata);
    }

    /// `attempt` was aborted, and with it what was sealed after it on top of it.
    pub fn abort(&mut self, attempt: Attempt) {
        self.sealed.retain(|sealed| sealed.attempt < attempt);
    }

    /// Memory held by sealed layers.
    pub fn sealed_bytes(&self) -> usize {
        self.sealed.iter().map(|sealed| sealed.layer.bytes()).sum()
    }

    /// Memory held by committed writes that are not in the engine yet.
    pub fn committed_bytes(&self) -> usize {
        self.committed.bytes() + self.frozen.as_ref().map_or(0, |frozen| frozen.layer.bytes())
    }

    /// The wall time of the oldest commit that is not in the engine yet, as its metadata said.
    pub fn committed_since_ms(&self) -> Option<i64> {
        let frozen = self.frozen.as_ref().map(|frozen| frozen.committed_since_ms);
        frozen.or(self.committed_since_ms)
    }

    /// What the newest committed state contains; `None` if the store is empty and unknown.
    pub fn metadata(&self) -> Option<&StoreMetadata> {
        let frozen = self.frozen.as_ref().map(|frozen| &frozen.metadata);
        self.committed_metadata.as_ref().or(frozen).or(self.applied_metadata.as_ref())
    }

    /// What the engine contains.
    pub fn applied_metadata(&self) -> Option<&StoreMetadata> {
        self.applied_metadata.as_ref()
    }

    /// Whether a layer is on its way into the engine.
    pub fn is_applying(&self) -> bool {
        self.frozen.is_some()
    }

    /// Freezes the committed layer and hands out the job that writes it to the engine; `None` if
    /// there is nothing to apply or a job or a bulk load is under way. A job that was lost or failed is handed
    /// out again.
    pub fn apply(&mut self) -> Option<ApplyJob> {
        if self.load.strong_count() > 0 {
            return None;
        }
        if let Some(frozen) = &self.frozen {
            // The job and its outcome hold it too: nobody else can, so nothing is under way.
            return (Arc::strong_count(frozen) == 1).then(|| self.job(frozen));
        }
        let metadata = self.committed_metadata.take()?;
        let frozen = Arc::new(FrozenLayer {
            layer: std::mem::take(&mut self.committed),
            committed_since_ms: self.committed_since_ms.take().unwrap_or(metadata.wall_time_ms),
            metadata,
        });
        self.frozen = Some(Arc::clone(&frozen));
        Some(self.job(&frozen))
    }

    /// Takes the outcome of a job: reads go to the engine from now on.
    ///
    /// # Errors
    /// What the engine reported. The layer is kept, and the next [`LayeredStore::apply`] tries it
    /// again.
    pub fn finish_apply(&mut self, applied: Applied) -> Result<(), StateError> {
        let ours = self.frozen.as_ref().is_some_and(|frozen| Arc::ptr_eq(frozen, &applied.frozen));
        if !ours || applied.instance_id != self.incarnation.id {
            // The store was wiped meanwhile: the rows went where nobody reads any more.
            return Ok(());
        }
        applied.result?;
        self.applied_metadata = Some(applied.frozen.metadata.clone());
        self.frozen = None;
        Ok(())
    }

    /// Starts loading records of the changelog right into the engine, for a restore. Reads see
    /// each run when it is written.
    ///
    /// # Errors
    /// [`StateError::LayersPending`] if there are layers, which would hide newer rows;
    /// [`StateError::StoreOpen`] if another load has not ended; what the engine reports.
    pub fn bulk_load(&mut self) -> Result<BulkLoad, StateError> {
        let task = self.guard.task();
        let store = self.guard.spec.name.clone();
        if !self.sealed.is_empty() || self.committed_metadata.is_some() || self.frozen.is_some() {
            return Err(StateError::LayersPending { task, store, action: "a bulk load" });
        }
        if self.load.strong_count() > 0 {
            return Err(StateError::StoreOpen { task, store });
        }
        // A load before this one may have been given up after some runs.
        self.applied_metadata = self.database.metadata(&self.incarnation)?;
        let load = BulkLoad::new(
            Arc::clone(&self.guard),
            Arc::clone(&self.instance),
            self.incarnation.id,
            self.applied_metadata.is_none(),
        );
        self.load = load.token();
        Ok(load)
    }

    /// Takes note of a finished load.
    pub fn finish_load(&mut self, loaded: Loaded) {
        if loaded.instance_id == self.incarnation.id {
            self.applied_metadata = Some(loaded.metadata);
            self.notes = None;
        }
    }

    /// Empties this store, layers and engine. It is durable when this returns: the old rows can
    /// never be seen again, also after a crash; their bytes are freed in the background.
    ///
    /// # Errors
    /// What the engine reports; the store is then as it was.
    pub fn wipe(&mut self) -> Result<(), StateError> {
        let new = self.database.reincarnate(self.guard.task(), &self.guard.spec)?;
        self.instance = self.database.instance(&new)?;
        self.incarnation = new;
        self.sealed.clear();
        self.committed = Layer::default();
        self.committed_metadata = None;
        self.committed_since_ms = None;
        self.frozen = None;
        self.applied_metadata = None;
        self.notes = None;
        self.load = Weak::new();
        Ok(())
    }

    /// How many rows there are, roughly: overwrites and deletes in layers count as rows.
    pub fn approximate_len(&self) -> u64 {
        self.instance.approximate_len() + self.layers().map(|layer| layer.len() as u64).sum::<u64>()
    }

    /// Newest first.
    fn layers(&self) -> impl Iterator<Item = &Layer> {
        let sealed = self.sealed.iter().rev().map(|sealed| &sealed.layer);
        sealed.chain([&self.committed]).chain(self.frozen.as_deref().map(|frozen| &frozen.layer))
    }

    fn job(&self, frozen: &Arc<FrozenLayer>) -> ApplyJob {
        ApplyJob {
            frozen: Arc::clone(frozen),
            instance: Arc::clone(&self.instance),
            instance_id: self.incarnation.id,
            guard: Arc::clone(&self.guard),
            database: Arc::clone(&self.database),
        }
    }
}
