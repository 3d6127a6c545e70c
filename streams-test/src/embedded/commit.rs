//! An attempt to commit a transaction, in its two halves, each of which can go wrong.

use streams_core::client::{
    ClientError, ClientErrorKind, CommitOutcome, GroupMetadata, OffsetToCommit, Reply,
};

use super::cluster::Cluster;
use super::faults::{Fault, Step, lost};
use super::transactions::Transaction;

/// One call of `Producer::commit`. Repeating it is safe: what was done is not done again.
pub(super) struct CommitAttempt {
    pub(super) transaction: Transaction,
    pub(super) offsets: Vec<OffsetToCommit>,
    pub(super) group: GroupMetadata,
    pub(super) reply: Reply<CommitOutcome>,
}

impl CommitAttempt {
    pub(super) fn run(self, cluster: &Cluster) {
        let step = Step::TransactionOffsets;
        match cluster.fault(step, self.transaction.id.name()) {
            Fault::None => self.first_half(cluster),
            Fault::Fail(error) => self.answer(outcome_of(error)),
            Fault::Delay(time) | Fault::Block(time) => {
                cluster.timers.at(time, |cluster| self.first_half(cluster));
            }
            Fault::Twice(time) => {
                let (transaction, offsets) = (self.transaction.clone(), self.offsets.clone());
                let group = self.group.clone();
                cluster.timers.at(time, move |cluster| {
                    drop(transaction.hold_offsets(cluster, &offsets, &group));
                });
                self.first_half(cluster);
            }
            Fault::FailLate(error, time) => {
                let (transaction, offsets) = (self.transaction.clone(), self.offsets.clone());
                let group = self.group.clone();
                cluster.timers.at(time, move |cluster| {
                    drop(transaction.hold_offsets(cluster, &offsets, &group));
                });
                self.answer(outcome_of(error));
            }
            Fault::DelayAnswer(time) => {
                let held = self.hold(cluster);
                cluster.timers.at(time, |cluster| self.go_on(cluster, held));
            }
            Fault::LoseAnswer => {
                drop(self.hold(cluster));
                self.answer(CommitOutcome::Unknown(lost(step)));
            }
            Fault::LoseRequest => self.answer(CommitOutcome::Unknown(lost(step))),
        }
    }

    fn first_half(self, cluster: &Cluster) {
        let held = self.hold(cluster);
        self.go_on(cluster, held);
    }

    fn go_on(self, cluster: &Cluster, held: Option<CommitOutcome>) {
        match held {
            Some(outcome) => self.answer(outcome),
            None => self.second_half(cluster),
        }
    }

    fn second_half(self, cluster: &Cluster) {
        let step = Step::Commit;
        match cluster.fault(step, self.transaction.id.name()) {
            Fault::None => self.end(cluster),
            Fault::Fail(error) => self.answer(outcome_of(error)),
            Fault::Delay(time) | Fault::Block(time) => {
                cluster.timers.at(time, |cluster| self.end(cluster));
            }
            Fault::Twice(time) => {
                let transaction = self.transaction.clone();
                cluster.timers.at(time, move |cluster| drop(transaction.end_committed(cluster)));
                self.end(cluster);
            }
            Fault::FailLate(error, time) => {
                let transaction = self.transaction.clone();
                cluster.timers.at(time, move |cluster| drop(transaction.end_committed(cluster)));
                self.answer(outcome_of(error));
            }
            Fault::DelayAnswer(time) => {
                let outcome = self.transaction.end_committed(cluster);
                cluster.timers.at(time, |_| self.answer(outcome));
            }
            Fault::LoseAnswer => {
                drop(self.transaction.end_committed(cluster));
                self.answer(CommitOutcome::Unknown(lost(step)));
            }
            Fault::LoseRequest => self.answer(CommitOutcome::Unknown(lost(step))),
        }
    }

    fn hold(&self, cluster: &Cluster) -> Option<CommitOutcome> {
        self.transaction.hold_offsets(cluster, &self.offsets, &self.group)
    }

    fn end(self, cluster: &Cluster) {
        let outcome = self.transaction.end_committed(cluster);
        self.answer(outcome);
    }

    fn answer(self, outcome: CommitOutcome) {
        self.reply.send(Ok(outcome));
    }
}

/// What an error that was planned means for a commit.
fn outcome_of(error: ClientError) -> CommitOutcome {
    match error.kind {
        ClientErrorKind::Retriable => CommitOutcome::Unknown(error),
        ClientErrorKind::ProducerFenced | ClientErrorKind::Fatal => CommitOutcome::Fatal(error),
        _ => CommitOutcome::Aborted(error),
    }
}
