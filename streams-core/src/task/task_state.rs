//! What the nodes of a task share: stores, times, counters, and the way out.

use std::any::Any;
use std::sync::Arc;

use super::collector::{NoCollector, RecordCollector};
use super::committed_times::CommittedTimes;
use super::dropped::{DropCounts, DropReason, Dropped};
use super::error::{Escalated, TaskError};
use crate::client::RawRecord;
use crate::config::Handlers;
use crate::error::{BoxError, Coordinates};
use crate::processor::SharedHandle;
use crate::record::{RecordContext, Timestamp};
use crate::stores::{AccessContext, Cursor, Store, StoreHandle, StoreInstance};
use crate::task_id::TaskId;

/// What the nodes of a task share. Processors reach it through their context.
pub struct TaskState {
    task_id: TaskId,
    application_id: Arc<str>,
    pub(super) handlers: Handlers,
    /// By place in the arena.
    pub(super) node_names: Vec<Arc<str>>,
    /// The node that runs.
    pub(super) node: usize,
    pub(super) stores: Vec<Box<dyn StoreInstance>>,
    /// By slot.
    store_names: Vec<Arc<str>>,
    /// The nodes that use each store, by slot.
    store_users: Vec<Vec<usize>>,
    shared: Vec<(String, Box<dyn Any + Send>)>,
    pub(super) stream_time: Timestamp,
    pub(super) wall_clock: Timestamp,
    pub(super) commit_requested: bool,
    pub(crate) committed_times: CommittedTimes,
    pub(super) drop_counts: DropCounts,
    /// The thread's, while the task runs.
    pub(super) collector: Box<dyn RecordCollector>,
    /// The input record that is being processed, as it was read.
    pub(super) head: Option<RawRecord>,
    /// Why the task gave up.
    pub(super) escalated: Option<TaskError>,
}

impl TaskState {
    pub(super) fn new(
        task_id: TaskId,
        application_id: Arc<str>,
        handlers: Handlers,
        node_names: Vec<Arc<str>>,
        stores: Vec<(Arc<str>, Box<dyn StoreInstance>)>,
        (stream_time, wall_clock): (Timestamp, Timestamp),
        committed_times: CommittedTimes,
    ) -> Self {
        let (store_names, stores): (Vec<_>, Vec<_>) = stores.into_iter().unzip();
        Self {
            task_id,
            application_id,
            handlers,
            node_names,
            node: 0,
            stores,
            store_users: vec![Vec::new(); store_names.len()],
            store_names,
            shared: Vec::new(),
            stream_time,
            wall_clock,
            commit_requested: false,
            committed_times,
            drop_counts: DropCounts::default(),
            collector: Box::new(NoCollector),
            head: None,
            escalated: None,
        }
    }

    #[inline]
    pub(crate) fn stream_time(&self) -> Timestamp {
        self.stream_time
    }

    #[inline]
    pub(crate) fn wall_clock(&self) -> Timestamp {
        self.wall_clock
    }

    pub(crate) fn task_id(&self) -> TaskId {
        self.task_id
    }

    pub(crate) fn application_id(&self) -> &Arc<str> {
        &self.application_id
    }

    pub(crate) fn request_commit(&mut self) {
        self.commit_requested = true;
    }

    /// `node` runs from now on; the one that ran before.
    #[inline]
    pub(super) fn enter_node(&mut self, node: usize) -> usize {
        std::mem::replace(&mut self.node, node)
    }

    /// Counts a record that the node in hand drops.
    pub(crate) fn dropped(&mut self, reason: DropReason, record: &RecordContext) {
        let count = self.drop_counts.add(self.node, reason);
        // Floods are told ever more seldom: the count says how many there were.
        if count.is_power_of_two() {
            let at = self.coordinates(record);
            tracing::warn!(reason = reason.as_str(), count, %at, "dropped a record");
        }
    }

    pub(super) fn dropped_counts(&self) -> Vec<Dropped> {
        let named = |(node, reason, count): (usize, DropReason, u64)| Dropped {
            node: self.node_names[node].clone(),
            reason,
            count,
        };
        self.drop_counts.iter().map(named).collect()
    }

    #[inline]
    pub(crate) fn store<'a, S: Store>(
        &'a mut self,
        handle: &StoreHandle<S>,
        record: &'a RecordContext,
    ) -> S::Access<'a> {
        let stream_time = self.stream_time;
        S::access(self.instance::<S>(handle), AccessContext { record, stream_time })
    }

    #[inline]
    pub(crate) fn next<S: Store>(
        &mut self,
        cursor: &mut Cursor<S>,
    ) -> Result<Option<S::Row>, BoxError> {
        cursor.next(self.instance::<S>(&cursor.handle()))
    }

    #[inline]
    pub(super) fn instance<S: Store>(&mut self, handle: &StoreHandle<S>) -> &mut S::Instance {
        let instance: &mut dyn Any = &mut *self.stores[handle.slot()];
        instance.downcast_mut().expect("handles are made from the store's declaration")
    }

    pub(crate) fn store_slot(&self, name: &str) -> u32 {
        let slot = self.store_names.iter().position(|store| **store == *name);
        let slot = slot.expect("a sub-topology has the stores of its processors");
        u32::try_from(slot).expect("stores are few")
    }

    /// Tells that the node in hand uses a store.
    pub(super) fn use_store(&mut self, slot: u32) {
        let users = &mut self.store_users[slot as usize];
        if !users.contains(&self.node) {
            users.push(self.node);
        }
    }

    /// How many nodes use a store.
    #[inline]
    pub(crate) fn user_count(&self, slot: usize) -> usize {
        self.store_users[slot].len()
    }

    pub(super) fn find_store(&self, name: &str) -> Option<u32> {
        self.store_names.iter().any(|store| **store == *name).then(|| self.store_slot(name))
    }

    pub(super) fn store_name(&self, slot: usize) -> &Arc<str> {
        &self.store_names[slot]
    }

    pub(crate) fn shared_slot<T: Send + 'static>(
        &mut self,
        key: &str,
        init: impl FnOnce() -> T,
    ) -> usize {
        let known = self.shared.iter().position(|(k, state)| k == key && (**state).is::<T>());
        known.unwrap_or_else(|| {
            self.shared.push((key.to_owned(), Box::new(init())));
            self.shared.len() - 1
        })
    }

    pub(crate) fn shared<T: Send + 'static>(&mut self, handle: &SharedHandle<T>) -> &mut T {
        let state = &mut *self.shared[handle.slot()].1;
        state.downcast_mut().expect("handles are made from the slot's type")
    }

    /// The node that runs, and the input record in hand.
    pub(super) fn node_name(&self) -> &str {
        self.node_names.get(self.node).map_or("", |name| &**name)
    }

    pub(super) fn coordinates(&self, record: &RecordContext) -> Coordinates {
        Coordinates {
            task: Some(self.task_id),
            node: self.node_names.get(self.node).cloned(),
            record: record.metadata().cloned(),
        }
    }

    /// The task gives up; what to return up through the processors.
    #[cold]
    pub(crate) fn escalate(&mut self, error: impl Into<TaskError>) -> BoxError {
        // The first reason is the cause of all others.
        self.escalated.get_or_insert_with(|| error.into());
        Escalated::boxed()
    }
}
