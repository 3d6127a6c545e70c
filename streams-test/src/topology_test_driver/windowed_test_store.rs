//! Window, session and versioned stores that a test looks into.

use std::ops::RangeBounds;

use streams_core::stores::{
    FoundWindow, Held, SessionStore, StoreName, VersionedRecord, VersionedStore, WindowStore,
    Written,
};
use streams_core::windowed::{SessionWindow, SessionWindowed, TimeWindow, Windowed};
use streams_core::{Data, Timestamp};

use super::driver::TopologyTestDriver;
use super::fixture::Fixture;
use super::key_values::KeyValues;
use super::test_store::TestStore;

impl TopologyTestDriver {
    /// A window store of the topology, by its name.
    ///
    /// # Panics
    /// If there is no window store of that name and of these types.
    #[track_caller]
    pub fn window_store<K: Data, V: Data>(
        &self,
        name: &'static str,
    ) -> TestStore<WindowStore<K, V>> {
        self.store(StoreName::new(name))
    }

    /// A session store of the topology, by its name.
    ///
    /// # Panics
    /// If there is no session store of that name and of these types.
    #[track_caller]
    pub fn session_store<K: Data, A: Data>(
        &self,
        name: &'static str,
    ) -> TestStore<SessionStore<K, A>> {
        self.store(StoreName::new(name))
    }

    /// A versioned store of the topology, by its name.
    ///
    /// # Panics
    /// If there is no versioned store of that name and of these types.
    #[track_caller]
    pub fn versioned_store<K: Data, V: Data>(
        &self,
        name: &'static str,
    ) -> TestStore<VersionedStore<K, V>> {
        self.store(StoreName::new(name))
    }
}

impl<K: Data, V: Data> TestStore<WindowStore<K, V>> {
    /// The value of `key` in the window that starts at `start`; `None` also if it has expired.
    ///
    /// # Panics
    /// If several tasks have one, and none was chosen by [`partition`](Self::partition).
    #[track_caller]
    pub fn fetch(&self, key: impl Fixture<K>, start: impl Fixture<Timestamp>) -> Option<V> {
        let (key, start) = (key.fixture(), start.fixture());
        self.find(|mut store| store.get(&key, start).map(|found| found.cloned()))
    }

    /// The value and the time of its last write.
    ///
    /// # Panics
    /// As [`fetch`](Self::fetch).
    #[track_caller]
    pub fn fetch_with_timestamp(
        &self,
        key: impl Fixture<K>,
        start: impl Fixture<Timestamp>,
    ) -> Option<(V, Timestamp)> {
        let (key, start) = (key.fixture(), start.fixture());
        self.find(|mut store| {
            let found = store.get_with_timestamp(&key, start)?;
            Ok(found.map(|(value, time)| (value.clone(), time)))
        })
    }

    /// The windows of `key` that start within `starts`, oldest first.
    ///
    /// # Panics
    /// As [`fetch`](Self::fetch).
    #[track_caller]
    pub fn fetch_range(
        &self,
        key: impl Fixture<K>,
        starts: impl RangeBounds<Timestamp> + Clone,
    ) -> KeyValues<TimeWindow, V> {
        let key = key.fixture();
        let found = self.find_all(|mut store| store.fetch(&key, starts.clone()));
        let row = |found: FoundWindow<V>| (found.window, found.value.into_inner());
        KeyValues(found.into_iter().map(row).collect())
    }

    /// All windows that start within `starts`, by segment, key and time, task by task.
    ///
    /// # Panics
    /// If the store cannot be read.
    #[track_caller]
    pub fn fetch_all(
        &self,
        starts: impl RangeBounds<Timestamp> + Clone,
    ) -> KeyValues<Windowed<K>, V> {
        let rows = self.rows(|store| store.fetch_all(starts.clone())).into_iter();
        KeyValues(rows.map(|row| (row.windowed, row.value.into_inner())).collect())
    }

    /// All windows, by segment, key and time, task by task.
    ///
    /// # Panics
    /// If the store cannot be read.
    #[track_caller]
    pub fn all(&self) -> KeyValues<Windowed<K>, V> {
        self.fetch_all(..)
    }

    /// Writes a window with the driver's time of day; `false` if it has expired.
    ///
    /// # Panics
    /// If several tasks have the store, and none was chosen; if the store cannot be written.
    #[track_caller]
    pub fn put(
        &self,
        key: impl Fixture<K>,
        start: impl Fixture<Timestamp>,
        value: impl Fixture<V>,
    ) -> bool {
        let (key, start, value) = (key.fixture(), start.fixture(), value.fixture());
        let put = self.with(|mut store| store.put(&key, start, value));
        !self.told(put).is_expired()
    }
}

impl<K: Data, A: Data> TestStore<SessionStore<K, A>> {
    /// The sessions of `key`, by end, then by start.
    ///
    /// # Panics
    /// If several tasks have some, and none was chosen by [`partition`](Self::partition).
    #[track_caller]
    pub fn fetch(&self, key: impl Fixture<K>) -> KeyValues<SessionWindow, A> {
        self.find_sessions(key, Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX))
    }

    /// The sessions of `key` that end at `earliest_end` or later and start at `latest_start` or
    /// earlier.
    ///
    /// # Panics
    /// As [`fetch`](Self::fetch).
    #[track_caller]
    pub fn find_sessions(
        &self,
        key: impl Fixture<K>,
        earliest_end: impl Fixture<Timestamp>,
        latest_start: impl Fixture<Timestamp>,
    ) -> KeyValues<SessionWindow, A> {
        let (key, end) = (key.fixture(), earliest_end.fixture());
        let start = latest_start.fixture();
        let found = self.find_all(|mut store| store.find_sessions(&key, end, start)).into_iter();
        KeyValues(found.map(|found| (found.window, found.value.into_inner())).collect())
    }

    /// The aggregate of exactly this session; `None` also if it has expired.
    ///
    /// # Panics
    /// As [`fetch`](Self::fetch).
    #[track_caller]
    pub fn fetch_session(
        &self,
        key: impl Fixture<K>,
        start: impl Fixture<Timestamp>,
        end: impl Fixture<Timestamp>,
    ) -> Option<A> {
        let (key, window) =
            (key.fixture(), SessionWindow { start: start.fixture(), end: end.fixture() });
        let found = self.find(|mut store| store.fetch_session(&key, window));
        found.map(Held::into_inner)
    }

    /// All sessions, by segment, key and end, task by task.
    ///
    /// # Panics
    /// If the store cannot be read.
    #[track_caller]
    pub fn all(&self) -> KeyValues<SessionWindowed<K>, A> {
        let rows = self.rows(|store| store.all()).into_iter();
        KeyValues(rows.map(|row| (row.session, row.value.into_inner())).collect())
    }

    /// Writes a session with the driver's time of day; `false` if it has expired.
    ///
    /// # Panics
    /// If several tasks have the store, and none was chosen; if the store cannot be written.
    #[track_caller]
    pub fn put(&self, key: impl Fixture<K>, window: SessionWindow, value: impl Fixture<A>) -> bool {
        let (key, value) = (key.fixture(), Held::new(value.fixture()));
        let put = self.with(|mut store| store.put(&key, window, Some(value)));
        !self.told(put).is_expired()
    }
}

impl<K: Data, V: Data> TestStore<VersionedStore<K, V>> {
    /// The value that is valid now, and since when.
    ///
    /// # Panics
    /// If several tasks have one, and none was chosen by [`partition`](Self::partition).
    #[track_caller]
    pub fn get(&self, key: impl Fixture<K>) -> Option<VersionedRecord<V>> {
        let key = key.fixture();
        self.find(|mut store| store.get(&key))
    }

    /// The value that was valid at `time`.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_as_of(
        &self,
        key: impl Fixture<K>,
        time: impl Fixture<Timestamp>,
    ) -> Option<VersionedRecord<V>> {
        let (key, time) = (key.fixture(), time.fixture());
        self.find(|mut store| store.get_as_of(&key, time))
    }

    /// The keys that have a value now, with it, task by task.
    ///
    /// # Panics
    /// If the store cannot be read.
    #[track_caller]
    pub fn all(&self) -> KeyValues<K, V> {
        let rows = self.rows(|store| store.all()).into_iter();
        KeyValues(rows.map(|(key, record)| (key, record.value)).collect())
    }

    /// Adds the value that is valid from `time` on, or a deletion; `false` if that is too long ago.
    ///
    /// # Panics
    /// If several tasks have the store, and none was chosen; if the store cannot be written.
    #[track_caller]
    pub fn put(
        &self,
        key: impl Fixture<K>,
        value: Option<V>,
        time: impl Fixture<Timestamp>,
    ) -> bool {
        let (key, time) = (key.fixture(), time.fixture());
        let put = self.with(|mut store| store.put(&key, value.as_ref(), time));
        matches!(self.told(put), Written::Stored(_))
    }
}
