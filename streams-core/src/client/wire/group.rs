//! A member's line to its group coordinator, over the classic group protocol.
//!
//! JoinGroup and SyncGroup have a connection of their own, because a broker answers a connection's
//! requests one after the other and holds these back until the group is complete. Joins, syncs,
//! commits and leaves are sent in the order of the calls; heartbeats pass them.
//!
//! A connection that breaks fails its calls at once, and nothing is repeated behind the member's
//! back: it knows how long its session still lasts. Only what a coordinator says that is loading or
//! moving is waited out within the call.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::join_group_request::JoinGroupRequestProtocol;
use kacrab_protocol::generated::leave_group_request::MemberIdentity;
use kacrab_protocol::generated::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kacrab_protocol::generated::sync_group_request::SyncGroupRequestAssignment;
use kacrab_protocol::generated::*;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::super::call::{Call, WakeRef};
use super::super::error::{ClientError, ClientErrorKind, GroupError};
use super::super::seam::{
    Each, GroupMetadata, GroupTransport, JoinRequest, JoinResponse, OffsetToCommit, SyncRequest,
};
use super::admin::by_topic;
use super::cluster::Cluster;
use super::connection::Connection;
use super::consumer_protocol::{
    PROTOCOL_TYPE, unwrap_assignment, unwrap_subscription, wrap_assignment, wrap_subscription,
};
use super::failure::{Failure, Next};
use super::pool::Lane;
use super::tasks::{Queue, Tasks};

/// [`GroupTransport`] over our own connections.
pub(super) struct WireGroupTransport {
    line: Arc<GroupLine>,
    joins: Queue,
    commits: Queue,
    tasks: Tasks,
    /// Of the last join.
    session_timeout: Duration,
    rebalance_timeout: Duration,
    instance_id: Option<String>,
}

/// What the calls share.
struct GroupLine {
    cluster: Arc<Cluster>,
    group: Arc<str>,
}

/// Added to the rebalance timeout, so that the broker is the one to give up.
const REBALANCE_MARGIN: Duration = Duration::from_secs(5);
/// A leave is a courtesy: without it the session times out.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

impl WireGroupTransport {
    pub(super) fn new(cluster: Arc<Cluster>, group: &str, handle: Handle, wake: WakeRef) -> Self {
        let mut tasks = Tasks::new(handle, wake);
        Self {
            joins: tasks.queue(),
            commits: tasks.queue(),
            tasks,
            session_timeout: cluster.settings.request_timeout,
            rebalance_timeout: cluster.settings.request_timeout,
            instance_id: None,
            line: Arc::new(GroupLine { cluster, group: group.into() }),
        }
    }

    /// What follows when a member does not wait any longer.
    fn abandoned(&self) -> impl FnOnce() + Send + use<> {
        let line = self.line.clone();
        move || line.cluster.give_up_waiting(&line.group)
    }

    fn join_deadline(&self) -> Duration {
        let held_back = self.rebalance_timeout + REBALANCE_MARGIN;
        held_back.max(self.line.cluster.settings.request_timeout)
    }
}

impl GroupTransport for WireGroupTransport {
    fn join(&mut self, request: JoinRequest) -> Call<JoinResponse> {
        self.session_timeout = request.session_timeout;
        self.rebalance_timeout = request.rebalance_timeout;
        self.instance_id = request.instance_id.clone();
        let (line, timeout) = (self.line.clone(), self.join_deadline());
        let abandoned = self.abandoned();
        let join = async move { line.join(request, timeout).await };
        self.tasks.enqueue_until_abandoned(&self.joins, join, abandoned)
    }

    fn sync(&mut self, request: SyncRequest) -> Call<Vec<u8>> {
        let (line, timeout) = (self.line.clone(), self.join_deadline());
        let abandoned = self.abandoned();
        let sync = async move { line.sync(request, timeout).await };
        self.tasks.enqueue_until_abandoned(&self.joins, sync, abandoned)
    }

    fn heartbeat(&mut self, member: GroupMetadata) -> Call<()> {
        let (line, instance) = (self.line.clone(), self.instance_id.clone());
        // A broker that is silent for that long is replaced while the session still lasts.
        let timeout = (self.session_timeout / 3).min(line.cluster.settings.request_timeout);
        self.tasks.start(async move { line.heartbeat(&member, instance, timeout).await })
    }

    fn leave(&mut self, member_id: &str) -> Call<()> {
        let (line, member) = (self.line.clone(), member_id.to_owned());
        self.tasks.enqueue(&self.commits, async move { line.leave(&member).await })
    }

    fn commit_offsets(
        &mut self,
        member: GroupMetadata,
        offsets: Vec<OffsetToCommit>,
    ) -> Call<Each<()>> {
        let (line, instance) = (self.line.clone(), self.instance_id.clone());
        self.tasks
            .enqueue(&self.commits, async move { line.commit(&member, instance, &offsets).await })
    }
}

impl GroupLine {
    /// Asks the coordinator, again where it says that it is loading or another one.
    async fn ask<T, F>(
        &self,
        lane: Lane,
        timeout: Duration,
        mut attempt: impl FnMut(Connection, Instant) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let deadline = Instant::now() + timeout;
        let mut backoff = self.cluster.settings.backoff();
        loop {
            let failure = match self.cluster.coordinator(&self.group, lane, deadline).await {
                Ok(coordinator) => match attempt(coordinator, deadline).await {
                    Ok(answer) => return Ok(answer),
                    Err(Refusal::Lost(failure)) => {
                        if failure.next == Next::LookUp {
                            self.cluster.lose_coordinator(&self.group, &failure.error);
                        }
                        return Err(failure.error);
                    }
                    Err(Refusal::Told(failure)) => failure,
                },
                // A broker answered that there is no coordinator yet.
                Err(failure) if failure.code.is_some() => failure,
                Err(failure) => return Err(failure.error),
            };
            if failure.next == Next::LookUp {
                self.cluster.forget_coordinator(&self.group);
            }
            if failure.next == Next::Stop || !backoff.pause(deadline).await {
                return Err(failure.error);
            }
        }
    }

    async fn join(
        &self,
        request: JoinRequest,
        timeout: Duration,
    ) -> Result<JoinResponse, ClientError> {
        let (name, bytes) = request.protocol;
        let metadata = wrap_subscription(&request.topics, bytes).map_err(unencodable)?;
        let protocol =
            JoinGroupRequestProtocol { name: name.into(), metadata, ..Default::default() };
        let message = JoinGroupRequestData {
            group_id: self.group_id(),
            session_timeout_ms: milliseconds(request.session_timeout),
            rebalance_timeout_ms: milliseconds(request.rebalance_timeout),
            member_id: request.member_id.into(),
            group_instance_id: request.instance_id.map(KafkaString::from),
            protocol_type: KafkaString::from_static(PROTOCOL_TYPE),
            protocols: vec![protocol],
            ..Default::default()
        };
        let answer = self.ask(Lane::Waiting, timeout, async |coordinator, deadline| {
            let answer = coordinator.ask(deadline, |_| message.clone()).await?;
            match self.check(answer.error_code, "joining") {
                Err(refusal) if !refusal.is(GroupError::MemberIdRequired) => Err(refusal),
                checked => Ok((answer, checked.is_err())),
            }
        });
        let (answer, member_id_required) = answer.await?;
        let mut members = Vec::with_capacity(answer.members.len());
        for member in answer.members {
            let bytes = unwrap_subscription(member.metadata).unwrap_or_else(|error| {
                tracing::warn!(member = member.member_id.as_str(), %error, "malformed subscription");
                Vec::new()
            });
            members.push((member.member_id.as_str().to_owned(), bytes));
        }
        Ok(JoinResponse {
            member_id: answer.member_id.as_str().to_owned(),
            member_id_required,
            generation: answer.generation_id,
            leader: answer.leader.as_str().to_owned(),
            members,
        })
    }

    async fn sync(&self, request: SyncRequest, timeout: Duration) -> Result<Vec<u8>, ClientError> {
        let SyncRequest { partitions, assignments, .. } = request;
        let mut wrapped = Vec::with_capacity(assignments.len());
        for (member, bytes) in assignments {
            let shown = partitions.get(&member).map_or(&[][..], Vec::as_slice);
            wrapped.push(SyncGroupRequestAssignment {
                assignment: wrap_assignment(shown, bytes).map_err(unencodable)?,
                member_id: member.into(),
                ..Default::default()
            });
        }
        let message = SyncGroupRequestData {
            group_id: self.group_id(),
            generation_id: request.generation,
            member_id: request.member_id.into(),
            group_instance_id: request.instance_id.map(KafkaString::from),
            protocol_type: Some(KafkaString::from_static(PROTOCOL_TYPE)),
            protocol_name: Some(request.protocol.into()),
            assignments: wrapped,
            ..Default::default()
        };
        let answer = self.ask(Lane::Waiting, timeout, async |coordinator, deadline| {
            let answer = coordinator
                .ask(deadline, |version| {
                    let mut message = message.clone();
                    if version < 5 {
                        (message.protocol_type, message.protocol_name) = (None, None);
                    }
                    message
                })
                .await?;
            self.check(answer.error_code, "syncing")?;
            Ok(answer.assignment)
        });
        unwrap_assignment(answer.await?).map_err(|e| {
            let message = format!("the leader of group {} assigned nonsense: {e}", self.group);
            ClientError::new(ClientErrorKind::Group(GroupError::InconsistentProtocol), message)
        })
    }

    async fn heartbeat(
        &self,
        member: &GroupMetadata,
        instance: Option<String>,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let message = HeartbeatRequestData {
            group_id: self.group_id(),
            generation_id: member.generation,
            member_id: KafkaString::from(member.member_id.to_string()),
            group_instance_id: instance.map(KafkaString::from),
            ..Default::default()
        };
        let answer = self.ask(Lane::Prompt, timeout, async |coordinator, deadline| {
            let answer = coordinator.ask(deadline, |_| message.clone()).await?;
            self.check(answer.error_code, "heartbeat")
        });
        answer.await
    }

    async fn leave(&self, member_id: &str) -> Result<(), ClientError> {
        let member = MemberIdentity {
            member_id: KafkaString::from(member_id.to_owned()),
            ..Default::default()
        };
        let message = LeaveGroupRequestData {
            group_id: self.group_id(),
            members: vec![member],
            ..Default::default()
        };
        let timeout = LEAVE_TIMEOUT.min(self.cluster.settings.request_timeout);
        let answer = self.ask(Lane::Prompt, timeout, async |coordinator, deadline| {
            let answer = coordinator.ask(deadline, |_| message.clone()).await?;
            let of_member = answer.members.first().map_or(0, |member| member.error_code);
            let code = if answer.error_code == 0 { of_member } else { answer.error_code };
            match self.check(code, "leaving") {
                Err(refusal) if refusal.is(GroupError::UnknownMember) => Ok(()),
                other => other,
            }
        });
        answer.await
    }

    async fn commit(
        &self,
        member: &GroupMetadata,
        instance: Option<String>,
        offsets: &[OffsetToCommit],
    ) -> Result<Each<()>, ClientError> {
        if offsets.is_empty() {
            return Ok(Vec::new());
        }
        let message = OffsetCommitRequestData {
            group_id: self.group_id(),
            generation_id_or_member_epoch: member.generation,
            member_id: KafkaString::from(member.member_id.to_string()),
            group_instance_id: instance.map(KafkaString::from),
            topics: to_commit(offsets),
            ..Default::default()
        };
        let timeout = self.cluster.settings.request_timeout;
        let answer = self.ask(Lane::Prompt, timeout, async |coordinator, deadline| {
            let answer = coordinator.ask(deadline, |_| message.clone()).await?;
            self.read_commit(&answer)
        });
        let answers = answer.await?;
        let answer = |offset: &OffsetToCommit| {
            let partition = &offset.partition;
            let key = (partition.topic.to_string(), partition.partition);
            answers.get(&key).cloned().unwrap_or_else(|| {
                let message = format!("the broker did not answer for {partition}");
                Err(ClientError::retriable(message))
            })
        };
        Ok(offsets.iter().map(answer).collect())
    }

    /// What concerns member or coordinator is told of each partition, and is the call's.
    fn read_commit(
        &self,
        answer: &OffsetCommitResponseData,
    ) -> Result<BTreeMap<(String, i32), Result<(), ClientError>>, Refusal> {
        let mut answers = BTreeMap::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let (name, index) = (topic.name.as_str(), partition.partition_index);
                let what = || format!("committing {name}-{index} of group {}", self.group);
                let committed = match Failure::check(partition.error_code, what) {
                    Err(f) if concerns_all(&f) => return Err(Refusal::Told(f)),
                    other => other.map_err(|failure| failure.error),
                };
                answers.insert((name.to_owned(), index), committed);
            }
        }
        Ok(answers)
    }

    fn check(&self, code: i16, what: &str) -> Result<(), Refusal> {
        Failure::check(code, || format!("{what} in group {}", self.group)).map_err(Refusal::Told)
    }

    fn group_id(&self) -> KafkaString {
        KafkaString::from(self.group.to_string())
    }
}

/// Why there is no answer that helps.
enum Refusal {
    /// The connection broke, or the deadline passed.
    Lost(Failure),
    /// The coordinator said so.
    Told(Failure),
}

impl Refusal {
    fn is(&self, error: GroupError) -> bool {
        matches!(self, Self::Told(f) if f.error.kind == ClientErrorKind::Group(error))
    }
}

/// What a connection fails with.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Lost(failure)
    }
}

fn concerns_all(failure: &Failure) -> bool {
    failure.next != Next::Stop || matches!(failure.error.kind, ClientErrorKind::Group(_))
}

fn to_commit(offsets: &[OffsetToCommit]) -> Vec<OffsetCommitRequestTopic> {
    let to_partition =
        |(partition_index, offset): (i32, &OffsetToCommit)| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch,
            committed_metadata: Some(KafkaString::from(offset.metadata.clone())),
            ..Default::default()
        };
    by_topic(offsets.iter().map(|offset| (&offset.partition, offset)))
        .into_iter()
        .map(|(name, partitions)| OffsetCommitRequestTopic {
            name,
            partitions: partitions.into_iter().map(to_partition).collect(),
            ..Default::default()
        })
        .collect()
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn unencodable(error: kacrab_protocol::ProtocolError) -> ClientError {
    ClientError::new(ClientErrorKind::Invalid, format!("it cannot be sent to a group: {error}"))
}
