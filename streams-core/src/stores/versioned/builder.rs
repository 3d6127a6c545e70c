//! How versioned stores are declared.

use std::time::Duration;

use state_stores::{Segments, StoreSpec};

use super::store::{VersionedInstance, VersionedStore};
use crate::processor::Data;
use crate::serdes::{DefaultSerde, Serde, SerdeRef};
use crate::stores::builder::{StoreBuilder, Stores};
use crate::stores::readable::Readable;
use crate::stores::restored_rows::ChangelogFormat;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
/// Records of a changelog must not be compacted before they are history.
const COMPACTION_LAG_MS: i64 = 24 * 60 * MINUTE_MS;

impl Stores {
    /// A versioned store: what was valid at a time is known for `history_retention`. The value that
    /// is valid now never expires.
    pub fn versioned<K: Data + DefaultSerde, V: Data + DefaultSerde>(
        name: &str,
        history_retention: Duration,
    ) -> StoreBuilder<VersionedStore<K, V>> {
        Self::versioned_with(name, history_retention, K::default_serde(), V::default_serde())
    }

    /// A versioned store with these serdes; see [`versioned`](Self::versioned).
    pub fn versioned_with<K: Data, V: Data>(
        name: &str,
        history_retention: Duration,
        key: impl Serde<K>,
        value: impl Serde<V>,
    ) -> StoreBuilder<VersionedStore<K, V>> {
        let retention_ms = i64::try_from(history_retention.as_millis()).unwrap_or(i64::MAX);
        let segments = Segments::new(retention_ms, interval_ms(retention_ms));
        let (key, value) = (SerdeRef::new(key), SerdeRef::new(value));
        let spec = StoreSpec::segmented(name, segments).with_store_type("versioned-key-value");
        let readable = Readable::new(key.clone(), value.clone());
        let builder = StoreBuilder::new(spec, move |parts| {
            VersionedInstance::new(parts, key.clone(), value.clone())
        });
        let lag_ms = retention_ms.saturating_add(COMPACTION_LAG_MS);
        builder
            .readable(readable)
            .changelog_format(ChangelogFormat::VERSIONED)
            .default_changelog_config("min.compaction.lag.ms", &lag_ms.to_string())
    }
}

impl<K: Data, V: Data> StoreBuilder<VersionedStore<K, V>> {
    /// How much time of history lies together, and is removed at once: shorter segments keep less
    /// of what nobody may ask for any more, and make questions about the past slower.
    #[must_use]
    pub fn segment_interval(self, interval: Duration) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        self.set_spec(|spec| {
            let retention_ms = spec.segments.map_or(i64::MAX, |segments| segments.retention_ms());
            spec.segments = Some(Segments::new(retention_ms, interval_ms));
        })
    }
}

/// As in Kafka Streams.
fn interval_ms(retention_ms: i64) -> i64 {
    if retention_ms <= MINUTE_MS {
        (retention_ms / 3).max(2 * SECOND_MS)
    } else if retention_ms <= 5 * MINUTE_MS {
        (retention_ms / 5).max(20 * SECOND_MS)
    } else if retention_ms <= 60 * MINUTE_MS {
        (retention_ms / 12).max(MINUTE_MS)
    } else {
        (retention_ms / 24).max(5 * MINUTE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_the_jvms() {
        let minutes = |minutes| interval_ms(minutes * MINUTE_MS) / SECOND_MS;
        assert_eq!([1, 5, 60, 24 * 60].map(minutes), [20, 60, 300, 3600]);
        assert_eq!([3_000, 61_000].map(interval_ms), [2_000, 20_000]);
    }
}
