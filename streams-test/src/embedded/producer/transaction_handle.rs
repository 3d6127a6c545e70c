//! The transactional side of a producer: what it may do when.

use std::sync::{Arc, Mutex, PoisonError};

use streams_core::client::{
    ClientError, ClientErrorKind, CommitOutcome, GroupMetadata, OffsetToCommit,
};

use crate::embedded::log::Identity;
use crate::embedded::topic::invalid;
use crate::embedded::transactions::{Transaction, TransactionalId};

/// One transaction after the other.
pub(super) struct TransactionHandle {
    pub(super) id: Arc<TransactionalId>,
    /// Filled when `init_transactions` is done.
    identity: Arc<Mutex<Option<Identity>>>,
    current: Option<Transaction>,
    number: u64,
    phase: Phase,
}

enum Phase {
    Idle,
    Begun,
    /// A commit or an abort was asked for; whether it came to pass, the coordinator knows.
    Ending,
    /// It can only be aborted.
    Failed(ClientError),
    /// This producer can do nothing any more.
    Dead(ClientError),
}

/// How far an error reaches.
pub(super) enum Refused {
    /// The client did not take the record: the transaction can go on without it.
    Record(ClientError),
    /// A record of the transaction is lost: it can only be aborted.
    Transaction(ClientError),
    /// The producer is fenced.
    Producer(ClientError),
}

impl Refused {
    pub(super) fn of(error: ClientError) -> Self {
        match error.kind {
            ClientErrorKind::ProducerFenced | ClientErrorKind::Fatal => Self::Producer(error),
            ClientErrorKind::RecordTooLarge => Self::Record(error),
            _ => Self::Transaction(error),
        }
    }

    pub(super) fn error(&self) -> &ClientError {
        match self {
            Self::Record(error) | Self::Transaction(error) | Self::Producer(error) => error,
        }
    }
}

/// What a call of `commit` leads to.
pub(super) enum CommitStart {
    Attempt(Transaction),
    /// No need to ask the coordinator.
    Outcome(CommitOutcome),
}

impl TransactionHandle {
    pub(super) fn new(id: Arc<TransactionalId>) -> Self {
        Self { id, identity: Arc::default(), current: None, number: 0, phase: Phase::Idle }
    }

    /// The transaction that was begun last.
    pub(super) fn current(&self) -> Result<&Transaction, ClientError> {
        self.current.as_ref().ok_or_else(not_begun)
    }

    /// The id, and where the identity goes.
    pub(super) fn start_init(
        &mut self,
    ) -> Result<(Arc<TransactionalId>, Arc<Mutex<Option<Identity>>>), ClientError> {
        // The answer to an earlier call may have been lost; after a begin it was heard of.
        if self.number > 0 {
            return Err(invalid(format!(
                "the producer of {} was initialized already; make a new one",
                self.id.name()
            )));
        }
        // Of several calls the last one counts.
        self.identity = Arc::default();
        Ok((self.id.clone(), self.identity.clone()))
    }

    pub(super) fn begin(&mut self) -> Result<(), ClientError> {
        self.check_begin()?;
        let identity = *self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = identity.ok_or_else(|| {
            invalid(format!("initialize the transactions of {} first", self.id.name()))
        })?;
        self.number += 1;
        self.current = Some(Transaction { id: self.id.clone(), identity, number: self.number });
        self.phase = Phase::Begun;
        Ok(())
    }

    #[inline]
    pub(super) fn check_send(&self) -> Result<(), ClientError> {
        match &self.phase {
            Phase::Begun => Ok(()),
            Phase::Idle | Phase::Ending => Err(not_begun()),
            Phase::Failed(error) => Err(ClientError::new(
                ClientErrorKind::AbortTransaction,
                format!("abort the transaction first: {error}"),
            )),
            Phase::Dead(error) => Err(error.clone()),
        }
    }

    pub(super) fn refused(&mut self, refused: Refused) {
        match refused {
            Refused::Record(_) => {}
            Refused::Transaction(error) => self.phase = Phase::Failed(error),
            Refused::Producer(error) => self.phase = Phase::Dead(error),
        }
    }

    pub(super) fn start_commit(
        &mut self,
        offsets: &[OffsetToCommit],
        group: &GroupMetadata,
    ) -> Result<CommitStart, ClientError> {
        match &self.phase {
            Phase::Idle => return Err(not_begun()),
            Phase::Failed(error) => {
                return Ok(CommitStart::Outcome(CommitOutcome::Aborted(error.clone())));
            }
            Phase::Dead(error) => {
                return Ok(CommitStart::Outcome(CommitOutcome::Fatal(error.clone())));
            }
            Phase::Begun | Phase::Ending => {}
        }
        if offsets.is_empty() {
            return Err(invalid("a transaction without offsets is not fenced; add some"));
        }
        check_member(group)?;
        let transaction = self.current()?.clone();
        self.phase = Phase::Ending;
        Ok(CommitStart::Attempt(transaction))
    }

    pub(super) fn start_abort(&mut self) -> Result<Transaction, ClientError> {
        match &self.phase {
            Phase::Idle => Err(not_begun()),
            Phase::Dead(error) => Err(error.clone()),
            Phase::Begun | Phase::Ending | Phase::Failed(_) => {
                let transaction = self.current()?.clone();
                self.phase = Phase::Ending;
                Ok(transaction)
            }
        }
    }

    fn check_begin(&mut self) -> Result<(), ClientError> {
        match &self.phase {
            Phase::Idle => Ok(()),
            Phase::Begun | Phase::Failed(_) => {
                Err(invalid(format!("a transaction of {} is begun already", self.id.name())))
            }
            Phase::Dead(error) => Err(error.clone()),
            Phase::Ending => match self.current.as_ref().map(Transaction::has_ended) {
                None | Some(Ok(true)) => Ok(()),
                Some(Ok(false)) => Err(invalid(format!(
                    "nobody knows how the last transaction of {} ended; commit or abort it again",
                    self.id.name()
                ))),
                Some(Err(error)) => {
                    self.phase = Phase::Dead(error.clone());
                    Err(error)
                }
            },
        }
    }
}

/// The member that commits must be known, or it would not be fenced.
pub(in crate::embedded) fn check_member(group: &GroupMetadata) -> Result<(), ClientError> {
    if group.member_id.is_empty() || group.generation < 0 {
        return Err(invalid(format!(
            "a commit for group {} needs a member id and a generation, or it is not fenced",
            group.group
        )));
    }
    Ok(())
}

fn not_begun() -> ClientError {
    invalid("no transaction is begun; begin one first")
}
