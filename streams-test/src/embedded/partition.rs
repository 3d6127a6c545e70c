//! A partition: its log under its own lock, and the fetchers that wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streams_core::client::{
    ClientError, ClientErrorKind, FetchSlot, Isolation, TopicPartition, WakeRef,
};

use super::log::Log;

/// One incarnation of a partition: a topic that is made again has new ones.
pub(super) struct Partition {
    name: TopicPartition,
    state: Mutex<PartitionState>,
}

/// What the lock of a partition guards.
pub(super) struct PartitionState {
    log: Log,
    deleted: bool,
    subscriptions: Vec<Subscription>,
}

/// A fetcher that reads a partition.
struct Subscription {
    inbox: Arc<Inbox>,
    slot: FetchSlot,
    isolation: Isolation,
    /// It saw the end, and wants to know when that moves.
    waits: bool,
}

/// Slots of one fetcher that have something new.
pub(super) struct Inbox {
    slots: Mutex<Vec<FetchSlot>>,
    wake: WakeRef,
}

impl Partition {
    pub(super) fn new(name: TopicPartition) -> Self {
        let state = PartitionState { log: Log::new(), deleted: false, subscriptions: Vec::new() };
        Self { name, state: Mutex::new(state) }
    }

    /// Reads or changes the log, and wakes who waits for its end to move.
    pub(super) fn with_log<T>(&self, change: impl FnOnce(&mut Log) -> T) -> Result<T, ClientError> {
        let mut state = self.lock();
        if state.deleted {
            return Err(unknown(&self.name));
        }
        let before = state.ends();
        let answer = change(&mut state.log);
        state.notify_if_moved(before);
        Ok(answer)
    }

    /// Reads for a fetcher; `read` tells whether it saw the end, so that it waits from now on.
    pub(super) fn fetch<T>(
        &self,
        inbox: &Arc<Inbox>,
        slot: FetchSlot,
        read: impl FnOnce(&Log) -> (T, bool),
    ) -> Result<(T, bool), ClientError> {
        let mut state = self.lock();
        if state.deleted {
            return Err(unknown(&self.name));
        }
        let (answer, at_end) = read(&state.log);
        if at_end
            && let Some(subscription) =
                state.subscriptions.iter_mut().find(|s| s.belongs_to(inbox, slot))
        {
            subscription.waits = true;
        }
        Ok((answer, at_end))
    }

    pub(super) fn subscribe(&self, inbox: &Arc<Inbox>, slot: FetchSlot, isolation: Isolation) {
        let subscription = Subscription { inbox: inbox.clone(), slot, isolation, waits: false };
        self.lock().subscriptions.push(subscription);
    }

    pub(super) fn unsubscribe(&self, inbox: &Arc<Inbox>, slot: FetchSlot) {
        self.lock().subscriptions.retain(|s| !s.belongs_to(inbox, slot));
    }

    /// Drops the log. Whoever reads learns it from its next fetch.
    pub(super) fn delete(&self) {
        let mut state = self.lock();
        state.deleted = true;
        state.log = Log::new();
        for subscription in &mut state.subscriptions {
            subscription.notify();
        }
    }

    // A holder of this lock leaves a whole log behind whatever happens, for the log has no code
    // that can panic half way; so a poisoned lock still guards a usable one.
    fn lock(&self) -> MutexGuard<'_, PartitionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartitionState {
    fn ends(&self) -> [i64; 2] {
        [Isolation::ReadUncommitted, Isolation::ReadCommitted].map(|i| self.log.end(i))
    }

    fn notify_if_moved(&mut self, before: [i64; 2]) {
        let [end_moved, stable_moved] = {
            let after = self.ends();
            [after[0] != before[0], after[1] != before[1]]
        };
        for subscription in &mut self.subscriptions {
            let moved = match subscription.isolation {
                Isolation::ReadUncommitted => end_moved,
                Isolation::ReadCommitted => stable_moved,
            };
            if moved {
                subscription.notify();
            }
        }
    }
}

impl Subscription {
    fn belongs_to(&self, inbox: &Arc<Inbox>, slot: FetchSlot) -> bool {
        self.slot == slot && Arc::ptr_eq(&self.inbox, inbox)
    }

    fn notify(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.inbox.push(self.slot);
        }
    }
}

impl Inbox {
    pub(super) fn new(wake: WakeRef) -> Arc<Self> {
        Arc::new(Self { slots: Mutex::default(), wake })
    }

    /// Names a slot as ready, and wakes the fetcher's driver.
    pub(super) fn push(&self, slot: FetchSlot) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        self.wake.wake();
    }

    pub(super) fn drain(&self, sink: impl FnMut(FetchSlot)) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.drain(..).for_each(sink);
    }

    pub(super) fn wake(&self) {
        self.wake.wake();
    }
}

/// There is no such partition.
pub(super) fn unknown(partition: &TopicPartition) -> ClientError {
    ClientError::new(
        ClientErrorKind::UnknownTopic,
        format!("there is no partition {partition}; create its topic first"),
    )
}
