//! One input partition of a task: where it is read, where it was committed, and how it gets from
//! one place to another.

use super::super::instance::InstanceShared;
use super::super::offset_reset::reset_spec;
use super::super::task_creation::InputPosition;
use super::super::task_plan::PlannedInput;
use crate::client::{
    Admin, Call, ClientError, Each, FetchSlot, Fetcher, OffsetToCommit, TopicPartition,
};
use crate::error::StreamsError;
use crate::topology::OffsetReset;

pub(super) struct TaskInput {
    pub(super) plan: PlannedInput,
    /// The reset policy chose the position, and nobody has committed it yet.
    pub(super) chosen: bool,
    pub(super) slot: FetchSlot,
    /// Where fetching goes on.
    pub(super) position: i64,
    pub(super) end_offset: Option<i64>,
    /// The last fetch did not find the end.
    pub(super) ready: bool,
    /// The fetcher is to be sent back to `position`.
    pub(super) rewound: bool,
    pub(super) committed: OffsetToCommit,
    /// What the commit under way makes of it.
    pub(super) committing: Option<OffsetToCommit>,
    resetting: Option<Call<Each<i64>>>,
    pub(super) purge: Purge,
}

/// What the broker said about the place where the reset policy goes on.
pub(super) enum ResetAnswer {
    /// Nothing is asked, or nothing was answered yet.
    Pending,
    /// To be asked again: the next fetch finds the position out of range again.
    Again,
    /// The input goes on there.
    Moved(i64),
}

/// The committed position of an input that only we read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Purge {
    is_repartition: bool,
    /// By the last commit that ended.
    pub(super) committed: i64,
    /// Everything before was deleted.
    pub(super) purged: i64,
}

impl TaskInput {
    /// Begins to read at `position`.
    pub(super) fn open(
        plan: PlannedInput,
        position: InputPosition,
        shared: &InstanceShared,
        fetcher: &mut dyn Fetcher,
    ) -> Result<Self, StreamsError> {
        let slot = fetcher
            .assign(&plan.partition, position.offset)
            .map_err(|error| cannot_read(&plan.partition, error, shared))?;
        let committed = OffsetToCommit {
            partition: plan.partition.clone(),
            offset: position.offset,
            leader_epoch: -1,
            metadata: position.metadata,
        };
        let (topic, application_id) = (&plan.partition.topic, &shared.config.application_id);
        let is_repartition = shared.topology.is_repartition_topic(topic, application_id);
        Ok(Self {
            chosen: !position.committed && !matches!(plan.reset, OffsetReset::Earliest),
            plan,
            slot,
            position: position.offset,
            end_offset: None,
            ready: true,
            rewound: false,
            committed,
            committing: None,
            resetting: None,
            purge: Purge { is_repartition, ..Purge::default() },
        })
    }

    /// What was read since the last commit is to be read again.
    pub(super) fn go_back(&mut self) {
        self.position = self.committed.offset;
        self.committing = None;
        self.resetting = None;
        self.ready = true;
        self.rewound = true;
    }

    /// Whether, as far as is known, nothing is left to read.
    pub(super) fn at_end(&self) -> bool {
        !self.ready && self.end_offset.is_some_and(|end| self.position >= end)
    }

    /// Whether the reset policy is being asked where to go on.
    pub(super) fn is_resetting(&self) -> bool {
        self.resetting.is_some()
    }

    /// Whether the input can be read where it is to be read.
    pub(super) fn finish_rewind(
        &mut self,
        fetcher: &mut dyn Fetcher,
        shared: &InstanceShared,
    ) -> Result<bool, StreamsError> {
        if !self.rewound {
            return Ok(true);
        }
        match fetcher.seek(self.slot, self.position) {
            Ok(()) => {
                self.rewound = false;
                Ok(true)
            }
            Err(error) if error.is_retriable() => {
                tracing::warn!(partition = %self.plan.partition, %error, "cannot go back now");
                Ok(false)
            }
            Err(error) => {
                let doing = format!("read {} again", self.plan.partition);
                Err(StreamsError::from_client(error, doing, &shared.config.bootstrap_servers))
            }
        }
    }

    /// The log no longer has, or not yet, the position: the reset policy says where to go on.
    pub(super) fn begin_reset(
        &mut self,
        admin: &mut dyn Admin,
        shared: &InstanceShared,
    ) -> Result<(), StreamsError> {
        let partition = &self.plan.partition;
        tracing::warn!(
            %partition, offset = self.position, policy = ?self.plan.reset,
            "the log does not have this offset: the reset policy decides"
        );
        let spec = reset_spec(&self.plan.reset, partition, shared.clock.wall_ms())?;
        let isolation = shared.config.isolation();
        self.resetting = Some(admin.list_offsets(vec![(partition.clone(), spec)], isolation));
        Ok(())
    }

    /// Goes on where the reset policy says, once the broker has told where that is.
    pub(super) fn finish_reset(
        &mut self,
        fetcher: &mut dyn Fetcher,
        shared: &InstanceShared,
    ) -> Result<ResetAnswer, StreamsError> {
        let Some(answer) = self.resetting.as_mut().and_then(Call::try_take) else {
            return Ok(ResetAnswer::Pending);
        };
        self.resetting = None;
        let offset = answer.and_then(|each| {
            each.into_iter()
                .next()
                .unwrap_or_else(|| Err(ClientError::retriable("the broker told no offset")))
        });
        match offset.and_then(|offset| fetcher.seek(self.slot, offset).map(|()| offset)) {
            Ok(offset) => {
                tracing::warn!(partition = %self.plan.partition, offset, "goes on there");
                self.position = offset;
                self.ready = true;
                Ok(ResetAnswer::Moved(offset))
            }
            Err(error) if error.is_retriable() => {
                self.ready = true;
                Ok(ResetAnswer::Again)
            }
            Err(error) => Err(cannot_read(&self.plan.partition, error, shared)),
        }
    }
}

impl Purge {
    pub(super) fn is_due(&self) -> bool {
        self.is_repartition && self.committed > self.purged
    }
}

/// Why an input cannot be read, in words that say of which broker.
pub(super) fn cannot_read(
    partition: &TopicPartition,
    error: ClientError,
    shared: &InstanceShared,
) -> StreamsError {
    let doing = format!("read {partition}");
    StreamsError::from_client(error, doing, &shared.config.bootstrap_servers)
}
