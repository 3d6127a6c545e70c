//! Names of topics.

use crate::serdes::{DefaultSerde, SerdeRef};

/// A topic's name with its types, written once:
/// `const ORDERS: Topic<String, Order> = Topic::new("orders");`
/// Sources, sinks and tests that are given it need no further annotation.
pub struct Topic<K, V> {
    name: &'static str,
    key: fn() -> SerdeRef<K>,
    value: fn() -> SerdeRef<V>,
}

impl<K, V> Topic<K, V> {
    /// With the types' default serdes.
    pub const fn new(name: &'static str) -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Self { name, key: K::default_serde, value: V::default_serde }
    }

    /// With these serdes.
    pub const fn with(
        name: &'static str,
        key: fn() -> SerdeRef<K>,
        value: fn() -> SerdeRef<V>,
    ) -> Self {
        Self { name, key, value }
    }

    /// The topic's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The key's serde.
    pub fn key_serde(&self) -> SerdeRef<K> {
        (self.key)()
    }

    /// The value's serde.
    pub fn value_serde(&self) -> SerdeRef<V> {
        (self.value)()
    }
}

impl<K, V> Clone for Topic<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Topic<K, V> {}

/// One topic, several, or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// These.
    List(Vec<String>),
    /// All topics whose whole name the regular expression matches, also those that are made
    /// later: they are found within `metadata.max.age.ms`. Topics that another source names, the
    /// application's internal topics and Kafka's own (`__..`) are left out.
    Pattern(String),
}

impl Topics {
    /// All topics whose whole name `regex` matches.
    pub fn pattern(regex: impl Into<String>) -> Self {
        Self::Pattern(regex.into())
    }
}

impl From<&str> for Topics {
    fn from(topic: &str) -> Self {
        Self::List(vec![topic.into()])
    }
}

impl From<String> for Topics {
    fn from(topic: String) -> Self {
        Self::List(vec![topic])
    }
}

impl<const N: usize> From<[&str; N]> for Topics {
    fn from(topics: [&str; N]) -> Self {
        Self::List(topics.map(String::from).into())
    }
}

impl From<&[&str]> for Topics {
    fn from(topics: &[&str]) -> Self {
        Self::List(topics.iter().copied().map(String::from).collect())
    }
}

impl From<Vec<String>> for Topics {
    fn from(topics: Vec<String>) -> Self {
        Self::List(topics)
    }
}
