//! The transaction coordinator: producer ids and epochs, fencing, the end of transactions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streams_core::client::{
    ClientError, ClientErrorKind, CommitOutcome, GroupMetadata, OffsetToCommit,
};
use streams_core::time::Instant;

use super::cluster::Cluster;
use super::coordinator::Groups;
use super::log::{Identity, ProducerId};
use super::partition::Partition;
use super::topic::invalid;

/// All transactional ids.
#[derive(Default)]
pub(super) struct Transactions(Mutex<BTreeMap<Arc<str>, Arc<TransactionalId>>>);

/// One transactional id.
pub(super) struct TransactionalId {
    name: Arc<str>,
    state: Mutex<State>,
}

struct State {
    producer: ProducerId,
    /// -1 before the first producer.
    epoch: i32,
    open: Option<Open>,
    /// The last transaction that ended, so that a repeated request learns how.
    ended: Option<Ended>,
}

/// The transaction that is open.
struct Open {
    /// The producer's count of its transactions: a late request cannot end another one.
    number: u64,
    deadline: Instant,
    partitions: Vec<Arc<Partition>>,
    /// The group whose offsets are in it.
    group: Option<Arc<str>>,
    /// Why it can only be aborted.
    failed: Option<ClientError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Ended {
    epoch: i32,
    number: u64,
    committed: bool,
}

/// A transaction of a producer that the coordinator gave `identity`.
#[derive(Clone)]
pub(super) struct Transaction {
    pub(super) id: Arc<TransactionalId>,
    pub(super) identity: Identity,
    pub(super) number: u64,
}

impl Transactions {
    /// The state of a transactional id, made on first use.
    pub(super) fn get(&self, name: &str) -> Arc<TransactionalId> {
        let mut ids = self.lock();
        if let Some(id) = ids.get(name) {
            return id.clone();
        }
        // Numbers count from one; nothing ever removes an id.
        let producer = ProducerId::try_from(ids.len() + 1).unwrap_or(ProducerId::MAX);
        let name: Arc<str> = name.into();
        let state = Mutex::new(State { producer, epoch: -1, open: None, ended: None });
        let id = Arc::new(TransactionalId { name: name.clone(), state });
        ids.insert(name, id.clone());
        id
    }

    /// Aborts the transactions that were open for too long, and fences their producers.
    pub(super) fn expire(&self, now: Instant, groups: &Groups) {
        for id in self.all() {
            let mut state = id.lock();
            if state.open.as_ref().is_some_and(|open| open.deadline <= now) {
                state.epoch += 1;
                state.end(groups, false);
            }
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.all().iter().filter_map(|id| id.lock().open.as_ref().map(|o| o.deadline)).min()
    }

    fn all(&self) -> Vec<Arc<TransactionalId>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<TransactionalId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TransactionalId {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Fences earlier producers, aborts what they left open, and names a new one.
    pub(super) fn init(&self, groups: &Groups) -> Identity {
        let mut state = self.lock();
        state.epoch += 1;
        state.end(groups, false);
        state.identity()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transaction {
    /// Whether this producer may begin another transaction: `Ok(false)` while this one is open.
    pub(super) fn has_ended(&self) -> Result<bool, ClientError> {
        let state = self.state()?;
        Ok(self.ended(&state).is_some())
    }

    /// A partition is about to be written: opens the transaction, if this is its first one.
    pub(super) fn add_partition(
        &self,
        cluster: &Cluster,
        partition: &Arc<Partition>,
    ) -> Result<(), ClientError> {
        let mut state = self.state()?;
        self.open(&mut state, cluster)?.partitions.push(partition.clone());
        Ok(())
    }

    pub(super) fn abort(&self, cluster: &Cluster) -> Result<(), ClientError> {
        let mut state = self.state()?;
        self.check_latest(&state)?;
        match self.ended(&state) {
            Some(true) => Err(invalid(format!(
                "the transaction of {} cannot be aborted: it was committed",
                self.id.name
            ))),
            Some(false) => Ok(()),
            None => {
                state.end(&cluster.groups, false);
                state.ended = Some(self.as_ended(false));
                Ok(())
            }
        }
    }

    /// First half of a commit: the group takes the offsets, or refuses them. `None` when the
    /// transaction can be ended.
    pub(super) fn hold_offsets(
        &self,
        cluster: &Cluster,
        offsets: &[OffsetToCommit],
        group: &GroupMetadata,
    ) -> Option<CommitOutcome> {
        let mut state = match self.state() {
            Ok(state) => state,
            Err(error) => return Some(CommitOutcome::Fatal(error)),
        };
        if let Err(error) = self.check_latest(&state) {
            return Some(CommitOutcome::Aborted(error));
        }
        if let Some(committed) = self.ended(&state) {
            return Some(outcome_of(committed));
        }
        let producer = state.producer;
        let open = match self.open(&mut state, cluster) {
            Ok(open) => open,
            Err(error) => return Some(CommitOutcome::Aborted(error)),
        };
        if open.failed.is_none() && open.group.is_none() {
            match cluster.hold_offsets(producer, group, offsets) {
                Ok(()) => open.group = Some(group.group.clone()),
                Err(error) => open.failed = Some(error),
            }
        }
        open.failed.clone().map(CommitOutcome::Aborted)
    }

    /// Second half of a commit: everything becomes visible.
    pub(super) fn end_committed(&self, cluster: &Cluster) -> CommitOutcome {
        let mut state = match self.state() {
            Ok(state) => state,
            Err(error) => return CommitOutcome::Fatal(error),
        };
        if let Err(error) = self.check_latest(&state) {
            return CommitOutcome::Aborted(error);
        }
        if let Some(committed) = self.ended(&state) {
            return outcome_of(committed);
        }
        state.end(&cluster.groups, true);
        state.ended = Some(self.as_ended(true));
        CommitOutcome::Committed
    }

    /// The state, unless a newer producer fenced this one.
    fn state(&self) -> Result<MutexGuard<'_, State>, ClientError> {
        let state = self.id.lock();
        if state.identity() == self.identity { Ok(state) } else { Err(fenced(&self.id.name)) }
    }

    /// A request that comes again must not touch, or open, what came after it.
    fn check_latest(&self, state: &State) -> Result<(), ClientError> {
        let open = state.open.as_ref().map_or(0, |open| open.number);
        let ended = state.ended.filter(|ended| ended.epoch == self.identity.epoch);
        if self.number < open.max(ended.map_or(0, |ended| ended.number)) {
            return Err(invalid(format!("a later transaction of {} has begun", self.id.name)));
        }
        Ok(())
    }

    /// How this transaction ended, if it did: whether it was committed.
    fn ended(&self, state: &State) -> Option<bool> {
        let same = |e: &Ended| e.epoch == self.identity.epoch && e.number == self.number;
        state.ended.filter(same).map(|ended| ended.committed)
    }

    fn as_ended(&self, committed: bool) -> Ended {
        Ended { epoch: self.identity.epoch, number: self.number, committed }
    }

    fn open<'a>(
        &self,
        state: &'a mut State,
        cluster: &Cluster,
    ) -> Result<&'a mut Open, ClientError> {
        let open = state.open.get_or_insert_with(|| Open {
            number: self.number,
            deadline: cluster.transaction_deadline(),
            partitions: Vec::new(),
            group: None,
            failed: None,
        });
        if open.number == self.number {
            Ok(open)
        } else {
            Err(invalid(format!("an earlier transaction of {} is still open", self.id.name)))
        }
    }
}

impl State {
    fn identity(&self) -> Identity {
        Identity { id: self.producer, epoch: self.epoch }
    }

    /// Writes the markers and settles the offsets of the open transaction, if there is one.
    fn end(&mut self, groups: &Groups, committed: bool) {
        let Some(open) = self.open.take() else { return };
        let identity = self.identity();
        for partition in &open.partitions {
            // A topic that was deleted meanwhile needs no marker.
            drop(partition.with_log(|log| log.end_transaction(identity, committed)));
        }
        if let Some(group) = &open.group {
            groups.settle(group, self.producer, committed);
        }
    }
}

pub(super) fn fenced(transactional_id: &str) -> ClientError {
    ClientError::new(
        ClientErrorKind::ProducerFenced,
        format!(
            "another producer uses transactional id {transactional_id}, or its transaction took \
             longer than the transaction timeout; make a new producer"
        ),
    )
}

fn outcome_of(committed: bool) -> CommitOutcome {
    if committed {
        CommitOutcome::Committed
    } else {
        CommitOutcome::Aborted(ClientError::new(
            ClientErrorKind::AbortTransaction,
            "the transaction was aborted",
        ))
    }
}
