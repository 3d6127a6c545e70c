//! A member's line to the coordinator of its group.

use std::sync::Arc;

use streams_core::client::{
    Call, Each, GroupMetadata, GroupTransport, JoinRequest, JoinResponse, OffsetToCommit,
    SyncRequest, WakeRef,
};

use super::cluster::Cluster;
use super::faults::Step;
use super::producer::check_member;

pub(super) struct EmbeddedGroupTransport {
    cluster: Arc<Cluster>,
    group: Arc<str>,
    wake: WakeRef,
}

impl EmbeddedGroupTransport {
    pub(super) fn new(cluster: Arc<Cluster>, group: &str, wake: WakeRef) -> Self {
        Self { cluster, group: group.into(), wake }
    }
}

impl GroupTransport for EmbeddedGroupTransport {
    fn join(&mut self, request: JoinRequest) -> Call<JoinResponse> {
        let group = self.group.clone();
        self.cluster.request_waiting(&self.wake, Step::Join, &self.group, move |cluster, reply| {
            cluster.groups.join(&group, request.clone(), cluster.clock.now(), reply);
        })
    }

    fn sync(&mut self, request: SyncRequest) -> Call<Vec<u8>> {
        let group = self.group.clone();
        self.cluster.request_waiting(&self.wake, Step::Sync, &self.group, move |cluster, reply| {
            cluster.groups.sync(&group, request.clone(), cluster.clock.now(), reply);
        })
    }

    fn heartbeat(&mut self, member: GroupMetadata) -> Call<()> {
        self.cluster.request(&self.wake, Step::Heartbeat, &self.group, move |cluster| {
            cluster.groups.heartbeat(&member, cluster.clock.now())
        })
    }

    fn leave(&mut self, member_id: &str) -> Call<()> {
        let (group, member_id) = (self.group.clone(), member_id.to_owned());
        self.cluster.request(&self.wake, Step::Leave, &self.group, move |cluster| {
            cluster.groups.leave(&group, &member_id, cluster.clock.now());
            Ok(())
        })
    }

    fn commit_offsets(
        &mut self,
        member: GroupMetadata,
        offsets: Vec<OffsetToCommit>,
    ) -> Call<Each<()>> {
        if let Err(error) = check_member(&member) {
            return Call::ready(Err(error));
        }
        self.cluster.request(&self.wake, Step::CommitOffsets, &self.group, move |cluster| {
            let known = |partition: &streams_core::client::TopicPartition| {
                cluster.partition(&partition.topic, partition.partition).map(drop)
            };
            cluster.groups.commit(&member, offsets.clone(), cluster.clock.now(), known)
        })
    }
}
