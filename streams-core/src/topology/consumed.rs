//! How a source reads.

use std::sync::Arc;
use std::time::Duration;

use super::choice::Choice;
use super::topic::{Topic, Topics};
use crate::error::BoxError;
use crate::record::{RecordRef, Timestamp};
use crate::serdes::{DefaultSerde, Nullable, Serde};

/// How a source reads: its topics, serdes, where it starts, and the records' times.
///
/// A bare name, or several, stand for all defaults. The counterpart of Kafka Streams' `Consumed`.
pub struct Consumed<K, V> {
    pub(crate) topics: Topics,
    pub(crate) key: Choice<K>,
    pub(crate) value: Choice<V>,
    pub(crate) reset: Option<OffsetReset>,
    pub(crate) timestamps: TimestampExtractor<K, V>,
    pub(crate) skip_null_keys: bool,
    pub(crate) skip_null_values: bool,
    pub(crate) name: Option<String>,
}

/// Where a source starts when its group has no committed position, or a position that the log
/// does not have any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the first record still there.
    Earliest,
    /// At the end.
    Latest,
    /// Nowhere: it is an error.
    None,
    /// At the first record that is not older than that.
    ByDuration(Duration),
}

/// Where the time of a record comes from.
#[non_exhaustive]
pub enum TimestampExtractor<K, V> {
    /// From the record; without one the record is in error. The default, as in Kafka Streams.
    FailOnInvalid,
    /// From the record; without one the record is counted and dropped.
    SkipOnInvalid,
    /// From the record; without one it is the largest that the partition had so far.
    UsePartitionTimeOnInvalid,
    /// The time of day at which the record is processed.
    WallClock,
    /// From the application: the record (its own time in its context) and the largest time that
    /// the partition had so far. A negative result drops the record, counted.
    Custom(CustomTimestamps<K, V>),
}

/// How a source reads its records: sources that read equally can be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    timestamps: Timestamps,
    skip_null_keys: bool,
    skip_null_values: bool,
}

/// Of a function, where it is: a clone of it is the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timestamps {
    FailOnInvalid,
    SkipOnInvalid,
    UsePartitionTimeOnInvalid,
    WallClock,
    Custom(usize),
}

/// A function that tells the time of a record.
pub type CustomTimestamps<K, V> =
    Arc<dyn Fn(RecordRef<'_, K, V>, Timestamp) -> Result<Timestamp, BoxError> + Send + Sync>;

impl<K: 'static, V: 'static> Consumed<K, V> {
    /// With these serdes.
    pub fn with(topics: impl Into<Topics>, key: impl Serde<K>, value: impl Serde<V>) -> Self {
        Self::new(topics.into(), Choice::given(key), Choice::given(value))
    }

    /// Where to start without a committed position; the application's setting otherwise.
    #[must_use]
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.reset = Some(reset);
        self
    }

    /// The time of each record. The second argument is the partition's time so far, -1 ms before
    /// its first record. An error goes to the deserialization handler; a negative time drops the
    /// record, counted.
    #[must_use]
    pub fn timestamps(
        self,
        f: impl Fn(RecordRef<'_, K, V>, Timestamp) -> Result<Timestamp, BoxError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.timestamp_extractor(TimestampExtractor::Custom(Arc::new(f)))
    }

    /// Where the time of each record comes from.
    #[must_use]
    pub fn timestamp_extractor(mut self, extractor: TimestampExtractor<K, V>) -> Self {
        self.timestamps = extractor;
        self
    }

    /// Records without a key are counted and dropped; by default they are errors, unless the type
    /// has a null.
    #[must_use]
    pub fn skip_null_keys(mut self) -> Self {
        self.skip_null_keys = true;
        self
    }

    /// Records without a value are counted and dropped; by default they are errors, unless the
    /// type has a null.
    #[must_use]
    pub fn skip_null_values(mut self) -> Self {
        self.skip_null_values = true;
        self
    }

    /// The name of the source in the topology, for streams and tables.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The topics.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The name that [`named`](Self::named) gave.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What [`offset_reset`](Self::offset_reset) said.
    pub fn reset(&self) -> Option<OffsetReset> {
        self.reset
    }

    /// How records are read, beside topics, serdes and reset policy.
    pub fn reading(&self) -> Reading {
        let timestamps = match &self.timestamps {
            TimestampExtractor::FailOnInvalid => Timestamps::FailOnInvalid,
            TimestampExtractor::SkipOnInvalid => Timestamps::SkipOnInvalid,
            TimestampExtractor::UsePartitionTimeOnInvalid => Timestamps::UsePartitionTimeOnInvalid,
            TimestampExtractor::WallClock => Timestamps::WallClock,
            TimestampExtractor::Custom(f) => Timestamps::Custom(Arc::as_ptr(f).addr()),
        };
        let (skip_null_keys, skip_null_values) = (self.skip_null_keys, self.skip_null_values);
        Reading { timestamps, skip_null_keys, skip_null_values }
    }

    /// The key's serde, as chosen.
    pub fn key_serde(&self) -> &Choice<K> {
        &self.key
    }

    /// The value's serde, as chosen.
    pub fn value_serde(&self) -> &Choice<V> {
        &self.value
    }

    /// The same for records of a table: without a value they are deletions, without a key they are
    /// counted and dropped. A deletion has the record's own time, whatever
    /// [`timestamps`](Self::timestamps) says of values. `None` if the serdes are to be inherited.
    #[must_use]
    pub fn for_table(self) -> Option<Consumed<K, Option<V>>> {
        let (key, value) = (self.key.resolve(None)?, self.value.resolve(None)?);
        let timestamps = match self.timestamps {
            TimestampExtractor::FailOnInvalid => TimestampExtractor::FailOnInvalid,
            TimestampExtractor::SkipOnInvalid => TimestampExtractor::SkipOnInvalid,
            TimestampExtractor::UsePartitionTimeOnInvalid => {
                TimestampExtractor::UsePartitionTimeOnInvalid
            }
            TimestampExtractor::WallClock => TimestampExtractor::WallClock,
            TimestampExtractor::Custom(f) => {
                TimestampExtractor::Custom(Arc::new(move |record, partition_time| {
                    let RecordRef { key, value, context } = record;
                    match value {
                        Some(value) => f(RecordRef { key, value, context }, partition_time),
                        None => Ok(context.timestamp()),
                    }
                }))
            }
        };
        Some(Consumed {
            topics: self.topics,
            key: Choice::Given(key),
            value: Choice::given(Nullable(value)),
            reset: self.reset,
            timestamps,
            skip_null_keys: true,
            skip_null_values: false,
            name: self.name,
        })
    }

    fn new(topics: Topics, key: Choice<K>, value: Choice<V>) -> Self {
        Self {
            topics,
            key,
            value,
            reset: None,
            timestamps: TimestampExtractor::FailOnInvalid,
            skip_null_keys: false,
            skip_null_values: false,
            name: None,
        }
    }
}

impl<K, V> Clone for TimestampExtractor<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::FailOnInvalid => Self::FailOnInvalid,
            Self::SkipOnInvalid => Self::SkipOnInvalid,
            Self::UsePartitionTimeOnInvalid => Self::UsePartitionTimeOnInvalid,
            Self::WallClock => Self::WallClock,
            Self::Custom(f) => Self::Custom(f.clone()),
        }
    }
}

impl<K, V> Clone for Consumed<K, V> {
    fn clone(&self) -> Self {
        Self {
            topics: self.topics.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            reset: self.reset,
            timestamps: self.timestamps.clone(),
            skip_null_keys: self.skip_null_keys,
            skip_null_values: self.skip_null_values,
            name: self.name.clone(),
        }
    }
}

macro_rules! from_names {
    ($([$($generics:tt)*] $topics:ty),+) => { $(
        impl<K: DefaultSerde, V: DefaultSerde, $($generics)*> From<$topics> for Consumed<K, V> {
            fn from(topics: $topics) -> Self {
                Self::new(topics.into(), Choice::default_of(), Choice::default_of())
            }
        }
    )+ };
}
from_names!([] &str, [] String, [] Topics, [] Vec<String>, [] &[&str], [const N: usize] [&str; N]);

impl<K: 'static, V: 'static> From<Topic<K, V>> for Consumed<K, V> {
    fn from(topic: Topic<K, V>) -> Self {
        let (key, value) = (topic.key_serde(), topic.value_serde());
        Self::new(topic.name().into(), Choice::Given(key), Choice::Given(value))
    }
}
