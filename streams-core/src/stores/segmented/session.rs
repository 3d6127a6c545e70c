//! Session stores as processors see them.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::RangeBounds;

use super::instance::{SegmentedInstance, Written};
use super::row::{Shape, changelog_key, parts};
use super::walk::{RawWalk, SegmentedWalk, millis};
use crate::error::BoxError;
use crate::processor::Data;
use crate::record::{RecordContext, Timestamp};
use crate::stores::change::Change;
use crate::stores::cursor::Cursor;
use crate::stores::held::Held;
use crate::stores::key_value::Emission;
use crate::stores::store::{AccessContext, ReadOnly, Store, StoreHandle};
use crate::stores::typed_cache::Base;
use crate::windowed::{SessionWindow, SessionWindowed, Windowed};

/// An aggregate per key and session: the counterpart of Kafka Streams' `SessionStore`. A session
/// is told apart by its start and its end, and expires by its end.
pub struct SessionStore<K, A>(PhantomData<fn() -> (K, A)>);

/// What a processor holds of a [`SessionStore`].
pub type SessionHandle<K, A> = StoreHandle<SessionStore<K, A>>;

/// Rows of session stores.
pub struct SessionShape;

impl Shape for SessionShape {
    /// The session's start.
    const REST_LEN: usize = 8;
    const HAS_TIMESTAMP: bool = false;
    const HAS_SEQUENCE: bool = false;
    const STORE_TYPE: &'static str = "session";
}

/// What lies in the task's slot.
type Instance<K, A> = SegmentedInstance<SessionShape, K, A>;

/// A row of a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow<K, A> {
    /// The key with its session.
    pub session: SessionWindowed<K>,
    /// The aggregate.
    pub value: Held<A>,
}

/// One session of the key that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSession<A> {
    /// The session.
    pub window: SessionWindow,
    /// The aggregate.
    pub value: Held<A>,
}

impl<K: Data, A: Data> Store for SessionStore<K, A> {
    type Instance = Instance<K, A>;
    type Access<'a> = SessionAccess<'a, K, A>;
    type Row = SessionRow<K, A>;
    type Walk = SegmentedWalk<K>;

    #[inline]
    fn access<'a>(
        instance: &'a mut Self::Instance,
        cx: AccessContext<'a>,
    ) -> SessionAccess<'a, K, A> {
        SessionAccess { instance, record: cx.record }
    }

    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut SegmentedWalk<K>,
        rows: &mut VecDeque<Self::Row>,
    ) -> Result<(), BoxError> {
        for (key, value, _) in instance.next_rows(walk)? {
            let (key, end, start) = instance.decode_key(&key)?;
            rows.push_back(SessionRow { session: Windowed::new(key, window(start, end)), value });
        }
        Ok(())
    }
}

impl<K: Data, A: Data> Store for ReadOnly<SessionStore<K, A>> {
    type Instance = Instance<K, A>;
    type Access<'a> = SessionReadAccess<'a, K, A>;
    type Row = SessionRow<K, A>;
    type Walk = SegmentedWalk<K>;

    #[inline]
    fn access<'a>(
        instance: &'a mut Self::Instance,
        _: AccessContext<'a>,
    ) -> SessionReadAccess<'a, K, A> {
        SessionReadAccess { instance }
    }

    fn read_ahead(
        instance: &mut Self::Instance,
        walk: &mut SegmentedWalk<K>,
        rows: &mut VecDeque<Self::Row>,
    ) -> Result<(), BoxError> {
        SessionStore::read_ahead(instance, walk, rows)
    }
}

/// A session store, borrowed from the context. What is put is logged with the time of the record in
/// hand.
pub struct SessionAccess<'a, K, A> {
    instance: &'a mut Instance<K, A>,
    record: &'a RecordContext,
}

/// A session store for reading only.
pub struct SessionReadAccess<'a, K, A> {
    instance: &'a mut Instance<K, A>,
}

/// What both accesses offer.
macro_rules! reads {
    () => {
        /// The sessions of `key` that end at `earliest_end` or later and start at `latest_start` or
        /// earlier, by end, then by start: what a record may have to be merged with.
        pub fn find_sessions(
            &mut self,
            key: &K,
            earliest_end: Timestamp,
            latest_start: Timestamp,
        ) -> Result<Vec<FoundSession<A>>, BoxError> {
            self.instance.sessions(key, earliest_end, latest_start)
        }

        /// The aggregate of exactly this session; `None` also if it has expired.
        pub fn fetch_session(
            &mut self,
            key: &K,
            window: SessionWindow,
        ) -> Result<Option<Held<A>>, BoxError> {
            if !self.instance.is_visible(window.end.as_millis()) {
                return Ok(None);
            }
            let at = self.instance.load_session(key, window)?;
            Ok(self.instance.row(at).value.clone())
        }

        /// The largest session end that was written, or -1 ms: what is older by the retention is
        /// not visible.
        pub fn observed(&self) -> Timestamp {
            Timestamp::from_millis(self.instance.observed)
        }

        /// Whether a session that ends at `time` is gone once one at `written` is written, for
        /// [`by_time`](crate::stores::StoreHandle::by_time) too.
        pub fn is_gone_after(&self, time: Timestamp, written: Timestamp) -> bool {
            self.instance.is_gone_after(time.as_millis(), written.as_millis())
        }

        /// How many sessions there are, roughly; expired ones that were not removed yet included.
        pub fn approximate_len(&self) -> u64 {
            self.instance.approximate_len()
        }
    };
}

impl<K: Data, A: Data> SessionReadAccess<'_, K, A> {
    reads!();
}

impl<K: Data, A: Data> SessionAccess<'_, K, A> {
    reads!();

    /// Writes a session, without a look at what was there; `None` removes it.
    pub fn put(
        &mut self,
        key: &K,
        window: SessionWindow,
        aggregate: Option<Held<A>>,
    ) -> Result<Written<()>, BoxError> {
        if aggregate.is_none() {
            let removed = self.remove(key, window)?;
            return Ok(if removed.is_expired() { Written::Expired } else { Written::Stored(()) });
        }
        if !self.instance.admit(window.end.as_millis()) {
            return Ok(Written::Expired);
        }
        let (end, start) = end_and_start(window);
        let at = self.instance.place(key, end, start, Base::Unread)?;
        self.write(at, aggregate);
        Ok(Written::Stored(()))
    }

    /// Removes a session, and returns what was there.
    pub fn remove(
        &mut self,
        key: &K,
        window: SessionWindow,
    ) -> Result<Written<Option<Held<A>>>, BoxError> {
        self.put_held(key, window, None)
    }

    /// Writes or removes (`None`) a session, and returns what was there. For operators.
    pub fn put_held(
        &mut self,
        key: &K,
        window: SessionWindow,
        aggregate: Option<Held<A>>,
    ) -> Result<Written<Option<Held<A>>>, BoxError> {
        if !self.instance.admit(window.end.as_millis()) {
            return Ok(Written::Expired);
        }
        let at = self.instance.load_session(key, window)?;
        if aggregate.is_none() && self.instance.row(at).value.is_none() {
            return Ok(Written::Stored(None));
        }
        Ok(Written::Stored(self.write(at, aggregate)))
    }

    /// Puts the change of a session aside: it will be one [`Emission`] at the commit, however often
    /// the session is written until then. `before` is the aggregate before this write.
    pub fn emit_on_commit(
        &mut self,
        key: &K,
        window: SessionWindow,
        before: Option<Held<A>>,
    ) -> Result<(), BoxError> {
        let at = self.instance.load_session(key, window)?;
        self.instance.put_aside(at, before, self.record);
        Ok(())
    }

    /// The next change that was put aside; changes from nothing to nothing are left out. Its time
    /// is that of the record that wrote the session last.
    pub fn take_emission(&mut self) -> Result<Option<Emission<SessionWindowed<K>, A>>, BoxError> {
        while let Some(((key, end, start), at, aside)) = self.instance.take_aside()? {
            let change = Change::new(self.instance.row(at).value.clone(), aside.emitted);
            if !change.is_empty() {
                let key = Windowed::new(key, window(start, end));
                let timestamp = aside.record.timestamp();
                return Ok(Some(Emission { key, change, timestamp, record: aside.record }));
            }
        }
        Ok(None)
    }

    fn write(&mut self, at: u32, aggregate: Option<Held<A>>) -> Option<Held<A>> {
        let timestamp = self.record.timestamp().as_millis();
        self.instance.write(at, |row| {
            row.timestamp = timestamp;
            std::mem::replace(&mut row.value, aggregate)
        })
    }
}

/// Cursors. What has expired is left out; the order is that of segments, then of the serialised
/// keys, then of the sessions' ends and starts.
macro_rules! cursors {
    ($store:ty) => {
        impl<K: Data, A: Data> StoreHandle<$store> {
            /// The sessions of `key`, by end, then by start.
            pub fn fetch(&self, key: &K) -> Cursor<$store> {
                Cursor::new(*self, SegmentedWalk::key(key.clone(), ..))
            }

            /// The sessions of a range of keys. The range is one of serialised keys.
            pub fn fetch_keys(&self, keys: impl RangeBounds<K>) -> Cursor<$store> {
                self.find_sessions_of_keys(keys, .., Timestamp::from_millis(i64::MAX))
            }

            /// As [`SessionAccess::find_sessions`].
            pub fn find_sessions(
                &self,
                key: &K,
                earliest_end: Timestamp,
                latest_start: Timestamp,
            ) -> Cursor<$store> {
                let walk = SegmentedWalk::key(key.clone(), earliest_end..);
                Cursor::new(*self, walk.with_rest_max(start_of(latest_start)))
            }

            /// The sessions of a range of keys that end within `ends` and start at `latest_start`
            /// or earlier.
            pub fn find_sessions_of_keys(
                &self,
                keys: impl RangeBounds<K>,
                ends: impl RangeBounds<Timestamp>,
                latest_start: Timestamp,
            ) -> Cursor<$store> {
                let (lower, upper) = (keys.start_bound().cloned(), keys.end_bound().cloned());
                let walk = SegmentedWalk::keys(lower, upper, millis(&ends));
                Cursor::new(*self, walk.with_rest_max(start_of(latest_start)))
            }

            /// All sessions.
            pub fn all(&self) -> Cursor<$store> {
                Cursor::new(*self, SegmentedWalk::all(..))
            }

            /// All sessions that end within `ends`, by end, start and key: for emitting sessions
            /// that have closed. Nothing if the store is not
            /// [`time_ordered`](crate::stores::StoreBuilder::time_ordered). What has expired is there until
            /// its segment goes.
            pub fn by_time(&self, ends: impl RangeBounds<Timestamp>) -> Cursor<$store> {
                Cursor::new(*self, SegmentedWalk::by_time(ends))
            }
        }
    };
}
cursors!(SessionStore<K, A>);
cursors!(ReadOnly<SessionStore<K, A>>);

impl<K: Data, A: Data> Instance<K, A> {
    fn load_session(&mut self, key: &K, window: SessionWindow) -> Result<u32, BoxError> {
        let (end, start) = end_and_start(window);
        self.load(key, end, start)
    }

    fn sessions(
        &mut self,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<Vec<FoundSession<A>>, BoxError> {
        let ends = (earliest_end.as_millis(), i64::MAX);
        let mut walk = RawWalk::key(self.key_bytes(key)?, ends, start_of(latest_start));
        let mut found = Vec::new();
        loop {
            let rows = self.next_raw_rows(&mut walk)?;
            if rows.is_empty() {
                return Ok(found);
            }
            for (key, value, _) in rows {
                if let Some(parts) = parts(changelog_key(&key), SessionShape::REST_LEN) {
                    found.push(FoundSession { window: window(parts.rest, parts.time), value });
                }
            }
        }
    }
}

fn window(start: u64, end: i64) -> SessionWindow {
    let start = i64::try_from(start).unwrap_or(i64::MAX);
    SessionWindow::from_millis(start, end)
}

fn end_and_start(window: SessionWindow) -> (i64, u64) {
    (window.end.as_millis(), start_of(window.start))
}

fn start_of(start: Timestamp) -> u64 {
    start.as_millis().max(0).unsigned_abs()
}
