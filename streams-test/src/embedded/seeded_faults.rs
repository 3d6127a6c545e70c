//! A fault plan that a seed decides: the weather of a simulation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streams_core::client::{ClientError, ClientErrorKind, GroupError};
use streams_core::time::Instant;

use super::faults::{Fault, FaultPlan, Operation, Step};
use crate::simulator::Random;

/// Chances are of that many operations.
const OF: usize = 10_000;

/// Every operation fails, comes late or twice, or loses its request or its answer now and then; how often,
/// for each kind of operation, the seed decides. Each seed leaves many kinds alone, so that the
/// others meet states that one general storm would never lead to.
///
/// Equal seeds decide equally as long as they are asked equally, which they are in a
/// [`Simulation`](crate::Simulation).
pub struct SeededFaults(Mutex<State>);

struct State {
    random: Random,
    count: u64,
    delay_max: Duration,
    /// By kind of operation; those that read changelogs are a kind of their own.
    chances: BTreeMap<(Step, bool), Chances>,
}

/// Of [`OF`] operations.
#[derive(Clone, Copy, Debug, Default)]
struct Chances {
    fail: usize,
    lose: usize,
    delay: usize,
    twice: usize,
}

impl SeededFaults {
    /// The plan of a seed. Requests and answers that come late come within `delay_max`: choose it
    /// longer than the session timeout.
    pub fn new(seed: u64, delay_max: Duration) -> Arc<Self> {
        let random = Random::new(seed ^ 0x000f_a175_0000_0000);
        Arc::new(Self(Mutex::new(State { random, count: 0, delay_max, chances: BTreeMap::new() })))
    }

    /// How many operations did not go well so far.
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

impl FaultPlan for SeededFaults {
    fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = state.decide(operation, now);
        if fault != Fault::None {
            state.count += 1;
            tracing::debug!(step = ?operation.step, client = operation.client, ?fault, "a fault");
        }
        fault
    }
}

impl State {
    fn decide(&mut self, operation: &Operation<'_>, now: Instant) -> Fault {
        let step = operation.step;
        let kind = (step, operation.client.ends_with("-restore-consumer"));
        let Chances { fail, lose, delay, twice } = match self.chances.get(&kind) {
            Some(chances) => *chances,
            None => {
                let chances = self.choose(kind);
                self.chances.insert(kind, chances);
                chances
            }
        };
        let dice = self.random.below(OF);
        if dice < fail {
            Fault::Fail(self.error(operation))
        } else if dice < fail + lose {
            if self.random.below(2) == 0 { Fault::LoseAnswer } else { Fault::LoseRequest }
        } else if dice < fail + lose + delay {
            let time = now + self.delay();
            match self.random.below(4) {
                0 | 1 => Fault::DelayAnswer(time),
                2 if step == Step::Produce => Fault::Block(time),
                _ => Fault::Delay(time),
            }
        } else if dice < fail + lose + delay + twice {
            let time = now + self.delay();
            if self.random.below(2) == 0 { Fault::Twice(time) } else { self.too_late(step, time) }
        } else {
            Fault::None
        }
    }

    /// An error that a broker may answer this with.
    fn error(&mut self, operation: &Operation<'_>) -> ClientError {
        let step = operation.step;
        let ends = matches!(step, Step::TransactionOffsets | Step::Commit);
        let transactional = match step {
            Step::Produce | Step::Flush => !operation.client.is_empty(),
            Step::Abort | Step::InitTransactions => true,
            _ => ends,
        };
        let kind = match self.random.below(4) {
            0 if ends => ClientErrorKind::Group(GroupError::IllegalGeneration),
            1 if ends => ClientErrorKind::AbortTransaction,
            2 if transactional => ClientErrorKind::ProducerFenced,
            _ => ClientErrorKind::Retriable,
        };
        ClientError::new(kind, format!("{step:?} failed on purpose; try again"))
    }

    /// Given up by the client, and done all the same.
    fn too_late(&mut self, step: Step, time: Instant) -> Fault {
        let is_fatal = step == Step::Commit && self.random.below(2) == 0;
        let kind = if is_fatal { ClientErrorKind::Fatal } else { ClientErrorKind::Retriable };
        let error = ClientError::new(kind, format!("{step:?} took too long on purpose; try again"));
        Fault::FailLate(error, time)
    }

    fn choose(&mut self, (step, restores): (Step, bool)) -> Chances {
        if restores {
            // A restore is few fetches, and much can happen meanwhile.
            let [fail, lose, delay] = [1_000, 1_000, 7_000].map(|most| self.random.below(most));
            return Chances { fail, lose, delay, twice: 0 };
        }
        // Producers and fetchers are asked for each record and each look at a log; a record that
        // is lost costs its thread.
        let (often, lost) = match step {
            Step::Produce => (4, 16),
            Step::Fetch => (2, 1),
            _ => (1, 1),
        };
        let mut chance = |less: usize| match self.random.below(4) {
            0 | 1 => 0,
            2 => 100 / less,
            _ => 1_500 / (less * less),
        };
        Chances {
            fail: chance(often * lost),
            lose: chance(often * lost),
            delay: chance(often),
            twice: chance(often),
        }
    }

    /// Mostly short: some milliseconds, some heartbeats, or anything up to the longest.
    fn delay(&mut self) -> Duration {
        let max = usize::try_from(self.delay_max.as_millis()).unwrap_or(usize::MAX).max(1);
        let within = match self.random.below(4) {
            0 | 1 => max.min(50),
            2 => max.min(1_500),
            _ => max,
        };
        Duration::from_millis(1 + self.random.below(within) as u64)
    }
}
