//! A segmented store of one task: serdes, typed cache, index by time, and the layers below.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use state_stores::{Attempt, LayeredStore, Segments, StoreNotes};

use super::row::{Shape, by_time_of, changelog_key, parts, write_head, write_tail};
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::{Headers, RecordContext, Timestamp};
use crate::serdes::{Bytes, Serde, SerdeContext, SerdeRef};
use crate::stores::changelog::{ChangelogRecord, ChangelogWriter};
use crate::stores::held::Held;
use crate::stores::key_value_instance::{TIMESTAMP_BYTES, decode};
use crate::stores::store::{StoreInstance, StoreParts};
use crate::stores::typed_cache::{Aside, Base, Row, TypedCache};
use crate::stores::value_sizes::ValueSizes;

/// A store of windows, sessions or join rows in a task's slot.
pub struct SegmentedInstance<S, K, V> {
    pub(super) topic: Arc<str>,
    pub(super) layers: LayeredStore,
    pub(super) cache: TypedCache<V>,
    pub(super) key_serde: SerdeRef<K>,
    pub(super) value_serde: SerdeRef<V>,
    /// The row's key in hand.
    pub(super) scratch: Vec<u8>,
    pub(super) headers: Headers,
    pub(super) segments: Segments,
    /// Where time windows end.
    pub(super) window_size: Duration,
    /// The largest time that was written, expired writes included.
    pub(super) observed: i64,
    /// Of the last row that has one.
    pub(super) sequence: u32,
    /// Entries of dirty rows in the index by time, if the store has one.
    pub(super) by_time: Option<BTreeSet<Bytes>>,
    sizes: ValueSizes,
    /// Whether `observed` or `sequence` changed since the last seal.
    noted: bool,
    shape: PhantomData<fn() -> S>,
}

/// What became of a write to a store with a retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an expired write was dropped, and is to be counted"]
pub enum Written<T> {
    /// It was stored.
    Stored(T),
    /// Its time lies before the store's retention: nothing was done.
    Expired,
}

impl<T> Written<T> {
    /// Whether nothing was done.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Expired)
    }

    /// What a stored write gave.
    pub fn stored(self) -> Option<T> {
        match self {
            Self::Stored(result) => Some(result),
            Self::Expired => None,
        }
    }
}

/// What a segmented store is beside its types.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SegmentedOptions {
    pub(crate) window_size: Duration,
    pub(crate) by_time: bool,
}

impl<S: Shape, K: Data, V: Data> SegmentedInstance<S, K, V> {
    pub(crate) fn new(
        parts: StoreParts,
        key: SerdeRef<K>,
        value: SerdeRef<V>,
        options: SegmentedOptions,
    ) -> Self {
        let StoreParts { topic, layers, .. } = parts;
        let segments = layers.spec().segments.expect("segmented stores are declared with segments");
        let StoreNotes { stream_time_ms, extra } = layers.notes();
        let sequence = extra.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        Self {
            topic,
            layers,
            cache: TypedCache::new(),
            key_serde: key,
            value_serde: value,
            scratch: Vec::new(),
            headers: Headers::new(),
            segments,
            window_size: options.window_size,
            observed: stream_time_ms,
            sequence,
            by_time: options.by_time.then(BTreeSet::new),
            sizes: ValueSizes::default(),
            noted: false,
            shape: PhantomData,
        }
    }

    /// Takes note of a write at `time`; whether it is to be stored. In memory rows expire exactly,
    /// on disk by segments, as in Kafka Streams.
    pub(super) fn admit(&mut self, time: i64) -> bool {
        if time > self.observed {
            self.observed = time;
            self.noted = true;
        }
        if self.layers.spec().persistent {
            self.segments.segment(time) >= self.segments.oldest_live(self.observed)
        } else {
            self.is_visible(time)
        }
    }

    /// Whether rows of `time` are gone once one of `written` is written.
    #[inline]
    pub(super) fn is_gone_after(&self, time: i64, written: i64) -> bool {
        time < self.segments.oldest_kept_ms(written.max(self.observed))
    }

    #[inline]
    pub(super) fn is_visible(&self, time: i64) -> bool {
        time >= self.segments.oldest_visible_ms(self.observed)
    }

    /// How many rows there are, roughly.
    pub(super) fn approximate_len(&self) -> u64 {
        let new = self.cache.dirty_rows().filter(|row| row.value.is_some());
        let rows = self.layers.approximate_len();
        // Each row has an entry in the index.
        let rows = if self.by_time.is_some() { rows / 2 } else { rows };
        rows + new.filter(|row| row.base != Base::Present).count() as u64
    }

    /// The next sequence number: 31 bits, as in Kafka Streams.
    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence = (self.sequence + 1) & 0x7fff_ffff;
        self.noted = true;
        u64::from(self.sequence)
    }

    /// The row, read from below if need be.
    pub(super) fn load(&mut self, key: &K, time: i64, rest: u64) -> Result<u32, BoxError> {
        self.locate(key, time, rest)?;
        let hash = self.cache.hash(&self.scratch);
        match self.cache.find(hash, &self.scratch) {
            Some(at) => Ok(at),
            None => self.read(hash),
        }
    }

    /// The row, without a look below: its value may be wrong, its key is right. `base` is what is
    /// known of the layers below.
    pub(super) fn place(
        &mut self,
        key: &K,
        time: i64,
        rest: u64,
        base: Base,
    ) -> Result<u32, BoxError> {
        self.locate(key, time, rest)?;
        let hash = self.cache.hash(&self.scratch);
        Ok(match self.cache.find(hash, &self.scratch) {
            Some(at) => at,
            None => self.cache.insert(hash, &self.scratch, None, -1, 0, base),
        })
    }

    pub(super) fn row(&self, at: u32) -> &Row<V> {
        self.cache.row(at)
    }

    /// Writes a row: it is dirty from now on.
    pub(super) fn write<R>(&mut self, at: u32, write: impl FnOnce(&mut Row<V>) -> R) -> R {
        let row = self.cache.row_to_write(at);
        let result = write(row);
        if let Some(by_time) = &mut self.by_time
            && row.value.is_some()
            && row.base != Base::Present
        {
            by_time.insert(by_time_of(&row.key, S::REST_LEN));
        }
        let Self { cache, value_serde, topic, headers, sizes, .. } = self;
        sizes.account(cache, at, value_serde, &mut SerdeContext::value(topic, headers));
        result
    }

    pub(super) fn put_aside(&mut self, at: u32, emitted: Option<Held<V>>, record: &RecordContext) {
        self.cache.put_aside(at, emitted, record);
    }

    /// The next change that was put aside: its key, time and rest, and its row.
    #[expect(clippy::type_complexity, reason = "taken apart at once by its two callers")]
    pub(super) fn take_aside(
        &mut self,
    ) -> Result<Option<((K, i64, u64), u32, Aside<V>)>, BoxError> {
        let Some((at, aside)) = self.cache.take_aside() else { return Ok(None) };
        let row = self.cache.row(at).key.clone();
        Ok(Some((self.decode_key(&row)?, at, aside)))
    }

    /// Key, time and rest of a row's key.
    pub(super) fn decode_key(&mut self, row: &[u8]) -> Result<(K, i64, u64), BoxError> {
        let parts = parts(changelog_key(row), S::REST_LEN).ok_or(StoredKeyTooShort(row.len()))?;
        let mut cx = SerdeContext::key(&self.topic, &mut self.headers);
        Ok((self.key_serde.deserialize(parts.key, &mut cx)?, parts.time, parts.rest))
    }

    /// Value and time of a row of the layers.
    pub(super) fn decode_value(&mut self, bytes: &[u8]) -> Result<(V, i64), BoxError> {
        let mut cx = SerdeContext::value(&self.topic, &mut self.headers);
        decode_value::<S, V>(&self.value_serde, bytes, &mut cx)
    }

    pub(super) fn serialize_key(&mut self, key: &K, out: &mut Vec<u8>) -> Result<(), BoxError> {
        let mut cx = SerdeContext::key(&self.topic, &mut self.headers);
        self.key_serde.serialize(key, out, &mut cx)
    }

    #[inline]
    fn locate(&mut self, key: &K, time: i64, rest: u64) -> Result<(), BoxError> {
        write_head(self.segments.segment(time), &mut self.scratch);
        let mut cx = SerdeContext::key(&self.topic, &mut self.headers);
        self.key_serde.serialize(key, &mut self.scratch, &mut cx)?;
        write_tail(time, rest, S::REST_LEN, &mut self.scratch);
        Ok(())
    }

    /// Caches what the layers below have for the row in hand.
    fn read(&mut self, hash: u64) -> Result<u32, BoxError> {
        let Self { layers, cache, value_serde, scratch, topic, headers, .. } = self;
        layers.get_with(scratch, |bytes| {
            let Some(bytes) = bytes else {
                return Ok(cache.insert(hash, scratch, None, -1, 0, Base::Absent));
            };
            let mut cx = SerdeContext::value(topic, headers);
            let (value, timestamp) = decode_value::<S, V>(value_serde, bytes, &mut cx)?;
            let value = Some(Held::new(value));
            Ok(cache.insert(hash, scratch, value, timestamp, bytes.len(), Base::Present))
        })?
    }
}

fn decode_value<S: Shape, V: 'static>(
    serde: &SerdeRef<V>,
    bytes: &[u8],
    cx: &mut SerdeContext<'_>,
) -> Result<(V, i64), BoxError> {
    if S::HAS_TIMESTAMP {
        decode(serde, bytes, cx)
    } else {
        Ok((serde.deserialize(bytes, cx)?, -1))
    }
}

impl<S: Shape, K: Data, V: Data> StoreInstance for SegmentedInstance<S, K, V> {
    fn is_dirty(&self) -> bool {
        self.noted || self.cache.is_dirty()
    }

    fn dirty_bytes(&self) -> usize {
        self.cache.dirty_bytes()
    }

    fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    fn evict(&mut self, bytes_max: usize) {
        self.cache.evict(bytes_max);
    }

    fn has_emissions(&self) -> bool {
        self.cache.has_aside()
    }

    fn seal(
        &mut self,
        attempt: Attempt,
        mut changelog: Option<&mut ChangelogWriter<'_>>,
    ) -> Result<(), BoxError> {
        let Self { cache, layers, value_serde, topic, headers, by_time, .. } = self;
        let timestamp_len = if S::HAS_TIMESTAMP { TIMESTAMP_BYTES } else { 0 };
        // All values, one after the other, and where each of them lies.
        let mut bytes = Vec::new();
        let mut writes: Vec<(u32, Option<Range<usize>>)> = Vec::new();
        let mut entries: Vec<(Bytes, Option<&[u8]>)> = Vec::new();
        let sealed = cache.seal(|at, row| -> Result<usize, BoxError> {
            if row.value.is_none() && row.base == Base::Absent {
                // It came and went within this interval, or never was.
                return Ok(0);
            }
            let start = bytes.len();
            if let Some(value) = &row.value {
                if S::HAS_TIMESTAMP {
                    bytes.extend_from_slice(&row.timestamp.to_be_bytes());
                }
                let mut cx = SerdeContext::value(topic, headers);
                value_serde.serialize(value, &mut bytes, &mut cx)?;
            }
            let value = row.value.is_some().then_some(start..bytes.len());
            if let Some(changelog) = &mut changelog {
                changelog.write(ChangelogRecord {
                    key: changelog_key(&row.key),
                    value: value.clone().map(|range| &bytes[range][timestamp_len..]),
                    timestamp: Timestamp::from_millis(row.timestamp),
                })?;
            }
            // Overwriting a row leaves the index as it is.
            let indexed = row.base == Base::Present && row.value.is_some();
            if by_time.is_some() && !indexed {
                let entry = row.value.is_some().then_some(&[][..]);
                entries.push((by_time_of(&row.key, S::REST_LEN), entry));
            }
            writes.push((at, value));
            Ok(bytes.len() - start)
        });
        sealed?;
        let rows = writes
            .into_iter()
            .map(|(at, range)| (&*cache.row(at).key, range.map(|range| &bytes[range])));
        let entries = entries.iter().map(|(key, value)| (&**key, *value));
        layers.seal(attempt, rows.chain(entries));
        if let Some(by_time) = by_time {
            by_time.clear();
        }
        if std::mem::take(&mut self.noted) {
            let extra = self.sequence.to_be_bytes().to_vec();
            self.layers.note(attempt, StoreNotes { stream_time_ms: self.observed, extra });
        }
        Ok(())
    }

    fn layers(&self) -> &LayeredStore {
        &self.layers
    }

    fn layers_mut(&mut self) -> &mut LayeredStore {
        &mut self.layers
    }

    fn into_layers(self: Box<Self>) -> LayeredStore {
        self.layers
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a stored key has {0} bytes, fewer than its time takes: the store has another format")]
struct StoredKeyTooShort(usize);
