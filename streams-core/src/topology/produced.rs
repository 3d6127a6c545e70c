//! How a sink writes.

use std::borrow::Cow;
use std::sync::Arc;

use super::choice::Choice;
use super::topic::Topic;
use crate::record::RecordRef;
use crate::serdes::{DefaultWrite, Serde, SerdeRef};

/// How a sink writes: its topic, serdes, and partitioner.
///
/// A bare name stands for all defaults. The counterpart of Kafka Streams' `Produced`.
pub struct Produced<K, V> {
    pub(crate) target: Target<K, V>,
    pub(crate) key: Choice<K>,
    pub(crate) value: Choice<V>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
    pub(crate) name: Option<String>,
    pub(crate) windows_count: bool,
}

/// Where records go.
pub(crate) enum Target<K, V> {
    Topic(Arc<str>),
    Dynamic(DynamicTopic<K, V>),
}

/// Chooses the topic of a record.
pub type DynamicTopic<K, V> =
    Arc<dyn for<'a> Fn(RecordRef<'a, K, V>) -> Cow<'a, str> + Send + Sync>;

/// Chooses the partition of a record; the second argument is how many there are.
pub type Partitioner<K, V> = Arc<dyn Fn(RecordRef<'_, K, V>, i32) -> Partitions + Send + Sync>;

/// What a partitioner says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// As without a partitioner: by the hash of the key, any for a null key.
    ByKey,
    /// This one.
    One(i32),
    /// To each of these.
    Many(Vec<i32>),
    /// To none: the record is counted and dropped.
    Drop,
}

impl<K: 'static, V: 'static> Produced<K, V> {
    /// With these serdes.
    pub fn with(topic: &str, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Self::new(Target::Topic(topic.into()), Choice::given(key), Choice::given(value))
    }

    /// The topic is chosen per record, must exist, and may be borrowed from the record.
    pub fn dynamic(
        topic: impl for<'a> Fn(RecordRef<'a, K, V>) -> Cow<'a, str> + Send + Sync + 'static,
    ) -> Self
    where
        K: DefaultWrite,
        V: DefaultWrite,
    {
        let target = Target::Dynamic(Arc::new(topic));
        Self::new(target, Choice::default_write(), Choice::default_write())
    }

    /// As [`dynamic`](Self::dynamic), with serdes from upstream.
    pub fn inherit_dynamic(
        topic: impl for<'a> Fn(RecordRef<'a, K, V>) -> Cow<'a, str> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Target::Dynamic(Arc::new(topic)), Choice::Inherited, Choice::Inherited)
    }

    /// Serdes from upstream, for types without a default; an error of `build()` if there are none.
    pub fn inherit(topic: &str) -> Self {
        Self::new(Target::Topic(topic.into()), Choice::Inherited, Choice::Inherited)
    }

    /// With these serdes.
    #[must_use]
    pub fn serdes(mut self, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        (self.key, self.value) = (Choice::given(key), Choice::given(value));
        self
    }

    /// The partition is chosen per record.
    #[must_use]
    pub fn partitioner(
        mut self,
        f: impl Fn(RecordRef<'_, K, V>, i32) -> Partitions + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(Arc::new(f));
        self
    }

    /// The partition of a windowed key is that of the whole key, window included: for topics that
    /// bring equal windowed keys together again. Otherwise it is that of the key alone, as in Kafka
    /// Streams.
    #[must_use]
    pub fn partition_by_window(mut self) -> Self {
        self.windows_count = true;
        self
    }

    /// The name of the sink in the topology, for streams.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name that [`named`](Self::named) gave.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The topic; `None` if it is chosen per record.
    pub fn topic(&self) -> Option<&str> {
        match &self.target {
            Target::Topic(topic) => Some(topic),
            Target::Dynamic(_) => None,
        }
    }

    /// Whether the partition is chosen per record.
    pub fn has_partitioner(&self) -> bool {
        self.partitioner.is_some()
    }

    /// Settles the serdes: given by the user, else these, else the types' defaults. What stays
    /// unsettled is an error of `build()`.
    #[must_use]
    pub fn or_inherit(mut self, key: Option<&SerdeRef<K>>, value: Option<&SerdeRef<V>>) -> Self {
        if let Some(key) = self.key.resolve(key) {
            self.key = Choice::Given(key);
        }
        if let Some(value) = self.value.resolve(value) {
            self.value = Choice::Given(value);
        }
        self
    }

    fn new(target: Target<K, V>, key: Choice<K>, value: Choice<V>) -> Self {
        Self { target, key, value, partitioner: None, name: None, windows_count: false }
    }
}

impl<K, V> Clone for Target<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Topic(topic) => Self::Topic(topic.clone()),
            Self::Dynamic(f) => Self::Dynamic(f.clone()),
        }
    }
}

impl<K, V> Clone for Produced<K, V> {
    fn clone(&self) -> Self {
        Self {
            target: self.target.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            partitioner: self.partitioner.clone(),
            name: self.name.clone(),
            windows_count: self.windows_count,
        }
    }
}

impl<K: DefaultWrite, V: DefaultWrite> From<&str> for Produced<K, V> {
    fn from(topic: &str) -> Self {
        Self::new(Target::Topic(topic.into()), Choice::default_write(), Choice::default_write())
    }
}

impl<K: DefaultWrite, V: DefaultWrite> From<String> for Produced<K, V> {
    fn from(topic: String) -> Self {
        topic.as_str().into()
    }
}

impl<K: 'static, V: 'static> From<Topic<K, V>> for Produced<K, V> {
    fn from(topic: Topic<K, V>) -> Self {
        let (key, value) = (topic.key_serde(), topic.value_serde());
        Self::new(Target::Topic(topic.name().into()), Choice::Given(key), Choice::Given(value))
    }
}
