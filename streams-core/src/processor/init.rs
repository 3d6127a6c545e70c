//! What the supplier of a processor may do, once per task.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::context::ProcessorContext;
use super::traits::Processor;
use crate::error::BoxError;
use crate::record::Timestamp;
use crate::task::{TaskState, TimerKind, Timers};
use crate::task_id::TaskId;

/// What a timer calls: `now` is the stream time or the wall clock time at which it fired.
pub type Punctuator<P> = Box<
    dyn Fn(
            &mut P,
            Timestamp,
            &mut ProcessorContext<'_, <P as Processor>::KOut, <P as Processor>::VOut>,
        ) -> Result<(), BoxError>
        + Send,
>;

/// Handed to the supplier. Timers are set here and nowhere else: what a task holds must be
/// rebuilt by its suppliers after an abort.
pub struct ProcessorInit<'a, P: Processor> {
    pub(crate) node: usize,
    pub(crate) state: &'a mut TaskState,
    pub(crate) timers: &'a mut Timers,
    pub(crate) punctuators: Vec<Punctuator<P>>,
    pub(crate) children: &'a [Arc<str>],
}

impl<P: Processor> ProcessorInit<'_, P> {
    /// Calls `punctuator` with the stream time: first at the first record, then whenever stream
    /// time has passed a multiple of `interval`. Missed calls collapse into one.
    ///
    /// Intervals under a millisecond count as one.
    pub fn every_stream_time(
        &mut self,
        interval: Duration,
        punctuator: impl Fn(
            &mut P,
            Timestamp,
            &mut ProcessorContext<'_, P::KOut, P::VOut>,
        ) -> Result<(), BoxError>
        + Send
        + 'static,
    ) {
        self.add(TimerKind::StreamTime, Timestamp::from_millis(0), interval, Box::new(punctuator));
    }

    /// Calls `punctuator` with the wall clock time: first when `interval` has passed, then each
    /// time that it has passed again. Missed calls collapse into one.
    pub fn every_wall_clock(
        &mut self,
        interval: Duration,
        punctuator: impl Fn(
            &mut P,
            Timestamp,
            &mut ProcessorContext<'_, P::KOut, P::VOut>,
        ) -> Result<(), BoxError>
        + Send
        + 'static,
    ) {
        let first = self.state.wall_clock() + interval.max(Duration::from_millis(1));
        self.add(TimerKind::WallClock, first, interval, Box::new(punctuator));
    }

    /// As [`every_wall_clock`](Self::every_wall_clock), anchored: calls happen at `start` plus
    /// multiples of `interval`, at a certain time of day for instance. A start in the past stands
    /// for its next multiple.
    pub fn every_wall_clock_from(
        &mut self,
        start: Timestamp,
        interval: Duration,
        punctuator: impl Fn(
            &mut P,
            Timestamp,
            &mut ProcessorContext<'_, P::KOut, P::VOut>,
        ) -> Result<(), BoxError>
        + Send
        + 'static,
    ) {
        let first = Timers::next_multiple(start, interval, self.state.wall_clock());
        self.add(TimerKind::WallClock, first, interval, Box::new(punctuator));
    }

    /// Which task this is.
    pub fn task_id(&self) -> TaskId {
        self.state.task_id()
    }

    /// The application's id.
    pub fn application_id(&self) -> &str {
        self.state.application_id()
    }

    /// The child of that name, for `forward_to`. If there is none, `forward_to` is an error.
    pub fn child(&self, name: &str) -> ChildHandle<P::KOut, P::VOut> {
        let index = self.children.iter().position(|child| **child == *name);
        ChildHandle { index: index.unwrap_or(usize::MAX), records: PhantomData }
    }

    /// The names of the children, in the order in which they were added.
    pub fn children(&self) -> &[Arc<str>] {
        self.children
    }

    /// State that all processors of this task share that ask for the same key: made by the first
    /// of them, dropped and made anew as processors are.
    ///
    /// A key belongs to one type; another type under the same key is another state.
    pub fn shared<T: Send + 'static>(
        &mut self,
        key: &str,
        init: impl FnOnce() -> T,
    ) -> SharedHandle<T> {
        let slot = self.state.shared_slot(key, init);
        SharedHandle { slot, state: PhantomData }
    }

    /// A time that is committed together with the positions of the task's inputs, under this key:
    /// after an abort or a restart it is what it was when they were.
    ///
    /// There is room for few, and their keys should be short: they travel with each committed
    /// offset.
    pub fn committed_time(&mut self, key: &str) -> CommittedTime {
        CommittedTime(self.state.committed_times.claim(key))
    }

    /// The largest time of the records that this processor has seen: `operator` is its name. As
    /// [`committed_time`](Self::committed_time), but without the promise that it is there after a
    /// restart, if there are too many.
    pub fn observed_time(&mut self, operator: &str) -> CommittedTime {
        CommittedTime(self.state.committed_times.claim_observed(operator))
    }

    fn add(
        &mut self,
        kind: TimerKind,
        first: Timestamp,
        interval: Duration,
        punctuator: Punctuator<P>,
    ) {
        self.timers.add(kind, self.node, self.punctuators.len(), first, interval);
        self.punctuators.push(punctuator);
    }
}

/// One child of a processor.
pub struct ChildHandle<K, V> {
    index: usize,
    records: PhantomData<fn() -> (K, V)>,
}

impl<K, V> ChildHandle<K, V> {
    pub(crate) fn index(self) -> usize {
        self.index
    }
}

impl<K, V> Clone for ChildHandle<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for ChildHandle<K, V> {}

/// A time that is committed with the positions of the inputs.
#[derive(Clone, Copy, Debug)]
pub struct CommittedTime(pub(crate) usize);

/// A slot of state that several processors of one task share.
pub struct SharedHandle<T> {
    slot: usize,
    state: PhantomData<fn() -> T>,
}

impl<T> SharedHandle<T> {
    pub(crate) fn slot(self) -> usize {
        self.slot
    }
}

impl<T> Clone for SharedHandle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SharedHandle<T> {}
