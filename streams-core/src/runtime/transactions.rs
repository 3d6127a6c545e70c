//! The transactions of a thread under exactly-once: its producer's start, aborts, and a new
//! producer when the old one is dead. The commit itself is in [`commit`](super::commit).
//!
//! One transaction covers all tasks of the thread. It begins with the first record that one of
//! them writes. While it is being ended nothing is processed, because no output may enter the
//! next one before the outcome is known ([`StreamThread::may_process`] is the one place that says
//! so).

use std::sync::Arc;
use std::time::Duration;

use state_stores::Attempt;

use super::commit::CommitAttempt;
use super::commit_step::CommitStep;
use super::reaction_table::{ErrorReaction, Event, Stage, error_reaction};
use super::record_collector::Collector;
use super::store_worker::WorkerRequest;
use super::stream_thread::StreamThread;
use crate::client::{Call, ClientError, ClientSupplier, ProducerOptions, WakeRef};
use crate::error::StreamsError;
use crate::task::TaskError;
use crate::task_id::TaskId;
use crate::time::Instant;

/// Pause before a call is repeated, and before another producer is made after one that has not
/// committed anything.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// How long a thread that has failed waits for its abort, or for its records to arrive. Afterwards
/// its successor's producer, or the transaction's timeout, does it; or the end of the session.
const LAST_ABORT: Duration = Duration::from_secs(5);

/// Where the thread's producer stands between transactions.
pub(crate) struct Transactions {
    phase: Phase,
    supply: ProducerSupply,
    /// The first trouble since the last commit.
    trouble_since: Option<Instant>,
    /// Under at-least-once: after records were lost nothing is processed before then.
    pause_until: Option<Instant>,
}

/// How to make another producer.
pub(crate) struct ProducerSupply {
    pub(crate) clients: Arc<dyn ClientSupplier>,
    /// Transactional under exactly-once.
    pub(crate) options: ProducerOptions,
    pub(crate) wake: WakeRef,
}

enum Phase {
    /// At-least-once: there are none.
    Off,
    /// The producer takes its id, which ends what an earlier one has left open.
    Starting(Pending),
    /// Records can be sent.
    Ready,
    /// What was sent is being aborted.
    Aborting(Pending),
}

/// A call that is repeated until it succeeds.
struct Pending {
    call: Option<Call<()>>,
    due: Instant,
}

/// A thread that has failed, and before it says so aborts, or waits for its records to arrive.
pub(crate) struct Failing {
    error: StreamsError,
    call: Call<()>,
    deadline: Instant,
}

impl ProducerSupply {
    pub(crate) fn is_transactional(&self) -> bool {
        self.options.transactional_id.is_some()
    }

    pub(crate) fn collector(&self) -> Result<Collector, ClientError> {
        let producer = self.clients.producer(self.options.clone(), self.wake.clone())?;
        Ok(Collector::new(producer, self.is_transactional()))
    }
}

impl Transactions {
    pub(crate) fn new(supply: ProducerSupply, now: Instant) -> Self {
        let phase = if supply.is_transactional() {
            Phase::Starting(Pending { call: None, due: now })
        } else {
            Phase::Off
        };
        Self { phase, supply, trouble_since: None, pause_until: None }
    }

    /// Whether there are any.
    pub(crate) fn exactly_once(&self) -> bool {
        !matches!(self.phase, Phase::Off)
    }

    /// Whether nothing about the producer is pending.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Off | Phase::Ready)
    }

    /// Whether a transaction is being aborted.
    pub(crate) fn is_aborting(&self) -> bool {
        matches!(self.phase, Phase::Aborting(_))
    }

    /// When a call is to be repeated.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Starting(Pending { call: None, due })
            | Phase::Aborting(Pending { call: None, due }) => Some(*due),
            _ => self.pause_until,
        }
    }

    /// A transaction was committed.
    pub(crate) fn succeeded(&mut self) {
        self.trouble_since = None;
    }
}

impl StreamThread {
    /// Whether records may be processed now. Not while a transaction is being ended.
    pub(crate) fn may_process(&self) -> bool {
        self.transactions.is_ready()
            && self.transactions.pause_until.is_none()
            && !(self.transactions.exactly_once() && self.commit.is_some())
    }

    /// Goes on with the start of the producer, or with an abort.
    pub(crate) fn poll_transactions(&mut self, now: Instant) -> Result<(), StreamsError> {
        self.transactions.pause_until.take_if(|until| *until <= now);
        let collector = Collector::of(&mut self.collector);
        let (pending, stage) = match &mut self.transactions.phase {
            Phase::Off | Phase::Ready => return Ok(()),
            Phase::Starting(pending) => (pending, Stage::Init),
            Phase::Aborting(pending) => (pending, Stage::Abort),
        };
        let Some(call) = &mut pending.call else {
            if pending.due <= now {
                pending.call = Some(match stage {
                    Stage::Init => collector.init(),
                    _ => collector.abort(),
                });
                self.progress = true;
                if stage == Stage::Init {
                    self.reached(CommitStep::ProducerStarting);
                }
            }
            return Ok(());
        };
        let Some(answer) = call.try_take() else { return Ok(()) };
        self.progress = true;
        match answer {
            Ok(()) => {
                collector.transaction_ended();
                self.transactions.phase = Phase::Ready;
                self.reached(match stage {
                    Stage::Init => CommitStep::ProducerStarted,
                    _ => CommitStep::Aborted,
                });
                Ok(())
            }
            Err(error) => {
                *pending = Pending { call: None, due: now + RETRY_INTERVAL };
                match self.react_to(stage, &error, now)? {
                    ErrorReaction::Fail => Err(self.client_error(error, "use transactions")),
                    _ => Ok(()),
                }
            }
        }
    }

    /// A task gave up: by what its producer says, or by the application's own failure.
    pub(crate) fn task_failed(
        &mut self,
        id: TaskId,
        error: TaskError,
        now: Instant,
    ) -> Result<(), StreamsError> {
        match error {
            TaskError::Streams(error) => {
                // Whoever takes this thread's place knows which task it was.
                self.note_failure(id, &error, now);
                Err(error)
            }
            TaskError::Retry(error) => self.retry_task(id, error, now),
            TaskError::Client(error) => self.producer_failed(error, now),
        }
    }

    /// The producer took no record.
    pub(crate) fn producer_failed(
        &mut self,
        error: ClientError,
        now: Instant,
    ) -> Result<(), StreamsError> {
        // After a record was lost the producer refuses all others: why it was lost says more.
        if self.check_deliveries(now)? {
            return Ok(());
        }
        match self.react_to(Stage::Send, &error, now)? {
            ErrorReaction::Fail => Err(self.client_error(error, "write records")),
            _ => Ok(()),
        }
    }

    /// Does what an error of the producer asks for; `Repeat` and `Fail` are left to the caller.
    /// Under at-least-once, where there is no transaction to abort, the tasks go back just so: what
    /// was lost is written again.
    pub(crate) fn react_to(
        &mut self,
        stage: Stage,
        error: &ClientError,
        now: Instant,
    ) -> Result<ErrorReaction, StreamsError> {
        let mut reaction = error_reaction(stage, error.kind);
        let in_doubt = self.commit.as_ref().is_some_and(CommitAttempt::may_be_committed);
        if reaction == ErrorReaction::Abort && in_doubt {
            reaction = ErrorReaction::NewProducer;
        }
        if reaction == ErrorReaction::Fail {
            return Ok(reaction);
        }
        tracing::warn!(thread = %self.name, %error, ?stage, ?reaction, "trouble with the producer");
        let since = *self.transactions.trouble_since.get_or_insert(now);
        if now.since(since) > self.shared.config.task_timeout {
            return Err(self.client_error(error.clone(), "write records"));
        }
        match reaction {
            ErrorReaction::Abort => self.abort_transaction(now)?,
            ErrorReaction::NewProducer => self.new_producer(since < now, now)?,
            ErrorReaction::Repeat | ErrorReaction::Fail => {}
        }
        if !self.transactions.exactly_once() {
            self.transactions.pause_until = Some(now + RETRY_INTERVAL);
        }
        Ok(reaction)
    }

    /// Nothing since the last commit has happened: not in Kafka, not in any task.
    pub(crate) fn abort_transaction(&mut self, now: Instant) -> Result<(), StreamsError> {
        self.commit = None;
        self.begin_abort(now);
        self.give_up_records(now);
        // If anything is sealed it is of the last attempt: there is only one at a time.
        self.settle_tasks(Event::Aborted, Attempt(self.attempts))?;
        self.end_turn(now);
        Ok(())
    }

    fn begin_abort(&mut self, now: Instant) {
        self.progress = true;
        if !self.transactions.exactly_once() {
            return;
        }
        let collector = Collector::of(&mut self.collector);
        self.transactions.phase = if collector.in_transaction() {
            Phase::Aborting(Pending { call: Some(collector.abort()), due: now })
        } else {
            Phase::Ready
        };
        if self.transactions.is_aborting() {
            self.reached(CommitStep::Aborting);
        }
    }

    /// The producer is dead, or does not say how its transaction ended. A new one with the same id
    /// makes Kafka decide; tasks are created only afterwards, so that they read the outcome.
    pub(crate) fn new_producer(&mut self, again: bool, now: Instant) -> Result<(), StreamsError> {
        self.commit = None;
        self.turn.clear();
        self.settle_tasks(Event::ProducerLost, Attempt(self.attempts))?;
        let collector = self.transactions.supply.collector();
        let collector = collector.map_err(|error| self.client_error(error, "make a producer"))?;
        let dead = std::mem::replace(&mut self.collector, Box::new(collector));
        // Its threads end in their own time.
        self.worker.send(WorkerRequest::Discard(dead));
        let due = if again { now + RETRY_INTERVAL } else { now };
        if self.transactions.exactly_once() {
            self.transactions.phase = Phase::Starting(Pending { call: None, due });
        }
        self.progress = true;
        Ok(())
    }

    /// All tasks were lost with the membership: what they had sent must not be committed.
    pub(crate) fn lose_transaction(
        &mut self,
        commit: Option<&CommitAttempt>,
        now: Instant,
    ) -> Result<(), StreamsError> {
        if !matches!(self.transactions.phase, Phase::Ready) {
            return Ok(());
        }
        if commit.is_some_and(CommitAttempt::may_be_committed) {
            // An abort of it may come too late.
            return self.new_producer(false, now);
        }
        self.begin_abort(now);
        Ok(())
    }

    /// There was no time for a last commit, nor is there to wait for an abort. If nobody hears of
    /// this one, the next producer with the id aborts, or the transaction's timeout does.
    pub(crate) fn abort_at_the_end(&mut self) {
        let collector = Collector::of(&mut self.collector);
        if collector.in_transaction() {
            drop(collector.abort());
        }
    }

    /// The end of a thread that has failed. Its transaction is aborted first, so that nobody has
    /// to wait for its timeout; without one its records arrive before others have its tasks.
    pub(crate) fn begin_failing(
        &mut self,
        error: StreamsError,
        now: Instant,
    ) -> Result<(), StreamsError> {
        let decided = self.commit.as_ref().is_some_and(CommitAttempt::may_be_committed);
        self.drop_all_tasks(Event::Failed);
        let deadline = now + LAST_ABORT;
        let collector = Collector::of(&mut self.collector);
        if self.unfenced.is_some() {
            let call = collector.flush();
            self.give_up_records(now);
            self.failing = Some(Failing { error, call, deadline });
            return Ok(());
        }
        if decided || !collector.in_transaction() {
            return Err(error);
        }
        let call = match &mut self.transactions.phase {
            Phase::Aborting(Pending { call, .. }) if call.is_some() => {
                call.take().expect("it was just seen")
            }
            _ => collector.abort(),
        };
        self.failing = Some(Failing { error, call, deadline });
        Ok(())
    }

    /// Until when a thread that has failed waits; the error when it need not wait any more.
    pub(crate) fn poll_failing(&mut self, now: Instant) -> Result<Option<Instant>, StreamsError> {
        let Some(mut failing) = self.failing.take() else { return Ok(None) };
        match failing.call.try_take() {
            None if now < failing.deadline => {
                let deadline = failing.deadline;
                self.failing = Some(failing);
                Ok(Some(deadline))
            }
            Some(Err(error)) if error.is_retriable() && now < failing.deadline => {
                let collector = Collector::of(&mut self.collector);
                failing.call = match self.unfenced {
                    Some(_) => collector.flush(),
                    None => collector.abort(),
                };
                let deadline = failing.deadline;
                self.failing = Some(failing);
                Ok(Some(deadline.min(now + RETRY_INTERVAL)))
            }
            Some(Ok(())) => {
                self.records_arrived();
                Err(failing.error)
            }
            _ => Err(failing.error),
        }
    }
}
