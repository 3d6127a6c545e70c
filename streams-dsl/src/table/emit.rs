//! What comes out of an operator between tables: through its store, if it has one, to the operators
//! below.

use streams_core::processor::ProcessorContext;
use streams_core::stores::Change;
use streams_core::{BoxError, Data};

use super::{TableHandle, TableStore, TableStoreBuilder, ValueGetter};

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
            Some(store) if self.send_old => Ok(!store.contains(key, ctx)?),
            _ => Ok(self.send_old),
        }
    }

    /// Stores the new value, if there is a store, and forwards the change. A store says itself what
    /// the old value was, and whether the new one is the latest.
    pub(crate) fn emit(
        &self,
        key: K,
        change: Change<V>,
        ctx: &mut ProcessorContext<'_, K, Change<V>>,
    ) -> Result<(), BoxError> {
        match &self.store {
            Some(store) => store.put(key, change.new, ctx.timestamp(), ctx),
            None => ctx.forward(key, change),
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
    pub(crate) store: Option<TableStoreBuilder<K, V>>,
    pub(crate) send_old: bool,
    pub(crate) on_commit: bool,
}

impl<K: Data, V: Data> TableParts<K, V> {
    /// The store, as what a processor is connected to.
    pub(crate) fn stores(&self) -> Vec<TableStoreBuilder<K, V>> {
        self.store.clone().into_iter().collect()
    }

    /// How the table is read, if it has a store.
    pub(crate) fn getter(&self) -> Option<ValueGetter<K, V>> {
        self.store.clone().map(ValueGetter::of_store)
    }

    /// The store in one task, of a table that has one.
    pub(crate) fn table_store(&self, handle: TableHandle<K, V>) -> TableStore<K, V> {
        TableStore { handle, send_old: self.send_old, on_commit: self.on_commit }
    }

    /// The output in one task, given the handles of [`stores`](Self::stores).
    pub(crate) fn output(&self, handles: &[TableHandle<K, V>]) -> TableOutput<K, V> {
        let store = handles.first().map(|handle| self.table_store(*handle));
        TableOutput { store, send_old: self.send_old }
    }
}
