//! A store of a task that does not run yet: opened, checked against its changelog, rebuilt where
//! it cannot be trusted, lent to the restorer.

use std::sync::Arc;

use state_stores::{LayeredStore, StateError, TaskStorage};
use uuid::Uuid;

use super::InputPosition;
use super::questions::Extent;
use crate::client::TopicPartition;
use crate::runtime::instance::InstanceShared;
use crate::runtime::local_state::misfit;
use crate::runtime::restorer::StoreRestore;
use crate::runtime::task_plan::TaskPlan;
use crate::stores::{ChangelogKind, StoreDeclaration};
use crate::task_id::TaskId;

/// A store that is open, and the changelog that belongs to it.
pub(crate) struct OpenStore {
    pub(crate) declaration: Arc<StoreDeclaration>,
    pub(crate) store: LayeredStore,
    pub(crate) changelog: Option<Changelog>,
}

/// A store that may be with the restorer.
pub(super) struct StoreInCreation {
    task: TaskId,
    pub(super) declaration: Arc<StoreDeclaration>,
    pub(super) changelog: Option<Changelog>,
    pub(super) store: Option<LayeredStore>,
}

/// The changelog partition of a store.
#[derive(Clone, Debug)]
pub(crate) struct Changelog {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: Uuid,
}

impl StoreInCreation {
    /// Opens the store in the task's storage. One that cannot be read is begun anew.
    pub(super) fn open(
        task: TaskId,
        declaration: Arc<StoreDeclaration>,
        storage: &TaskStorage,
        shared: &InstanceShared,
    ) -> Result<Self, StateError> {
        let store = match storage.open_store(declaration.spec()) {
            Err(error @ StateError::Incompatible { .. }) => {
                shared.tell_rebuilt(task, declaration.name(), &error.to_string());
                storage
                    .wipe_store(declaration.spec())
                    .and_then(|()| storage.open_store(declaration.spec()))
            }
            result => result,
        };
        let topic = declaration.changelog_topic(&shared.config.application_id);
        let changelog = topic.map(|topic| Changelog {
            partition: TopicPartition { topic, partition: task.partition },
            topic_id: Uuid::nil(),
        });
        Ok(Self { task, declaration, changelog, store: Some(store?) })
    }

    /// A store whose changelog is an input goes as far as that was processed: what comes after is
    /// still to be processed, and must not be seen before.
    pub(super) fn limit(&self, extent: &mut Extent, plan: &TaskPlan, inputs: &[InputPosition]) {
        let ChangelogKind::SourceTopic(_) = self.declaration.changelog() else { return };
        let changelog = self.changelog.as_ref().map(|changelog| &changelog.partition);
        let input = plan.inputs.iter().position(|input| Some(&input.partition) == changelog);
        let committed = input.map(|at| &inputs[at]).filter(|position| position.committed);
        extent.strict = true;
        extent.end = committed.map_or(extent.earliest, |position| position.offset.min(extent.end));
    }

    /// Rebuilds it if what is on disk is not what its changelog says.
    pub(super) fn check(
        &mut self,
        extent: &Extent,
        shared: &InstanceShared,
    ) -> Result<(), StateError> {
        let wall_ms = shared.clock.wall_ms();
        if let Some(changelog) = &mut self.changelog {
            changelog.topic_id = extent.topic_id;
        }
        let local = self.store.as_ref().and_then(LayeredStore::metadata);
        let range = (extent.earliest, extent.end);
        match local.and_then(|local| misfit(local, extent.topic_id, range, wall_ms)) {
            Some(reason) => self.rebuild(reason, shared),
            None => Ok(()),
        }
    }

    /// Forgets what is on disk.
    pub(super) fn rebuild(
        &mut self,
        reason: &str,
        shared: &InstanceShared,
    ) -> Result<(), StateError> {
        shared.tell_rebuilt(self.task, self.declaration.name(), reason);
        self.store.as_mut().map_or(Ok(()), LayeredStore::wipe)
    }

    /// What it lacks, with the store itself; `None` if it lacks nothing.
    pub(super) fn lend(&mut self, extent: &Extent) -> Option<(StoreRestore, LayeredStore)> {
        let local = self.store.as_ref().and_then(LayeredStore::metadata);
        let local = local.map(|metadata| metadata.next_offset);
        let (start, end) = (local.unwrap_or(extent.earliest), extent.end);
        if start >= end {
            tracing::info!(
                task = %self.task, store = %self.declaration.name(), offset = start,
                "local state is up to date: nothing is replayed"
            );
            return None;
        }
        let changelog = self.changelog.clone()?;
        let store = self.store.take().expect("the restorer has given back what it was lent");
        let restore = StoreRestore {
            index: extent.store,
            name: self.declaration.name().clone(),
            changelog: changelog.partition,
            format: self.declaration.format(),
            readable: self.declaration.readable(),
            topic_id: changelog.topic_id,
            start,
            end,
            from_local: local.is_some(),
            strict: extent.strict,
        };
        Some((restore, store))
    }
}
