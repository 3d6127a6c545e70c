//! Versions of keys, as bytes.
//!
//! A key's versions are a chain: each is valid until the next one begins, a deletion is a version
//! too. The last one is the key's *head*. Rows, each a time, a mark and the value:
//! - the head that is a value: `2^64 - 2 | 0 | key`; it never expires;
//! - the head that is a deletion: `segment of its time | 2 | key`; it expires;
//! - every other version: `segment of its end | 0 | key | start (8)`, with its end: it expires when
//!   nobody may ask for it any more.

use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use state_stores::{
    Attempt, Direction, KeyRange, LayeredStore, Segments, StateError, StoreMetadata, StoreNotes,
};

use crate::stores::held::Held;
use crate::stores::overlay::{Found, next_batch};
use crate::stores::segmented::Written;
use crate::stores::typed_cache::{Base, TypedCache};

/// The segment of heads: behind all others, before what engines keep for themselves.
const HEADS: u64 = u64::MAX - 1;
const ROW_MARK: u8 = 0;
const DELETED_MARK: u8 = 2;
const HEAD_LEN: usize = 9;
const TIME_LEN: usize = 8;
/// A scan within the versions of a key: there are few between a late write and the head.
const BATCH_ROWS: usize = 16;
/// A restore writes its rows to the engine when they take this much.
const RESTORED_BYTES_MAX: usize = 16 << 20;

/// A value, or `None` for a deletion.
pub(crate) type VersionValue = Option<Arc<[u8]>>;

/// A version, and the time from which the next one is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) value: VersionValue,
    pub(crate) valid_from: i64,
    /// `None`: it is the last one.
    pub(crate) valid_to: Option<i64>,
}

/// The versions of one store of one task.
pub(crate) struct VersionedRows {
    layers: LayeredStore,
    /// A row's time is what its bytes begin with.
    cache: TypedCache<VersionValue>,
    segments: Segments,
    /// The largest time that was written.
    observed: i64,
    noted: bool,
    scratch: Vec<u8>,
}

impl VersionedRows {
    pub(crate) fn new(layers: LayeredStore) -> Self {
        let segments = layers.spec().segments.expect("versioned stores are declared with segments");
        let observed = layers.notes().stream_time_ms;
        let (cache, scratch) = (TypedCache::new(), Vec::new());
        Self { layers, cache, segments, observed, noted: false, scratch }
    }

    pub(crate) fn observed(&self) -> i64 {
        self.observed
    }

    /// The value that is valid now.
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<Option<Version>, StateError> {
        let head = self.value_head(key)?;
        Ok(head.map(|(valid_from, value)| Version { value, valid_from, valid_to: None }))
    }

    /// The version that is valid at `time`; `None` also if it is too long ago to be known.
    pub(crate) fn get_as_of(
        &mut self,
        key: &[u8],
        time: i64,
    ) -> Result<Option<Version>, StateError> {
        let head = self.value_head(key)?;
        let last = match head {
            Some((valid_from, value)) if valid_from <= time => {
                return Ok(Some(Version { value, valid_from, valid_to: None }));
            }
            Some((valid_from, _)) => valid_from,
            None => self.observed,
        };
        if self.is_expired(time) {
            return Ok(None);
        }
        let found = self.first_ending_after(key, time, last)?;
        Ok(found.filter(|version| version.valid_from <= time))
    }

    /// All versions that are valid at some time of `times` and known, oldest first.
    pub(crate) fn history(
        &mut self,
        key: &[u8],
        times: RangeInclusive<i64>,
    ) -> Result<Vec<Version>, StateError> {
        let (from, to) = (*times.start(), *times.end());
        let oldest = self.observed.saturating_sub(self.segments.retention_ms());
        let from = from.max(oldest);
        let mut found = Vec::new();
        let head = self.head(key)?;
        let last = head.as_ref().map_or(self.observed, |head| head.valid_from);
        for segment in self.segments.segment(from)..=self.segments.segment(last) {
            let versions = self.versions_in(key, segment)?;
            found.extend(versions.into_iter().filter(|version| {
                version.valid_to.is_none_or(|end| end > from) && version.valid_from <= to
            }));
        }
        found.extend(head.filter(|head| head.valid_from <= to));
        Ok(found)
    }

    /// Adds a version. What a stored one gives is the time until which it is valid; none if it is
    /// the last one.
    pub(crate) fn put(
        &mut self,
        key: &[u8],
        value: VersionValue,
        time: i64,
    ) -> Result<Written<Option<i64>>, StateError> {
        if self.is_expired(time) {
            return Ok(Written::Expired);
        }
        if time > self.observed {
            self.observed = time;
            self.noted = true;
        }
        let Some(head) = self.head(key)? else {
            self.write_head(key, value, time);
            return Ok(Written::Stored(None));
        };
        if time < head.valid_from {
            return self.insert(key, value, time, head.valid_from).map(Written::Stored);
        }
        // The deletion's row lies elsewhere than the next head's.
        if head.value.is_none() {
            self.deleted_row(key, head.valid_from);
            self.remove();
        }
        if time > head.valid_from {
            self.write_version(key, head.value, head.valid_from, time);
        }
        self.write_head(key, value, time);
        Ok(Written::Stored(None))
    }

    /// Whether a time is too long ago to be asked for, or to be written.
    pub(crate) fn is_expired(&self, time: i64) -> bool {
        time < self.observed.saturating_sub(self.segments.retention_ms())
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.noted || self.cache.is_dirty()
    }

    pub(crate) fn dirty_bytes(&self) -> usize {
        self.cache.dirty_bytes()
    }

    pub(crate) fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    pub(crate) fn evict(&mut self, bytes_max: usize) {
        self.cache.evict(bytes_max);
    }

    /// Hands what was written to the layer of `attempt`.
    pub(crate) fn seal(&mut self, attempt: Attempt) {
        let Self { cache, layers, .. } = self;
        let mut writes: Vec<(u32, Option<Vec<u8>>)> = Vec::new();
        let sealed = cache.seal(|at, row| -> Result<usize, std::convert::Infallible> {
            let bytes = row.value.as_ref().map(|value| encode(row.timestamp, value));
            let len = bytes.as_ref().map_or(0, Vec::len);
            if bytes.is_some() || row.base != Base::Absent {
                writes.push((at, bytes));
            }
            Ok(len)
        });
        let Ok(()) = sealed;
        layers.seal(attempt, writes.into_iter().map(|(at, row)| (&*cache.row(at).key, row)));
        if std::mem::take(&mut self.noted) {
            let notes = StoreNotes { stream_time_ms: self.observed, extra: Vec::new() };
            self.layers.note(attempt, notes);
        }
    }

    /// The keys whose head is a value from `after` on (not included), with their values: up to
    /// `rows_max`.
    pub(crate) fn next_values(
        &mut self,
        after: Option<&[u8]>,
        rows_max: usize,
    ) -> Result<Vec<(Box<[u8]>, Version)>, StateError> {
        self.begin(HEADS, ROW_MARK);
        let mut range = KeyRange::prefix(&self.scratch);
        if let Some(after) = after {
            range.lower = [&*self.scratch, after, &[0]].concat().into();
        }
        let mut found = Vec::new();
        let mut rest = Some(range);
        while let (Some(range), true) = (rest, found.is_empty()) {
            let Self { cache, layers, .. } = self;
            let batch = next_batch(cache, layers, &range, Direction::Forward, rows_max)?;
            for (row, value) in batch.rows {
                if let Some((valid_from, value)) = self.decoded(value) {
                    found.push((
                        row[HEAD_LEN..].into(),
                        Version { value, valid_from, valid_to: None },
                    ));
                }
            }
            rest = batch.rest;
        }
        Ok(found)
    }

    /// How many rows there are, roughly.
    pub(crate) fn approximate_len(&self) -> u64 {
        self.layers.approximate_len()
    }

    pub(crate) fn layers(&self) -> &LayeredStore {
        &self.layers
    }

    pub(crate) fn layers_mut(&mut self) -> &mut LayeredStore {
        &mut self.layers
    }

    pub(crate) fn into_layers(self) -> LayeredStore {
        self.layers
    }

    // ---- restoring ----------------------------------------------------------------------------

    /// All records of the changelog before `metadata.next_offset` were put: writes them to the
    /// engine if they are many, or if it is the end. Blocks for as long as the engine takes.
    pub(crate) fn checkpoint(
        &mut self,
        metadata: StoreMetadata,
        is_end: bool,
    ) -> Result<(), StateError> {
        if !is_end && self.dirty_bytes() < RESTORED_BYTES_MAX {
            return Ok(());
        }
        let attempt = Attempt(0);
        self.seal(attempt);
        self.layers.commit(attempt, metadata);
        if let Some(job) = self.layers.apply() {
            self.layers.finish_apply(job.run())?;
        }
        self.evict(RESTORED_BYTES_MAX);
        Ok(())
    }

    // ---- heads --------------------------------------------------------------------------------

    /// The last version of a key.
    fn head(&mut self, key: &[u8]) -> Result<Option<Version>, StateError> {
        if let Some((valid_from, value)) = self.value_head(key)? {
            return Ok(Some(Version { value, valid_from, valid_to: None }));
        }
        // A deletion lies in the segment of its time: a look at each, which the filters of the
        // engine make cheap, and only for keys that are new or were deleted.
        let live = self.segments.oldest_live(self.observed);
        for segment in (live..=self.segments.segment(self.observed)).rev() {
            self.begin(segment, DELETED_MARK);
            self.scratch.extend_from_slice(key);
            if let Some((valid_from, value)) = self.peek()? {
                return Ok(Some(Version { value, valid_from, valid_to: None }));
            }
        }
        Ok(None)
    }

    /// Time and value of a head that is a value.
    fn value_head(&mut self, key: &[u8]) -> Result<Option<(i64, VersionValue)>, StateError> {
        self.begin(HEADS, ROW_MARK);
        self.scratch.extend_from_slice(key);
        let hash = self.cache.hash(&self.scratch);
        let at = match self.cache.find(hash, &self.scratch) {
            Some(at) => at,
            None => {
                let Self { layers, cache, scratch, .. } = self;
                layers.get_with(scratch, |bytes| match bytes.and_then(decode) {
                    Some((time, value)) => {
                        let bytes = bytes.map_or(0, <[u8]>::len);
                        let value = Some(Held::new(value));
                        cache.insert(hash, scratch, value, time, bytes, Base::Present)
                    }
                    None => cache.insert(hash, scratch, None, -1, 0, Base::Absent),
                })?
            }
        };
        let row = self.cache.row(at);
        Ok(row.value.as_ref().map(|value| (row.timestamp, (**value).clone())))
    }

    fn write_head(&mut self, key: &[u8], value: VersionValue, time: i64) {
        self.begin(HEADS, ROW_MARK);
        self.scratch.extend_from_slice(key);
        if value.is_some() {
            self.write(time, value);
        } else {
            self.remove();
            self.deleted_row(key, time);
            self.write(time, value);
        }
    }

    fn deleted_row(&mut self, key: &[u8], time: i64) {
        self.begin(self.segments.segment(time), DELETED_MARK);
        self.scratch.extend_from_slice(key);
    }

    // ---- versions before the head -------------------------------------------------------------

    /// A version before the head, which begins at `head`; until when it is valid.
    fn insert(
        &mut self,
        key: &[u8],
        value: VersionValue,
        time: i64,
        head: i64,
    ) -> Result<Option<i64>, StateError> {
        let next = self.first_ending_after(key, time, head)?;
        let valid_to = match next {
            Some(Version { value: before, valid_from, valid_to: Some(valid_to) })
                if valid_from <= time =>
            {
                if valid_from < time {
                    // It ends where the new one begins, and may so come to another segment.
                    self.version_row(key, valid_from, valid_to);
                    self.remove();
                    self.write_version(key, before, valid_from, time);
                }
                valid_to
            }
            Some(later) => later.valid_from,
            None => head,
        };
        self.write_version(key, value, time, valid_to);
        Ok(Some(valid_to))
    }

    /// Of the versions before the head, which begins at `head`, the first one that is valid after
    /// `time`.
    fn first_ending_after(
        &mut self,
        key: &[u8],
        time: i64,
        head: i64,
    ) -> Result<Option<Version>, StateError> {
        // A chain: later segments have later versions.
        for segment in self.segments.segment(time)..=self.segments.segment(head) {
            let versions = self.versions_in(key, segment)?.into_iter();
            let mut ending = versions.filter(|found| found.valid_to.is_some_and(|end| end > time));
            if let Some(found) = ending.next() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The versions that end in a segment, oldest first.
    fn versions_in(&mut self, key: &[u8], segment: u64) -> Result<Vec<Version>, StateError> {
        self.begin(segment, ROW_MARK);
        self.scratch.extend_from_slice(key);
        let key_len = self.scratch.len();
        let upper = [&*self.scratch, &i64::MAX.to_be_bytes()].concat();
        let lower = Box::from(self.scratch.as_slice());
        let mut rest = Some(KeyRange { lower, upper: Some(upper.into()) });
        let mut found = Vec::new();
        while let Some(range) = rest {
            let Self { cache, layers, .. } = self;
            let batch = next_batch(cache, layers, &range, Direction::Forward, BATCH_ROWS)?;
            for (row, value) in batch.rows {
                // Between the rows of a key lie those of longer keys.
                let Some(start) = row.get(key_len..).and_then(|start| start.try_into().ok()) else {
                    continue;
                };
                if let Some((valid_to, value)) = self.decoded(value) {
                    let valid_from = i64::from_be_bytes(start);
                    found.push(Version { value, valid_from, valid_to: Some(valid_to) });
                }
            }
            rest = batch.rest;
        }
        Ok(found)
    }

    fn write_version(&mut self, key: &[u8], value: VersionValue, valid_from: i64, valid_to: i64) {
        self.version_row(key, valid_from, valid_to);
        self.write(valid_to, value);
    }

    fn version_row(&mut self, key: &[u8], valid_from: i64, valid_to: i64) {
        self.begin(self.segments.segment(valid_to), ROW_MARK);
        self.scratch.extend_from_slice(key);
        self.scratch.extend_from_slice(&valid_from.to_be_bytes());
    }

    // ---- the row in hand ----------------------------------------------------------------------

    fn begin(&mut self, segment: u64, mark: u8) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&segment.to_be_bytes());
        self.scratch.push(mark);
    }

    fn peek(&mut self) -> Result<Option<(i64, VersionValue)>, StateError> {
        let hash = self.cache.hash(&self.scratch);
        match self.cache.find(hash, &self.scratch) {
            Some(at) => {
                let row = self.cache.row(at);
                Ok(row.value.as_ref().map(|value| (row.timestamp, (**value).clone())))
            }
            None => self.layers.get_with(&self.scratch, |bytes| bytes.and_then(decode)),
        }
    }

    fn write(&mut self, time: i64, value: VersionValue) {
        let bytes = TIME_LEN + 1 + value.as_ref().map_or(0, |value| value.len());
        let at = self.place();
        let row = self.cache.row_to_write(at);
        row.timestamp = time;
        row.value = Some(Held::new(value));
        self.cache.set_value_bytes(at, bytes);
    }

    fn remove(&mut self) {
        let at = self.place();
        self.cache.row_to_write(at).value = None;
    }

    fn place(&mut self) -> u32 {
        let hash = self.cache.hash(&self.scratch);
        match self.cache.find(hash, &self.scratch) {
            Some(at) => at,
            None => self.cache.insert(hash, &self.scratch, None, -1, 0, Base::Unread),
        }
    }

    fn decoded(&self, found: Found<VersionValue>) -> Option<(i64, VersionValue)> {
        match found {
            Found::Above(value, time) => Some((time, (*value).clone())),
            Found::Below(bytes) => decode(&bytes),
        }
    }
}

fn encode(time: i64, value: &VersionValue) -> Vec<u8> {
    let mut row = time.to_be_bytes().to_vec();
    row.push(u8::from(value.is_some()));
    row.extend_from_slice(value.as_deref().unwrap_or_default());
    row
}

/// `None`: the row has another format.
fn decode(row: &[u8]) -> Option<(i64, VersionValue)> {
    let (time, row) = row.split_first_chunk()?;
    let (is_value, value) = row.split_first()?;
    Some((i64::from_be_bytes(*time), (*is_value == 1).then(|| value.into())))
}

/// The first and last of a range of times, both included.
pub(super) fn inclusive(from: Bound<i64>, to: Bound<i64>) -> RangeInclusive<i64> {
    let from = match from {
        Bound::Included(from) => from,
        Bound::Excluded(from) => from.saturating_add(1),
        Bound::Unbounded => i64::MIN,
    };
    let to = match to {
        Bound::Included(to) => to,
        Bound::Excluded(to) => to.saturating_sub(1),
        Bound::Unbounded => i64::MAX,
    };
    from..=to
}
