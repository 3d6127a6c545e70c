//! How an operator reads the current value of a table above it, although a task only looks
//! downward: through the table's store, or the stores of the tables that it is computed from.

use std::sync::Arc;

use streams_core::processor::StateAccess;
use streams_core::stores::{
    BufferStore, ConnectedStores, HandleMaker, Held, Store, StoreBuilder, StoreConnections,
    StoreHandle, StoreSet, VersionedStore,
};
use streams_core::{BoxError, Data, Timestamp};

use super::TableStoreBuilder;

/// Connects a processor to the stores that a table is read from; its handle is a [`Getter`].
pub(crate) struct ValueGetter<K, V> {
    connect: Arc<dyn Fn(&mut StoreConnections) -> HandleMaker<Getter<K, V>> + Send + Sync>,
}

/// Reads a table in one task.
pub(crate) struct Getter<K, V> {
    read: Arc<Read<K, V>>,
}

type Read<K, V> =
    dyn Fn(&mut StateAccess<'_>, &K, When) -> Result<Option<Row<V>>, BoxError> + Send + Sync;

/// The time for which a value is asked.
#[derive(Clone, Copy, Debug)]
enum When {
    Now,
    /// Tables that are not versioned have one answer for all times.
    AsOf(Timestamp),
}

/// Reads a key of a store.
pub(crate) type ReadStore<S, K, V> =
    fn(&mut StateAccess<'_>, &StoreHandle<S>, &K) -> Result<Option<Row<V>>, BoxError>;

/// A value and its time.
pub(crate) type Row<V> = (Held<V>, Timestamp);

impl<K, V> Clone for ValueGetter<K, V> {
    fn clone(&self) -> Self {
        Self { connect: self.connect.clone() }
    }
}

impl<K, V> Clone for Getter<K, V> {
    fn clone(&self) -> Self {
        Self { read: self.read.clone() }
    }
}

impl<K: 'static, V: 'static> StoreSet for ValueGetter<K, V> {
    type Handles = Getter<K, V>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<Getter<K, V>> {
        (self.connect)(connections)
    }
}

impl<K: Data, V: Data> Getter<K, V> {
    fn new(
        read: impl Fn(&mut StateAccess<'_>, &K, When) -> Result<Option<Row<V>>, BoxError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { read: Arc::new(read) }
    }

    /// The value of `key` now.
    pub(crate) fn get(
        &self,
        state: &mut StateAccess<'_>,
        key: &K,
    ) -> Result<Option<Row<V>>, BoxError> {
        (self.read)(state, key, When::Now)
    }

    /// The value of `key` as it was at `time`, if the table is versioned; else as it is now.
    pub(crate) fn get_as_of(
        &self,
        state: &mut StateAccess<'_>,
        key: &K,
        time: Timestamp,
    ) -> Result<Option<Row<V>>, BoxError> {
        (self.read)(state, key, When::AsOf(time))
    }
}

impl<K: Data, V: Data> ValueGetter<K, V> {
    /// Reads the table's own store.
    pub(crate) fn of_store(store: TableStoreBuilder<K, V>) -> Self {
        match store {
            TableStoreBuilder::Latest(store) => {
                Self::of(store, |state, handle, key| state.store(handle).get_held(key))
            }
            TableStoreBuilder::Versioned(store) => Self::of_versions(store),
        }
    }

    fn of_versions(store: StoreBuilder<VersionedStore<K, V>>) -> Self {
        Self {
            connect: Arc::new(move |connections| {
                let make = (&store).connect(connections);
                Arc::new(move |stores| {
                    let handle = make(stores);
                    Getter::new(move |state, key, when| {
                        let mut versions = state.store(&handle);
                        let found = match when {
                            When::Now => versions.get(key)?,
                            When::AsOf(time) => versions.get_as_of(key, time)?,
                        };
                        Ok(found.map(|record| (Held::new(record.value), record.timestamp)))
                    })
                })
            }),
        }
    }

    /// Reads the table's own store, of any kind.
    pub(crate) fn of<S: Store>(store: StoreBuilder<S>, read: ReadStore<S, K, V>) -> Self {
        Self {
            connect: Arc::new(move |connections| {
                let make = (&store).connect(connections);
                Arc::new(move |stores| {
                    let handle = make(stores);
                    Getter::new(move |state, key, _| read(state, &handle, key))
                })
            }),
        }
    }

    /// Reads a table whose changes are held back in `buffer`: of keys that are there, those below
    /// have not seen the latest change yet.
    pub(crate) fn behind(self, buffer: StoreBuilder<BufferStore<K, V>>) -> Self {
        Self {
            connect: Arc::new(move |connections| {
                let make = ((&buffer).connect(connections), (self.connect)(connections));
                Arc::new(move |stores| {
                    let (buffer, parent) = (make.0(stores), make.1(stores));
                    Getter::new(move |state, key, _| {
                        match state.store(&buffer).get_held(key)? {
                            // As in the JVM its time is not known.
                            Some((row, _)) => {
                                let unknown = Timestamp::from_millis(-1);
                                Ok(row.prior.clone().map(|prior| (prior, unknown)))
                            }
                            None => parent.get(state, key),
                        }
                    })
                })
            }),
        }
    }

    /// Reads another table, and computes this one's value from it.
    pub(crate) fn then<W: Data>(
        self,
        f: impl Fn(&K, Row<V>) -> Option<Row<W>> + Send + Sync + 'static,
    ) -> ValueGetter<K, W> {
        let f = Arc::new(f);
        ValueGetter {
            connect: Arc::new(move |connections| {
                let (make, f) = ((self.connect)(connections), f.clone());
                Arc::new(move |stores| {
                    let (parent, f) = (make(stores), f.clone());
                    Getter::new(move |state, key, when| {
                        Ok((parent.read)(state, key, when)?.and_then(|row| f(key, row)))
                    })
                })
            }),
        }
    }

    /// Reads another table, and computes this one's value from its row, or from there being none,
    /// with stores.
    pub(crate) fn transformed<H: Clone + Send + Sync + 'static, W: Data>(
        self,
        stores: ConnectedStores<H>,
        f: impl Fn(&H, &K, Option<&V>, &mut StateAccess<'_>) -> Result<Option<W>, BoxError>
        + Send
        + Sync
        + 'static,
    ) -> ValueGetter<K, W> {
        let f = Arc::new(f);
        ValueGetter {
            connect: Arc::new(move |connections| {
                let set = (self.clone(), stores.clone());
                let (make, f) = (set.connect(connections), f.clone());
                Arc::new(move |wired| {
                    let ((parent, handles), f) = (make(wired), f.clone());
                    Getter::new(move |state, key, when| {
                        let row = (parent.read)(state, key, when)?;
                        let time = row.as_ref().map(|row| row.1);
                        let value = f(&handles, key, row.as_ref().map(|row| &*row.0), state)?;
                        // Without a row there is no time; -1 ms as in the JVM.
                        let time = time.unwrap_or(Timestamp::from_millis(-1));
                        Ok(value.map(|value| (Held::new(value), time)))
                    })
                })
            }),
        }
    }

    /// Reads two other tables, and computes this one's value from them. As in the JVM it is not
    /// versioned, even where both are.
    pub(crate) fn with<V2: Data, W: Data>(
        self,
        other: ValueGetter<K, V2>,
        f: impl Fn(&K, Option<Row<V>>, Option<Row<V2>>) -> Option<Row<W>> + Send + Sync + 'static,
    ) -> ValueGetter<K, W> {
        let f = Arc::new(f);
        ValueGetter {
            connect: Arc::new(move |connections| {
                let make = ((self.connect)(connections), (other.connect)(connections));
                let f = f.clone();
                Arc::new(move |stores| {
                    let (this, other, f) = (make.0(stores), make.1(stores), f.clone());
                    Getter::new(move |state, key, _| {
                        let this = this.get(state, key)?;
                        let other = other.get(state, key)?;
                        Ok(f(key, this, other))
                    })
                })
            }),
        }
    }
}
