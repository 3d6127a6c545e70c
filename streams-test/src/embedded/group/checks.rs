//! What a coordinator refuses, and how it says so.

use std::time::Duration;

use streams_core::client::{ClientError, GroupError, JoinRequest, SyncRequest};
use streams_core::time::Instant;

use super::{Group, Phase};
use crate::embedded::coordinator::unknown_member;

/// The broker's default of `group.max.session.timeout.ms`. There is no least one here, so that
/// tests on the machine's clock are quick.
const SESSION_TIMEOUT_MAX: Duration = Duration::from_secs(30 * 60);

impl Group {
    pub(super) fn check_join(&self, request: &JoinRequest) -> Result<(), ClientError> {
        if request.session_timeout.is_zero() || request.session_timeout > SESSION_TIMEOUT_MAX {
            return Err(ClientError::group(
                GroupError::InvalidSessionTimeout,
                format!("a session timeout is more than zero and at most {SESSION_TIMEOUT_MAX:?}"),
            ));
        }
        let others = self.members.keys().any(|id| *id != request.member_id);
        if others && self.protocol != request.protocol.0 {
            return Err(ClientError::group(
                GroupError::InconsistentProtocol,
                format!("the group assigns by {}, not by {}", self.protocol, request.protocol.0),
            ));
        }
        self.check_instance(&request.member_id, request.instance_id.as_deref())
    }

    pub(super) fn check_sync(&self, request: &SyncRequest) -> Result<(), ClientError> {
        self.check_instance(&request.member_id, request.instance_id.as_deref())?;
        if !self.members.contains_key(&request.member_id) {
            return Err(unknown_member(&request.member_id));
        }
        if request.generation != self.generation {
            return Err(self.illegal_generation(request.generation));
        }
        if request.protocol != self.protocol {
            return Err(ClientError::group(
                GroupError::InconsistentProtocol,
                format!("the group assigns by {}, not by {}", self.protocol, request.protocol),
            ));
        }
        match self.phase {
            Phase::Joining { .. } => Err(rebalancing()),
            Phase::Empty | Phase::Syncing | Phase::Stable => Ok(()),
        }
    }

    /// Whether a static member's id is still the one of its instance.
    fn check_instance(&self, member_id: &str, instance: Option<&str>) -> Result<(), ClientError> {
        let Some(instance) = instance else { return Ok(()) };
        match self.id_of_instance(instance) {
            Some(id) if !member_id.is_empty() && id != member_id => Err(fenced_instance(instance)),
            _ => Ok(()),
        }
    }

    /// A member with the right generation, which is heard of by this.
    pub(super) fn check_member(
        &mut self,
        member_id: &str,
        generation: i32,
        now: Instant,
    ) -> Result<(), ClientError> {
        let current = self.generation;
        let member = self.members.get_mut(member_id).ok_or_else(|| unknown_member(member_id))?;
        if generation != current {
            return Err(self.illegal_generation(generation));
        }
        member.seen = now;
        Ok(())
    }

    fn illegal_generation(&self, generation: i32) -> ClientError {
        ClientError::group(
            GroupError::IllegalGeneration,
            format!("the group is in generation {}, not {generation}; join again", self.generation),
        )
    }
}

pub(super) fn rebalancing() -> ClientError {
    ClientError::group(GroupError::RebalanceInProgress, "the group is rebalancing; join again")
}

pub(super) fn fenced_instance(instance: &str) -> ClientError {
    ClientError::group(
        GroupError::FencedInstance,
        format!("another member took instance id {instance}; give each instance its own"),
    )
}
