//! Where an input is read from that has no committed position, or one that is out of range.

use crate::client::{OffsetSpec, TopicPartition};
use crate::error::StreamsError;
use crate::topology::OffsetReset;

/// The place in the log that a policy means now.
pub(crate) fn reset_spec(
    policy: &OffsetReset,
    partition: &TopicPartition,
    wall_ms: i64,
) -> Result<OffsetSpec, StreamsError> {
    match policy {
        OffsetReset::Earliest => Ok(OffsetSpec::Earliest),
        OffsetReset::Latest => Ok(OffsetSpec::Latest),
        OffsetReset::ByDuration(duration) => {
            let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            Ok(OffsetSpec::AtTimestamp(wall_ms.saturating_sub(ms).max(0)))
        }
        OffsetReset::None => Err(StreamsError::fatal(format!(
            "{partition} has no committed position that can be read from, and the reset policy is \
             `none`: set the group's position, or choose `earliest`, `latest` or `by_duration`"
        ))),
    }
}
