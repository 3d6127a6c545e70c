//! What members and leader tell each other: our user data within the group protocol.
//!
//! Every message starts with its version and the oldest version whose readers can make sense of
//! it, so that a later library may append fields without stopping rolling upgrades.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::byte_codec::{Malformed, Reader, Writer};
use crate::task_id::TaskId;

/// The name of our assignor in the group. Not the JVM's `stream`: its members could not read
/// our data, and with another name the broker refuses to mix them with ours.
pub const PROTOCOL_NAME: &str = "streams-rs";

/// Of the messages that this library writes.
const VERSION: u16 = 1;

/// A task whose state lies on a process's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskState {
    /// Which one.
    pub task: TaskId,
    /// The sum of its stores' changelog offsets: the larger, the less there is to restore.
    pub offset_sum: i64,
}

/// What a member tells the leader when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Members of one process share its disk.
    pub process: Uuid,
    /// The generation that gave it `owned`; -1 before the first.
    pub owned_generation: i32,
    /// The active tasks that it may be working on.
    pub owned: Vec<TaskId>,
    /// What its process has on disk, running and standby tasks included.
    pub on_disk: Vec<TaskState>,
    /// `host:port` for queries from other processes.
    pub user_endpoint: Option<String>,
    /// See [`GroupTopology::fingerprint`](crate::assignment::GroupTopology::fingerprint).
    pub topology: u64,
    /// Differs from the join before when the member wants a rebalance: the broker answers a
    /// follower's unchanged subscription with the assignment that it has already.
    pub wish: u32,
    /// All processes of the application shall stop.
    pub shutdown: bool,
}

/// Why a member gets no tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AssignmentError {
    /// It gets tasks, or there are none left for it.
    #[default]
    None,
    /// The leader did not find a source topic.
    MissingSourceTopics,
    /// Partition counts that must agree do not, or cannot be derived.
    PartitionCounts,
    /// An internal topic does not fit or could not be made.
    InternalTopics,
    /// The leader could not read this member's subscription.
    UnreadableSubscription,
    /// It runs another topology than the leader: it waits until a member with its own leads.
    OtherTopology,
    /// Some member asked for a shutdown of the application.
    Shutdown,
    /// The leader may not do what it has to, or its configuration is wrong.
    LeaderFailed,
    /// A later library's reason.
    Unknown(u8),
}

/// What the leader tells each member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssignmentMessage {
    /// If there is one, there are no tasks.
    pub error: AssignmentError,
    /// For people.
    pub error_text: String,
    /// To process from now on.
    pub active: Vec<TaskId>,
    /// To keep warm.
    pub standby: Vec<TaskId>,
    /// Some task is withheld until its owner has released it: there will be another round.
    pub follow_up: bool,
    /// Of all topics, so that all members agree with the leader.
    pub partition_counts: BTreeMap<Arc<str>, i32>,
    /// Who runs what, of those that have an endpoint.
    pub hosts: Vec<HostTasks>,
}

/// The tasks of all members that share an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostTasks {
    /// `host:port`, as configured there.
    pub endpoint: String,
    /// In order.
    pub active: Vec<TaskId>,
    /// In order.
    pub standby: Vec<TaskId>,
}

/// Bytes from another member that make no sense to us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It was written by a library that is too new.
    #[error(
        "the group's {message} has version {version}, and this library reads up to {VERSION}: \
         upgrade all members of the group to the same version of the library"
    )]
    TooNew {
        /// Which message.
        message: &'static str,
        /// Its version.
        version: u16,
    },
    /// It is not ours, or damaged.
    #[error("the group's {message} cannot be read: {reason}: is the group id used by others?")]
    Malformed {
        /// Which message.
        message: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Subscription {
    const NAME: &'static str = "subscription";

    /// As it travels in the join.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        write_version(&mut w);
        w.raw(self.process.as_bytes());
        w.i32(self.owned_generation);
        write_tasks(&mut w, &self.owned);
        w.list(self.on_disk.iter(), |w, state| {
            write_task(w, state.task);
            w.i64(state.offset_sum);
        });
        w.text(self.user_endpoint.as_deref().unwrap_or(""));
        w.u64(self.topology);
        w.u32(self.wish);
        w.u8(u8::from(self.shutdown));
        w.0
    }

    /// From the bytes that [`encode`](Self::encode) made.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        read_message(Self::NAME, bytes, |r| {
            Ok(Self {
                process: Uuid::from_bytes(r.array()?),
                owned_generation: r.i32()?,
                owned: r.list(read_task)?,
                on_disk: r.list(|r| Ok(TaskState { task: read_task(r)?, offset_sum: r.i64()? }))?,
                user_endpoint: Some(r.text()?.to_owned()).filter(|text| !text.is_empty()),
                topology: r.u64()?,
                wish: r.u32()?,
                shutdown: r.u8()? != 0,
            })
        })
    }
}

impl AssignmentMessage {
    const NAME: &'static str = "assignment";

    /// A message that gives no tasks, and says why.
    pub fn refusal(error: AssignmentError, text: impl Into<String>) -> Self {
        Self { error, error_text: text.into(), ..Self::default() }
    }

    /// As it travels in the sync.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        write_version(&mut w);
        w.u8(self.error.code());
        w.text(&self.error_text);
        write_tasks(&mut w, &self.active);
        write_tasks(&mut w, &self.standby);
        w.u8(u8::from(self.follow_up));
        w.list(self.partition_counts.iter(), |w, (topic, count)| {
            w.text(topic);
            w.i32(*count);
        });
        w.list(self.hosts.iter(), |w, host| {
            w.text(&host.endpoint);
            write_tasks(w, &host.active);
            write_tasks(w, &host.standby);
        });
        w.0
    }

    /// From the bytes that [`encode`](Self::encode) made.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        read_message(Self::NAME, bytes, |r| {
            Ok(Self {
                error: AssignmentError::from_code(r.u8()?),
                error_text: r.text()?.to_owned(),
                active: r.list(read_task)?,
                standby: r.list(read_task)?,
                follow_up: r.u8()? != 0,
                partition_counts: r
                    .list(|r| Ok((Arc::from(r.text()?), r.i32()?)))?
                    .into_iter()
                    .collect(),
                hosts: r.list(read_host)?,
            })
        })
    }
}

impl AssignmentError {
    fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::MissingSourceTopics => 1,
            Self::PartitionCounts => 2,
            Self::InternalTopics => 3,
            Self::UnreadableSubscription => 4,
            Self::OtherTopology => 5,
            Self::Shutdown => 6,
            Self::LeaderFailed => 7,
            Self::Unknown(code) => code,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::None,
            1 => Self::MissingSourceTopics,
            2 => Self::PartitionCounts,
            3 => Self::InternalTopics,
            4 => Self::UnreadableSubscription,
            5 => Self::OtherTopology,
            6 => Self::Shutdown,
            7 => Self::LeaderFailed,
            code => Self::Unknown(code),
        }
    }
}

fn write_version(w: &mut Writer) {
    w.raw(&VERSION.to_be_bytes());
    // The oldest reader that understands this: raised when a field changes its meaning.
    w.raw(&1u16.to_be_bytes());
}

fn read_message<T>(
    message: &'static str,
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<T, MessageError> {
    let malformed = |Malformed(reason)| MessageError::Malformed { message, reason };
    let mut r = Reader(bytes);
    let version = r.array().map(u16::from_be_bytes).map_err(malformed)?;
    let oldest_reader = r.array().map(u16::from_be_bytes).map_err(malformed)?;
    if oldest_reader > VERSION {
        return Err(MessageError::TooNew { message, version });
    }
    let value = read(&mut r).map_err(malformed)?;
    if version <= VERSION && !r.0.is_empty() {
        return Err(malformed(Malformed("something follows its end")));
    }
    Ok(value)
}

fn write_task(w: &mut Writer, task: TaskId) {
    w.u32(task.subtopology);
    w.i32(task.partition);
}

fn read_task(r: &mut Reader<'_>) -> Result<TaskId, Malformed> {
    Ok(TaskId::new(r.u32()?, r.i32()?))
}

fn write_tasks(w: &mut Writer, tasks: &[TaskId]) {
    w.list(tasks.iter(), |w, task| write_task(w, *task));
}

fn read_host(r: &mut Reader<'_>) -> Result<HostTasks, Malformed> {
    Ok(HostTasks {
        endpoint: r.text()?.to_owned(),
        active: r.list(read_task)?,
        standby: r.list(read_task)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn tasks() -> impl Strategy<Value = Vec<TaskId>> {
        prop::collection::vec(
            (any::<u32>(), any::<i32>()).prop_map(|(s, p)| TaskId::new(s, p)),
            0..6,
        )
    }

    fn subscriptions() -> impl Strategy<Value = Subscription> {
        let state = (any::<u32>(), any::<i32>(), any::<i64>())
            .prop_map(|(s, p, offset_sum)| TaskState { task: TaskId::new(s, p), offset_sum });
        let states = prop::collection::vec(state, 0..6);
        let endpoint = prop::option::of("[a-z]{1,9}:[0-9]{1,4}");
        let rest = (endpoint, any::<u64>(), any::<u32>(), any::<bool>());
        (any::<u128>(), any::<i32>(), tasks(), states, rest).prop_map(
            |(process, owned_generation, owned, on_disk, rest)| {
                let (user_endpoint, topology, wish, shutdown) = rest;
                let process = Uuid::from_u128(process);
                Subscription {
                    process,
                    owned_generation,
                    owned,
                    on_disk,
                    user_endpoint,
                    topology,
                    wish,
                    shutdown,
                }
            },
        )
    }

    fn assignments() -> impl Strategy<Value = AssignmentMessage> {
        let counts =
            prop::collection::btree_map("[a-z]{0,5}".prop_map(Arc::from), any::<i32>(), 0..4);
        let host = ("[a-z]{0,9}", tasks(), tasks())
            .prop_map(|(endpoint, active, standby)| HostTasks { endpoint, active, standby });
        let hosts = prop::collection::vec(host, 0..3);
        (any::<u8>(), ".{0,20}", tasks(), tasks(), any::<bool>(), counts, hosts).prop_map(
            |(code, error_text, active, standby, follow_up, partition_counts, hosts)| {
                let error = AssignmentError::from_code(code);
                AssignmentMessage {
                    error,
                    error_text,
                    active,
                    standby,
                    follow_up,
                    partition_counts,
                    hosts,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn messages_come_back(subscription in subscriptions(), assignment in assignments()) {
            let bytes = subscription.encode();
            prop_assert_eq!(Subscription::decode(&bytes).unwrap(), subscription);
            let bytes = assignment.encode();
            prop_assert_eq!(AssignmentMessage::decode(&bytes).unwrap(), assignment);
        }

        #[test]
        fn cut_and_random_bytes_are_errors(
            subscription in subscriptions(),
            assignment in assignments(),
            cut in any::<prop::sample::Index>(),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = assignment.encode();
            prop_assert!(AssignmentMessage::decode(&bytes[..cut.index(bytes.len())]).is_err());
            let bytes = subscription.encode();
            prop_assert!(Subscription::decode(&bytes[..cut.index(bytes.len())]).is_err());
            let _ = Subscription::decode(&noise);
            let _ = AssignmentMessage::decode(&noise);
        }
    }

    fn with_versions(version: u16, oldest_reader: u16, appended: &[u8]) -> Vec<u8> {
        let mut bytes = AssignmentMessage::default().encode();
        bytes[..2].copy_from_slice(&version.to_be_bytes());
        bytes[2..4].copy_from_slice(&oldest_reader.to_be_bytes());
        bytes.extend_from_slice(appended);
        bytes
    }

    #[test]
    fn a_newer_message_is_read_if_it_allows_that() {
        let read = AssignmentMessage::decode(&with_versions(7, 1, b"more"));
        assert_eq!(read, Ok(AssignmentMessage::default()));
        let refused = AssignmentMessage::decode(&with_versions(7, 7, b"more")).unwrap_err();
        assert_eq!(refused, MessageError::TooNew { message: "assignment", version: 7 });
        assert!(refused.to_string().contains("upgrade all members"), "{refused}");
        assert!(AssignmentMessage::decode(&with_versions(1, 1, b"more")).is_err());
    }
}
