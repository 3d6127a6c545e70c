//! What a processor may do with a record.

use super::init::{ChildHandle, CommittedTime, SharedHandle};
use super::traits::Data;
use crate::error::BoxError;
use crate::record::{Headers, Record, RecordContext, RecordMetadata, Timestamp};
use crate::stores::{Cursor, Store, StoreHandle};
use crate::task::{DropReason, Edge, Node, TaskState};
use crate::task_id::TaskId;

/// The record in hand, the stores, and the way to the children. `K` and `V` are what is forwarded.
pub struct ProcessorContext<'a, K, V> {
    pub(crate) children: &'a [Edge<K, V>],
    pub(crate) below: &'a mut [Box<dyn Node>],
    pub(crate) record: &'a RecordContext,
    pub(crate) state: &'a mut TaskState,
}

/// The stores and times of a task without a way to forward: for code that is generic over what
/// its processor forwards, such as a table's value getter.
pub struct StateAccess<'a> {
    record: &'a RecordContext,
    state: &'a mut TaskState,
}

impl<K: Data, V: Data> ProcessorContext<'_, K, V> {
    /// To every child, with the time and headers of the record in hand.
    ///
    /// An error means that the task has given up: return it.
    #[inline]
    pub fn forward(&mut self, key: K, value: V) -> Result<(), BoxError> {
        forward(self.children, self.below, key, value, self.record, self.state)
    }

    /// To every child, at another time.
    pub fn forward_at(&mut self, key: K, value: V, timestamp: Timestamp) -> Result<(), BoxError> {
        if timestamp == self.record.timestamp() {
            return self.forward(key, value);
        }
        if timestamp.as_millis() < 0 {
            return Err(NegativeTimestamp(timestamp).into());
        }
        let record = self.record.clone().with_timestamp(timestamp);
        forward(self.children, self.below, key, value, &record, self.state)
    }

    /// To every child, with its own time and headers. It still comes from where the record in
    /// hand came from.
    pub fn forward_record(&mut self, record: Record<K, V>) -> Result<(), BoxError> {
        let Record { key, value, timestamp, headers } = record;
        if timestamp.as_millis() < 0 {
            return Err(NegativeTimestamp(timestamp).into());
        }
        let record = self.record.clone().with_timestamp(timestamp).with_headers(headers);
        forward(self.children, self.below, key, value, &record, self.state)
    }

    /// To every child, in the context of another record: of one that was held back.
    pub fn forward_in(&mut self, key: K, value: V, record: &RecordContext) -> Result<(), BoxError> {
        forward(self.children, self.below, key, value, record, self.state)
    }

    /// To one child only, with the time and headers of the record in hand.
    pub fn forward_to(
        &mut self,
        child: ChildHandle<K, V>,
        key: K,
        value: V,
    ) -> Result<(), BoxError> {
        self.forward_in_to(child, key, value, self.record)
    }

    /// To one child only, in the context of another record.
    pub fn forward_in_to(
        &mut self,
        child: ChildHandle<K, V>,
        key: K,
        value: V,
        record: &RecordContext,
    ) -> Result<(), BoxError> {
        let edge = self.children.get(child.index()).ok_or(NoSuchChild)?;
        edge.enter(self.below, key, value, record, self.state)
    }

    /// How many children there are. Nothing needs to be computed for none.
    pub fn child_count(&self) -> usize {
        self.children.len()
    }
}

/// What both contexts offer.
macro_rules! record_and_state {
    () => {
        /// The time of the record in hand; in a punctuator, the time for which it was called.
        #[inline]
        pub fn timestamp(&self) -> Timestamp {
            self.record.timestamp()
        }

        /// The headers of the record in hand.
        pub fn headers(&self) -> &Headers {
            self.record.headers()
        }

        /// All that travels beside key and value.
        pub fn record_context(&self) -> &RecordContext {
            self.record
        }

        /// Where the record in hand was read; `None` in a punctuator.
        pub fn metadata(&self) -> Option<&RecordMetadata> {
            self.record.metadata()
        }

        /// The largest record time that this task has seen. -1 ms before the first record.
        #[inline]
        pub fn stream_time(&self) -> Timestamp {
            self.state.stream_time()
        }

        /// The time of day as of the last turn of the thread's loop.
        #[inline]
        pub fn wall_clock(&self) -> Timestamp {
            self.state.wall_clock()
        }

        /// Which task this is.
        pub fn task_id(&self) -> TaskId {
            self.state.task_id()
        }

        /// Asks for a commit after this record.
        pub fn request_commit(&mut self) {
            self.state.request_commit();
        }

        /// Counts the record in hand as dropped by this processor.
        pub fn dropped(&mut self, reason: DropReason) {
            self.state.dropped(reason, self.record);
        }

        /// The store; it cannot be held across `forward`: copy out what you need with `.cloned()`.
        #[inline]
        pub fn store<S: Store>(&mut self, handle: &StoreHandle<S>) -> S::Access<'_> {
            self.state.store(handle, self.record)
        }

        /// Whether no other processor of this task uses the store.
        #[inline]
        pub fn is_only_user<S: Store>(&self, handle: &StoreHandle<S>) -> bool {
            self.state.user_count(handle.slot()) == 1
        }

        /// The next row; the cursor borrows nothing between two calls.
        #[inline]
        pub fn next<S: Store>(
            &mut self,
            cursor: &mut Cursor<S>,
        ) -> Result<Option<S::Row>, BoxError> {
            self.state.next(cursor)
        }

        /// A time that is committed with the positions of the inputs; `None` before it was set.
        #[inline]
        pub fn committed_time(&self, time: CommittedTime) -> Option<Timestamp> {
            self.state.committed_times.get(time.0).map(Timestamp::from_millis)
        }

        /// Sets a time that is committed with the positions of the inputs. It must not be negative,
        /// and never goes back.
        #[inline]
        pub fn set_committed_time(&mut self, time: CommittedTime, now: Timestamp) {
            self.state.committed_times.set(time.0, now.as_millis().max(0));
        }

        /// State that several processors of this task share.
        pub fn shared<T: Send + 'static>(&mut self, handle: &SharedHandle<T>) -> &mut T {
            self.state.shared(handle)
        }
    };
}
pub(crate) use record_and_state;

impl<K, V> ProcessorContext<'_, K, V> {
    record_and_state!();

    /// The stores and times without the way to the children.
    pub fn state(&mut self) -> StateAccess<'_> {
        StateAccess { record: self.record, state: self.state }
    }
}

impl<'a> StateAccess<'a> {
    pub(crate) fn new(record: &'a RecordContext, state: &'a mut TaskState) -> Self {
        Self { record, state }
    }

    record_and_state!();
}

/// One clone per extra child; the last child takes the record.
#[inline]
fn forward<K: Data, V: Data>(
    children: &[Edge<K, V>],
    below: &mut [Box<dyn Node>],
    key: K,
    value: V,
    record: &RecordContext,
    state: &mut TaskState,
) -> Result<(), BoxError> {
    let Some((last, rest)) = children.split_last() else { return Ok(()) };
    for child in rest {
        child.enter(below, key.clone(), value.clone(), record, state)?;
    }
    last.enter(below, key, value, record, state)
}

#[derive(Debug, thiserror::Error)]
#[error("cannot forward a record at {0}: a time must not be negative")]
struct NegativeTimestamp(Timestamp);

#[derive(Debug, thiserror::Error)]
#[error("this processor has no child of the name that was given to `child`")]
struct NoSuchChild;
