//! When a thread may write under at-least-once, where nobody fences a record: one that arrives
//! after its task's new owner has written puts an old value over a newer one, in a changelog as in
//! an output that is read as a table.
//!
//! So each record has a time within which it is written, or not at all, and that time must lie
//! within the membership that is proven when it is sent. And a task is handed over, or the group
//! left, only when no record is under way any more.

use std::time::Duration;

use super::record_collector::Collector;
use super::stream_thread::StreamThread;
use crate::client::Call;
use crate::time::Instant;

/// Pause before membership is looked at again, or the producer asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// What is under way, and for how long.
pub(crate) struct UnfencedWrites {
    delivery_timeout: Duration,
    given_up: GivenUp,
    /// It was told that nothing is written for want of a proof.
    told: bool,
}

/// Records that belong to no commit.
enum GivenUp {
    /// There are none.
    None,
    /// There may be; the producer is to be asked from then on.
    Due(Instant),
    /// Waiting for the last one to arrive or to fail.
    Flushing(Call<()>),
}

impl UnfencedWrites {
    pub(crate) fn new(delivery_timeout: Duration) -> Self {
        Self { delivery_timeout, given_up: GivenUp::None, told: false }
    }
}

impl StreamThread {
    /// Whether what is written now arrives while the group still knows us, or is fenced by its
    /// transaction.
    pub(crate) fn may_write(&mut self, now: Instant) -> bool {
        let proven = self.member.proven_until();
        let Some(unfenced) = &mut self.unfenced else { return proven > now };
        let may = proven > now + unfenced.delivery_timeout;
        if !may && !unfenced.told && !self.tasks.is_empty() {
            tracing::warn!(
                thread = %self.name,
                "nothing is written until the group answers: another instance may have the tasks"
            );
        }
        unfenced.told = !may;
        may
    }

    /// When to look again whether it may write.
    pub(crate) fn may_write_at(&self, now: Instant) -> Option<Instant> {
        let unfenced = self.unfenced.as_ref()?;
        (unfenced.told && !self.tasks.is_empty()).then(|| now + RETRY_INTERVAL)
    }

    /// The work since the last commit was given up; its records are not called back.
    pub(crate) fn give_up_records(&mut self, now: Instant) {
        if let Some(unfenced) = &mut self.unfenced {
            unfenced.given_up = GivenUp::Due(now);
        }
    }

    /// Everything that was sent has arrived, or failed.
    pub(crate) fn records_arrived(&mut self) {
        if let Some(unfenced) = &mut self.unfenced {
            unfenced.given_up = GivenUp::None;
        }
    }

    /// Whether no record is under way that was given up. Asks the producer if need be.
    pub(crate) fn nothing_given_up(&mut self, now: Instant) -> bool {
        let Some(unfenced) = &mut self.unfenced else { return true };
        match &mut unfenced.given_up {
            GivenUp::None => return true,
            GivenUp::Due(at) if *at <= now => {
                let call = Collector::of(&mut self.collector).flush();
                unfenced.given_up = GivenUp::Flushing(call);
                self.progress = true;
            }
            GivenUp::Due(_) => {}
            GivenUp::Flushing(call) => match call.try_take() {
                None => {}
                Some(Ok(())) => {
                    unfenced.given_up = GivenUp::None;
                    self.progress = true;
                    return true;
                }
                Some(Err(error)) => {
                    tracing::info!(thread = %self.name, %error, "the producer is flushed again");
                    unfenced.given_up = GivenUp::Due(now + RETRY_INTERVAL);
                }
            },
        }
        false
    }

    /// When the producer is to be asked again.
    pub(crate) fn given_up_at(&self) -> Option<Instant> {
        match self.unfenced.as_ref()?.given_up {
            GivenUp::Due(at) => Some(at),
            GivenUp::None | GivenUp::Flushing(_) => None,
        }
    }
}
