//! The buffers of stream-stream joins as processors see them.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::RangeBounds;

use super::instance::{SegmentedInstance, Written};
use super::row::Shape;
use super::walk::{RawWalk, SegmentedWalk, millis};
use super::window::time_in;
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::{RecordContext, Timestamp};
use crate::stores::cursor::Cursor;
use crate::stores::held::Held;
use crate::stores::store::{AccessContext, Store, StoreHandle};
use crate::stores::typed_cache::Base;

/// All records of a stream for as long as another stream may join them: the counterpart of a
/// `WindowStore` that retains duplicates. Rows of one key and time are told apart by a sequence
/// number.
pub struct JoinStore<K, V>(PhantomData<fn() -> (K, V)>);

/// What a processor holds of a [`JoinStore`].
pub type JoinHandle<K, V> = StoreHandle<JoinStore<K, V>>;

/// Rows of join stores.
pub struct JoinShape;

impl Shape for JoinShape {
    /// The sequence number.
    const REST_LEN: usize = 4;
    const HAS_TIMESTAMP: bool = false;
    const HAS_SEQUENCE: bool = true;
    const STORE_TYPE: &'static str = "window-with-duplicates";
}

/// What lies in the task's slot.
type Instance<K, V> = SegmentedInstance<JoinShape, K, V>;

/// A row of a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRow<K, V> {
    /// The key.
    pub key: K,
    /// The record's value.
    pub value: Held<V>,
    /// The record's time.
    pub timestamp: Timestamp,
}

impl<K: Data, V: Data> Store for JoinStore<K, V> {
    type Instance = Instance<K, V>;
    type Access<'a> = JoinAccess<'a, K, V>;
    type Row = JoinRow<K, V>;
    type Walk = SegmentedWalk<K>;

    #[inline]
    fn access<'a>(instance: &'a mut Self::Instance, cx: AccessContext<'a>) -> JoinAccess<'a, K, V> {
        JoinAccess { instance, record: cx.record }
    }

    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut SegmentedWalk<K>,
        rows: &mut VecDeque<Self::Row>,
    ) -> Result<(), BoxError> {
        for (key, value, _) in instance.next_rows(walk)? {
            let (key, time, _) = instance.decode_key(&key)?;
            rows.push_back(JoinRow { key, value, timestamp: Timestamp::from_millis(time) });
        }
        Ok(())
    }
}

/// A join store, borrowed from the context.
pub struct JoinAccess<'a, K, V> {
    instance: &'a mut Instance<K, V>,
    record: &'a RecordContext,
}

impl<K: Data, V: Data> JoinAccess<'_, K, V> {
    /// Adds a record of `timestamp`. It is logged with the time of the record in hand.
    pub fn put(
        &mut self,
        key: &K,
        value: impl Into<Held<V>>,
        timestamp: Timestamp,
    ) -> Result<Written<()>, BoxError> {
        let time = timestamp.as_millis();
        if !self.instance.admit(time) {
            return Ok(Written::Expired);
        }
        let sequence = self.instance.next_sequence();
        let at = self.instance.place(key, time, sequence, Base::Absent)?;
        let logged_at = self.record.timestamp().as_millis();
        self.instance.write(at, |row| {
            row.value = Some(value.into());
            row.timestamp = logged_at;
        });
        Ok(Written::Stored(()))
    }

    /// Leaves out one of the numbers that tell records of one key and time apart: in Kafka Streams a
    /// record without a value, which is not stored, takes one, and the numbers are in the changelog.
    pub fn skip_number(&mut self) {
        self.instance.next_sequence();
    }

    /// Calls `visit` with the records of `key` within `times`, by time, then in the order in which
    /// they were put.
    pub fn visit(
        &mut self,
        key: &K,
        times: impl RangeBounds<Timestamp>,
        mut visit: impl FnMut(&Held<V>, Timestamp),
    ) -> Result<(), BoxError> {
        let mut walk = RawWalk::key(self.instance.key_bytes(key)?, millis(&times), u64::MAX);
        loop {
            let rows = self.instance.next_raw_rows(&mut walk)?;
            if rows.is_empty() {
                return Ok(());
            }
            for (key, value, _) in &rows {
                let time = time_in(key, JoinShape::REST_LEN);
                visit(value, Timestamp::from_millis(time));
            }
        }
    }

    /// The records of `key` within `times`, by time, then in the order in which they were put.
    pub fn fetch(
        &mut self,
        key: &K,
        times: impl RangeBounds<Timestamp>,
    ) -> Result<Vec<(Held<V>, Timestamp)>, BoxError> {
        let mut found = Vec::new();
        self.visit(key, times, |value, time| found.push((value.clone(), time)))?;
        Ok(found)
    }

    /// The largest time that was put, or -1 ms: what is older by the retention is not visible.
    pub fn observed(&self) -> Timestamp {
        Timestamp::from_millis(self.instance.observed)
    }

    /// How many records there are, roughly; expired ones that were not removed yet included.
    pub fn approximate_len(&self) -> u64 {
        self.instance.approximate_len()
    }
}

/// Cursors. What has expired is left out.
impl<K: Data, V: Data> StoreHandle<JoinStore<K, V>> {
    /// The records of `key` within `times`, by time, then in the order in which they were put.
    pub fn fetch(&self, key: &K, times: impl RangeBounds<Timestamp>) -> Cursor<JoinStore<K, V>> {
        Cursor::new(*self, SegmentedWalk::key(key.clone(), times))
    }

    /// All records within `times`, by segment, serialised key and time.
    pub fn fetch_all(&self, times: impl RangeBounds<Timestamp>) -> Cursor<JoinStore<K, V>> {
        Cursor::new(*self, SegmentedWalk::all(times))
    }

    /// All records.
    pub fn all(&self) -> Cursor<JoinStore<K, V>> {
        self.fetch_all(..)
    }
}
