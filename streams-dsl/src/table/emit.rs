//! The way of a table's changes: through its store, if it has one, to the operators below.

use streams_core::processor::ProcessorContext;
use streams_core::stores::{Change, Held, KeyValueHandle, KeyValueStore, StoreBuilder};
use streams_core::{BoxError, Data, Timestamp};

use super::ValueGetter;

/// The store of a table, and how its changes are forwarded.
pub(crate) struct TableStore<K, V> {
    pub(crate) handle: KeyValueHandle<K, V>,
    /// Somebody below asked for old values.
    pub(crate) send_old: bool,
    /// One change per key and commit; else each update at once.
    pub(crate) on_commit: bool,
}

impl<K, V> Clone for TableStore<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for TableStore<K, V> {}

impl<K: Data, V: Data> TableStore<K, V> {
    /// Writes or deletes, and forwards the change.
    pub(crate) fn put(
        &self,
        key: K,
        new: Option<Held<V>>,
        timestamp: Timestamp,
        ctx: &mut ProcessorContext<'_, K, Change<V>>,
    ) -> Result<(), BoxError> {
        let old = ctx.store(&self.handle).put_held(&key, new.clone(), timestamp)?;
        let change = Change::new(new, old.map(|(value, _)| value));
        self.forward(key, change, timestamp, ctx)
    }

    /// Changes the value in place, and forwards the change. `f` gets the value and its time, which
    /// are those of the last write before, and are stored after.
    pub(crate) fn update(
        &self,
        key: K,
        ctx: &mut ProcessorContext<'_, K, Change<V>>,
        f: impl FnOnce(&K, &mut Option<Held<V>>, &mut Timestamp) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let keeps_old = self.send_old || self.on_commit;
        let now = ctx.timestamp();
        let (change, timestamp) = ctx.store(&self.handle).update_held(&key, |value, time| {
            let old = if keeps_old { value.clone() } else { None };
            f(&key, value, time)?;
            let forwarded = *time;
            if value.is_none() {
                // Stored, a deletion is of the time of the record that caused it, as in the JVM.
                *time = now;
            }
            Ok::<_, BoxError>((Change::new(value.clone(), old), forwarded))
        })??;
        self.forward(key, change, timestamp, ctx)
    }

    fn forward(
        &self,
        key: K,
        mut change: Change<V>,
        timestamp: Timestamp,
        ctx: &mut ProcessorContext<'_, K, Change<V>>,
    ) -> Result<(), BoxError> {
        if self.on_commit {
            return ctx.store(&self.handle).emit_on_commit(&key, change.old);
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
    pub(crate) fn flush(
        &self,
        ctx: &mut ProcessorContext<'_, K, Change<V>>,
    ) -> Result<(), BoxError> {
        if !self.on_commit {
            return Ok(());
        }
        while let Some(emission) = ctx.store(&self.handle).take_emission()? {
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

/// What comes out of an operator between tables, with or without a store.
pub(crate) struct TableOutput<K, V> {
    pub(crate) store: Option<TableStore<K, V>>,
    /// Somebody below asked for old values.
    pub(crate) send_old: bool,
}

impl<K: Data, V: Data> TableOutput<K, V> {
    /// Whether the operator has to compute old values itself.
    pub(crate) fn wants_old(&self) -> bool {
        self.send_old && self.store.is_none()
    }

    /// Whether old values are sent, and the key has none: then a deletion is no news. Without a
    /// store the caller has computed the old value itself.
    pub(crate) fn knows_absent(
        &self,
        key: &K,
        ctx: &mut ProcessorContext<'_, K, Change<V>>,
    ) -> Result<bool, BoxError> {
        match &self.store {
            Some(store) if self.send_old => Ok(!ctx.store(&store.handle).contains(key)?),
            _ => Ok(self.send_old),
        }
    }

    /// Stores the new value, if there is a store, and forwards the change.
    pub(crate) fn emit(
        &self,
        key: K,
        new: Option<Held<V>>,
        old: Option<Held<V>>,
        ctx: &mut ProcessorContext<'_, K, Change<V>>,
    ) -> Result<(), BoxError> {
        match &self.store {
            Some(store) => store.put(key, new, ctx.timestamp(), ctx),
            None => ctx.forward(key, Change::new(new, old)),
        }
    }

    /// Forwards what was put aside until the commit.
    pub(crate) fn flush(
        &self,
        ctx: &mut ProcessorContext<'_, K, Change<V>>,
    ) -> Result<(), BoxError> {
        self.store.as_ref().map_or(Ok(()), |store| store.flush(ctx))
    }
}

/// What the passes have decided for a table.
pub(crate) struct TableParts<K, V> {
    pub(crate) store: Option<StoreBuilder<KeyValueStore<K, V>>>,
    pub(crate) send_old: bool,
    pub(crate) on_commit: bool,
}

impl<K: Data, V: Data> TableParts<K, V> {
    /// The store, as what a processor is connected to.
    pub(crate) fn stores(&self) -> Vec<StoreBuilder<KeyValueStore<K, V>>> {
        self.store.clone().into_iter().collect()
    }

    /// How the table is read, if it has a store.
    pub(crate) fn getter(&self) -> Option<ValueGetter<K, V>> {
        self.store.clone().map(ValueGetter::of_store)
    }

    /// The store in one task, of a table that has one.
    pub(crate) fn table_store(&self, handle: KeyValueHandle<K, V>) -> TableStore<K, V> {
        TableStore { handle, send_old: self.send_old, on_commit: self.on_commit }
    }

    /// The output in one task, given the handles of [`stores`](Self::stores).
    pub(crate) fn output(&self, handles: &[KeyValueHandle<K, V>]) -> TableOutput<K, V> {
        let store = handles.first().map(|handle| self.table_store(*handle));
        TableOutput { store, send_old: self.send_old }
    }
}
