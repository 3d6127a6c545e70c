//! How stores are declared.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use state_stores::StoreSpec;

use super::key_value::KeyValueStore;
use super::key_value_instance::KeyValueInstance;
use super::readable::Readable;
use super::restored_rows::ChangelogFormat;
use super::store::{Store, StoreInstance, StoreParts};
use crate::processor::Data;
use crate::serdes::{DefaultSerde, Serde, SerdeRef};

/// Declares stores. Keys and values of types without a default serde: the twins `_with`.
pub struct Stores;

impl Stores {
    /// A key-value store. Each value has the time of its last write.
    pub fn key_value<K: Data + DefaultSerde, V: Data + DefaultSerde>(
        name: &str,
    ) -> StoreBuilder<KeyValueStore<K, V>> {
        Self::key_value_with(name, K::default_serde(), V::default_serde())
    }

    /// A key-value store with these serdes.
    pub fn key_value_with<K: Data, V: Data>(
        name: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> StoreBuilder<KeyValueStore<K, V>> {
        let (key, value) = (SerdeRef::new(key), SerdeRef::new(value));
        let spec = StoreSpec::key_value(name).with_store_type("timestamped-key-value");
        let readable = Readable::new(key.clone(), value.clone());
        let builder = StoreBuilder::new(spec, move |parts| {
            KeyValueInstance::new(parts, key.clone(), value.clone())
        });
        builder.readable(readable)
    }
}

/// The declaration of a store. A clone is the same store: give it to two processors, and they
/// share it. An option set on a clone makes it another store.
pub struct StoreBuilder<S> {
    declaration: Arc<StoreDeclaration>,
    store: PhantomData<fn() -> S>,
}

/// What is declared of a store, whatever its types.
#[derive(Clone)]
pub struct StoreDeclaration {
    name: Arc<str>,
    spec: StoreSpec,
    changelog: ChangelogKind,
    changelog_configs: BTreeMap<String, String>,
    kind_configs: BTreeMap<String, String>,
    format: ChangelogFormat,
    time_to_live: Option<Duration>,
    readable: Option<Readable>,
    instance: TypeId,
    make: Arc<dyn Fn(StoreParts) -> Box<dyn StoreInstance> + Send + Sync>,
}

/// Where a store can be restored from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangelogKind {
    /// A topic of its own, `<application id>-<store>-changelog`.
    Own,
    /// A source topic of the topology holds the same records; nothing is written.
    SourceTopic(Arc<str>),
    /// Nowhere: a lost disk is lost state.
    None,
}

impl<S: Store> StoreBuilder<S> {
    /// A store of that kind: how its bytes lie, and how its instance is made.
    pub fn new(
        spec: StoreSpec,
        make: impl Fn(StoreParts) -> S::Instance + Send + Sync + 'static,
    ) -> Self {
        let declaration = StoreDeclaration {
            name: spec.name.as_str().into(),
            spec,
            changelog: ChangelogKind::Own,
            changelog_configs: BTreeMap::new(),
            kind_configs: BTreeMap::new(),
            format: ChangelogFormat::KEY_VALUE,
            time_to_live: None,
            readable: None,
            instance: TypeId::of::<S::Instance>(),
            make: Arc::new(move |parts| Box::new(make(parts))),
        };
        Self { declaration: Arc::new(declaration), store: PhantomData }
    }
}

impl<K: Data, V: Data> StoreBuilder<KeyValueStore<K, V>> {
    /// Forgets a row when stream time is this much past the row's own time, that of its last write.
    /// From then on nobody sees it. Its tombstone is written when it is read, or by a commit that
    /// comes across it: each looks at a few rows, in turn. Nothing is forwarded. Kafka Streams has
    /// no counterpart.
    #[must_use]
    pub fn time_to_live(self, time: Duration) -> Self {
        self.set(|d| d.time_to_live = Some(time))
    }
}

impl<S> StoreBuilder<S> {
    /// The store's name.
    pub fn name(&self) -> &Arc<str> {
        &self.declaration.name
    }

    /// Keeps the rows in memory. The changelog still makes them durable.
    #[must_use]
    pub fn in_memory(self) -> Self {
        self.set(|d| d.spec = d.spec.clone().in_memory())
    }

    /// Writes no changelog: the state is as durable as the local disk.
    #[must_use]
    pub fn logging_disabled(self) -> Self {
        self.set(|d| d.changelog = ChangelogKind::None)
    }

    /// A setting of the changelog topic, by the broker's name for it.
    #[must_use]
    pub fn changelog_config(self, key: &str, value: &str) -> Self {
        self.set(|d| {
            d.changelog_configs.insert(key.into(), value.into());
        })
    }

    /// The topology writes the store from this source topic, record by record: the topic is the
    /// changelog, and nothing is written to another one.
    #[must_use]
    pub fn source_topic_changelog(self, topic: &str) -> Self {
        self.set(|d| d.changelog = ChangelogKind::SourceTopic(topic.into()))
    }

    /// A setting of the changelog topic that the kind of store needs; the user's
    /// [`changelog_config`](Self::changelog_config) goes before it.
    #[must_use]
    pub fn default_changelog_config(self, key: &str, value: &str) -> Self {
        self.set(|d| {
            d.kind_configs.insert(key.into(), value.into());
        })
    }

    /// How the records of the changelog become rows; those of key-value stores by default.
    #[must_use]
    pub fn changelog_format(self, format: ChangelogFormat) -> Self {
        self.set(|d| d.format = format)
    }

    /// What was declared.
    pub fn declaration(&self) -> &Arc<StoreDeclaration> {
        &self.declaration
    }

    pub(super) fn readable(self, readable: Readable) -> Self {
        self.set(|d| d.readable = Some(readable))
    }

    pub(super) fn set_spec(self, set: impl FnOnce(&mut StoreSpec)) -> Self {
        self.set(|d| set(&mut d.spec))
    }

    fn set(mut self, set: impl FnOnce(&mut StoreDeclaration)) -> Self {
        set(Arc::make_mut(&mut self.declaration));
        self
    }
}

impl<S> Clone for StoreBuilder<S> {
    fn clone(&self) -> Self {
        Self { declaration: self.declaration.clone(), store: PhantomData }
    }
}

impl StoreDeclaration {
    /// The store's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How its bytes lie.
    pub fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    /// Where it can be restored from.
    pub fn changelog(&self) -> &ChangelogKind {
        &self.changelog
    }

    /// Settings of the changelog topic that the user asks for.
    pub fn changelog_configs(&self) -> &BTreeMap<String, String> {
        &self.changelog_configs
    }

    /// Settings of the changelog topic that the kind of store needs.
    pub fn kind_configs(&self) -> &BTreeMap<String, String> {
        &self.kind_configs
    }

    /// How the records of its changelog become rows.
    pub fn format(&self) -> ChangelogFormat {
        self.format
    }

    /// How long a row lives, if it does not live for ever.
    pub fn time_to_live(&self) -> Option<Duration> {
        self.time_to_live
    }

    /// How long the broker keeps the records of its changelog, where time decides: as long as the
    /// rows are visible, and `additional` for clocks that disagree. As the broker writes it.
    pub(crate) fn changelog_retention_ms(&self, additional_ms: i64) -> Option<i64> {
        let segments = self.spec.segments.filter(|_| self.format.has_retention())?;
        let retention = segments.retention_ms();
        Some(retention.saturating_add(additional_ms))
    }

    /// Whether the broker deletes or compacts records of its changelog by their time.
    pub(crate) fn is_forgotten_by_time(&self) -> bool {
        let by_time = self.format.has_retention() || self.format == ChangelogFormat::VERSIONED;
        by_time && self.changelog == ChangelogKind::Own
    }

    /// The name of its changelog topic as the broker knows it, if it has one.
    pub fn changelog_topic(&self, application_id: &str) -> Option<Arc<str>> {
        match &self.changelog {
            ChangelogKind::Own => Some(self.own_changelog_topic(application_id)),
            ChangelogKind::SourceTopic(topic) => Some(topic.clone()),
            ChangelogKind::None => None,
        }
    }

    /// What a changelog topic of its own is called by the broker, whether it has one or not.
    pub fn own_changelog_topic(&self, application_id: &str) -> Arc<str> {
        format!("{application_id}-{}-changelog", self.name).into()
    }

    /// What tells records that can be read from others, where the changelog is not the store's own.
    pub(crate) fn readable(&self) -> Option<Readable> {
        let others_write = matches!(self.changelog, ChangelogKind::SourceTopic(_));
        self.readable.clone().filter(|_| others_write)
    }

    pub(crate) fn make(&self, parts: StoreParts) -> Box<dyn StoreInstance> {
        (self.make)(parts)
    }

    pub(crate) fn is_time_ordered(&self) -> bool {
        self.format.is_by_time()
    }

    pub(crate) fn instance(&self) -> TypeId {
        self.instance
    }
}
