//! `TableJoined`.

use std::sync::Arc;

use streams_core::topology::Choice;
use streams_core::{DefaultSerde, Serde};

use super::Auto;

/// Chooses a partition of so many by a key.
pub(crate) type KeyPartitioner<K> = Arc<dyn Fn(&K, i32) -> i32 + Send + Sync>;

/// Foreign-key join: the name of its two topics,
/// `<application.id>-<name>-subscription-registration-topic` and `..-subscription-response-topic`,
/// its store and its operators; and the serdes of both tables, of which the join writes keys and
/// values.
///
/// A bare name stands for the serdes of the tables, or the types' defaults where a table has none.
pub struct TableJoined<K, FK, V, V2> {
    pub(crate) name: Option<String>,
    pub(crate) key: Choice<K>,
    pub(crate) foreign_key: Choice<FK>,
    pub(crate) value: Choice<V>,
    pub(crate) foreign_value: Choice<V2>,
    pub(crate) partitioner: Option<KeyPartitioner<K>>,
    pub(crate) foreign_partitioner: Option<KeyPartitioner<FK>>,
}

impl<K: 'static, FK: 'static, V: 'static, V2: 'static> TableJoined<K, FK, V, V2> {
    /// With the serdes of this table's keys and values, and of the other's.
    pub fn with(
        name: &str,
        (key, value): (impl Serde<K>, impl Serde<V>),
        (foreign_key, foreign_value): (impl Serde<FK>, impl Serde<V2>),
    ) -> Self {
        Self {
            key: Choice::given(key),
            value: Choice::given(value),
            foreign_key: Choice::given(foreign_key),
            foreign_value: Choice::given(foreign_value),
            ..Self::inherit(name)
        }
    }

    /// With the serdes of the tables, for types without a default; an error of `build()` if a
    /// table has none.
    pub fn inherit(name: &str) -> Self {
        Self {
            name: Some(name.into()),
            key: Choice::Inherited,
            value: Choice::Inherited,
            foreign_key: Choice::Inherited,
            foreign_value: Choice::Inherited,
            partitioner: None,
            foreign_partitioner: None,
        }
    }

    /// This table's topic was written with another partitioner than by the key's hash: responses
    /// go to this partition, of the second argument's many.
    pub fn partitioner(mut self, f: impl Fn(&K, i32) -> i32 + Send + Sync + 'static) -> Self {
        self.partitioner = Some(Arc::new(f));
        self
    }

    /// The other table's topic was written with another partitioner than by the key's hash:
    /// subscriptions go to this partition, of the second argument's many.
    pub fn foreign_partitioner(
        mut self,
        f: impl Fn(&FK, i32) -> i32 + Send + Sync + 'static,
    ) -> Self {
        self.foreign_partitioner = Some(Arc::new(f));
        self
    }
}

impl<K, FK, V, V2> TableJoined<K, FK, V, V2>
where
    K: DefaultSerde,
    FK: DefaultSerde,
    V: DefaultSerde,
    V2: DefaultSerde,
{
    fn defaults(name: Option<String>) -> Self {
        Self {
            name,
            key: Choice::default_of(),
            foreign_key: Choice::default_of(),
            value: Choice::default_of(),
            foreign_value: Choice::default_of(),
            partitioner: None,
            foreign_partitioner: None,
        }
    }
}

macro_rules! from_a_name {
    ($($from:ty, |$arg:ident| $name:expr;)+) => { $(
        impl<K, FK, V, V2> From<$from> for TableJoined<K, FK, V, V2>
        where
            K: DefaultSerde,
            FK: DefaultSerde,
            V: DefaultSerde,
            V2: DefaultSerde,
        {
            fn from($arg: $from) -> Self {
                Self::defaults($name)
            }
        }
    )+ };
}
from_a_name! {
    &str, |name| Some(name.into());
    String, |name| Some(name);
    Auto, |_name| None;
}
