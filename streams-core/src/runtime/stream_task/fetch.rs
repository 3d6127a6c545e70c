//! How a task's queues are filled.

use super::StreamTask;
use super::input::{ResetAnswer, cannot_read};
use crate::client::{Admin, Fetcher};
use crate::error::StreamsError;
use crate::runtime::reaction_table::{Request, RequestReaction, request_reaction};

impl StreamTask {
    /// The fetcher says that this input may have something.
    pub(crate) fn input_is_ready(&mut self, input: usize) {
        self.inputs[input].ready = true;
    }

    /// Fills the queues that are less than half full; whether something came.
    pub(crate) fn fetch(
        &mut self,
        fetcher: &mut dyn Fetcher,
        admin: &mut dyn Admin,
    ) -> Result<bool, StreamsError> {
        if self.suspended {
            return Ok(false);
        }
        let mut came = false;
        for at in 0..self.inputs.len() {
            match self.inputs[at].finish_reset(fetcher, &self.shared)? {
                ResetAnswer::Pending => {}
                ResetAnswer::Again => came = true,
                ResetAnswer::Moved(offset) => {
                    self.move_to(at, offset);
                    came = true;
                }
            }
            if self.inputs[at].finish_rewind(fetcher, &self.shared)? {
                came |= self.fetch_input(at, fetcher, admin)?;
            }
        }
        Ok(came)
    }

    fn fetch_input(
        &mut self,
        at: usize,
        fetcher: &mut dyn Fetcher,
        admin: &mut dyn Admin,
    ) -> Result<bool, StreamsError> {
        let queued_max = self.shared.config.buffered_records_per_partition;
        let queued = self.task.queued(at);
        let id = self.id();
        let input = &mut self.inputs[at];
        if !input.ready || input.is_resetting() || queued > queued_max / 2 {
            return Ok(false);
        }
        self.batch.records.clear();
        let wanted = queued_max - queued;
        if let Err(error) = fetcher.fetch(input.slot, wanted, &mut self.batch) {
            match request_reaction(Request::Fetch, error.kind) {
                RequestReaction::Reset => input.begin_reset(admin, &self.shared)?,
                RequestReaction::Repeat => {
                    tracing::warn!(task = %id, partition = %input.plan.partition, %error, "cannot fetch now");
                    input.ready = false;
                }
                RequestReaction::Fail => {
                    return Err(cannot_read(&input.plan.partition, error, &self.shared));
                }
            }
            return Ok(false);
        }
        input.ready = self.batch.records.len() >= wanted;
        input.end_offset = self.batch.end_offset.or(input.end_offset);
        let moved = self.batch.next_position != input.position;
        input.position = self.batch.next_position;
        if !moved && self.batch.records.is_empty() {
            return Ok(false);
        }
        self.moved |= self.batch.records.is_empty();
        let (position, epoch) = (self.batch.next_position, self.batch.leader_epoch);
        self.task.push(at, &mut self.batch.records, position, epoch);
        Ok(true)
    }

    /// A place that `latest` means now is another one a minute later: it is committed before
    /// anything was processed, so that nothing is skipped that comes after the first start.
    pub(super) fn keep_chosen_positions(&mut self) {
        for at in 0..self.inputs.len() {
            if self.inputs[at].chosen {
                self.move_to(at, self.inputs[at].position);
            }
        }
    }

    /// The position of an input is that, although no record says so.
    fn move_to(&mut self, at: usize, position: i64) {
        self.batch.records.clear();
        self.task.push(at, &mut self.batch.records, position, -1);
        self.moved = true;
    }
}
