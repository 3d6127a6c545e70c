//! Co-grouping in windows.

use std::sync::Arc;
use std::time::Duration;

use streams_core::serdes::{SessionWindowedKey, TimeWindowedKey};
use streams_core::{Data, SerdeRef, SessionWindowed, Windowed};

use super::{
    AnyTimeWindows, Merge, check_retention, check_sessions, check_windows, merge_with,
    session_getter, stored_windows, window_getter,
};
use crate::graph::{Call, Kind, NewNode};
use crate::grouped::CogroupedKStream;
use crate::grouped::cogroup::lower_merge;
use crate::options::{Materialized, WindowKind};
use crate::table::{KTable, add_windowed_table};
use crate::windows::SessionWindows;

const PREFIX: &str = "COGROUPKSTREAM-AGGREGATE-";

/// Several grouped streams, cut into windows of a known size: made by
/// [`windowed_by_time`](CogroupedKStream::windowed_by_time).
#[must_use = "a co-group without an aggregation does nothing"]
pub struct TimeWindowedCogroupedKStream<K, A> {
    group: CogroupedKStream<K, A>,
    windows: AnyTimeWindows,
}

/// Several grouped streams, cut into sessions: made by
/// [`windowed_by_session`](CogroupedKStream::windowed_by_session).
#[must_use = "a co-group without an aggregation does nothing"]
pub struct SessionWindowedCogroupedKStream<K, A> {
    group: CogroupedKStream<K, A>,
    windows: SessionWindows,
    merge: Arc<Merge<K, A>>,
}

impl<K: Data, A: Data> CogroupedKStream<K, A> {
    /// Aggregates each window of a key for itself: `TimeWindows`, `SlidingWindows` or
    /// `UnlimitedWindows`.
    pub fn windowed_by_time(
        &self,
        windows: impl Into<AnyTimeWindows>,
    ) -> TimeWindowedCogroupedKStream<K, A> {
        TimeWindowedCogroupedKStream { group: self.clone(), windows: windows.into() }
    }

    /// Aggregates each session of a key for itself; `merge` makes one aggregate of those of two
    /// sessions, the earlier one first.
    pub fn windowed_by_session(
        &self,
        windows: SessionWindows,
        merge: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
    ) -> SessionWindowedCogroupedKStream<K, A> {
        let merge = merge_with(self.init.clone(), merge);
        SessionWindowedCogroupedKStream { group: self.clone(), windows, merge }
    }
}

impl<K: Data, A: Data> TimeWindowedCogroupedKStream<K, A> {
    /// Keeps the aggregate of each window of a key.
    #[track_caller]
    pub fn aggregate(
        &self,
        store: impl Into<Materialized<K, A, WindowKind>>,
    ) -> KTable<Windowed<K>, A> {
        self.aggregate_in(Call::new("aggregate"), store.into())
    }

    #[track_caller]
    fn aggregate_in(
        &self,
        call: Call,
        options: Materialized<K, A, WindowKind>,
    ) -> KTable<Windowed<K>, A> {
        let graph = &self.group.graph;
        let store = graph.store_name(options.name.as_deref(), PREFIX);
        check_windows(graph, call, &self.windows, false);
        check_retention(graph, call, &options.settings, self.windows.retention());
        let kept = (self.windows.retention().0, self.windows.size(), false);
        let inherited = (self.group.key_serde(), None);
        let stored = stored_windows(graph, call, options, inherited, kept);
        let (parents, name) = self.group.place(call, &store);
        let (inputs, windows) = (self.group.inputs.clone(), self.windows.clone());
        let node = NewNode::new(call, name, &parents, Kind::Table).lower(move |lowering| {
            let Some(parts) = lowering.windowed_parts::<K, A>().map(Arc::new) else {
                return lowering.bug("an aggregate without a store was not refused");
            };
            let store = parts.window_store();
            lowering.set_getter(Some(window_getter(store.clone())));
            let parts = (store, parts);
            let sides: Vec<_> = inputs
                .iter()
                .enumerate()
                .map(|(at, input)| input.lower_time(lowering, at, windows.clone(), &parts))
                .collect();
            lower_merge(lowering, &sides);
        });
        let serdes = stored.as_ref().map(|stored| {
            let (inner, size) = (stored.key.clone(), stored.size);
            (SerdeRef::new(TimeWindowedKey { inner, size }), stored.value.clone())
        });
        add_windowed_table(graph, node, serdes, (store, stored), self.windows.closes_after())
    }
}

impl<K: Data, A: Data> SessionWindowedCogroupedKStream<K, A> {
    /// Keeps the aggregate of each session of a key.
    #[track_caller]
    pub fn aggregate(
        &self,
        store: impl Into<Materialized<K, A, WindowKind>>,
    ) -> KTable<SessionWindowed<K>, A> {
        self.aggregate_in(Call::new("aggregate"), store.into())
    }

    #[track_caller]
    fn aggregate_in(
        &self,
        call: Call,
        options: Materialized<K, A, WindowKind>,
    ) -> KTable<SessionWindowed<K>, A> {
        let graph = &self.group.graph;
        let store = graph.store_name(options.name.as_deref(), PREFIX);
        check_sessions(graph, call, &self.windows, &options);
        let kept = (self.windows.retention(), Duration::ZERO, false);
        let inherited = (self.group.key_serde(), None);
        let stored = stored_windows(graph, call, options, inherited, kept);
        let (parents, name) = self.group.place(call, &store);
        let (inputs, windows) = (self.group.inputs.clone(), self.windows.clone());
        let merge = self.merge.clone();
        let node = NewNode::new(call, name, &parents, Kind::Table).lower(move |lowering| {
            let Some(parts) = lowering.windowed_parts::<K, A>().map(Arc::new) else {
                return lowering.bug("an aggregate without a store was not refused");
            };
            let store = parts.session_store();
            lowering.set_getter(Some(session_getter(store.clone())));
            let parts = (store, parts);
            let sides: Vec<_> = inputs
                .iter()
                .enumerate()
                .map(|(at, input)| input.lower_sessions(lowering, at, (&windows, &merge), &parts))
                .collect();
            lower_merge(lowering, &sides);
        });
        let serdes = stored.as_ref().map(|stored| {
            (SerdeRef::new(SessionWindowedKey(stored.key.clone())), stored.value.clone())
        });
        add_windowed_table(graph, node, serdes, (store, stored), Some(self.windows.retention()))
    }
}
