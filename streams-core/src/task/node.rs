//! What the arena holds.

use std::any::Any;

use crate::error::BoxError;
use crate::processor::{Processor, ProcessorContext, Punctuator};
use crate::record::{RecordContext, Timestamp};
use crate::task::TaskState;

/// A node of the arena, whatever its types.
pub(crate) trait Node: Any + Send {
    /// Calls a timer of the node.
    fn punctuate(
        &mut self,
        below: &mut [Box<dyn Node>],
        timer: usize,
        now: Timestamp,
        record: &RecordContext,
        state: &mut TaskState,
    ) -> Result<(), BoxError>;

    /// Forwards what the node held back.
    fn flush(
        &mut self,
        below: &mut [Box<dyn Node>],
        record: &RecordContext,
        state: &mut TaskState,
    ) -> Result<(), BoxError>;

    /// The task ends.
    fn close(&mut self);
}

/// A processor with the way to its children.
pub(super) struct Wired<P: Processor> {
    pub(super) index: usize,
    pub(super) processor: P,
    pub(super) children: Box<[Edge<P::KOut, P::VOut>]>,
    pub(super) punctuators: Vec<Punctuator<P>>,
}

/// The way from a node to a child: where the child lies below it, and how it is entered.
pub(crate) struct Edge<K, V> {
    /// Of the child, in the slice below its parent.
    pub(super) offset: usize,
    pub(super) enter: Enter<K, V>,
}

/// Enters the node at an index of a slice of the arena with a record.
pub(crate) type Enter<K, V> =
    fn(&mut [Box<dyn Node>], usize, K, V, &RecordContext, &mut TaskState) -> Result<(), BoxError>;

impl<K, V> Edge<K, V> {
    #[inline]
    pub(crate) fn enter(
        &self,
        below: &mut [Box<dyn Node>],
        key: K,
        value: V,
        record: &RecordContext,
        state: &mut TaskState,
    ) -> Result<(), BoxError> {
        (self.enter)(below, self.offset, key, value, record, state)
    }
}

/// The one place where records enter processors, and where errors of theirs are answered: a
/// record that is skipped here leaves its parent's other children untouched.
pub(super) fn enter<P: Processor>(
    nodes: &mut [Box<dyn Node>],
    at: usize,
    key: P::KIn,
    value: P::VIn,
    record: &RecordContext,
    state: &mut TaskState,
) -> Result<(), BoxError> {
    let (node, below) = nodes[at..].split_first_mut().expect("a child lies below its parents");
    let node: &mut dyn Any = &mut **node;
    let Wired { index, processor, children, .. } =
        node.downcast_mut::<Wired<P>>().expect("edges are made from the types of their nodes");
    let caller = state.enter_node(*index);
    let result =
        processor.process(key, value, &mut ProcessorContext { children, below, record, state });
    let result = match result {
        Ok(()) => Ok(()),
        Err(error) => state.processing_failed(error, record),
    };
    state.enter_node(caller);
    result
}

impl<P: Processor> Node for Wired<P> {
    fn punctuate(
        &mut self,
        below: &mut [Box<dyn Node>],
        timer: usize,
        now: Timestamp,
        record: &RecordContext,
        state: &mut TaskState,
    ) -> Result<(), BoxError> {
        let Self { index, processor, children, punctuators } = self;
        state.enter_node(*index);
        let mut context = ProcessorContext { children, below, record, state };
        match punctuators[timer](processor, now, &mut context) {
            Ok(()) => Ok(()),
            Err(error) => state.processing_failed(error, record),
        }
    }

    fn flush(
        &mut self,
        below: &mut [Box<dyn Node>],
        record: &RecordContext,
        state: &mut TaskState,
    ) -> Result<(), BoxError> {
        let Self { index, processor, children, .. } = self;
        state.enter_node(*index);
        match processor.flush(&mut ProcessorContext { children, below, record, state }) {
            Ok(()) => Ok(()),
            Err(error) => state.processing_failed(error, record),
        }
    }

    fn close(&mut self) {
        self.processor.close();
    }
}
