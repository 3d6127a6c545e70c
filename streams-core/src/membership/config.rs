//! The settings of a member.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::messages::TaskState;
use crate::assignment::GroupTopology;

/// Who a member is and how it behaves. All members of a group should agree on the durations.
#[derive(Clone, Debug)]
pub struct MembershipConfig {
    /// The group's id: the application id.
    pub group: Arc<str>,
    /// Shared by the members of one process, and kept over restarts: it stands for a disk.
    pub process: Uuid,
    /// What the application reads and writes. The leader's one decides for the group.
    pub topology: Arc<GroupTopology>,
    /// The member id of the run before, if the state directory has one. After a kill the broker
    /// still knows it: joining with it replaces the dead member at once, where a new id would
    /// make every rebalance wait until the dead one's session is over. An unknown id does no
    /// harm. Never give the same id to two members that live. An `instance_id` does the same,
    /// and is safer: the broker then tells late requests of the dead member from ours.
    pub member_id: Option<Arc<str>>,
    /// `group.instance.id`: static membership. Unique to each stream thread of the group.
    pub instance_id: Option<String>,
    /// `session.timeout.ms`: after which silence the member counts as dead.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`: also how late a member may learn of a rebalance.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: a stream thread that makes no progress for that long gives up its
    /// membership; also how long a rebalance waits for a member.
    pub max_poll_interval: Duration,
    /// How long the first retry waits; doubled up to `retry_backoff_max`.
    pub retry_backoff: Duration,
    /// Should be well below the session timeout: after a restart of the coordinator the session
    /// starts anew, and must not run out in a backoff.
    pub retry_backoff_max: Duration,
    /// `metadata.max.age.ms`: how often the leader looks whether source topics have got more
    /// partitions, or are gone.
    pub topic_refresh_interval: Duration,
    /// `num.standby.replicas`: copies of each stateful task on other processes.
    pub standby_replicas: usize,
    /// `application.server`: where others can query this process.
    pub user_endpoint: Option<String>,
    /// What the process has on disk at the start. Later:
    /// [`report_state`](super::MemberHandle::report_state).
    pub on_disk: Vec<TaskState>,
}

impl MembershipConfig {
    /// With Kafka's defaults.
    pub fn new(group: impl Into<Arc<str>>, process: Uuid, topology: Arc<GroupTopology>) -> Self {
        Self {
            group: group.into(),
            process,
            topology,
            member_id: None,
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            topic_refresh_interval: Duration::from_secs(300),
            standby_replicas: 0,
            user_endpoint: None,
            on_disk: Vec::new(),
        }
    }
}

/// Growing waits between attempts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(config: &MembershipConfig) -> Self {
        let first = config.retry_backoff.max(Duration::from_millis(1));
        Self { first, longest: config.retry_backoff_max.max(first), next: first }
    }

    /// How long to wait now; the next wait is twice as long.
    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.longest);
        wait
    }

    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}
