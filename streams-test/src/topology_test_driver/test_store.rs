//! Stores that a test looks into.

use std::ops::RangeBounds;

use streams_core::stores::{Cursor, KeyValueStore, Store, StoreHandle, StoreName};
use streams_core::{BoxError, Data, Headers, RecordContext, Timestamp};

use super::driver::TopologyTestDriver;
use super::fixture::Fixture;
use super::key_values::KeyValues;

/// A store of a [`TopologyTestDriver`], as its tasks see it: what was not committed yet included.
///
/// If there are several tasks, reads look into all of them, and what needs one task needs
/// [`partition`](Self::partition).
pub struct TestStore<S: Store> {
    driver: TopologyTestDriver,
    name: StoreName<S>,
    partition: Option<i32>,
}

impl<S: Store> TestStore<S> {
    #[track_caller]
    pub(super) fn new(driver: TopologyTestDriver, name: StoreName<S>) -> Self {
        let store = Self { driver, name, partition: None };
        if store.tasks().is_empty() {
            let names = store.names().join(", ");
            let name = name.as_str();
            panic!("there is no store `{name}` of that type; the stores are: {names}");
        }
        store
    }

    /// The part of the store that belongs to the task of one partition.
    ///
    /// # Panics
    /// If there is no such task.
    #[track_caller]
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        let name = self.name.as_str();
        assert!(!self.tasks().is_empty(), "no task of partition {partition} has a store `{name}`");
        self
    }

    /// Uses the store of one task: as a processor would with a record of the driver's time of day.
    /// What it writes is committed as a record's writes are.
    ///
    /// # Panics
    /// If several tasks have the store, and none was chosen by [`partition`](Self::partition); if
    /// the commit fails.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(S::Access<'_>) -> R) -> R {
        let record = RecordContext::new(self.driver.wall_clock(), Headers::new());
        let (result, ran) = {
            let task = self.one_task();
            let mut running = self.driver.running();
            let (_, task) = running.task(task);
            let result = task.with_store(self.name, &record, f);
            (result, running.run())
        };
        if let Err(error) = ran {
            panic!("{error:?}");
        }
        result.expect("the task was found by its store")
    }

    /// The rows of a cursor, task by task.
    ///
    /// # Panics
    /// If the store cannot be read.
    #[track_caller]
    pub fn rows(&self, cursor: impl Fn(&StoreHandle<S>) -> Cursor<S>) -> Vec<S::Row> {
        let mut rows = Vec::new();
        for index in self.tasks() {
            let read = {
                let mut running = self.driver.running();
                let (_, task) = running.task(index);
                let handle = task.store_handle(self.name.as_str());
                let mut cursor = cursor(&handle.expect("the task was found by its store"));
                loop {
                    match task.next_row(&mut cursor) {
                        Ok(Some(row)) => rows.push(row),
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                }
            };
            self.told(read);
        }
        rows
    }

    /// What one task finds for a key.
    #[track_caller]
    pub(super) fn find<R>(
        &self,
        read: impl Fn(S::Access<'_>) -> Result<Option<R>, BoxError>,
    ) -> Option<R> {
        let record = RecordContext::default();
        let mut found = Vec::new();
        for index in self.tasks() {
            let read = {
                let mut running = self.driver.running();
                let (id, task) = running.task(index);
                let read = task.with_store(self.name, &record, |store| {
                    Ok(read(store)?.map(|found| (id, found)))
                });
                read.expect("the task was found by its store")
            };
            found.extend(self.told(read));
        }
        if let [(one, ..), (other, ..), ..] = &found[..] {
            let name = self.name.as_str();
            panic!(
                "tasks {one} and {other} both have a value of that key in store `{name}`: its \
                 input is not partitioned by key; repartition it, or choose a task by \
                 `partition(..)`"
            );
        }
        found.pop().map(|(_, found)| found)
    }

    /// What several tasks find for a key, together.
    #[track_caller]
    pub(super) fn find_all<R>(
        &self,
        read: impl Fn(S::Access<'_>) -> Result<Vec<R>, BoxError>,
    ) -> Vec<R> {
        self.find(|store| {
            let found = read(store)?;
            Ok((!found.is_empty()).then_some(found))
        })
        .unwrap_or_default()
    }

    /// The indexes of the tasks that have the store.
    #[track_caller]
    fn tasks(&self) -> Vec<usize> {
        self.driver.running().with_store::<S>(self.name.as_str(), self.partition)
    }

    #[track_caller]
    fn one_task(&self) -> usize {
        match self.tasks()[..] {
            [task] => task,
            _ => {
                let name = self.name.as_str();
                panic!("several tasks have the store `{name}`: choose one by `partition(..)`")
            }
        }
    }

    #[track_caller]
    fn names(&self) -> Vec<String> {
        let running = self.driver.running();
        running.setup.topology.all_stores().map(|store| store.name().to_string()).collect()
    }

    #[track_caller]
    pub(super) fn told<T>(&self, read: Result<T, BoxError>) -> T {
        match read {
            Ok(value) => value,
            Err(error) => panic!("cannot use store `{}`: {error}", self.name.as_str()),
        }
    }
}

impl<K: Data, V: Data> TestStore<KeyValueStore<K, V>> {
    /// The value of `key`.
    ///
    /// # Panics
    /// If several tasks have one: then records of one key came to several tasks. If that is right,
    /// choose one by [`partition`](Self::partition).
    #[track_caller]
    pub fn get(&self, key: impl Fixture<K>) -> Option<V> {
        self.get_with_timestamp(key).map(|(value, _)| value)
    }

    /// The value of `key` and the time of its last write.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_with_timestamp(&self, key: impl Fixture<K>) -> Option<(V, Timestamp)> {
        let key = key.fixture();
        self.find(|mut store| {
            let held = store.get_held(&key)?;
            Ok(held.map(|(value, time)| (value.into_inner(), time)))
        })
    }

    /// The rows of a range of keys, in the order of their bytes, task by task.
    ///
    /// # Panics
    /// If the store cannot be read.
    #[track_caller]
    pub fn range(&self, range: impl RangeBounds<K> + Clone) -> KeyValues<K, V> {
        KeyValues(self.rows(|store| store.range(range.clone())))
    }

    /// All rows, in the order of their keys' bytes, task by task.
    ///
    /// # Panics
    /// If the store cannot be read.
    #[track_caller]
    pub fn all(&self) -> KeyValues<K, V> {
        KeyValues(self.rows(|store| store.all()))
    }

    /// Writes a row with the driver's time of day.
    ///
    /// # Panics
    /// If several tasks have the store, and none was chosen; if the store cannot be written.
    #[track_caller]
    pub fn put(&self, key: impl Fixture<K>, value: impl Fixture<V>) {
        let (key, value) = (key.fixture(), value.fixture());
        let put = self.with(|mut store| store.put(&key, value));
        self.told(put);
    }

    /// Removes a row, and returns what was there.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    #[track_caller]
    pub fn delete(&self, key: impl Fixture<K>) -> Option<V> {
        let key = key.fixture();
        let deleted = self.with(|mut store| store.delete(&key));
        self.told(deleted)
    }
}
