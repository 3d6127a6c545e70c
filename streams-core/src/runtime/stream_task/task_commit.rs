//! A task's part in the commit of its thread: what it seals, the positions it commits, and what
//! both become when they are committed.

use state_stores::{Attempt, StoreMetadata};
use uuid::Uuid;

use super::super::committed_metadata::CommittedMetadata;
use super::super::record_collector::{Collector, Lent};
use super::StreamTask;
use crate::client::{OffsetToCommit, TopicPartition};
use crate::task::TaskError;

impl StreamTask {
    /// Whether something happened that is not sealed yet.
    pub(crate) fn needs_commit(&self) -> bool {
        self.moved || self.task.is_dirty()
    }

    /// Whether a processor asked for a commit, or too much is dirty.
    pub(crate) fn commit_requested(&self) -> bool {
        self.commit_requested
    }

    /// Bytes written since the last seal.
    pub(crate) fn dirty_bytes(&self) -> usize {
        self.task.dirty_bytes()
    }

    /// Step 1 of a commit: emissions, seal, changelog; appends the positions to be committed.
    pub(crate) fn prepare_commit(
        &mut self,
        attempt: Attempt,
        collector: &mut Lent,
        offsets: &mut Vec<OffsetToCommit>,
    ) -> Result<(), TaskError> {
        Collector::of(collector).write_for(self.output_tag);
        self.task.flush(collector)?;
        self.task.seal(attempt, collector)?;
        self.commit_requested = false;
        self.moved = false;
        self.sealed_stream_time = self.task.stream_time();
        let before = offsets.len();
        let processors = self.task.committed_times();
        for position in self.task.positions() {
            let input = self.inputs.iter_mut().find(|i| i.plan.partition == position.partition);
            let Some(input) = input else { continue };
            let time = position.partition_time;
            let metadata = CommittedMetadata {
                partition_time: (time.as_millis() >= 0).then_some(time),
                processors: processors.clone(),
            };
            let committed = OffsetToCommit {
                partition: position.partition,
                offset: position.offset,
                leader_epoch: position.leader_epoch,
                metadata: metadata.encode(),
            };
            if input.committed != committed {
                offsets.push(committed.clone());
                input.committing = Some(committed);
            }
        }
        // A commit without a position would be refused to nobody, not even to a zombie.
        if offsets.len() == before
            && let Some(input) = self.inputs.first()
        {
            offsets.push(input.committed.clone());
        }
        Ok(())
    }

    /// Step 3 of a commit: the sealed layers are part of the state.
    pub(crate) fn committed(&mut self, attempt: Attempt, collector: &Collector, wall_time_ms: i64) {
        for input in &mut self.inputs {
            if let Some(committed) = input.committing.take() {
                input.chosen = false;
                input.committed = committed;
            }
        }
        let times = (self.sealed_stream_time, wall_time_ms);
        self.old_times.check(self.task.task_id(), times, &self.shared);
        let stream_time_ms = self.sealed_stream_time.as_millis();
        for input in &mut self.inputs {
            input.purge.committed = input.committed.offset;
        }
        let inputs = &self.inputs;
        let committed = |partition: &TopicPartition| {
            inputs.iter().find(|i| i.plan.partition == *partition).map(|i| i.committed.offset)
        };
        for (layers, store) in self.task.layers_mut().zip(&self.stores) {
            if layers.sealed_bytes() == 0 {
                continue;
            }
            let before = layers.metadata().map_or(0, |metadata| metadata.next_offset);
            let metadata = match (&store.changelog, &store.source) {
                (Some((topic_id, changelog)), _) => {
                    let next_offset = collector.next_offset(changelog.tag).unwrap_or(before);
                    StoreMetadata::new(*topic_id, next_offset)
                }
                (None, Some((topic_id, input))) => {
                    StoreMetadata::new(*topic_id, committed(input).unwrap_or(before))
                }
                (None, None) => StoreMetadata::new(Uuid::nil(), before),
            };
            layers.commit(attempt, StoreMetadata { stream_time_ms, wall_time_ms, ..metadata });
        }
    }

    /// How far each input was processed, committed or not.
    pub(crate) fn processed_positions(&self) -> Vec<(TopicPartition, i64)> {
        self.task.positions().map(|position| (position.partition, position.offset)).collect()
    }

    /// How far an input is committed.
    pub(crate) fn committed_position(&self, partition: &TopicPartition) -> Option<i64> {
        let input = self.inputs.iter().find(|input| input.plan.partition == *partition)?;
        Some(input.committed.offset)
    }

    /// Whether `take_purgeable` has something.
    pub(crate) fn has_purgeable(&self) -> bool {
        self.inputs.iter().any(|input| input.purge.is_due())
    }

    /// The positions below which the records of repartition topics are needed no more, as far as
    /// they have moved since this was last asked.
    pub(crate) fn take_purgeable(&mut self) -> Vec<(TopicPartition, i64)> {
        let moved = self.inputs.iter_mut().filter(|input| input.purge.is_due());
        moved
            .map(|input| {
                input.purge.purged = input.purge.committed;
                (input.plan.partition.clone(), input.purge.committed)
            })
            .collect()
    }
}
