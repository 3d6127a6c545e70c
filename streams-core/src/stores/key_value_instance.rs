//! A key-value store of one task: serdes, typed cache, and the layers below.

use std::ops::Range;
use std::sync::Arc;

use state_stores::{Attempt, LayeredStore};

use super::changelog::{ChangelogRecord, ChangelogWriter};
use super::held::Held;
use super::store::{StoreInstance, StoreParts};
use super::time_to_live::TimeToLive;
use super::typed_cache::{Aside, Base, Row, TypedCache};
use super::value_sizes::ValueSizes;
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::{Headers, RecordContext, Timestamp};
use crate::serdes::{Serde, SerdeContext, SerdeRef};

/// A stored value begins with its time.
pub(super) const TIMESTAMP_BYTES: usize = 8;

/// A key-value store in a task's slot.
pub struct KeyValueInstance<K, V> {
    pub(super) topic: Arc<str>,
    pub(super) layers: LayeredStore,
    pub(super) cache: TypedCache<V>,
    pub(super) key_serde: SerdeRef<K>,
    pub(super) value_serde: SerdeRef<V>,
    /// The serialised key in hand.
    pub(super) scratch: Vec<u8>,
    pub(super) headers: Headers,
    /// Of the records of the changelog that have a value.
    changelog_headers: Headers,
    sizes: ValueSizes,
    time_to_live: Option<TimeToLive>,
}

impl<K: Data, V: Data> KeyValueInstance<K, V> {
    pub(super) fn new(parts: StoreParts, key: SerdeRef<K>, value: SerdeRef<V>) -> Self {
        let StoreParts { topic, layers, time_to_live, .. } = parts;
        Self {
            topic,
            layers,
            cache: TypedCache::new(),
            key_serde: key,
            value_serde: value,
            scratch: Vec::new(),
            headers: Headers::new(),
            changelog_headers: Headers::new(),
            sizes: ValueSizes::default(),
            time_to_live: time_to_live.map(TimeToLive::new),
        }
    }

    /// Writes this header with each value to the changelog.
    pub(super) fn with_changelog_header(mut self, name: &str, value: &[u8]) -> Self {
        self.changelog_headers.push(name, value);
        self
    }

    /// The row of `key`, read from below if need be.
    pub(super) fn load(&mut self, key: &K) -> Result<u32, BoxError> {
        self.serialize_key(key)?;
        let hash = self.cache.hash(&self.scratch);
        let at = match self.cache.find(hash, &self.scratch) {
            Some(at) => at,
            None => self.read(hash)?,
        };
        if self.time_to_live.is_some() {
            self.forget_if_expired(at);
        }
        Ok(at)
    }

    /// Stream time is that from now on.
    #[inline]
    pub(super) fn set_stream_time(&mut self, now: Timestamp) {
        if let Some(time_to_live) = &mut self.time_to_live {
            time_to_live.set_now(now);
        }
    }

    /// Whether rows of that time are not to be seen any more.
    pub(super) fn is_expired(&self, timestamp: i64) -> bool {
        self.time_to_live.as_ref().is_some_and(|life| life.is_expired(timestamp))
    }

    #[cold]
    fn forget_if_expired(&mut self, at: u32) {
        let Some(time_to_live) = &self.time_to_live else { return };
        let row = self.cache.row(at);
        if row.value.is_some() && time_to_live.is_expired(row.timestamp) {
            let row = self.cache.row_to_write(at);
            row.value = None;
            row.timestamp = time_to_live.now();
        }
    }

    /// The row of a key that is bytes already, without a look below.
    pub(super) fn place_bytes(&mut self, key: &[u8]) -> u32 {
        let hash = self.cache.hash(key);
        match self.cache.find(hash, key) {
            Some(at) => at,
            None => self.cache.insert(hash, key, None, -1, 0, Base::Unread),
        }
    }

    /// The row of `key`, without a look below: its value may be wrong, its key is right.
    pub(super) fn place(&mut self, key: &K) -> Result<u32, BoxError> {
        self.serialize_key(key)?;
        let hash = self.cache.hash(&self.scratch);
        Ok(match self.cache.find(hash, &self.scratch) {
            Some(at) => at,
            None => self.cache.insert(hash, &self.scratch, None, -1, 0, Base::Unread),
        })
    }

    pub(super) fn row(&self, at: u32) -> &Row<V> {
        self.cache.row(at)
    }

    /// Whether a row was written since the last seal.
    pub(super) fn is_row_dirty(&self, at: u32) -> bool {
        self.cache.is_row_dirty(at)
    }

    /// Writes a row: it is dirty from now on.
    pub(super) fn write<R>(&mut self, at: u32, write: impl FnOnce(&mut Row<V>) -> R) -> R {
        let result = write(self.cache.row_to_write(at));
        let Self { cache, value_serde, topic, headers, sizes, .. } = self;
        sizes.account(cache, at, value_serde, &mut SerdeContext::value(topic, headers));
        result
    }

    pub(super) fn put_aside(&mut self, at: u32, emitted: Option<Held<V>>, record: &RecordContext) {
        self.cache.put_aside(at, emitted, record);
    }

    /// The next change that was put aside: its key, and its row.
    pub(super) fn take_aside(&mut self) -> Result<Option<(K, u32, Aside<V>)>, BoxError> {
        let Some((at, aside)) = self.cache.take_aside() else { return Ok(None) };
        let mut cx = SerdeContext::key(&self.topic, &mut self.headers);
        let key = self.key_serde.deserialize(&self.cache.row(at).key, &mut cx)?;
        Ok(Some((key, at, aside)))
    }

    /// How many keys there are, roughly.
    pub(super) fn approximate_len(&self) -> u64 {
        let (mut more, mut fewer) = (0, 0);
        for row in self.cache.dirty_rows() {
            match (row.value.is_some(), row.base) {
                (true, Base::Absent) => more += 1,
                (false, Base::Present) => fewer += 1,
                _ => {}
            }
        }
        (self.layers.approximate_len() + more).saturating_sub(fewer)
    }

    #[inline]
    pub(super) fn serialize_key(&mut self, key: &K) -> Result<(), BoxError> {
        self.scratch.clear();
        let mut cx = SerdeContext::key(&self.topic, &mut self.headers);
        self.key_serde.serialize(key, &mut self.scratch, &mut cx)
    }

    /// Caches what the layers below have for the key in hand.
    fn read(&mut self, hash: u64) -> Result<u32, BoxError> {
        let Self { layers, cache, value_serde, scratch, topic, headers, .. } = self;
        layers.get_with(scratch, |bytes| {
            let Some(bytes) = bytes else {
                return Ok(cache.insert(hash, scratch, None, -1, 0, Base::Absent));
            };
            let mut cx = SerdeContext::value(topic, headers);
            let (value, timestamp) = decode(value_serde, bytes, &mut cx)?;
            let value = Some(Held::new(value));
            Ok(cache.insert(hash, scratch, value, timestamp, bytes.len(), Base::Present))
        })?
    }
}

/// The value and time of a row of the layers.
pub(super) fn decode<V: 'static>(
    serde: &SerdeRef<V>,
    bytes: &[u8],
    cx: &mut SerdeContext<'_>,
) -> Result<(V, i64), BoxError> {
    let (timestamp, value) =
        bytes.split_first_chunk::<TIMESTAMP_BYTES>().ok_or(StoredValueTooShort(bytes.len()))?;
    Ok((serde.deserialize(value, cx)?, i64::from_be_bytes(*timestamp)))
}

impl<K: Data, V: Data> StoreInstance for KeyValueInstance<K, V> {
    fn is_dirty(&self) -> bool {
        self.cache.is_dirty() || self.time_to_live.as_ref().is_some_and(TimeToLive::is_due)
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

    fn forget(&mut self, key: &[u8]) {
        self.cache.forget(key);
    }

    fn has_emissions(&self) -> bool {
        self.cache.has_aside()
    }

    fn seal(
        &mut self,
        attempt: Attempt,
        mut changelog: Option<&mut ChangelogWriter<'_>>,
    ) -> Result<(), BoxError> {
        let Self { cache, layers, value_serde, topic, headers, changelog_headers, .. } = self;
        if let Some(time_to_live) = &mut self.time_to_live {
            time_to_live.sweep(cache, layers)?;
        }
        // All values, one after the other, and where each of them lies.
        let mut bytes = Vec::new();
        let mut writes: Vec<(u32, Option<Range<usize>>)> = Vec::new();
        let sealed = cache.seal(|at, row| -> Result<usize, BoxError> {
            if row.value.is_none() && row.base == Base::Absent {
                // It came and went within this interval, or never was.
                return Ok(0);
            }
            let start = bytes.len();
            if let Some(value) = &row.value {
                bytes.extend_from_slice(&row.timestamp.to_be_bytes());
                let mut cx = SerdeContext::value(topic, headers);
                value_serde.serialize(value, &mut bytes, &mut cx)?;
            }
            let value = row.value.is_some().then_some(start..bytes.len());
            if let Some(changelog) = &mut changelog {
                let headers = value.as_ref().map(|_| changelog_headers.clone());
                changelog.headers = headers.unwrap_or_default();
                changelog.write(ChangelogRecord {
                    key: &row.key,
                    value: value.clone().map(|range| &bytes[range][TIMESTAMP_BYTES..]),
                    timestamp: Timestamp::from_millis(row.timestamp),
                })?;
            }
            writes.push((at, value));
            Ok(bytes.len() - start)
        });
        sealed?;
        let value = |range: Option<Range<usize>>| range.map(|range| &bytes[range]);
        layers.seal(
            attempt,
            writes.into_iter().map(|(at, range)| (&*cache.row(at).key, value(range))),
        );
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
#[error("a stored value has {0} bytes, fewer than its time takes: the store has another format")]
struct StoredValueTooShort(usize);
