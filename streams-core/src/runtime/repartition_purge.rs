//! Deletes records of repartition topics that were processed: these topics keep everything else
//! for ever, so that nothing is lost while an application stands still.

use super::stream_thread::StreamThread;
use crate::client::{Call, Each};
use crate::time::Instant;

/// When to delete, and the answer that is awaited.
pub(crate) struct RepartitionPurge {
    next: Instant,
    call: Option<Call<Each<()>>>,
}

impl RepartitionPurge {
    pub(crate) fn new(first: Instant) -> Self {
        Self { next: first, call: None }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.call.is_none().then_some(self.next)
    }
}

impl StreamThread {
    /// Deletes what is below the committed positions, every `repartition.purge.interval.ms`.
    pub(crate) fn purge_repartition_topics(&mut self, now: Instant) {
        if let Some(call) = &mut self.purge.call {
            match call.try_take() {
                None => return,
                Some(Ok(each)) => {
                    for error in each.into_iter().filter_map(Result::err) {
                        tracing::warn!(thread = %self.name, %error, "cannot delete processed records");
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(thread = %self.name, %error, "cannot delete processed records");
                }
            }
            self.purge.call = None;
        }
        if now < self.purge.next {
            return;
        }
        self.purge.next = now + self.shared.config.repartition_purge_interval;
        let before: Vec<_> =
            self.tasks.values_mut().flat_map(|task| task.take_purgeable()).collect();
        if !before.is_empty() {
            self.purge.call = Some(self.admin.delete_records(before));
        }
    }
}
