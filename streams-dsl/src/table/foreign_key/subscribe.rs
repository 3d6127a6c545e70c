//! The left side of a foreign-key join: each change of a row becomes subscriptions, sent to the
//! partitions of its foreign keys.

use std::sync::Arc;

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::serdes::Bytes;
use streams_core::stores::Change;
use streams_core::task::DropReason;
use streams_core::{BoxError, Data};

use super::bytes::ByteSerde;
use super::messages::{Instruction, Subscription};
use super::murmur3::{ValueHash, hash};
use crate::table::OUT_OF_ORDER;

/// Tells the foreign key of a row.
pub(crate) type Extract<K, V, FK> = dyn Fn(&K, &V) -> Option<FK> + Send + Sync;

/// Sends subscriptions of rows.
pub(crate) struct Subscribe<K, V, FK> {
    pub(crate) foreign_key: Arc<Extract<K, V, FK>>,
    pub(crate) keys: ByteSerde<K>,
    pub(crate) values: ByteSerde<V>,
    pub(crate) foreign_keys: ByteSerde<FK>,
    /// Rows without a match are results too.
    pub(crate) left_join: bool,
    /// What changes the past of a versioned table changes no result.
    pub(crate) versioned: bool,
}

impl<K: Data, V: Data, FK: Data> Processor for Subscribe<K, V, FK> {
    type KIn = K;
    type VIn = Change<V>;
    type KOut = Option<Bytes>;
    type VOut = Subscription;

    fn process(
        &mut self,
        key: K,
        change: Change<V>,
        ctx: &mut ProcessorContext<'_, Option<Bytes>, Subscription>,
    ) -> Result<(), BoxError> {
        if self.versioned && !change.is_latest {
            ctx.dropped(OUT_OF_ORDER);
            return Ok(());
        }
        if change.is_empty() {
            return Ok(());
        }
        let old = self.foreign_key(&key, change.old.as_deref())?;
        let new = self.foreign_key(&key, change.new.as_deref())?;
        let value = change.new.as_deref().map(|value| self.values.bytes(value)).transpose()?;
        let row = Row {
            key: self.keys.bytes(&key)?,
            hash: value.map(|value| hash(value.as_slice())),
            partition: ctx.task_id().partition,
        };
        if self.left_join {
            return left_join(row, old, new, ctx);
        }
        if new.is_none() && row.hash.is_some() {
            ctx.dropped(DropReason::Other("null-foreign-key"));
        }
        inner_join(row, old, new, ctx)
    }
}

impl<K: Data, V: Data, FK: Data> Subscribe<K, V, FK> {
    fn foreign_key(&mut self, key: &K, value: Option<&V>) -> Result<Option<Bytes>, BoxError> {
        let foreign_key = value.and_then(|value| (self.foreign_key)(key, value));
        let foreign_key = foreign_key.filter(|key| !self.foreign_keys.is_null(key));
        foreign_key.map(|key| self.foreign_keys.bytes(&key)).transpose()
    }
}

/// What all subscriptions of one change have in common.
struct Row {
    key: Bytes,
    /// `None`: the row was deleted.
    hash: Option<ValueHash>,
    partition: i32,
}

type Context<'a> = ProcessorContext<'a, Option<Bytes>, Subscription>;

impl Row {
    fn send(
        &self,
        to: Option<Bytes>,
        instruction: Instruction,
        ctx: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let subscription = Subscription {
            hash: self.hash,
            instruction,
            primary_key: self.key.clone(),
            partition: Some(self.partition),
        };
        ctx.forward(to, subscription)
    }
}

/// A row always has a result, also without a foreign key: then nobody is asked, but the answer
/// comes the same way, so that it cannot overtake an earlier one.
fn left_join(
    row: Row,
    old: Option<Bytes>,
    new: Option<Bytes>,
    ctx: &mut Context<'_>,
) -> Result<(), BoxError> {
    if old.is_some() && old != new {
        row.send(old, Instruction::Delete, ctx)?;
    }
    row.send(new, Instruction::PropagateAlways, ctx)
}

fn inner_join(
    row: Row,
    old: Option<Bytes>,
    new: Option<Bytes>,
    ctx: &mut Context<'_>,
) -> Result<(), BoxError> {
    match (old, new) {
        (None, None) => Ok(()),
        (Some(old), None) => row.send(Some(old), Instruction::DeleteAndPropagate, ctx),
        (None, Some(new)) => row.send(Some(new), Instruction::PropagateIfFound, ctx),
        (Some(old), Some(new)) if old == new => {
            // If there is no such row, there was no result before either.
            row.send(Some(new), Instruction::PropagateIfFound, ctx)
        }
        (Some(old), Some(new)) => {
            row.send(Some(old), Instruction::Delete, ctx)?;
            // There may be a result of the old row: it is taken back if there is no new one.
            row.send(Some(new), Instruction::PropagateAlways, ctx)
        }
    }
}
