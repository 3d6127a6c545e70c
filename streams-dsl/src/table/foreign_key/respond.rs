//! The right side of a foreign-key join: subscriptions are kept by foreign key, and answered when
//! they come and when the row of the foreign key changes.

use streams_core::processor::{Processor, ProcessorContext};
use streams_core::serdes::Bytes;
use streams_core::stores::{Change, KeyValueHandle};
use streams_core::task::DropReason;
use streams_core::{BoxError, Data};

use super::bytes::ByteSerde;
use super::messages::{Instruction, Response, Subscription};
use crate::table::{Getter, OUT_OF_ORDER};

/// Subscriptions by `int32 length of the foreign key, foreign key, primary key`.
pub(crate) type Subscriptions = KeyValueHandle<Bytes, Subscription>;

/// Keeps subscriptions. Not generic: one more join costs nothing here.
pub(crate) struct KeepSubscription {
    pub(crate) store: Subscriptions,
}

impl Processor for KeepSubscription {
    type KIn = Option<Bytes>;
    type VIn = Subscription;
    type KOut = Option<Bytes>;
    type VOut = Subscription;

    fn process(
        &mut self,
        foreign_key: Option<Bytes>,
        subscription: Subscription,
        ctx: &mut ProcessorContext<'_, Option<Bytes>, Subscription>,
    ) -> Result<(), BoxError> {
        match &foreign_key {
            Some(key) => {
                let key = store_key(key, &subscription.primary_key)?;
                match subscription.instruction {
                    Instruction::Delete | Instruction::DeleteAndPropagate => {
                        ctx.store(&self.store).delete(&key)?;
                    }
                    Instruction::PropagateAlways | Instruction::PropagateIfFound => {
                        ctx.store(&self.store).put(&key, subscription.clone())?;
                    }
                }
            }
            None if subscription.instruction == Instruction::PropagateAlways => {}
            None => {
                ctx.dropped(DropReason::NullKey);
                return Ok(());
            }
        }
        ctx.forward(foreign_key, subscription)
    }
}

/// Answers a subscription with the row as it is now.
pub(crate) struct AnswerSubscription<FK, V2> {
    pub(crate) rows: Getter<FK, V2>,
    pub(crate) foreign_keys: ByteSerde<FK>,
    pub(crate) foreign_values: ByteSerde<V2>,
}

impl<FK: Data, V2: Data> Processor for AnswerSubscription<FK, V2> {
    type KIn = Option<Bytes>;
    type VIn = Subscription;
    type KOut = Bytes;
    type VOut = Response;

    fn process(
        &mut self,
        foreign_key: Option<Bytes>,
        subscription: Subscription,
        ctx: &mut ProcessorContext<'_, Bytes, Response>,
    ) -> Result<(), BoxError> {
        if subscription.instruction == Instruction::Delete {
            return Ok(());
        }
        let row = match &foreign_key {
            Some(key) => self.rows.get(&mut ctx.state(), &self.foreign_keys.read(key)?)?,
            None => None,
        };
        let time = row.as_ref().map_or(ctx.timestamp(), |row| row.1.max(ctx.timestamp()));
        let value = match subscription.instruction {
            Instruction::PropagateIfFound if row.is_none() => return Ok(()),
            Instruction::DeleteAndPropagate => None,
            _ => row.map(|(value, _)| self.foreign_values.bytes(&value)).transpose()?,
        };
        let Subscription { hash, primary_key, partition, .. } = subscription;
        ctx.forward_at(primary_key, Response { hash, value, partition }, time)
    }
}

/// Answers all subscriptions of a row that changes.
pub(crate) struct AnswerAll<FK, V2> {
    pub(crate) store: Subscriptions,
    pub(crate) foreign_keys: ByteSerde<FK>,
    pub(crate) foreign_values: ByteSerde<V2>,
    /// What changes the past of a versioned table changes no result.
    pub(crate) versioned: bool,
}

impl<FK: Data, V2: Data> Processor for AnswerAll<FK, V2> {
    type KIn = FK;
    type VIn = Change<V2>;
    type KOut = Bytes;
    type VOut = Response;

    fn process(
        &mut self,
        foreign_key: FK,
        change: Change<V2>,
        ctx: &mut ProcessorContext<'_, Bytes, Response>,
    ) -> Result<(), BoxError> {
        if self.versioned && !change.is_latest {
            ctx.dropped(OUT_OF_ORDER);
            return Ok(());
        }
        let foreign_key = self.foreign_keys.bytes(&foreign_key)?;
        let value = change.new.map(|value| self.foreign_values.bytes(&value)).transpose()?;
        answer_all(&self.store, &foreign_key, value, ctx)
    }
}

fn answer_all(
    store: &Subscriptions,
    foreign_key: &Bytes,
    value: Option<Bytes>,
    ctx: &mut ProcessorContext<'_, Bytes, Response>,
) -> Result<(), BoxError> {
    let mut subscribers = store.prefix(&prefix(foreign_key)?);
    while let Some((_, subscription)) = ctx.next(&mut subscribers)? {
        let Subscription { hash, primary_key, partition, .. } = subscription;
        ctx.forward(primary_key, Response { hash, value: value.clone(), partition })?;
    }
    Ok(())
}

fn prefix(foreign_key: &Bytes) -> Result<Vec<u8>, BoxError> {
    let length = i32::try_from(foreign_key.as_slice().len()).map_err(|_| KeyTooLong)?;
    Ok([&length.to_be_bytes(), foreign_key.as_slice()].concat())
}

fn store_key(foreign_key: &Bytes, primary_key: &Bytes) -> Result<Bytes, BoxError> {
    let mut key = prefix(foreign_key)?;
    key.extend_from_slice(primary_key.as_slice());
    Ok(Bytes::from(key.as_slice()))
}

#[derive(Debug, thiserror::Error)]
#[error("a foreign key is longer than 2 GiB")]
struct KeyTooLong;
