//! Whether state on disk is what its changelog says up to some offset. If it is not, that store
//! alone is rebuilt: plausible but wrong state is worse than none.

use std::time::Duration;

use state_stores::StoreMetadata;
use uuid::Uuid;

/// Local state older than this may have missed deletions that compaction has removed since (the
/// broker's default `delete.retention.ms` is 24 hours).
const LOCAL_STATE_AGE_MAX: Duration = Duration::from_secs(23 * 3600);

/// Why local state cannot be trusted to be a prefix of the changelog, if it cannot.
pub(super) fn misfit(
    local: &StoreMetadata,
    topic_id: Uuid,
    (earliest, end): (i64, i64),
    wall_ms: i64,
) -> Option<&'static str> {
    let both_known = !topic_id.is_nil() && !local.changelog_topic_id.is_nil();
    let age_ms = wall_ms.saturating_sub(local.wall_time_ms);
    if both_known && topic_id != local.changelog_topic_id {
        Some("its changelog was deleted and created again")
    } else if local.next_offset > end {
        Some("its changelog ends before the offset that local state is at")
    } else if local.next_offset < earliest {
        Some("its changelog begins after the offset that local state is at")
    } else if local.next_offset < end && age_ms > LOCAL_STATE_AGE_MAX.as_millis() as i64 {
        Some("local state is so old that compaction may have removed deletions that it lacks")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Uuid = Uuid::from_u128(1);
    const NOW_MS: i64 = 1_700_000_000_000;

    fn local(next_offset: i64, age_hours: i64) -> StoreMetadata {
        let wall_time_ms = NOW_MS - age_hours * 3_600_000;
        StoreMetadata { wall_time_ms, ..StoreMetadata::new(TOPIC, next_offset) }
    }

    #[test]
    fn a_prefix_of_the_changelog_is_trusted() {
        assert_eq!(misfit(&local(50, 1), TOPIC, (0, 100), NOW_MS), None);
        assert_eq!(misfit(&local(100, 1), TOPIC, (0, 100), NOW_MS), None);
        assert_eq!(misfit(&local(50, 1), Uuid::nil(), (0, 100), NOW_MS), None, "id not told");
        assert_eq!(misfit(&local(100, 500), TOPIC, (0, 100), NOW_MS), None, "old, but complete");
    }

    #[test]
    fn another_history_is_not_trusted() {
        let recreated = misfit(&local(50, 1), Uuid::from_u128(2), (0, 100), NOW_MS);
        assert!(recreated.is_some_and(|reason| reason.contains("created again")));
        let truncated = misfit(&local(150, 1), TOPIC, (0, 100), NOW_MS);
        assert!(truncated.is_some_and(|reason| reason.contains("ends before")));
        let deleted = misfit(&local(10, 1), TOPIC, (20, 100), NOW_MS);
        assert!(deleted.is_some_and(|reason| reason.contains("begins after")));
        let old = misfit(&local(50, 24), TOPIC, (0, 100), NOW_MS);
        assert!(old.is_some_and(|reason| reason.contains("so old")));
    }
}
