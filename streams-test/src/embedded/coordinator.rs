//! The group coordinator: all groups, and the offsets that they committed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streams_core::client::{
    ClientError, CommittedOffset, Each, GroupError, GroupMetadata, JoinRequest, JoinResponse,
    OffsetToCommit, Reply, SyncRequest, TopicPartition,
};
use streams_core::time::Instant;

use super::cluster::Cluster;
use super::group::{CommitKind, Group};
use super::log::ProducerId;
use super::topic::invalid;

/// The broker's `offset.metadata.max.bytes`.
const METADATA_BYTES_MAX: usize = 4096;

/// All groups, each with its members and its offsets. Groups are never removed.
#[derive(Default)]
pub(super) struct Groups(Mutex<BTreeMap<Arc<str>, GroupState>>);

#[derive(Default)]
struct GroupState {
    members: Group,
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// What open transactions are about to commit.
    held: BTreeMap<ProducerId, Vec<OffsetToCommit>>,
}

impl Groups {
    pub(super) fn join(
        &self,
        group: &Arc<str>,
        request: JoinRequest,
        now: Instant,
        reply: Reply<JoinResponse>,
    ) {
        self.lock().entry(group.clone()).or_default().members.join(request, now, reply);
    }

    pub(super) fn sync(
        &self,
        group: &Arc<str>,
        request: SyncRequest,
        now: Instant,
        reply: Reply<Vec<u8>>,
    ) {
        match self.lock().get_mut(group) {
            Some(state) => state.members.sync(request, now, reply),
            None => reply.send(Err(unknown_member(&request.member_id))),
        }
    }

    pub(super) fn heartbeat(
        &self,
        member: &GroupMetadata,
        now: Instant,
    ) -> Result<(), ClientError> {
        match self.lock().get_mut(&member.group) {
            Some(state) => state.members.heartbeat(&member.member_id, member.generation, now),
            None => Err(unknown_member(&member.member_id)),
        }
    }

    pub(super) fn leave(&self, group: &str, member_id: &str, now: Instant) {
        if let Some(state) = self.lock().get_mut(group) {
            state.members.leave(member_id, now);
        }
    }

    /// Commits offsets of a member; `known` tells which partitions exist.
    pub(super) fn commit(
        &self,
        member: &GroupMetadata,
        offsets: Vec<OffsetToCommit>,
        now: Instant,
        known: impl Fn(&TopicPartition) -> Result<(), ClientError>,
    ) -> Result<Each<()>, ClientError> {
        let mut groups = self.lock();
        let state = groups.get_mut(&member.group).ok_or_else(|| no_group(member))?;
        state.members.check_commit(member, CommitKind::Plain, now)?;
        let mut each = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let checked = known(&offset.partition).and_then(|()| check_metadata(&offset));
            if checked.is_ok() {
                state.apply(offset);
            }
            each.push(checked);
        }
        Ok(each)
    }

    /// Takes offsets of a transaction, to be settled when that ends.
    pub(super) fn hold(
        &self,
        producer: ProducerId,
        member: &GroupMetadata,
        offsets: &[OffsetToCommit],
        now: Instant,
    ) -> Result<(), ClientError> {
        let mut groups = self.lock();
        let state = groups.get_mut(&member.group).ok_or_else(|| no_group(member))?;
        state.members.check_commit(member, CommitKind::Transactional, now)?;
        offsets.iter().try_for_each(check_metadata)?;
        state.held.insert(producer, offsets.to_vec());
        Ok(())
    }

    /// The producer's transaction ended.
    pub(super) fn settle(&self, group: &str, producer: ProducerId, committed: bool) {
        if let Some(state) = self.lock().get_mut(group) {
            let held = state.held.remove(&producer).unwrap_or_default();
            if committed {
                held.into_iter().for_each(|offset| state.apply(offset));
            }
        }
    }

    pub(super) fn fetch_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        stable: bool,
    ) -> Each<Option<CommittedOffset>> {
        let groups = self.lock();
        let Some(state) = groups.get(group) else {
            return partitions.iter().map(|_| Ok(None)).collect();
        };
        let fetch = |partition: &TopicPartition| {
            if stable && state.holds(partition) {
                return Err(ClientError::group(
                    GroupError::UnstableOffset,
                    format!(
                        "the offset of {partition} in group {group} is being written by a \
                         transaction; read it again later"
                    ),
                ));
            }
            Ok(state.offsets.get(partition).cloned())
        };
        partitions.iter().map(fetch).collect()
    }

    pub(super) fn committed(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Option<CommittedOffset> {
        self.lock().get(group)?.offsets.get(partition).cloned()
    }

    pub(super) fn force_commit(&self, group: &str, offset: OffsetToCommit) {
        self.lock().entry(group.into()).or_default().apply(offset);
    }

    pub(super) fn forget_topic(&self, topic: &str) {
        for state in self.lock().values_mut() {
            state.offsets.retain(|partition, _| &*partition.topic != topic);
            for held in state.held.values_mut() {
                held.retain(|offset| &*offset.partition.topic != topic);
            }
        }
    }

    pub(super) fn coordinator_moved(&self, now: Instant) {
        for state in self.lock().values_mut() {
            state.members.coordinator_moved(now);
        }
    }

    pub(super) fn rebalance(&self, group: &str, now: Instant) {
        if let Some(state) = self.lock().get_mut(group) {
            state.members.rebalance_all(now);
        }
    }

    pub(super) fn expire(&self, now: Instant) {
        for state in self.lock().values_mut() {
            state.members.expire(now);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.lock().values().filter_map(|state| state.members.next_timer()).min()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, GroupState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupState {
    fn apply(&mut self, offset: OffsetToCommit) {
        let OffsetToCommit { partition, offset, leader_epoch, metadata } = offset;
        self.offsets.insert(partition, CommittedOffset { offset, leader_epoch, metadata });
    }

    fn holds(&self, partition: &TopicPartition) -> bool {
        self.held.values().flatten().any(|offset| offset.partition == *partition)
    }
}

impl Cluster {
    /// As [`Groups::hold`], for partitions that exist.
    pub(super) fn hold_offsets(
        &self,
        producer: ProducerId,
        member: &GroupMetadata,
        offsets: &[OffsetToCommit],
    ) -> Result<(), ClientError> {
        for offset in offsets {
            self.partition(&offset.partition.topic, offset.partition.partition)?;
        }
        self.groups.hold(producer, member, offsets, self.clock.now())
    }
}

/// The group does not know the member.
pub(super) fn unknown_member(member_id: &str) -> ClientError {
    ClientError::group(
        GroupError::UnknownMember,
        format!("the group does not know member {member_id}; join again"),
    )
}

fn no_group(member: &GroupMetadata) -> ClientError {
    ClientError::group(
        GroupError::IllegalGeneration,
        format!("there is no group {}; join it first", member.group),
    )
}

fn check_metadata(offset: &OffsetToCommit) -> Result<(), ClientError> {
    if offset.metadata.len() > METADATA_BYTES_MAX {
        return Err(invalid(format!(
            "the metadata of the offset of {} has {} bytes, more than {METADATA_BYTES_MAX}",
            offset.partition,
            offset.metadata.len()
        )));
    }
    if offset.offset < 0 {
        return Err(invalid(format!(
            "offset {} of {} is negative",
            offset.offset, offset.partition
        )));
    }
    Ok(())
}
