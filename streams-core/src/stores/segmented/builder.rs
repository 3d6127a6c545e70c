//! How stores with a retention are declared.

use std::time::Duration;

use state_stores::{Segments, StoreSpec};

use super::instance::{SegmentedInstance, SegmentedOptions};
use super::join::JoinStore;
use super::row::{RowFormat, Shape};
use super::session::SessionStore;
use super::window::WindowStore;
use crate::processor::Data;
use crate::serdes::{DefaultSerde, Serde, SerdeRef};
use crate::stores::builder::{StoreBuilder, Stores};
use crate::stores::restored_rows::ChangelogFormat;
use crate::stores::store::Store;

/// Windows and sessions: overwritten by key, and old ones deleted.
const COMPACT_AND_DELETE: &str = "compact,delete";

impl Stores {
    /// A window store: windows of `window_size`, told apart by their start, are visible until one
    /// that starts `retention` later is written. At least the size and the grace of the windows.
    ///
    /// # Panics
    /// If the retention is shorter than a window.
    #[track_caller]
    pub fn window<K: Data + DefaultSerde, V: Data + DefaultSerde>(
        name: &str,
        retention: Duration,
        window_size: Duration,
    ) -> StoreBuilder<WindowStore<K, V>> {
        let (key, value) = (K::default_serde(), V::default_serde());
        Self::window_with(name, retention, window_size, key, value)
    }

    /// A window store with these serdes; see [`window`](Self::window).
    ///
    /// # Panics
    /// If the retention is shorter than a window.
    #[track_caller]
    pub fn window_with<K: Data, V: Data>(
        name: &str,
        retention: Duration,
        window_size: Duration,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> StoreBuilder<WindowStore<K, V>> {
        assert!(
            window_size <= retention,
            "store `{name}` keeps windows of {window_size:?} for {retention:?} only"
        );
        declare(name, retention, window_size, key, value, COMPACT_AND_DELETE)
    }

    /// A session store: sessions are visible until one that ends `retention` later is written. At
    /// least the inactivity gap and the grace of the sessions.
    pub fn session<K: Data + DefaultSerde, A: Data + DefaultSerde>(
        name: &str,
        retention: Duration,
    ) -> StoreBuilder<SessionStore<K, A>> {
        Self::session_with(name, retention, K::default_serde(), A::default_serde())
    }

    /// A session store with these serdes; see [`session`](Self::session).
    pub fn session_with<K: Data, A: Data>(
        name: &str,
        retention: Duration,
        key: impl Serde<K>,
        aggregate: impl Serde<A>,
    ) -> StoreBuilder<SessionStore<K, A>> {
        declare(name, retention, Duration::ZERO, key, aggregate, COMPACT_AND_DELETE)
    }

    /// The buffer of a stream for a join: records are visible until one that is `retention` younger
    /// is put. At least the size and the grace of the join's windows.
    pub fn join<K: Data + DefaultSerde, V: Data + DefaultSerde>(
        name: &str,
        retention: Duration,
    ) -> StoreBuilder<JoinStore<K, V>> {
        Self::join_with(name, retention, K::default_serde(), V::default_serde())
    }

    /// The buffer of a stream with these serdes; see [`join`](Self::join).
    pub fn join_with<K: Data, V: Data>(
        name: &str,
        retention: Duration,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> StoreBuilder<JoinStore<K, V>> {
        declare(name, retention, Duration::ZERO, key, value, "delete")
    }
}

/// An index by time costs one more small row per window or session, written when it comes and when
/// it goes: overwriting it leaves the index as it is.
macro_rules! time_ordered {
    ($store:ty) => {
        impl<K: Data, V: Data> StoreBuilder<$store> {
            /// Keeps an index by time, which [`by_time`](crate::stores::StoreHandle::by_time) reads:
            /// for emitting what has closed.
            #[must_use]
            pub fn time_ordered(self) -> Self {
                let format = self.declaration().format();
                if format.is_by_time() {
                    return self;
                }
                self.changelog_format(format.by_time())
                    .set_spec(|spec| spec.store_type.push_str("-by-time"))
            }
        }
    };
}
time_ordered!(WindowStore<K, V>);
time_ordered!(SessionStore<K, V>);

fn declare<S: Shape, K: Data, V: Data, W>(
    name: &str,
    retention: Duration,
    window_size: Duration,
    key: impl Serde<K>,
    value: impl Serde<V>,
    cleanup: &str,
) -> StoreBuilder<W>
where
    W: Store<Instance = SegmentedInstance<S, K, V>>,
{
    let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let segments = Segments::of_retention(retention_ms);
    let (key, value) = (SerdeRef::new(key), SerdeRef::new(value));
    let spec = StoreSpec::segmented(name, segments).with_store_type(S::STORE_TYPE);
    let builder = StoreBuilder::new(spec, move |parts| {
        let options = SegmentedOptions { window_size, by_time: parts.time_ordered };
        SegmentedInstance::new(parts, key.clone(), value.clone(), options)
    });
    builder
        .changelog_format(ChangelogFormat::segmented(RowFormat::of::<S>(segments, false)))
        .default_changelog_config("cleanup.policy", cleanup)
}
