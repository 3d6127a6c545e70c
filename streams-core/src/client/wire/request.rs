//! The requests that we send: key, versions, and the answer of each, in one table.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use kacrab_protocol::Result;
use kacrab_protocol::generated::*;

/// A message to a broker.
pub(super) trait Request: Send + Sync {
    /// What is asked.
    const KEY: ApiKey;
    /// Its name in Kafka's documentation.
    const NAME: &'static str;
    /// The versions that we know how to fill.
    const VERSIONS: RangeInclusive<i16>;
    /// What comes back.
    type Response: Send;

    fn encode(&self, into: &mut BytesMut, version: i16) -> Result<()>;
    fn decode(from: &mut Bytes, version: i16) -> Result<Self::Response>;
}

macro_rules! requests {
    ($($key:ident $versions:expr, $request:ty => $response:ty;)*) => { $(
        impl Request for $request {
            const KEY: ApiKey = ApiKey::$key;
            const NAME: &'static str = stringify!($key);
            const VERSIONS: RangeInclusive<i16> = $versions;
            type Response = $response;

            fn encode(&self, into: &mut BytesMut, version: i16) -> Result<()> {
                self.write(into, version)
            }

            fn decode(from: &mut Bytes, version: i16) -> Result<$response> {
                <$response>::read(from, version)
            }
        }
    )* };
}

requests! {
    ApiVersions 0..=3, ApiVersionsRequestData => ApiVersionsResponseData;
    SaslHandshake 1..=1, SaslHandshakeRequestData => SaslHandshakeResponseData;
    // 1: tells how long the session lasts.
    SaslAuthenticate 0..=2, SaslAuthenticateRequestData => SaslAuthenticateResponseData;
    // 4: no creation by asking. 10: topic ids.
    Metadata 4..=12, MetadataRequestData => MetadataResponseData;
    // 4: several groups in one, another layout.
    FindCoordinator 1..=4, FindCoordinatorRequestData => FindCoordinatorResponseData;
    // 4: -1 for the broker's replication factor.
    CreateTopics 4..=7, CreateTopicsRequestData => CreateTopicsResponseData;
    ListOffsets 4..=7, ListOffsetsRequestData => ListOffsetsResponseData;
    DeleteRecords 1..=2, DeleteRecordsRequestData => DeleteRecordsResponseData;
    // 7: require_stable. 8: another layout. 10 would be by topic id.
    OffsetFetch 5..=9, OffsetFetchRequestData => OffsetFetchResponseData;
    // 5: static membership. 9 would be skip_assignment.
    JoinGroup 5..=7, JoinGroupRequestData => JoinGroupResponseData;
    SyncGroup 3..=5, SyncGroupRequestData => SyncGroupResponseData;
    Heartbeat 3..=4, HeartbeatRequestData => HeartbeatResponseData;
    LeaveGroup 3..=4, LeaveGroupRequestData => LeaveGroupResponseData;
    // 7: static membership. 9: member epochs. 10 would be by topic id.
    OffsetCommit 7..=9, OffsetCommitRequestData => OffsetCommitResponseData;
}

/// The version to speak: the newest that both sides know.
pub(super) fn agree(ours: &RangeInclusive<i16>, theirs: (i16, i16)) -> Option<i16> {
    let version = theirs.1.min(*ours.end());
    (version >= theirs.0.max(*ours.start())).then_some(version)
}
