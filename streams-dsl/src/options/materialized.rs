//! `Materialized`: the store of a stateful operator.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use streams_core::stores::{KeyValueStore, SessionStore, StoreName, WindowStore};
use streams_core::topology::Choice;
use streams_core::{DefaultSerde, Serde};

use super::Auto;

/// Options of a store without windows.
pub struct KeyValueKind;

/// Options of a store of windows or sessions.
pub struct WindowKind;

/// The store of a stateful operator. `Kind` decides which options exist.
///
/// A bare name has all defaults: in RocksDB, with a changelog topic, each update forwarded at once.
pub struct Materialized<K, V, Kind> {
    pub(crate) name: Option<String>,
    pub(crate) key: Choice<K>,
    pub(crate) value: Choice<V>,
    pub(crate) settings: StoreSettings,
    kind: PhantomData<fn() -> Kind>,
}

/// What does not depend on types.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreSettings {
    pub(crate) in_memory: bool,
    pub(crate) logging_disabled: bool,
    pub(crate) changelog: BTreeMap<String, String>,
    pub(crate) emit_on_commit: Option<bool>,
    /// Of tables that know what a value was at a time in the past.
    pub(crate) versions: Option<Versions>,
    /// Of windows.
    pub(crate) retention: Option<Duration>,
}

/// How the versions of a table's values are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions {
    pub(crate) history_retention: Duration,
    pub(crate) segment_interval: Option<Duration>,
}

impl<K: 'static, V: 'static, Kind> Materialized<K, V, Kind> {
    fn new(name: Option<String>, key: Choice<K>, value: Choice<V>) -> Self {
        Self { name, key, value, settings: StoreSettings::default(), kind: PhantomData }
    }

    /// With the serdes of keys and values.
    pub fn with(name: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Self::new(Some(name.into()), Choice::given(key), Choice::given(value))
    }

    /// With the serdes from upstream, for types without a default; an error of `build()` if there
    /// are none.
    pub fn inherit(name: &str) -> Self {
        Self::new(Some(name.into()), Choice::Inherited, Choice::Inherited)
    }

    /// With this serde of values.
    pub fn value_serde(mut self, value: impl Serde<V>) -> Self {
        self.value = Choice::given(value);
        self
    }

    /// In memory instead of RocksDB. The changelog topic stays.
    pub fn in_memory(mut self) -> Self {
        self.settings.in_memory = true;
        self
    }

    /// Without a changelog topic: the store is empty after a move to another machine.
    pub fn logging_disabled(mut self) -> Self {
        self.settings.logging_disabled = true;
        self
    }

    /// A setting of the changelog topic, when it is made: `changelog_config("min.insync.replicas",
    /// "2")`.
    pub fn changelog_config(mut self, key: &str, value: &str) -> Self {
        self.settings.changelog.insert(key.into(), value.into());
        self
    }

    /// On: one change per key and commit, as with the JVM's record cache. Off: each update is
    /// forwarded. Not said: as the application's configuration has it.
    pub fn emit_on_commit(mut self, on: bool) -> Self {
        self.settings.emit_on_commit = Some(on);
        self
    }
}

impl<K: DefaultSerde, V: DefaultSerde, Kind> From<&str> for Materialized<K, V, Kind> {
    fn from(name: &str) -> Self {
        Self::new(Some(name.into()), Choice::default_of(), Choice::default_of())
    }
}

impl<K: DefaultSerde, V: DefaultSerde, Kind> From<String> for Materialized<K, V, Kind> {
    fn from(name: String) -> Self {
        Self::new(Some(name), Choice::default_of(), Choice::default_of())
    }
}

impl<K: DefaultSerde, V: DefaultSerde, Kind> From<Auto> for Materialized<K, V, Kind> {
    fn from(_: Auto) -> Self {
        Self::new(None, Choice::default_of(), Choice::default_of())
    }
}

impl<K: DefaultSerde, V: DefaultSerde> From<StoreName<KeyValueStore<K, V>>>
    for Materialized<K, V, KeyValueKind>
{
    fn from(name: StoreName<KeyValueStore<K, V>>) -> Self {
        Self::from(name.as_str())
    }
}

impl<K: 'static, V: 'static> Materialized<K, V, KeyValueKind> {
    /// Keeps what a value was at each time of the last `history_retention`, in stream time, by the
    /// times of the updates and not by their order. The counterpart of Kafka Streams'
    /// `Stores.persistentVersionedKeyValueStore`.
    ///
    /// A stream that is joined with such a table meets the value of its record's time. An update
    /// that is older than the retention is dropped and counted; one that is not the latest of its
    /// key changes the past only: aggregations and joins of tables leave it out. Each update is
    /// forwarded at once, whatever [`emit_on_commit`](Self::emit_on_commit) of the configuration.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>(
    ///     "prices",
    ///     Materialized::from("prices").versioned(Duration::from_secs(24 * 3600)),
    /// );
    /// builder
    ///     .stream::<String, i64>("orders")
    ///     .join_table(&prices, |_, pieces, price_then| pieces * price_then)
    ///     .to("amounts");
    /// ```
    pub fn versioned(self, history_retention: Duration) -> Self {
        self.with_versions(Versions { history_retention, segment_interval: None })
    }

    /// As [`versioned`](Self::versioned); what is history lies together and is removed together for
    /// a `segment_interval` of time. Shorter segments keep less of what nobody may ask for any more,
    /// and make questions about the past slower.
    pub fn versioned_in_segments(
        self,
        history_retention: Duration,
        segment_interval: Duration,
    ) -> Self {
        let segment_interval = Some(segment_interval);
        self.with_versions(Versions { history_retention, segment_interval })
    }

    fn with_versions(mut self, versions: Versions) -> Self {
        self.settings.versions = Some(versions);
        self
    }
}

impl<K: 'static, V: 'static> Materialized<K, V, WindowKind> {
    /// How long windows can be queried after they began, in stream time; a session after it ended.
    /// By default as long as they take records, which is also the least.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.settings.retention = Some(retention);
        self
    }
}

impl<K: DefaultSerde, V: DefaultSerde> From<StoreName<WindowStore<K, V>>>
    for Materialized<K, V, WindowKind>
{
    fn from(name: StoreName<WindowStore<K, V>>) -> Self {
        Self::from(name.as_str())
    }
}

impl<K: DefaultSerde, V: DefaultSerde> From<StoreName<SessionStore<K, V>>>
    for Materialized<K, V, WindowKind>
{
    fn from(name: StoreName<SessionStore<K, V>>) -> Self {
        Self::from(name.as_str())
    }
}
