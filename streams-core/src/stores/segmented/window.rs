//! Window stores as processors see them.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::RangeBounds;

use super::instance::{SegmentedInstance, Written};
use super::row::Shape;
use super::walk::{RawWalk, SegmentedWalk, millis};
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::{RecordContext, Timestamp};
use crate::stores::change::Change;
use crate::stores::cursor::Cursor;
use crate::stores::held::Held;
use crate::stores::key_value::Emission;
use crate::stores::store::{AccessContext, ReadOnly, Store, StoreHandle};
use crate::stores::typed_cache::{Base, Row};
use crate::windowed::{TimeWindow, Windowed};

/// A value per key and window, with the time of its last write: the counterpart of Kafka Streams'
/// `TimestampedWindowStore`. Windows are told apart by their start.
pub struct WindowStore<K, V>(PhantomData<fn() -> (K, V)>);

/// What a processor holds of a [`WindowStore`].
pub type WindowHandle<K, V> = StoreHandle<WindowStore<K, V>>;

/// Rows of window stores.
pub struct WindowShape;

impl Shape for WindowShape {
    /// A sequence number, always 0.
    const REST_LEN: usize = 4;
    const HAS_TIMESTAMP: bool = true;
    const HAS_SEQUENCE: bool = false;
    const STORE_TYPE: &'static str = "timestamped-window";
}

/// What lies in the task's slot.
type Instance<K, V> = SegmentedInstance<WindowShape, K, V>;

/// A row of a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow<K, V> {
    /// The key with its window.
    pub windowed: Windowed<K>,
    /// The value.
    pub value: Held<V>,
    /// Of the last write.
    pub timestamp: Timestamp,
}

/// One window of the key that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundWindow<V> {
    /// The window.
    pub window: TimeWindow,
    /// The value.
    pub value: Held<V>,
    /// Of the last write.
    pub timestamp: Timestamp,
}

impl<K: Data, V: Data> Store for WindowStore<K, V> {
    type Instance = Instance<K, V>;
    type Access<'a> = WindowAccess<'a, K, V>;
    type Row = WindowRow<K, V>;
    type Walk = SegmentedWalk<K>;

    #[inline]
    fn access<'a>(
        instance: &'a mut Self::Instance,
        cx: AccessContext<'a>,
    ) -> WindowAccess<'a, K, V> {
        WindowAccess { instance, record: cx.record }
    }

    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut SegmentedWalk<K>,
        rows: &mut VecDeque<Self::Row>,
    ) -> Result<(), BoxError> {
        for (key, value, timestamp) in instance.next_rows(walk)? {
            let (key, start, _) = instance.decode_key(&key)?;
            rows.push_back(WindowRow {
                windowed: Windowed::new(key, instance.window(start)),
                value,
                timestamp: Timestamp::from_millis(timestamp),
            });
        }
        Ok(())
    }
}

impl<K: Data, V: Data> Store for ReadOnly<WindowStore<K, V>> {
    type Instance = Instance<K, V>;
    type Access<'a> = WindowReadAccess<'a, K, V>;
    type Row = WindowRow<K, V>;
    type Walk = SegmentedWalk<K>;

    #[inline]
    fn access<'a>(
        instance: &'a mut Self::Instance,
        _: AccessContext<'a>,
    ) -> WindowReadAccess<'a, K, V> {
        WindowReadAccess { instance }
    }

    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut SegmentedWalk<K>,
        rows: &mut VecDeque<Self::Row>,
    ) -> Result<(), BoxError> {
        WindowStore::read_ahead(instance, walk, rows)
    }
}

/// A window store, borrowed from the context. What is put has the time of the record in hand,
/// unless another one is given.
pub struct WindowAccess<'a, K, V> {
    instance: &'a mut Instance<K, V>,
    record: &'a RecordContext,
}

/// A window store for reading only.
pub struct WindowReadAccess<'a, K, V> {
    instance: &'a mut Instance<K, V>,
}

/// What both accesses offer.
macro_rules! reads {
    () => {
        /// The value of `key` in the window that starts at `start`, borrowed from the store's
        /// cache; `None` also if it has expired.
        pub fn get(&mut self, key: &K, start: Timestamp) -> Result<Option<&V>, BoxError> {
            let at = self.instance.load_visible(key, start)?;
            Ok(at.and_then(|at| self.instance.row(at).value.as_deref()))
        }

        /// The value and the time of its last write.
        pub fn get_with_timestamp(
            &mut self,
            key: &K,
            start: Timestamp,
        ) -> Result<Option<(&V, Timestamp)>, BoxError> {
            let Some(at) = self.instance.load_visible(key, start)? else { return Ok(None) };
            let row = self.instance.row(at);
            Ok(row.value.as_deref().map(|value| (value, time_of(row))))
        }

        /// The value, shared with the store, and the time of its last write.
        pub fn get_held(
            &mut self,
            key: &K,
            start: Timestamp,
        ) -> Result<Option<(Held<V>, Timestamp)>, BoxError> {
            let Some(at) = self.instance.load_visible(key, start)? else { return Ok(None) };
            let row = self.instance.row(at);
            Ok(row.value.as_ref().map(|value| (value.clone(), time_of(row))))
        }

        /// All windows of `key` that start within `starts`, oldest first: for ranges that are known
        /// to be short. The others are read by a cursor of the handle.
        pub fn fetch(
            &mut self,
            key: &K,
            starts: impl RangeBounds<Timestamp>,
        ) -> Result<Vec<FoundWindow<V>>, BoxError> {
            self.instance.windows(key, millis(&starts))
        }

        /// The largest window start that was written, or -1 ms: what is older by the retention is
        /// not visible.
        pub fn observed(&self) -> Timestamp {
            Timestamp::from_millis(self.instance.observed)
        }

        /// Whether a window that starts at `time` is gone once one at `written` is written, for
        /// [`by_time`](crate::stores::StoreHandle::by_time) too.
        pub fn is_gone_after(&self, time: Timestamp, written: Timestamp) -> bool {
            self.instance.is_gone_after(time.as_millis(), written.as_millis())
        }

        /// How many windows there are, roughly; expired ones that were not removed yet included.
        pub fn approximate_len(&self) -> u64 {
            self.instance.approximate_len()
        }
    };
}

impl<K: Data, V: Data> WindowReadAccess<'_, K, V> {
    reads!();
}

impl<K: Data, V: Data> WindowAccess<'_, K, V> {
    reads!();

    /// Writes a value, without a look at what was there.
    pub fn put(&mut self, key: &K, start: Timestamp, value: V) -> Result<Written<()>, BoxError> {
        let start = start.as_millis();
        if !self.instance.admit(start) {
            return Ok(Written::Expired);
        }
        let at = self.instance.place(key, start, 0, Base::Unread)?;
        let timestamp = self.record.timestamp().as_millis();
        self.instance.write(at, |row| {
            row.value = Some(Held::new(value));
            row.timestamp = timestamp;
        });
        Ok(Written::Stored(()))
    }

    /// Removes and returns what was there.
    pub fn delete(&mut self, key: &K, start: Timestamp) -> Result<Written<Option<V>>, BoxError> {
        let written = self.put_held(key, start, None, self.record.timestamp())?;
        Ok(match written {
            Written::Stored(old) => Written::Stored(old.map(|(old, _)| old.into_inner())),
            Written::Expired => Written::Expired,
        })
    }

    /// Writes or deletes (`None`), and returns what was there. For operators.
    pub fn put_held(
        &mut self,
        key: &K,
        start: Timestamp,
        value: Option<Held<V>>,
        timestamp: Timestamp,
    ) -> Result<Written<Option<(Held<V>, Timestamp)>>, BoxError> {
        let start = start.as_millis();
        if !self.instance.admit(start) {
            return Ok(Written::Expired);
        }
        let at = self.instance.load(key, start, 0)?;
        if value.is_none() && self.instance.row(at).value.is_none() {
            return Ok(Written::Stored(None));
        }
        Ok(Written::Stored(self.instance.write(at, |row| {
            let old_timestamp = time_of(row);
            row.timestamp = timestamp.as_millis();
            let old = std::mem::replace(&mut row.value, value);
            old.map(|old| (old, old_timestamp))
        })))
    }

    /// Changes value and time in place: both are the stored ones before (the time -1 ms if there
    /// was no write) and are stored after. `f` is not called if the window has expired. For
    /// operators: clone the [`Held`] before changing it to have the old value, and after to forward
    /// the new one.
    pub fn update_held<R>(
        &mut self,
        key: &K,
        start: Timestamp,
        f: impl FnOnce(&mut Option<Held<V>>, &mut Timestamp) -> R,
    ) -> Result<Written<R>, BoxError> {
        let start = start.as_millis();
        if !self.instance.admit(start) {
            return Ok(Written::Expired);
        }
        let at = self.instance.load(key, start, 0)?;
        Ok(Written::Stored(self.instance.write(at, |row| {
            let mut timestamp = time_of(row);
            let result = f(&mut row.value, &mut timestamp);
            row.timestamp = timestamp.as_millis();
            result
        })))
    }

    /// Puts the change of a window aside: it will be one [`Emission`] at the commit, however often
    /// the window is written until then. `before` is the value before this write.
    pub fn emit_on_commit(
        &mut self,
        key: &K,
        start: Timestamp,
        before: Option<Held<V>>,
    ) -> Result<(), BoxError> {
        self.emit_on_commit_in(key, start, before, self.record)
    }

    /// The same with another record than the one in hand.
    pub fn emit_on_commit_in(
        &mut self,
        key: &K,
        start: Timestamp,
        before: Option<Held<V>>,
        record: &RecordContext,
    ) -> Result<(), BoxError> {
        let at = self.instance.load(key, start.as_millis(), 0)?;
        self.instance.put_aside(at, before, record);
        Ok(())
    }

    /// The next change that was put aside; changes from nothing to nothing are left out.
    pub fn take_emission(&mut self) -> Result<Option<Emission<Windowed<K>, V>>, BoxError> {
        while let Some(((key, start, _), at, aside)) = self.instance.take_aside()? {
            let row = self.instance.row(at);
            let change = Change::new(row.value.clone(), aside.emitted);
            if !change.is_empty() {
                let timestamp = time_of(row);
                let key = Windowed::new(key, self.instance.window(start));
                return Ok(Some(Emission { key, change, timestamp, record: aside.record }));
            }
        }
        Ok(None)
    }
}

/// Cursors. What has expired is left out; the order is that of segments, then of the serialised
/// keys, then of time.
macro_rules! cursors {
    ($store:ty) => {
        impl<K: Data, V: Data> StoreHandle<$store> {
            /// The windows of `key` that start within `starts`, oldest first.
            pub fn fetch(&self, key: &K, starts: impl RangeBounds<Timestamp>) -> Cursor<$store> {
                Cursor::new(*self, SegmentedWalk::key(key.clone(), starts))
            }

            /// The windows of a range of keys that start within `starts`. The range is one of
            /// serialised keys.
            pub fn fetch_keys(
                &self,
                keys: impl RangeBounds<K>,
                starts: impl RangeBounds<Timestamp>,
            ) -> Cursor<$store> {
                let (lower, upper) = (keys.start_bound().cloned(), keys.end_bound().cloned());
                Cursor::new(*self, SegmentedWalk::keys(lower, upper, millis(&starts)))
            }

            /// All windows that start within `starts`.
            pub fn fetch_all(&self, starts: impl RangeBounds<Timestamp>) -> Cursor<$store> {
                Cursor::new(*self, SegmentedWalk::all(starts))
            }

            /// All windows.
            pub fn all(&self) -> Cursor<$store> {
                self.fetch_all(..)
            }

            /// All windows that start within `starts`, by start, then by key: for emitting windows
            /// that have closed. Nothing if the store is not
            /// [`time_ordered`](crate::stores::StoreBuilder::time_ordered). What has expired is there until
            /// its segment goes.
            pub fn by_time(&self, starts: impl RangeBounds<Timestamp>) -> Cursor<$store> {
                Cursor::new(*self, SegmentedWalk::by_time(starts))
            }
        }
    };
}
cursors!(WindowStore<K, V>);
cursors!(ReadOnly<WindowStore<K, V>>);

impl<K: Data, V: Data> Instance<K, V> {
    fn window(&self, start: i64) -> TimeWindow {
        let start = Timestamp::from_millis(start);
        TimeWindow { start, end: start + self.window_size }
    }

    fn windows(&mut self, key: &K, starts: (i64, i64)) -> Result<Vec<FoundWindow<V>>, BoxError> {
        let mut walk = RawWalk::key(self.key_bytes(key)?, starts, u64::MAX);
        let mut found = Vec::new();
        loop {
            let rows = self.next_raw_rows(&mut walk)?;
            if rows.is_empty() {
                return Ok(found);
            }
            for (key, value, timestamp) in rows {
                let window = self.window(time_in(&key, WindowShape::REST_LEN));
                let timestamp = Timestamp::from_millis(timestamp);
                found.push(FoundWindow { window, value, timestamp });
            }
        }
    }
}

impl<K: Data, V: Data> Instance<K, V> {
    fn load_visible(&mut self, key: &K, time: Timestamp) -> Result<Option<u32>, BoxError> {
        let time = time.as_millis();
        if self.is_visible(time) { self.load(key, time, 0).map(Some) } else { Ok(None) }
    }
}

/// The time in a row's key.
pub(super) fn time_in(row: &[u8], rest_len: usize) -> i64 {
    super::row::parts(super::row::changelog_key(row), rest_len).map_or(-1, |parts| parts.time)
}

#[inline]
fn time_of<V>(row: &Row<V>) -> Timestamp {
    Timestamp::from_millis(row.timestamp)
}
