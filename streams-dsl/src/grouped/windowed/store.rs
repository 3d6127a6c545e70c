//! The store of a table of windows, and the way of its changes to the operators below.

use std::sync::Arc;
use std::time::Duration;

use streams_core::processor::ProcessorContext;
use streams_core::stores::{
    Change, Held, SessionStore, StoreBuilder, StoreHandle, Stores, WindowStore, Written,
};
use streams_core::task::DropReason;
use streams_core::{
    BoxError, Data, Record, RecordContext, SerdeRef, SessionWindow, SessionWindowed, TimeWindow,
    Timestamp, Windowed,
};

use crate::graph::{BuildOptions, Call, Graph};
use crate::grouped::aggregate::later;
use crate::options::{Materialized, StoreSettings, WindowKind};
use crate::table::ValueGetter;

/// How the store of a table of windows is made: what the graph keeps without knowing the types.
pub(crate) struct StoredWindows<K, A> {
    pub(crate) key: SerdeRef<K>,
    pub(crate) value: SerdeRef<A>,
    pub(crate) settings: StoreSettings,
    pub(crate) retention: Duration,
    /// From the start of a time window to its end.
    pub(crate) size: Duration,
    /// Results are emitted when a window closes.
    pub(crate) on_close: bool,
}

impl<K, A> Clone for StoredWindows<K, A> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            value: self.value.clone(),
            settings: self.settings.clone(),
            ..*self
        }
    }
}

/// Serdes and settings of a store of windows; without a serde a mistake.
pub(crate) fn stored_windows<K: 'static, A: 'static>(
    graph: &Graph,
    call: Call,
    options: Materialized<K, A, WindowKind>,
    (key, value): (Option<SerdeRef<K>>, Option<SerdeRef<A>>),
    (retention, size, on_close): (Duration, Duration, bool),
) -> Option<StoredWindows<K, A>> {
    let key = options.key.resolve(key.as_ref());
    let value = options.value.resolve(value.as_ref());
    let stored = crate::table::stored(graph, call, key, value, options.settings)?;
    let retention = stored.settings.retention.unwrap_or(retention);
    let (key, value, settings) = (stored.key, stored.value, stored.settings);
    Some(StoredWindows { key, value, settings, retention, size, on_close })
}

/// Refuses a store that forgets windows before they close.
pub(crate) fn check_retention(
    graph: &Graph,
    call: Call,
    settings: &StoreSettings,
    (least, parts): (Duration, &str),
) {
    let Some(retention) = settings.retention.filter(|retention| *retention < least) else { return };
    let message = format!(
        "{call} keeps windows for {retention:?}, but they take records for {least:?} ({parts}): \
         give Materialized a longer retention, or none"
    );
    graph.mistake(call, message);
}

/// What the passes have decided for a table of windows.
pub(crate) struct WindowedParts<K, A> {
    /// Of the store.
    pub(crate) name: String,
    pub(crate) stored: StoredWindows<K, A>,
    pub(crate) options: BuildOptions,
    /// Somebody below asked for old values.
    pub(crate) send_old: bool,
}

impl<K: Data, A: Data> WindowedParts<K, A> {
    /// The declaration of the store of time windows.
    pub(crate) fn window_store(&self) -> StoreBuilder<WindowStore<K, A>> {
        let StoredWindows { key, value, retention, size, .. } = &self.stored;
        let (key, value) = (key.clone(), value.clone());
        let store = Stores::window_with(&self.name, *retention, *size, key, value);
        self.set(if self.stored.on_close { store.time_ordered() } else { store })
    }

    /// The declaration of the store of sessions.
    pub(crate) fn session_store(&self) -> StoreBuilder<SessionStore<K, A>> {
        let StoredWindows { key, value, retention, .. } = &self.stored;
        let store = Stores::session_with(&self.name, *retention, key.clone(), value.clone());
        self.set(if self.stored.on_close { store.time_ordered() } else { store })
    }

    fn set<S>(&self, mut store: StoreBuilder<S>) -> StoreBuilder<S> {
        let settings = &self.stored.settings;
        if settings.in_memory || self.options.in_memory {
            store = store.in_memory();
        }
        if settings.logging_disabled {
            store = store.logging_disabled();
        }
        for (key, value) in &settings.changelog {
            store = store.changelog_config(key, value);
        }
        store
    }

    /// Where changes go in one task.
    pub(crate) fn output<S>(&self, handle: StoreHandle<S>) -> WindowOutput<S> {
        let emit = if self.stored.on_close {
            Emit::OnClose
        } else if self.stored.settings.emit_on_commit.unwrap_or(self.options.emit_on_commit) {
            Emit::OnCommit
        } else {
            Emit::AtOnce
        };
        WindowOutput { handle, send_old: self.send_old, emit }
    }
}

/// A store, declared once for all that use it, and what else was decided.
pub(crate) type Declared<S, K, A> = (StoreBuilder<S>, Arc<WindowedParts<K, A>>);

/// When a table of windows forwards its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emit {
    AtOnce,
    OnCommit,
    OnClose,
}

/// The store of a table of windows, and how its changes are forwarded.
pub(crate) struct WindowOutput<S> {
    pub(crate) handle: StoreHandle<S>,
    /// Somebody below asked for old values.
    send_old: bool,
    emit: Emit,
}

/// What reads a table of time windows.
pub(crate) fn window_getter<K: Data, A: Data>(
    store: StoreBuilder<WindowStore<K, A>>,
) -> ValueGetter<Windowed<K>, A> {
    ValueGetter::of(store, |state, handle, windowed: &Windowed<K>| {
        state.store(handle).get_held(&windowed.key, windowed.window.start)
    })
}

/// What reads a table of sessions: a session has the time of its end.
pub(crate) fn session_getter<K: Data, A: Data>(
    store: StoreBuilder<SessionStore<K, A>>,
) -> ValueGetter<SessionWindowed<K>, A> {
    ValueGetter::of(store, |state, handle, windowed: &SessionWindowed<K>| {
        let window = windowed.window;
        let found = state.store(handle).fetch_session(&windowed.key, window)?;
        Ok(found.map(|aggregate| (aggregate, window.end)))
    })
}

impl<S> WindowOutput<S> {
    /// Whether nobody sees a change before the commit, or the end of the window.
    pub(crate) fn waits(&self) -> bool {
        self.emit != Emit::AtOnce
    }

    /// Whether somebody wants to know what an aggregate was before.
    fn keeps_old(&self) -> bool {
        self.emit != Emit::OnClose && (self.send_old || self.emit == Emit::OnCommit)
    }

    /// The change as those below want it.
    fn change<A>(&self, new: Option<Held<A>>, old: Option<Held<A>>) -> Change<A> {
        Change::new(new, old.filter(|_| self.send_old))
    }
}

/// When an aggregate in a window was changed, and by which record.
pub(crate) struct Cause<'a> {
    pub(crate) time: Timestamp,
    /// That of the context, if it is not another one.
    pub(crate) record: Option<&'a RecordContext>,
}

type TimeContext<'a, K, A> = ProcessorContext<'a, Windowed<K>, Change<A>>;

impl<K: Data, A: Data> WindowOutput<WindowStore<K, A>> {
    /// Changes the aggregate of a window in place, and forwards the change. Its time is that of its
    /// latest record.
    pub(crate) fn update(
        &self,
        key: K,
        window: TimeWindow,
        ctx: &mut TimeContext<'_, K, A>,
        f: impl FnOnce(&K, &mut Option<Held<A>>) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let cause = Cause { time: ctx.timestamp(), record: None };
        self.update_by(cause, key, window, ctx, f)
    }

    /// The same by other records than the one in hand.
    pub(crate) fn update_by(
        &self,
        cause: Cause<'_>,
        key: K,
        window: TimeWindow,
        ctx: &mut TimeContext<'_, K, A>,
        f: impl FnOnce(&K, &mut Option<Held<A>>) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let (now, keeps_old, forwards) = (cause.time, self.keeps_old(), self.emit != Emit::OnClose);
        let written = ctx.store(&self.handle).update_held(&key, window.start, |value, time| {
            let old = if keeps_old { value.clone() } else { None };
            *time = later(value.is_some(), *time, now);
            f(&key, value)?;
            let new = if forwards { value.clone() } else { None };
            let forwarded = *time;
            if value.is_none() {
                // Stored, a deletion is of the time of the record that caused it, as in the JVM.
                *time = now;
            }
            Ok::<_, BoxError>((new, old, forwarded))
        })?;
        let Written::Stored(changed) = written else {
            ctx.dropped(DropReason::Late);
            return Ok(());
        };
        let (new, old, time) = changed?;
        match cause.record {
            Some(record) if self.emit == Emit::OnCommit => {
                let mut store = ctx.store(&self.handle);
                store.emit_on_commit_in(&key, window.start, old, record)
            }
            _ => self.forward(Windowed::new(key, window), (new, old), time, ctx),
        }
    }

    /// Writes an aggregate, and forwards the change.
    pub(crate) fn put(
        &self,
        key: K,
        window: TimeWindow,
        new: Option<Held<A>>,
        time: Timestamp,
        ctx: &mut TimeContext<'_, K, A>,
    ) -> Result<(), BoxError> {
        // Stored, a deletion is of the time of the record that caused it, as in the JVM.
        let stored = if new.is_some() { time } else { ctx.timestamp() };
        let written = ctx.store(&self.handle).put_held(&key, window.start, new.clone(), stored)?;
        let Written::Stored(old) = written else {
            ctx.dropped(DropReason::Late);
            return Ok(());
        };
        let old = old.map(|(old, _)| old);
        self.forward(Windowed::new(key, window), (new, old), time, ctx)
    }

    fn forward(
        &self,
        key: Windowed<K>,
        (new, old): (Option<Held<A>>, Option<Held<A>>),
        time: Timestamp,
        ctx: &mut TimeContext<'_, K, A>,
    ) -> Result<(), BoxError> {
        match self.emit {
            Emit::OnClose => Ok(()),
            Emit::OnCommit => {
                ctx.store(&self.handle).emit_on_commit(&key.key, key.window.start, old)
            }
            Emit::AtOnce if ctx.child_count() == 0 => Ok(()),
            Emit::AtOnce => ctx.forward_at(key, self.change(new, old), time),
        }
    }

    /// Forwards what was put aside until the commit.
    pub(crate) fn flush(&self, ctx: &mut TimeContext<'_, K, A>) -> Result<(), BoxError> {
        if self.emit != Emit::OnCommit {
            return Ok(());
        }
        while let Some(emission) = ctx.store(&self.handle).take_emission()? {
            let change = self.change(emission.change.new, emission.change.old);
            let record = emission.record.with_timestamp(emission.timestamp);
            ctx.forward_in(emission.key, change, &record)?;
        }
        Ok(())
    }
}

type SessionContext<'a, K, A> = ProcessorContext<'a, SessionWindowed<K>, Change<A>>;

impl<K: Data, A: Data> WindowOutput<SessionStore<K, A>> {
    /// Writes or removes a session, and forwards the change. Its time is the session's end.
    pub(crate) fn put(
        &self,
        key: K,
        window: SessionWindow,
        new: Option<Held<A>>,
        ctx: &mut SessionContext<'_, K, A>,
    ) -> Result<(), BoxError> {
        let written = ctx.store(&self.handle).put_held(&key, window, new.clone())?;
        let Written::Stored(old) = written else {
            ctx.dropped(DropReason::Late);
            return Ok(());
        };
        match self.emit {
            Emit::OnClose => Ok(()),
            Emit::OnCommit => ctx.store(&self.handle).emit_on_commit(&key, window, old),
            Emit::AtOnce if ctx.child_count() == 0 => Ok(()),
            Emit::AtOnce => {
                let change = self.change(new, old);
                // As the JVM: a session is of many records, so it has the headers of none.
                ctx.forward_record(Record::new(Windowed::new(key, window), change, window.end))
            }
        }
    }

    /// Forwards what was put aside until the commit.
    pub(crate) fn flush(&self, ctx: &mut SessionContext<'_, K, A>) -> Result<(), BoxError> {
        if self.emit != Emit::OnCommit {
            return Ok(());
        }
        while let Some(emission) = ctx.store(&self.handle).take_emission()? {
            let change = self.change(emission.change.new, emission.change.old);
            let record = emission.record.with_timestamp(emission.key.window.end);
            ctx.forward_in(emission.key, change, &record)?;
        }
        Ok(())
    }
}
