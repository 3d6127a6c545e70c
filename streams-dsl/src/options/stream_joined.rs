//! `StreamJoined`.

use std::collections::BTreeMap;

use streams_core::topology::Choice;
use streams_core::{DefaultSerde, Serde};

use super::Auto;

/// Stream-stream join: the names of its operators, of its stores, and of the repartition topics of
/// streams whose key was changed above (`<application.id>-<name>-left-repartition` and
/// `..-right-repartition`); and the serdes of both streams, whose records lie in the stores.
///
/// A bare name stands for all of these; [`auto()`](super::auto) for generated ones. The counterpart
/// of Kafka Streams' `StreamJoined`.
pub struct StreamJoined<K, V, V2> {
    pub(crate) name: Option<String>,
    pub(crate) store_name: Option<String>,
    pub(crate) key: Choice<K>,
    pub(crate) value: Choice<V>,
    pub(crate) other_value: Choice<V2>,
    pub(crate) in_memory: bool,
    pub(crate) logging_disabled: bool,
    pub(crate) changelog: BTreeMap<String, String>,
}

impl<K: 'static, V: 'static, V2: 'static> StreamJoined<K, V, V2> {
    fn new(name: Option<String>, key: Choice<K>, value: Choice<V>, other: Choice<V2>) -> Self {
        Self {
            store_name: name.clone(),
            name,
            key,
            value,
            other_value: other,
            in_memory: false,
            logging_disabled: false,
            changelog: BTreeMap::new(),
        }
    }

    /// With the serdes of the keys, of this stream's values, and of the other's.
    pub fn with(
        name: &str,
        key: impl Serde<K>,
        value: impl Serde<V>,
        other: impl Serde<V2>,
    ) -> Self {
        let (key, value) = (Choice::given(key), Choice::given(value));
        Self::new(Some(name.into()), key, value, Choice::given(other))
    }

    /// With the serdes from upstream, for types without a default; an error of `build()` if there
    /// are none.
    pub fn inherit(name: &str) -> Self {
        Self::new(Some(name.into()), Choice::Inherited, Choice::Inherited, Choice::Inherited)
    }

    /// Names operators and repartition topics only.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Names the stores only.
    pub fn store_name(mut self, name: &str) -> Self {
        self.store_name = Some(name.into());
        self
    }

    /// Keeps the records in memory instead of RocksDB. The changelog topics stay.
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// Without changelog topics: after a move to another machine records of before find no partner.
    pub fn logging_disabled(mut self) -> Self {
        self.logging_disabled = true;
        self
    }

    /// A setting of the changelog topics, when they are made.
    pub fn changelog_config(mut self, key: &str, value: &str) -> Self {
        self.changelog.insert(key.into(), value.into());
        self
    }
}

macro_rules! from_a_name {
    ($($from:ty, |$arg:ident| $name:expr;)+) => { $(
        impl<K, V, V2> From<$from> for StreamJoined<K, V, V2>
        where
            K: DefaultSerde,
            V: DefaultSerde,
            V2: DefaultSerde,
        {
            fn from($arg: $from) -> Self {
                let (key, value) = (Choice::default_of(), Choice::default_of());
                Self::new($name, key, value, Choice::default_of())
            }
        }
    )+ };
}
from_a_name! {
    &str, |name| Some(name.into());
    String, |name| Some(name);
    Auto, |_name| None;
}
