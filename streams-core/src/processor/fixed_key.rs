//! Processors that may not change the key, so that the stream stays partitioned.

use std::ops::Deref;
use std::time::Duration;

use super::context::{ProcessorContext, StateAccess, record_and_state};
use super::init::{CommittedTime, ProcessorInit, SharedHandle};
use super::traits::{Data, Processor};
use crate::error::BoxError;
use crate::record::{Headers, RecordContext, RecordMetadata, Timestamp};
use crate::stores::{Cursor, Store, StoreHandle};
use crate::task::{DropReason, TaskState};
use crate::task_id::TaskId;

/// May not change the key: `forward` takes back the [`FixedKey`] it was given.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `FixedKeyProcessor`",
    note = "`process_values` takes a supplier that returns a `FixedKeyProcessor`"
)]
pub trait FixedKeyProcessor: Send + Sized + 'static {
    /// The key of what comes in and goes out.
    type Key: Data;
    /// The value of what comes in.
    type VIn: Data;
    /// The value of what is forwarded.
    type VOut: Data;

    /// Handles one record. An error goes to the processing handler, with this processor's name.
    fn process(
        &mut self,
        key: FixedKey<Self::Key>,
        value: Self::VIn,
        ctx: &mut FixedKeyContext<'_, Self::Key, Self::VOut>,
    ) -> Result<(), BoxError>;

    /// Called when the task is closed, not after a failure.
    fn close(&mut self) {}
}

/// A key that only the library makes.
#[derive(Clone, Debug)]
pub struct FixedKey<K>(K);

impl<K> Deref for FixedKey<K> {
    type Target = K;
    fn deref(&self) -> &K {
        &self.0
    }
}

/// As [`ProcessorContext`], for a [`FixedKeyProcessor`].
pub struct FixedKeyContext<'a, K, V> {
    children: &'a [crate::task::Edge<K, V>],
    below: &'a mut [Box<dyn crate::task::Node>],
    record: &'a RecordContext,
    state: &'a mut TaskState,
}

impl<K: Data, V: Data> FixedKeyContext<'_, K, V> {
    /// To every child, with the time and headers of the record in hand.
    #[inline]
    pub fn forward(&mut self, key: FixedKey<K>, value: V) -> Result<(), BoxError> {
        self.open().forward(key.0, value)
    }

    /// To every child, at another time.
    pub fn forward_at(
        &mut self,
        key: FixedKey<K>,
        value: V,
        timestamp: Timestamp,
    ) -> Result<(), BoxError> {
        self.open().forward_at(key.0, value, timestamp)
    }

    /// To every child, with other headers.
    pub fn forward_with_headers(
        &mut self,
        key: FixedKey<K>,
        value: V,
        headers: Headers,
    ) -> Result<(), BoxError> {
        let record = self.record.clone().with_headers(headers);
        self.open().forward_in(key.0, value, &record)
    }

    #[inline]
    fn open(&mut self) -> ProcessorContext<'_, K, V> {
        let Self { children, below, record, state } = self;
        ProcessorContext { children, below, record, state }
    }
}

impl<K, V> FixedKeyContext<'_, K, V> {
    record_and_state!();

    /// The stores and times without the way to the children.
    pub fn state(&mut self) -> StateAccess<'_> {
        StateAccess::new(self.record, self.state)
    }
}

/// Handed to the supplier of a [`FixedKeyProcessor`]; see [`ProcessorInit`].
pub struct FixedKeyInit<'a, 'b, P: FixedKeyProcessor> {
    inner: &'a mut ProcessorInit<'b, FixedKeyNode<P>>,
}

impl<'a, 'b, P: FixedKeyProcessor> FixedKeyInit<'a, 'b, P> {
    pub(crate) fn new(inner: &'a mut ProcessorInit<'b, FixedKeyNode<P>>) -> Self {
        Self { inner }
    }

    /// Calls `punctuator` when stream time has advanced by `interval`. It cannot forward: it has
    /// no key to forward.
    pub fn every_stream_time(
        &mut self,
        interval: Duration,
        punctuator: fn(&mut P, Timestamp, &mut StateAccess<'_>) -> Result<(), BoxError>,
    ) {
        self.inner.every_stream_time(interval, lift(punctuator));
    }

    /// Calls `punctuator` each time that `interval` has passed on the wall clock. It cannot
    /// forward: it has no key to forward.
    pub fn every_wall_clock(
        &mut self,
        interval: Duration,
        punctuator: fn(&mut P, Timestamp, &mut StateAccess<'_>) -> Result<(), BoxError>,
    ) {
        self.inner.every_wall_clock(interval, lift(punctuator));
    }

    /// Which task this is.
    pub fn task_id(&self) -> TaskId {
        self.inner.task_id()
    }

    /// The application's id.
    pub fn application_id(&self) -> &str {
        self.inner.application_id()
    }

    /// See [`ProcessorInit::shared`].
    pub fn shared<T: Send + 'static>(
        &mut self,
        key: &str,
        init: impl FnOnce() -> T,
    ) -> SharedHandle<T> {
        self.inner.shared(key, init)
    }
}

type FixedKeyPunctuator<P> = Box<
    dyn Fn(
            &mut FixedKeyNode<P>,
            Timestamp,
            &mut ProcessorContext<'_, <P as FixedKeyProcessor>::Key, <P as FixedKeyProcessor>::VOut>,
        ) -> Result<(), BoxError>
        + Send,
>;

fn lift<P: FixedKeyProcessor>(
    punctuator: fn(&mut P, Timestamp, &mut StateAccess<'_>) -> Result<(), BoxError>,
) -> FixedKeyPunctuator<P> {
    Box::new(move |node, now, ctx| punctuator(&mut node.0, now, &mut ctx.state()))
}

/// A [`FixedKeyProcessor`] as the arena knows it.
pub(crate) struct FixedKeyNode<P>(pub(crate) P);

impl<P: FixedKeyProcessor> Processor for FixedKeyNode<P> {
    type KIn = P::Key;
    type VIn = P::VIn;
    type KOut = P::Key;
    type VOut = P::VOut;

    #[inline]
    fn process(
        &mut self,
        key: P::Key,
        value: P::VIn,
        ctx: &mut ProcessorContext<'_, P::Key, P::VOut>,
    ) -> Result<(), BoxError> {
        let ProcessorContext { children, below, record, state } = ctx;
        self.0.process(
            FixedKey(key),
            value,
            &mut FixedKeyContext { children, below, record, state },
        )
    }

    fn close(&mut self) {
        self.0.close();
    }
}
