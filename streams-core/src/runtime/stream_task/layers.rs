//! The committed layers of a task's stores on their way into the engine.

use state_stores::{Applied, ApplyJob, LayeredStore};

use super::super::instance::ApplyPolicy;
use super::StreamTask;
use crate::error::StreamsError;
use crate::task_id::TaskId;

impl StreamTask {
    /// Hands committed layers that are large or old to `apply`.
    pub(crate) fn apply_layers(
        &mut self,
        policy: &ApplyPolicy,
        wall_ms: i64,
        mut apply: impl FnMut(TaskId, usize, ApplyJob),
    ) {
        let id = self.id();
        for (index, layers) in self.task.layers_mut().enumerate() {
            let age = layers.committed_since_ms().map_or(0, |since| wall_ms.saturating_sub(since));
            let due = layers.committed_bytes() >= policy.bytes_max
                || u128::try_from(age).unwrap_or(0) >= policy.age_max.as_millis();
            if due
                && layers.committed_bytes() > 0
                && !layers.is_applying()
                && let Some(job) = layers.apply()
            {
                apply(id, index, job);
            }
        }
    }

    /// A layer is in the engine.
    pub(crate) fn finish_apply(
        &mut self,
        store: usize,
        applied: Applied,
    ) -> Result<(), StreamsError> {
        let id = self.id();
        let Some(layers) = self.task.layers_mut().nth(store) else { return Ok(()) };
        finish_apply(id, layers, applied)
    }

    /// Whether the worker has one of its layers.
    pub(crate) fn is_applying(&self) -> bool {
        self.task.layers().any(LayeredStore::is_applying)
    }

    /// Ends a task of which everything is committed: the rest of its layers goes to the engine,
    /// then the storage is free.
    pub(crate) fn close(mut self) {
        self.task.close();
        let id = self.id();
        for layers in self.task.layers_mut() {
            if let Some(job) = layers.apply()
                && let Err(error) = finish_apply(id, layers, job.run())
            {
                tracing::error!(task = %id, ?error, "not in the engine: replayed at the next start");
            }
        }
    }
}

fn finish_apply(
    task: TaskId,
    layers: &mut LayeredStore,
    applied: Applied,
) -> Result<(), StreamsError> {
    layers.finish_apply(applied).map_err(|error| StreamsError::Fatal {
        message: format!("the state of task {task} cannot be written"),
        source: Some(error.into()),
    })
}
