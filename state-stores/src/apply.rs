//! Committed layers on their way into the engine, on a worker.

use std::sync::Arc;

use crate::database::Database;
use crate::directory::StoreGuard;
use crate::engine::{Instance, InstanceId, SortedWrite};
use crate::layer::Layer;
use crate::{StateError, StoreMetadata};

/// A committed layer that takes no further writes, with the metadata it goes up to.
pub(crate) struct FrozenLayer {
    pub(crate) layer: Layer,
    pub(crate) metadata: StoreMetadata,
    pub(crate) committed_since_ms: i64,
}

/// One batch to be written to the engine. It is to be [`run`](Self::run) on a worker; a job that
/// is dropped instead is handed out again by the next `apply`. While it exists the store stays in
/// use: a new owner of the task cannot be overtaken by an old owner's batch.
#[must_use = "a layer reaches the engine only by running its job"]
pub struct ApplyJob {
    pub(crate) frozen: Arc<FrozenLayer>,
    pub(crate) instance: Arc<dyn Instance>,
    pub(crate) instance_id: InstanceId,
    pub(crate) database: Arc<Database>,
    // Last: who holds an engine holds the lock of its directory.
    pub(crate) guard: Arc<StoreGuard>,
}

/// The outcome of an [`ApplyJob`], to be given to
/// [`LayeredStore::finish_apply`](crate::LayeredStore::finish_apply).
#[must_use = "the store keeps the layer until it knows the outcome"]
pub struct Applied {
    pub(crate) result: Result<(), StateError>,
    pub(crate) frozen: Arc<FrozenLayer>,
    pub(crate) instance_id: InstanceId,
    _guard: Arc<StoreGuard>,
}

impl ApplyJob {
    /// Writes the layer and its metadata row in one batch, and removes segments that have expired
    /// with it. Blocks for as long as the engine takes.
    pub fn run(self) -> Applied {
        let result = self.write().and_then(|()| self.expire());
        Applied { result, frozen: self.frozen, instance_id: self.instance_id, _guard: self.guard }
    }

    fn write(&self) -> Result<(), StateError> {
        let layer = &self.frozen.layer;
        let metadata = self.frozen.metadata.encode(&self.guard.spec.store_type);
        self.instance.write(SortedWrite {
            row_count: layer.len(),
            bytes: layer.payload_bytes(),
            rows: Box::new(layer.sorted_rows()),
            metadata: Some(&metadata),
            into_empty: false,
        })
    }

    /// By the stream time that was just written, which is a committed one (I9).
    fn expire(&self) -> Result<(), StateError> {
        let spec = &self.guard.spec;
        let Some(segments) = spec.segments else { return Ok(()) };
        let stream_time_ms = self.frozen.metadata.stream_time_ms;
        self.database.expire(&spec.family(), self.instance_id, segments, stream_time_ms)
    }

    /// The keys that the job writes, in order.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.frozen.layer.sorted_rows().map(|(key, _)| key)
    }

    /// How many rows the job writes.
    pub fn rows(&self) -> usize {
        self.frozen.layer.len()
    }

    /// How many bytes the job writes, roughly.
    pub fn bytes(&self) -> usize {
        self.frozen.layer.bytes()
    }
}

impl Applied {
    /// Whether the layer is in the engine.
    pub fn is_ok(&self) -> bool {
        self.result.is_ok()
    }
}
