//! What an application's own engine is: one ordered map of bytes.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::key::Layout;
use super::{InstanceId, SortedWrite};
use crate::layer::LayerRow;
use crate::{Bytes, Direction, KeyRange};

/// What an engine of the application says when it fails: `?` makes one of any error.
pub type EngineError = Box<dyn std::error::Error + Send + Sync>;

/// An engine of the application's own: one map of bytes to bytes, ordered by the unsigned bytes of
/// the keys. All stores that use the engine lie in it, those of all tasks, and with them what the
/// library itself has to know: how far in its changelog each store is. To the engine all of this is
/// rows: what begins with which bytes means nothing to it. The counterpart in Kafka Streams is a
/// `KeyValueBytesStoreSupplier`, but for the whole process.
///
/// An engine sees only what was committed to Kafka, in large batches and on a background thread;
/// reads come to it when neither the caches nor the layers above have the key.
///
/// # What it must keep
/// 1. **A batch is whole.** [`write`](Self::write) puts all rows of its batch or none, whatever
///    happens: a reader sees all of them or none, an error leaves none, and a crash leaves all or
///    none. Rows and the position in the changelog that they stand for are in one batch; half a
///    batch is silent corruption.
/// 2. **A crash leaves a past.** After a crash (and after it was dropped without a flush) the map
///    is as it was after one of its writes: nothing of what was written before that one is missing.
///    How old that past is does not matter, only that it is not older than the last flush; the
///    changelog has the rest. A map that comes up empty is always right: it counts as a lost disk.
/// 3. **A flush is durable.** What was written before [`flush`](Self::flush) was called outlives
///    the process, and the machine's power supply, when it returns.
///
/// Keys are never empty. Values may be, and are not the same as no value then.
///
/// # Threads
/// Calls come from several threads at once, writes and flushes too. A write that begins after
/// another one has returned comes after it.
///
/// # Errors
/// An engine tries again by itself what may succeed then. What it reports is shown, and ends the
/// stream thread that needed it, with the task as it was last committed; a flush is tried again
/// later. A state that cannot be read any more is an error of opening it, which names
/// the directory, so that it can be removed; or the engine comes up empty.
///
/// # Is mine right?
/// [`conformance::check`](crate::conformance::check) tells, in one line of a test.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::ops::ControlFlow;
/// use std::sync::{PoisonError, RwLock};
///
/// use state_stores::{Batch, Direction, EngineError, KeyRange, StorageEngine};
///
/// /// Rows in memory: they are gone with the process.
/// #[derive(Default)]
/// struct InMemory(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);
///
/// impl StorageEngine for InMemory {
///     fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
///         let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
///         Ok(rows.get(key).cloned())
///     }
///
///     fn scan(
///         &self,
///         range: &KeyRange,
///         direction: Direction,
///         visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
///     ) -> Result<(), EngineError> {
///         let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
///         let mut rows = rows.range::<[u8], _>(range.bounds());
///         while let Some((key, value)) = match direction {
///             Direction::Forward => rows.next(),
///             Direction::Backward => rows.next_back(),
///         } {
///             if visit(key, value).is_break() {
///                 break;
///             }
///         }
///         Ok(())
///     }
///
///     fn write(&self, mut batch: Batch<'_>) -> Result<(), EngineError> {
///         let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
///         while let Some((key, value)) = batch.next_row() {
///             match value {
///                 Some(value) => rows.insert(key.to_vec(), value.to_vec()),
///                 None => rows.remove(key),
///             };
///         }
///         Ok(())
///     }
///
///     fn flush(&self) -> Result<(), EngineError> {
///         Ok(())
///     }
/// }
///
/// use state_stores::conformance::{Conformance, Survives};
/// Conformance::of(|_| Ok::<_, EngineError>(InMemory::default()))
///     .survives(Survives::Nothing)
///     .seeds(0..2)
///     .check();
/// ```
pub trait StorageEngine: Send + Sync {
    /// The value of `key`.
    ///
    /// # Errors
    /// What the engine's storage says.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Gives the rows of `range` to `visit`, in the order of their keys or backwards, until there
    /// is none left or `visit` breaks. All are of one moment: of a batch that is written meanwhile
    /// there is everything or nothing. `visit` calls no engine, and is quick; it breaks after some
    /// hundred rows, so that a lock is held briefly, but for
    /// [`approximate_len`](Self::approximate_len). The range is never empty
    /// ([`KeyRange::is_empty`]).
    ///
    /// # Errors
    /// What the engine's storage says. An error in the middle is an error, not an end.
    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError>;

    /// Puts and removes the rows of `batch`, all of them or none. It need not be durable.
    ///
    /// # Errors
    /// What the engine's storage says; nothing of the batch is there then.
    fn write(&self, batch: Batch<'_>) -> Result<(), EngineError>;

    /// Makes durable what was written, at least by writes that had returned before this was called.
    ///
    /// # Errors
    /// What the engine's storage says; it is tried again later.
    fn flush(&self) -> Result<(), EngineError>;

    /// Removes the rows of `range`, which nobody needs any more: those of a store that was wiped or
    /// has moved elsewhere, or windows that have expired. It need not be whole: a reader or a crash
    /// may find some of them, in no order. Without an implementation they are removed by scans and
    /// writes; an engine that can drop whole ranges or files does better.
    ///
    /// # Errors
    /// What the engine's storage says; the rows are removed later.
    fn remove(&self, range: &KeyRange) -> Result<(), EngineError> {
        remove_by_writes(self, range)
    }

    /// How many rows `range` has, roughly: what an application sees as a store's approximate
    /// number of entries. Without an implementation they are counted in one scan.
    ///
    /// # Errors
    /// What the engine's storage says.
    fn approximate_len(&self, range: &KeyRange) -> Result<u64, EngineError> {
        let mut rows = 0;
        self.scan(range, Direction::Forward, &mut |_, _| {
            rows += 1;
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }
}

/// An engine that somebody else looks at too, for its metrics perhaps.
impl<E: StorageEngine + ?Sized> StorageEngine for Arc<E> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        (**self).get(key)
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        (**self).scan(range, direction, visit)
    }

    fn write(&self, batch: Batch<'_>) -> Result<(), EngineError> {
        (**self).write(batch)
    }

    fn flush(&self) -> Result<(), EngineError> {
        (**self).flush()
    }

    fn remove(&self, range: &KeyRange) -> Result<(), EngineError> {
        (**self).remove(range)
    }

    fn approximate_len(&self, range: &KeyRange) -> Result<u64, EngineError> {
        (**self).approximate_len(range)
    }
}

/// Rows that are written together: each a key with its new value, or with `None` for a removal, in
/// ascending order of distinct keys. A key that is removed need not exist.
pub struct Batch<'a> {
    rows: Box<dyn Iterator<Item = LayerRow<'a>> + 'a>,
    /// Goes before the rows.
    metadata: Option<&'a [u8]>,
    /// Whose rows they are; none if the keys are complete.
    instance: Option<InstanceId>,
    key: Vec<u8>,
    len: usize,
    bytes: usize,
}

impl<'a> Batch<'a> {
    /// These rows, for tests of an engine.
    pub fn new(rows: &'a std::collections::BTreeMap<Bytes, Option<Bytes>>) -> Self {
        let row = |(key, value): (&'a Bytes, &'a Option<Bytes>)| (&**key, value.as_deref());
        let bytes = |(key, value): LayerRow<'_>| key.len() + value.map_or(0, <[u8]>::len);
        Self {
            len: rows.len(),
            bytes: rows.iter().map(row).map(bytes).sum(),
            rows: Box::new(rows.iter().map(row)),
            metadata: None,
            instance: None,
            key: Vec::new(),
        }
    }

    pub(super) fn of_instance(id: InstanceId, write: SortedWrite<'a>) -> Self {
        let row_overhead = Layout::Keyed.metadata_key(id).len();
        let metadata_bytes = write.metadata.map_or(0, <[u8]>::len);
        let len = write.row_count + usize::from(write.metadata.is_some());
        Self {
            len,
            bytes: write.bytes + metadata_bytes + len * row_overhead,
            rows: write.rows,
            metadata: write.metadata,
            instance: Some(id),
            key: Vec::new(),
        }
    }

    /// The next row. The bytes are borrowed until the row after it.
    pub fn next_row(&mut self) -> Option<(&[u8], Option<&[u8]>)> {
        let Some(id) = self.instance else { return self.rows.next() };
        if let Some(metadata) = self.metadata.take() {
            self.key = Layout::Keyed.metadata_key(id);
            return Some((&self.key, Some(metadata)));
        }
        let (key, value) = self.rows.next()?;
        Layout::Keyed.with_data_key(id, key, |key| {
            self.key.clear();
            self.key.extend_from_slice(key);
        });
        Some((&self.key, value))
    }

    /// How many rows there were at first.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there were none at first.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of all keys and values, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Opens an engine of the application. Clones are the same engine: stores that are given it share
/// one map.
#[derive(Clone)]
pub struct EngineSupplier(Arc<Supplier>);

type Open = dyn Fn(&Path) -> Result<Box<dyn StorageEngine>, EngineError> + Send + Sync;

struct Supplier {
    name: String,
    open: Box<Open>,
}

impl EngineSupplier {
    /// An engine that `open` opens, or makes, in a directory of its own. The directory exists, has
    /// the `name` in its own, and is nobody else's: `open` is not called for it again before the
    /// engine has been dropped.
    ///
    /// # Panics
    /// If the name is not made of 1 to 100 letters, digits, `-` and `_`.
    #[track_caller]
    pub fn new<E, Error>(
        name: impl Into<String>,
        open: impl Fn(&Path) -> Result<E, Error> + Send + Sync + 'static,
    ) -> Self
    where
        E: StorageEngine + 'static,
        Error: Into<EngineError>,
    {
        let name = name.into();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(
            (1..=100).contains(&name.len()) && name.chars().all(fits),
            "engine name {name:?} cannot be used: 1 to 100 letters, digits, `-` and `_`"
        );
        let open = move |path: &Path| match open(path) {
            Ok(engine) => Ok(Box::new(engine) as Box<dyn StorageEngine>),
            Err(error) => Err(error.into()),
        };
        Self(Arc::new(Supplier { name, open: Box::new(open) }))
    }

    /// What the directory is called, and errors call the engine.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn open(&self, path: &Path) -> Result<Box<dyn StorageEngine>, EngineError> {
        (self.0.open)(path)
    }
}

/// Whether they are the same engine.
impl PartialEq for EngineSupplier {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for EngineSupplier {}

impl fmt::Debug for EngineSupplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EngineSupplier").field(&self.0.name).finish()
    }
}

/// How many rows [`remove_by_writes`] removes at once.
const REMOVED_AT_ONCE: usize = 4096;

fn remove_by_writes<E: StorageEngine + ?Sized>(
    engine: &E,
    range: &KeyRange,
) -> Result<(), EngineError> {
    loop {
        let mut found = std::collections::BTreeMap::new();
        engine.scan(range, Direction::Forward, &mut |key, _| {
            found.insert(Bytes::from(key), None);
            match found.len() {
                REMOVED_AT_ONCE => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })?;
        if found.is_empty() {
            return Ok(());
        }
        engine.write(Batch::new(&found))?;
    }
}
