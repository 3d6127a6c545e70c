//! Windows and versions of a time that lies far behind the clock. A broker deletes the changelogs of
//! windows, and compacts those of versioned tables, by the records' own time: once these are older
//! than the topic keeps them, they are gone, however young they are in stream time.

use std::time::Duration;

use crate::config::StreamsEvent;
use crate::record::Timestamp;
use crate::runtime::instance::InstanceShared;
use crate::task_id::TaskId;

/// Says so, once per task.
#[derive(Debug)]
pub(super) struct OldTimes {
    /// Whether the task has a store with such a changelog.
    keeps_windows: bool,
    told: bool,
}

impl OldTimes {
    pub(super) fn new(keeps_windows: bool) -> Self {
        Self { keeps_windows, told: false }
    }

    /// After a commit.
    pub(super) fn check(
        &mut self,
        task: TaskId,
        (stream_time, wall_time_ms): (Timestamp, i64),
        shared: &InstanceShared,
    ) {
        let stream_time_ms = stream_time.as_millis();
        if self.told || !self.keeps_windows || stream_time_ms < 0 {
            return;
        }
        let behind = wall_time_ms.saturating_sub(stream_time_ms);
        let behind = Duration::from_millis(u64::try_from(behind).unwrap_or(0));
        let kept = shared.config.windowstore_changelog_additional_retention;
        if behind <= kept {
            return;
        }
        self.told = true;
        tracing::warn!(
            %task, ?behind, ?kept,
            "the records are older than the changelogs of windows and versioned tables are kept: \
             the broker may delete or compact what a restore needs. Raise \
             windowstore.changelog.additional.retention.ms above that before the first start, or \
             retention.ms (windows) and min.compaction.lag.ms (versioned tables) of the changelog \
             topics that exist"
        );
        shared.tell(&StreamsEvent::WindowsBehindClock { task, behind });
    }
}
