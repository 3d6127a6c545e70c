//! A key-value store of a bounded number of keys: those that were used last.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::ops::RangeBounds;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use state_stores::{Attempt, Cursor as RowCursor, Direction, KeyRange, LayeredStore, StoreSpec};

use super::builder::{StoreBuilder, Stores};
use super::changelog::ChangelogWriter;
use super::cursor::Cursor;
use super::held::Held;
use super::key_value_instance::KeyValueInstance;
use super::key_value_walk::KeyValueWalk;
use super::store::{AccessContext, Store, StoreHandle, StoreInstance};
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::{RecordContext, Timestamp};
use crate::serdes::{Bytes, DefaultSerde, Serde, SerdeRef};

/// The keys that were read or written last, in memory: the counterpart of Kafka Streams'
/// `lruMap`. Who is evicted gets a tombstone in the changelog; nothing is forwarded.
///
/// After a restart or an abort the order is that of the last writes.
pub struct LruStore<K, V>(PhantomData<fn() -> (K, V)>);

/// What a processor holds of an [`LruStore`].
pub type LruHandle<K, V> = StoreHandle<LruStore<K, V>>;

impl Stores {
    /// A store of at most `keys_max` keys.
    pub fn lru<K: Data + DefaultSerde, V: Data + DefaultSerde>(
        name: &str,
        keys_max: usize,
    ) -> StoreBuilder<LruStore<K, V>> {
        Self::lru_with(name, keys_max, K::default_serde(), V::default_serde())
    }

    /// A store of at most `keys_max` keys, with these serdes.
    pub fn lru_with<K: Data, V: Data>(
        name: &str,
        keys_max: usize,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> StoreBuilder<LruStore<K, V>> {
        let (key, value) = (SerdeRef::new(key), SerdeRef::new(value));
        let spec = StoreSpec::key_value(name).with_store_type("timestamped-lru").in_memory();
        StoreBuilder::new(spec, move |parts| LruInstance {
            rows: KeyValueInstance::new(parts, key.clone(), value.clone()),
            keys_max,
            order: None,
        })
    }
}

/// An LRU store in a task's slot.
pub struct LruInstance<K, V> {
    rows: KeyValueInstance<K, V>,
    keys_max: usize,
    /// Made at the first use.
    order: Option<Order>,
}

/// Keys by their last use.
#[derive(Default)]
struct Order {
    uses: BTreeMap<u64, Bytes>,
    last_use: HashMap<Bytes, u64, FixedState>,
    clock: u64,
}

impl Order {
    fn touch(&mut self, key: &[u8]) {
        self.clock += 1;
        match self.last_use.get_mut(key) {
            Some(at) => {
                let key = self.uses.remove(at).unwrap_or_else(|| key.into());
                *at = self.clock;
                self.uses.insert(self.clock, key);
            }
            None => {
                self.uses.insert(self.clock, key.into());
                self.last_use.insert(key.into(), self.clock);
            }
        }
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(at) = self.last_use.remove(key) {
            self.uses.remove(&at);
        }
    }

    /// The key that was not used for the longest time, if there are more than `keys_max`.
    fn take_surplus(&mut self, keys_max: usize) -> Option<Bytes> {
        if self.uses.len() <= keys_max {
            return None;
        }
        let (_, key) = self.uses.pop_first()?;
        self.last_use.remove(&key);
        Some(key)
    }
}

impl<K: Data, V: Data> LruInstance<K, V> {
    fn order(&mut self) -> Result<&mut Order, BoxError> {
        if self.order.is_none() {
            self.order = Some(order_of(&self.rows.layers)?);
        }
        Ok(self.order.as_mut().expect("was made"))
    }

    fn get(&mut self, key: &K) -> Result<u32, BoxError> {
        self.order()?;
        let at = self.rows.load(key)?;
        if self.rows.row(at).value.is_some()
            && let Some(order) = &mut self.order
        {
            order.touch(&self.rows.scratch);
        }
        Ok(at)
    }

    /// Writes or deletes; what was there.
    fn put(
        &mut self,
        key: &K,
        value: Option<V>,
        timestamp: Timestamp,
    ) -> Result<Option<V>, BoxError> {
        self.order()?;
        let at = self.rows.load(key)?;
        if value.is_none() && self.rows.row(at).value.is_none() {
            return Ok(None);
        }
        let Self { rows, order: Some(order), keys_max } = self else { return Ok(None) };
        match value {
            Some(_) => order.touch(&rows.scratch),
            None => order.remove(&rows.scratch),
        }
        let millis = timestamp.as_millis();
        let old = rows.write(at, |row| {
            row.timestamp = millis;
            std::mem::replace(&mut row.value, value.map(Held::new))
        });
        while let Some(surplus) = order.take_surplus(*keys_max) {
            let at = rows.place_bytes(&surplus);
            rows.write(at, |row| {
                row.value = None;
                row.timestamp = millis;
            });
        }
        Ok(old.map(Held::into_inner))
    }
}

/// The order of the last writes; there are not many rows.
fn order_of(layers: &LayeredStore) -> Result<Order, BoxError> {
    let mut cursor = RowCursor::new(KeyRange::all(), Direction::Forward);
    let (mut batch, mut keys) = (Vec::new(), Vec::new());
    while cursor.next(layers, &mut batch)? {
        keys.extend(batch.drain(..).map(|(key, value)| {
            let time = value.first_chunk().map_or(-1, |time| i64::from_be_bytes(*time));
            (time, key)
        }));
    }
    keys.sort_unstable();
    let mut order = Order::default();
    keys.iter().for_each(|(_, key)| order.touch(key));
    Ok(order)
}

impl<K: Data, V: Data> Store for LruStore<K, V> {
    type Instance = LruInstance<K, V>;
    type Access<'a> = LruAccess<'a, K, V>;
    type Row = (K, V);
    type Walk = KeyValueWalk<K>;

    fn access<'a>(instance: &'a mut Self::Instance, cx: AccessContext<'a>) -> LruAccess<'a, K, V> {
        LruAccess { instance, record: cx.record }
    }

    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut Self::Walk,
        rows: &mut VecDeque<(K, V)>,
    ) -> Result<(), BoxError> {
        instance.rows.read_ahead(walk, |key, value, _| rows.push_back((key, value.into_inner())))
    }
}

/// An LRU store, borrowed from the context. What is put has the time of the record in hand.
pub struct LruAccess<'a, K, V> {
    instance: &'a mut LruInstance<K, V>,
    record: &'a RecordContext,
}

impl<K: Data, V: Data> LruAccess<'_, K, V> {
    /// The value of `key`, which counts as used.
    pub fn get(&mut self, key: &K) -> Result<Option<&V>, BoxError> {
        let at = self.instance.get(key)?;
        Ok(self.instance.rows.row(at).value.as_deref())
    }

    /// Writes a value. If the store is full, the key that was not used for the longest time goes.
    pub fn put(&mut self, key: &K, value: V) -> Result<(), BoxError> {
        self.instance.put(key, Some(value), self.record.timestamp()).map(|_| ())
    }

    /// Writes a value if there is none; else returns the one that is there.
    pub fn put_if_absent(&mut self, key: &K, value: V) -> Result<Option<V>, BoxError> {
        let at = self.instance.get(key)?;
        if let Some(there) = &self.instance.rows.row(at).value {
            return Ok(Some((**there).clone()));
        }
        self.put(key, value)?;
        Ok(None)
    }

    /// Removes and returns what was there.
    pub fn delete(&mut self, key: &K) -> Result<Option<V>, BoxError> {
        self.instance.put(key, None, self.record.timestamp())
    }

    /// How many keys there are.
    pub fn len(&mut self) -> Result<usize, BoxError> {
        Ok(self.instance.order()?.uses.len())
    }

    /// Whether there is no key.
    pub fn is_empty(&mut self) -> Result<bool, BoxError> {
        Ok(self.len()? == 0)
    }
}

/// Cursors, in unsigned byte order of the serialised keys. They do not count as use.
impl<K: Data, V: Data> StoreHandle<LruStore<K, V>> {
    /// Every row.
    pub fn all(&self) -> Cursor<LruStore<K, V>> {
        Cursor::new(*self, KeyValueWalk::bytes(KeyRange::all()))
    }

    /// The rows of a range of keys.
    pub fn range(&self, range: impl RangeBounds<K>) -> Cursor<LruStore<K, V>> {
        let (lower, upper) = (range.start_bound().cloned(), range.end_bound().cloned());
        Cursor::new(*self, KeyValueWalk::keys(lower, upper))
    }
}

impl<K: Data, V: Data> StoreInstance for LruInstance<K, V> {
    fn is_dirty(&self) -> bool {
        self.rows.is_dirty()
    }

    fn dirty_bytes(&self) -> usize {
        self.rows.dirty_bytes()
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
        self.rows.seal(attempt, changelog)
    }

    fn layers(&self) -> &LayeredStore {
        self.rows.layers()
    }

    fn layers_mut(&mut self) -> &mut LayeredStore {
        self.rows.layers_mut()
    }

    fn into_layers(self: Box<Self>) -> LayeredStore {
        Box::new(self.rows).into_layers()
    }
}
