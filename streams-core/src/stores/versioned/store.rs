//! Versioned stores as processors see them.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::{Range, RangeBounds};
use std::sync::Arc;

use state_stores::{Attempt, LayeredStore};

use super::rows::{Version, VersionValue, VersionedRows, inclusive};
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::{Headers, Timestamp};
use crate::serdes::{Serde, SerdeContext, SerdeRef};
use crate::stores::changelog::{ChangelogRecord, ChangelogWriter};
use crate::stores::cursor::{Cursor, Walk};
use crate::stores::segmented::Written;
use crate::stores::store::{
    AccessContext, ReadOnly, Store, StoreHandle, StoreInstance, StoreParts,
};

/// The values of a key over time: the counterpart of Kafka Streams' `VersionedKeyValueStore`.
pub struct VersionedStore<K, V>(PhantomData<fn() -> (K, V)>);

/// What a processor holds of a [`VersionedStore`].
pub type VersionedHandle<K, V> = StoreHandle<VersionedStore<K, V>>;

/// A value, and when it was valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedRecord<V> {
    /// The value.
    pub value: V,
    /// From when on it is valid.
    pub timestamp: Timestamp,
    /// Until when it was valid, this moment not included; `None`: it still is.
    pub valid_to: Option<Timestamp>,
}

/// A row of a cursor: a key with the value that is valid now.
pub type VersionedRow<K, V> = (K, VersionedRecord<V>);

/// How far a cursor came.
#[derive(Debug, Default)]
pub struct VersionedWalk {
    after: Option<Box<[u8]>>,
    done: bool,
}

/// Rows read ahead by a cursor.
const AHEAD_ROWS: usize = 64;

impl Walk for VersionedWalk {
    /// Versioned stores are read forward only.
    fn reverse(&mut self) {}
}

/// A versioned store in a task's slot.
pub struct VersionedInstance<K, V> {
    topic: Arc<str>,
    rows: VersionedRows,
    key_serde: SerdeRef<K>,
    value_serde: SerdeRef<V>,
    headers: Headers,
    key: Vec<u8>,
    log: Log,
}

/// Every put since the last seal, in order: what coalesces per key would lose versions.
#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    puts: Vec<Put>,
}

struct Put {
    key: Range<usize>,
    value: Option<Range<usize>>,
    timestamp: Timestamp,
}

impl Log {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>, timestamp: Timestamp) {
        let mut add = |bytes: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            start..self.bytes.len()
        };
        let put = Put { key: add(key), value: value.map(&mut add), timestamp };
        self.puts.push(put);
    }

    fn bytes(&self) -> usize {
        self.bytes.len() + self.puts.len() * size_of::<Put>()
    }
}

impl<K: Data, V: Data> VersionedInstance<K, V> {
    pub(super) fn new(parts: StoreParts, key: SerdeRef<K>, value: SerdeRef<V>) -> Self {
        let StoreParts { topic, layers, .. } = parts;
        Self {
            topic,
            rows: VersionedRows::new(layers),
            key_serde: key,
            value_serde: value,
            headers: Headers::new(),
            key: Vec::new(),
            log: Log::default(),
        }
    }

    fn take_key(&mut self, key: &K) -> Result<(), BoxError> {
        self.key.clear();
        let mut cx = SerdeContext::key(&self.topic, &mut self.headers);
        self.key_serde.serialize(key, &mut self.key, &mut cx)
    }

    /// A version that is a value.
    fn typed(&mut self, version: Option<Version>) -> Result<Option<VersionedRecord<V>>, BoxError> {
        let Some(Version { value: Some(bytes), valid_from, valid_to }) = version else {
            return Ok(None);
        };
        let mut cx = SerdeContext::value(&self.topic, &mut self.headers);
        Ok(Some(VersionedRecord {
            value: self.value_serde.deserialize(&bytes, &mut cx)?,
            timestamp: Timestamp::from_millis(valid_from),
            valid_to: valid_to.map(Timestamp::from_millis),
        }))
    }

    fn put(
        &mut self,
        key: &K,
        value: Option<&V>,
        timestamp: Timestamp,
    ) -> Result<Written<Option<Timestamp>>, BoxError> {
        self.take_key(key)?;
        let value: VersionValue = match value {
            Some(value) => {
                let mut bytes = Vec::new();
                let mut cx = SerdeContext::value(&self.topic, &mut self.headers);
                self.value_serde.serialize(value, &mut bytes, &mut cx)?;
                Some(bytes.into())
            }
            None => None,
        };
        match self.rows.put(&self.key, value.clone(), timestamp.as_millis())? {
            Written::Expired => Ok(Written::Expired),
            Written::Stored(valid_to) => {
                self.log.push(&self.key, value.as_deref(), timestamp);
                Ok(Written::Stored(valid_to.map(Timestamp::from_millis)))
            }
        }
    }
}

impl<K: Data, V: Data> Store for VersionedStore<K, V> {
    type Instance = VersionedInstance<K, V>;
    type Access<'a> = VersionedAccess<'a, K, V>;
    type Row = VersionedRow<K, V>;
    type Walk = VersionedWalk;

    #[inline]
    fn access<'a>(
        instance: &'a mut Self::Instance,
        _: AccessContext<'a>,
    ) -> VersionedAccess<'a, K, V> {
        VersionedAccess { instance }
    }

    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut VersionedWalk,
        rows: &mut VecDeque<Self::Row>,
    ) -> Result<(), BoxError> {
        if walk.done {
            return Ok(());
        }
        let found = instance.rows.next_values(walk.after.as_deref(), AHEAD_ROWS)?;
        walk.done = found.is_empty();
        for (key, version) in found {
            let mut cx = SerdeContext::key(&instance.topic, &mut instance.headers);
            let typed_key = instance.key_serde.deserialize(&key, &mut cx)?;
            if let Some(record) = instance.typed(Some(version))? {
                rows.push_back((typed_key, record));
            }
            walk.after = Some(key);
        }
        Ok(())
    }
}

impl<K: Data, V: Data> Store for ReadOnly<VersionedStore<K, V>> {
    type Instance = VersionedInstance<K, V>;
    type Access<'a> = VersionedReadAccess<'a, K, V>;
    type Row = VersionedRow<K, V>;
    type Walk = VersionedWalk;

    #[inline]
    fn access<'a>(
        instance: &'a mut Self::Instance,
        _: AccessContext<'a>,
    ) -> VersionedReadAccess<'a, K, V> {
        VersionedReadAccess { instance }
    }

    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut VersionedWalk,
        rows: &mut VecDeque<Self::Row>,
    ) -> Result<(), BoxError> {
        VersionedStore::read_ahead(instance, walk, rows)
    }
}

/// A versioned store, borrowed from the context.
pub struct VersionedAccess<'a, K, V> {
    instance: &'a mut VersionedInstance<K, V>,
}

/// A versioned store for reading only.
pub struct VersionedReadAccess<'a, K, V> {
    instance: &'a mut VersionedInstance<K, V>,
}

/// What both accesses offer.
macro_rules! reads {
    () => {
        /// The value that is valid now. It never expires.
        pub fn get(&mut self, key: &K) -> Result<Option<VersionedRecord<V>>, BoxError> {
            self.instance.take_key(key)?;
            let found = self.instance.rows.get(&self.instance.key)?;
            self.instance.typed(found)
        }

        /// The value that was valid at `time`; `None` also if that is longer ago than the history
        /// that is kept, unless the value is valid still.
        pub fn get_as_of(
            &mut self,
            key: &K,
            time: Timestamp,
        ) -> Result<Option<VersionedRecord<V>>, BoxError> {
            self.instance.take_key(key)?;
            let found = self.instance.rows.get_as_of(&self.instance.key, time.as_millis())?;
            self.instance.typed(found)
        }

        /// The values that were valid at some time of `times`, oldest first, as far as the history
        /// that is kept goes.
        pub fn history(
            &mut self,
            key: &K,
            times: impl RangeBounds<Timestamp>,
        ) -> Result<Vec<VersionedRecord<V>>, BoxError> {
            self.instance.take_key(key)?;
            let from = times.start_bound().map(|time| time.as_millis());
            let to = times.end_bound().map(|time| time.as_millis());
            let found = self.instance.rows.history(&self.instance.key, inclusive(from, to))?;
            let typed = found.into_iter().map(|found| self.instance.typed(Some(found)));
            typed.filter_map(Result::transpose).collect()
        }

        /// The largest time that was put, or -1 ms.
        pub fn observed(&self) -> Timestamp {
            Timestamp::from_millis(self.instance.rows.observed())
        }

        /// How many versions there are, roughly.
        pub fn approximate_len(&self) -> u64 {
            self.instance.rows.approximate_len()
        }
    };
}

impl<K: Data, V: Data> VersionedReadAccess<'_, K, V> {
    reads!();
}

impl<K: Data, V: Data> VersionedAccess<'_, K, V> {
    reads!();

    /// Adds the value that is valid from `timestamp` on; `None`: from then on there is none. A
    /// stored one gives the time until which it is valid; none if it is the latest. The
    /// counterpart of Kafka Streams' `put`, with `PUT_RETURN_CODE_NOT_PUT` as
    /// [`Written::Expired`] and `PUT_RETURN_CODE_VALID_TO_UNDEFINED` as `Stored(None)`.
    pub fn put(
        &mut self,
        key: &K,
        value: Option<&V>,
        timestamp: Timestamp,
    ) -> Result<Written<Option<Timestamp>>, BoxError> {
        self.instance.put(key, value, timestamp)
    }

    /// From `timestamp` on there is no value; what was valid at that time.
    pub fn delete(
        &mut self,
        key: &K,
        timestamp: Timestamp,
    ) -> Result<Written<Option<VersionedRecord<V>>>, BoxError> {
        if self.instance.rows.is_expired(timestamp.as_millis()) {
            return Ok(Written::Expired);
        }
        let existing = self.get_as_of(key, timestamp)?;
        Ok(match self.put(key, None, timestamp)? {
            Written::Stored(_) => Written::Stored(existing),
            Written::Expired => Written::Expired,
        })
    }
}

/// Cursors.
macro_rules! cursors {
    ($store:ty) => {
        impl<K: Data, V: Data> StoreHandle<$store> {
            /// The keys that have a value now, with it, by serialised key. Forward only.
            pub fn all(&self) -> Cursor<$store> {
                Cursor::new(*self, VersionedWalk::default())
            }
        }
    };
}
cursors!(VersionedStore<K, V>);
cursors!(ReadOnly<VersionedStore<K, V>>);

impl<K: Data, V: Data> StoreInstance for VersionedInstance<K, V> {
    fn is_dirty(&self) -> bool {
        self.rows.is_dirty() || !self.log.puts.is_empty()
    }

    fn dirty_bytes(&self) -> usize {
        self.rows.dirty_bytes() + self.log.bytes()
    }

    fn cached_bytes(&self) -> usize {
        self.rows.cached_bytes()
    }

    fn evict(&mut self, bytes_max: usize) {
        self.rows.evict(bytes_max);
    }

    fn seal(
        &mut self,
        attempt: Attempt,
        changelog: Option<&mut ChangelogWriter<'_>>,
    ) -> Result<(), BoxError> {
        let log = std::mem::take(&mut self.log);
        if let Some(changelog) = changelog {
            for Put { key, value, timestamp } in log.puts {
                changelog.write(ChangelogRecord {
                    key: &log.bytes[key],
                    value: value.map(|value| &log.bytes[value]),
                    timestamp,
                })?;
            }
        }
        self.rows.seal(attempt);
        Ok(())
    }

    fn layers(&self) -> &LayeredStore {
        self.rows.layers()
    }

    fn layers_mut(&mut self) -> &mut LayeredStore {
        self.rows.layers_mut()
    }

    fn into_layers(self: Box<Self>) -> LayeredStore {
        self.rows.into_layers()
    }
}
