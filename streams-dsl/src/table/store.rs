//! The store of a table: the latest value of each key, or its versions; and the way of changes
//! through it.

use std::sync::Arc;

use streams_core::processor::ProcessorContext;
use streams_core::stores::{
    Change, HandleMaker, Held, KeyValueHandle, KeyValueStore, StoreBuilder, StoreConnections,
    StoreSet, VersionedHandle, VersionedStore, Written,
};
use streams_core::task::DropReason;
use streams_core::{BoxError, Data, Timestamp};

/// The declaration of a table's store.
pub(crate) enum TableStoreBuilder<K, V> {
    Latest(StoreBuilder<KeyValueStore<K, V>>),
    Versioned(StoreBuilder<VersionedStore<K, V>>),
}

impl<K, V> Clone for TableStoreBuilder<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Latest(store) => Self::Latest(store.clone()),
            Self::Versioned(store) => Self::Versioned(store.clone()),
        }
    }
}

impl<K: Data, V: Data> StoreSet for TableStoreBuilder<K, V> {
    type Handles = TableHandle<K, V>;

    fn connect(self, connections: &mut StoreConnections) -> HandleMaker<TableHandle<K, V>> {
        match self {
            Self::Latest(store) => {
                let make = store.connect(connections);
                Arc::new(move |stores| TableHandle::Latest(make(stores)))
            }
            Self::Versioned(store) => {
                let make = store.connect(connections);
                Arc::new(move |stores| TableHandle::Versioned(make(stores)))
            }
        }
    }
}

/// A table's store in one task.
pub(crate) enum TableHandle<K, V> {
    Latest(KeyValueHandle<K, V>),
    Versioned(VersionedHandle<K, V>),
}

impl<K, V> Clone for TableHandle<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for TableHandle<K, V> {}

/// The store of a table, and how its changes are forwarded.
pub(crate) struct TableStore<K, V> {
    pub(crate) handle: TableHandle<K, V>,
    /// Somebody below asked for old values.
    pub(crate) send_old: bool,
    /// One change per key and commit; else each update at once. Versions are forwarded at once.
    pub(crate) on_commit: bool,
}

impl<K, V> Clone for TableStore<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for TableStore<K, V> {}

type Context<'a, K, V> = ProcessorContext<'a, K, Change<V>>;

impl<K: Data, V: Data> TableStore<K, V> {
    /// Whether the key has a value now.
    pub(crate) fn contains(&self, key: &K, ctx: &mut Context<'_, K, V>) -> Result<bool, BoxError> {
        match &self.handle {
            TableHandle::Latest(store) => ctx.store(store).contains(key),
            TableHandle::Versioned(store) => Ok(ctx.store(store).get(key)?.is_some()),
        }
    }

    /// Writes or deletes, and forwards the change.
    pub(crate) fn put(
        &self,
        key: K,
        new: Option<Held<V>>,
        timestamp: Timestamp,
        ctx: &mut Context<'_, K, V>,
    ) -> Result<(), BoxError> {
        match &self.handle {
            TableHandle::Latest(store) => {
                let old = ctx.store(store).put_held(&key, new.clone(), timestamp)?;
                let change = Change::new(new, old.map(|(value, _)| value));
                self.forward(store, key, change, timestamp, ctx)
            }
            TableHandle::Versioned(store) => {
                let old = match self.send_old {
                    true => ctx.store(store).get(&key)?.map(|record| Held::new(record.value)),
                    false => None,
                };
                put_version(store, key, Change::new(new, old), timestamp, ctx)
            }
        }
    }

    /// Changes the value in place, and forwards the change. `f` gets the value and its time, which
    /// are those of the last write before, and are stored after.
    pub(crate) fn update(
        &self,
        key: K,
        ctx: &mut Context<'_, K, V>,
        f: impl FnOnce(&K, &mut Option<Held<V>>, &mut Timestamp) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        match &self.handle {
            TableHandle::Latest(store) => self.update_latest(store, key, ctx, f),
            TableHandle::Versioned(store) => self.update_version(store, key, ctx, f),
        }
    }

    fn update_latest(
        &self,
        store: &KeyValueHandle<K, V>,
        key: K,
        ctx: &mut Context<'_, K, V>,
        f: impl FnOnce(&K, &mut Option<Held<V>>, &mut Timestamp) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let keeps_old = self.send_old || self.on_commit;
        let now = ctx.timestamp();
        let (change, timestamp) = ctx.store(store).update_held(&key, |value, time| {
            let old = if keeps_old { value.clone() } else { None };
            f(&key, value, time)?;
            let forwarded = *time;
            if value.is_none() {
                // Stored, a deletion is of the time of the record that caused it, as in the JVM.
                *time = now;
            }
            Ok::<_, BoxError>((Change::new(value.clone(), old), forwarded))
        })??;
        self.forward(store, key, change, timestamp, ctx)
    }

    /// The latest version becomes a new one, of the time that `f` says.
    fn update_version(
        &self,
        store: &VersionedHandle<K, V>,
        key: K,
        ctx: &mut Context<'_, K, V>,
        f: impl FnOnce(&K, &mut Option<Held<V>>, &mut Timestamp) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let mut time = ctx.timestamp();
        let before = ctx.store(store).get(&key)?;
        let mut value = before.map(|record| {
            time = record.timestamp;
            Held::new(record.value)
        });
        let old = if self.send_old { value.clone() } else { None };
        f(&key, &mut value, &mut time)?;
        put_version(store, key, Change::new(value, old), time, ctx)
    }

    fn forward(
        &self,
        store: &KeyValueHandle<K, V>,
        key: K,
        mut change: Change<V>,
        timestamp: Timestamp,
        ctx: &mut Context<'_, K, V>,
    ) -> Result<(), BoxError> {
        if self.on_commit {
            return ctx.store(store).emit_on_commit(&key, change.old);
        }
        if ctx.child_count() == 0 {
            return Ok(());
        }
        if !self.send_old {
            change.old = None;
        }
        ctx.forward_at(key, change, timestamp)
    }

    /// Forwards what was put aside until the commit.
    pub(crate) fn flush(&self, ctx: &mut Context<'_, K, V>) -> Result<(), BoxError> {
        let (TableHandle::Latest(store), true) = (&self.handle, self.on_commit) else {
            return Ok(());
        };
        while let Some(emission) = ctx.store(store).take_emission()? {
            let mut change = emission.change;
            if !self.send_old {
                change.old = None;
            }
            let record = emission.record.with_timestamp(emission.timestamp);
            ctx.forward_in(emission.key, change, &record)?;
        }
        Ok(())
    }
}

/// Adds a version and forwards the change, which tells whether it is the latest. What is too old to
/// be kept is dropped: nobody below may see what a restart would not bring back.
fn put_version<K: Data, V: Data>(
    store: &VersionedHandle<K, V>,
    key: K,
    change: Change<V>,
    timestamp: Timestamp,
    ctx: &mut Context<'_, K, V>,
) -> Result<(), BoxError> {
    match ctx.store(store).put(&key, change.new.as_deref(), timestamp)? {
        Written::Expired => {
            ctx.dropped(DropReason::Late);
            Ok(())
        }
        Written::Stored(valid_to) => {
            ctx.forward_at(key, change.latest(valid_to.is_none()), timestamp)
        }
    }
}
