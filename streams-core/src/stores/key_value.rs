//! Key-value stores as processors see them.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::RangeBounds;

use state_stores::KeyRange;

use super::change::Change;
use super::cursor::Cursor;
use super::held::Held;
use super::key_value_instance::KeyValueInstance;
use super::key_value_walk::KeyValueWalk;
use super::store::{AccessContext, ReadOnly, Store, StoreHandle};
use super::typed_cache::Row;
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::{RecordContext, Timestamp};

/// A value per key, with the time of its last write: the counterpart of Kafka Streams'
/// `TimestampedKeyValueStore`.
pub struct KeyValueStore<K, V>(PhantomData<fn() -> (K, V)>);

/// What a processor holds of a [`KeyValueStore`].
pub type KeyValueHandle<K, V> = StoreHandle<KeyValueStore<K, V>>;

/// What a processor holds of a [`KeyValueStore`] that it may only read.
pub type ReadOnlyHandle<K, V> = StoreHandle<ReadOnly<KeyValueStore<K, V>>>;

impl<K: Data, V: Data> Store for KeyValueStore<K, V> {
    type Instance = KeyValueInstance<K, V>;
    type Access<'a> = KeyValueAccess<'a, K, V>;
    type Row = (K, V);
    type Walk = KeyValueWalk<K>;

    #[inline]
    fn access<'a>(
        instance: &'a mut Self::Instance,
        cx: AccessContext<'a>,
    ) -> KeyValueAccess<'a, K, V> {
        instance.set_stream_time(cx.stream_time);
        KeyValueAccess { instance, record: cx.record }
    }

    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut Self::Walk,
        rows: &mut VecDeque<(K, V)>,
    ) -> Result<(), BoxError> {
        instance.read_ahead(walk, |key, value, _| rows.push_back((key, value.into_inner())))
    }
}

impl<K: Data, V: Data> Store for ReadOnly<KeyValueStore<K, V>> {
    type Instance = KeyValueInstance<K, V>;
    type Access<'a> = ReadAccess<'a, K, V>;
    type Row = (K, V);
    type Walk = KeyValueWalk<K>;

    #[inline]
    fn access<'a>(instance: &'a mut Self::Instance, cx: AccessContext<'a>) -> ReadAccess<'a, K, V> {
        instance.set_stream_time(cx.stream_time);
        ReadAccess { instance }
    }

    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut Self::Walk,
        rows: &mut VecDeque<(K, V)>,
    ) -> Result<(), BoxError> {
        KeyValueStore::read_ahead(instance, walk, rows)
    }
}

/// A key-value store, borrowed from the context: the compiler keeps it from living across
/// `forward`. What is put has the time of the record in hand.
pub struct KeyValueAccess<'a, K, V> {
    instance: &'a mut KeyValueInstance<K, V>,
    record: &'a RecordContext,
}

/// A key-value store for reading only.
pub struct ReadAccess<'a, K, V> {
    instance: &'a mut KeyValueInstance<K, V>,
}

/// A change that was put aside for the commit.
#[derive(Debug)]
pub struct Emission<K, V> {
    /// The key.
    pub key: K,
    /// The value now, and the one that was forwarded last.
    pub change: Change<V>,
    /// The time of the value now, or of its deletion.
    pub timestamp: Timestamp,
    /// Of the last write.
    pub record: RecordContext,
}

/// What both accesses offer.
macro_rules! reads {
    () => {
        /// The value of `key`, borrowed from the store's cache: `.cloned()` keeps it.
        pub fn get(&mut self, key: &K) -> Result<Option<&V>, BoxError> {
            let at = self.instance.load(key)?;
            Ok(self.instance.row(at).value.as_deref())
        }

        /// The value of `key` and the time of its last write.
        pub fn get_with_timestamp(&mut self, key: &K) -> Result<Option<(&V, Timestamp)>, BoxError> {
            let at = self.instance.load(key)?;
            let row = self.instance.row(at);
            Ok(row.value.as_deref().map(|value| (value, time_of(row))))
        }

        /// The value of `key`, shared with the store, and the time of its last write.
        pub fn get_held(&mut self, key: &K) -> Result<Option<(Held<V>, Timestamp)>, BoxError> {
            let at = self.instance.load(key)?;
            Ok(held(self.instance.row(at)))
        }

        /// Whether there is a value for `key`.
        pub fn contains(&mut self, key: &K) -> Result<bool, BoxError> {
            let at = self.instance.load(key)?;
            Ok(self.instance.row(at).value.is_some())
        }

        /// How many keys there are, roughly.
        pub fn approximate_len(&self) -> u64 {
            self.instance.approximate_len()
        }
    };
}

impl<K: Data, V: Data> ReadAccess<'_, K, V> {
    reads!();
}

impl<K: Data, V: Data> KeyValueAccess<'_, K, V> {
    reads!();

    /// Writes a value, without a look at what was there.
    pub fn put(&mut self, key: &K, value: V) -> Result<(), BoxError> {
        self.put_at(key, value, self.record.timestamp())
    }

    /// Writes a value with another time than the record's.
    pub fn put_at(&mut self, key: &K, value: V, timestamp: Timestamp) -> Result<(), BoxError> {
        let at = self.instance.place(key)?;
        self.instance.write(at, |row| {
            row.value = Some(Held::new(value));
            row.timestamp = timestamp.as_millis();
        });
        Ok(())
    }

    /// Writes a value if there is none; else returns the one that is there.
    pub fn put_if_absent(&mut self, key: &K, value: V) -> Result<Option<V>, BoxError> {
        let at = self.instance.load(key)?;
        if let Some(there) = &self.instance.row(at).value {
            return Ok(Some((**there).clone()));
        }
        let timestamp = self.record.timestamp().as_millis();
        self.instance.write(at, |row| {
            row.value = Some(Held::new(value));
            row.timestamp = timestamp;
        });
        Ok(None)
    }

    /// Removes the value, without a look at what was there, with another time than the record's.
    pub fn delete_at(&mut self, key: &K, timestamp: Timestamp) -> Result<(), BoxError> {
        let at = self.instance.place(key)?;
        self.instance.write(at, |row| {
            row.value = None;
            row.timestamp = timestamp.as_millis();
        });
        Ok(())
    }

    /// Removes and returns what was there.
    pub fn delete(&mut self, key: &K) -> Result<Option<V>, BoxError> {
        let old = self.put_held(key, None, self.record.timestamp())?;
        Ok(old.map(|(value, _)| value.into_inner()))
    }

    /// Changes the value in place; `None` before: absent, `None` after: deleted.
    pub fn update<R>(
        &mut self,
        key: &K,
        f: impl FnOnce(&mut Option<V>) -> R,
    ) -> Result<R, BoxError> {
        let now = self.record.timestamp();
        self.update_held(key, |held, timestamp| {
            *timestamp = now;
            let mut value = held.take().map(Held::into_inner);
            let result = f(&mut value);
            *held = value.map(Held::new);
            result
        })
    }

    /// Writes or deletes (`None`), and returns what was there. For operators of tables.
    pub fn put_held(
        &mut self,
        key: &K,
        value: Option<Held<V>>,
        timestamp: Timestamp,
    ) -> Result<Option<(Held<V>, Timestamp)>, BoxError> {
        let at = self.instance.load(key)?;
        if value.is_none() && self.instance.row(at).value.is_none() {
            if self.instance.is_row_dirty(at) {
                // Deleted again before the changelog has it: at the later of the two moments.
                self.instance.write(at, |row| row.timestamp = timestamp.as_millis());
            }
            return Ok(None);
        }
        Ok(self.instance.write(at, |row| {
            let old_timestamp = time_of(row);
            row.timestamp = timestamp.as_millis();
            let old = std::mem::replace(&mut row.value, value);
            old.map(|old| (old, old_timestamp))
        }))
    }

    /// Changes value and time in place: both are the stored ones before (the time -1 ms if there
    /// was no write) and are stored after. For operators of tables: clone the [`Held`] before
    /// changing it to have the old value, and after to forward the new one.
    pub fn update_held<R>(
        &mut self,
        key: &K,
        f: impl FnOnce(&mut Option<Held<V>>, &mut Timestamp) -> R,
    ) -> Result<R, BoxError> {
        let at = self.instance.load(key)?;
        Ok(self.instance.write(at, |row| {
            let mut timestamp = time_of(row);
            let result = f(&mut row.value, &mut timestamp);
            row.timestamp = timestamp.as_millis();
            result
        }))
    }

    /// Puts the change of `key` aside: it will be one [`Emission`] at the commit, however often
    /// the key is written until then. `before` is the value before this write.
    pub fn emit_on_commit(&mut self, key: &K, before: Option<Held<V>>) -> Result<(), BoxError> {
        let at = self.instance.load(key)?;
        self.instance.put_aside(at, before, self.record);
        Ok(())
    }

    /// The next change that was put aside; changes from nothing to nothing are left out.
    pub fn take_emission(&mut self) -> Result<Option<Emission<K, V>>, BoxError> {
        while let Some((key, at, aside)) = self.instance.take_aside()? {
            let row = self.instance.row(at);
            let change = Change::new(row.value.clone(), aside.emitted);
            if !change.is_empty() {
                let timestamp = time_of(row);
                return Ok(Some(Emission { key, change, timestamp, record: aside.record }));
            }
        }
        Ok(None)
    }
}

/// Cursors, in unsigned byte order of the serialised keys.
macro_rules! cursors {
    ($store:ty) => {
        impl<K: Data, V: Data> StoreHandle<$store> {
            /// Every row.
            pub fn all(&self) -> Cursor<$store> {
                Cursor::new(*self, KeyValueWalk::bytes(KeyRange::all()))
            }

            /// The rows of a range of keys. The order is that of the serialised keys, in which
            /// negative numbers come after positive ones.
            pub fn range(&self, range: impl RangeBounds<K>) -> Cursor<$store> {
                let (lower, upper) = (range.start_bound().cloned(), range.end_bound().cloned());
                Cursor::new(*self, KeyValueWalk::keys(lower, upper))
            }

            /// The rows whose serialised keys begin with `bytes`.
            pub fn prefix(&self, bytes: &[u8]) -> Cursor<$store> {
                Cursor::new(*self, KeyValueWalk::bytes(KeyRange::prefix(bytes)))
            }
        }
    };
}
cursors!(KeyValueStore<K, V>);
cursors!(ReadOnly<KeyValueStore<K, V>>);

#[inline]
fn time_of<V>(row: &Row<V>) -> Timestamp {
    Timestamp::from_millis(row.timestamp)
}

#[inline]
fn held<V: Clone>(row: &Row<V>) -> Option<(Held<V>, Timestamp)> {
    row.value.as_ref().map(|value| (value.clone(), time_of(row)))
}
