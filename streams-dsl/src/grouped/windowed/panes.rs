//! Panes: what hopping windows share until a commit. A record lies in size / advance windows, but
//! in one pane, which is as long as the advance; between two commits only that one is touched.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use streams_core::serdes::{Bytes, Serde, SerdeContext};
use streams_core::stores::Held;
use streams_core::{BoxError, Headers, RecordContext, SerdeRef, TimeWindow, Timestamp};

use crate::windows::TimeSpans;

/// Adds the aggregate of a pane to that of a window.
pub(crate) type MergePanes<A> = dyn Fn(&A, &mut Option<Held<A>>) + Send + Sync;

/// Panes held at once: what they take of memory is bounded.
const PANES_MAX: usize = 16_384;

/// The panes that have records since they were last spread over their windows.
pub(crate) struct Panes<K, A> {
    spans: TimeSpans,
    key: SerdeRef<K>,
    /// The store's changelog, for the serde of keys.
    topic: Arc<str>,
    merge: Arc<MergePanes<A>>,
    held: Vec<Pane<K, A>>,
    index: HashTable<u32>,
    /// Windows that end by then were closed for all records in the panes.
    close: i64,
    touches: u64,
    scratch: Vec<u8>,
}

/// The records of a key within one advance.
pub(crate) struct Pane<K, A> {
    pub(crate) key: K,
    /// The largest time of a record.
    pub(crate) latest: Timestamp,
    /// The last record.
    pub(crate) record: RecordContext,
    aggregate: Option<Held<A>>,
    start: i64,
    bytes: Bytes,
    touched: u64,
}

impl<K: 'static, A> Panes<K, A> {
    /// `None` if windows of that size do not consist of whole panes, or of one only.
    pub(crate) fn new(
        spans: TimeSpans,
        merge: Arc<MergePanes<A>>,
        (key, topic): (SerdeRef<K>, Arc<str>),
    ) -> Option<Self> {
        let shared = spans.size > spans.advance && spans.size % spans.advance == 0;
        shared.then(|| Self {
            spans,
            key,
            topic,
            merge,
            held: Vec::new(),
            index: HashTable::new(),
            close: -1,
            touches: 0,
            scratch: Vec::new(),
        })
    }

    /// Whether what is held has to be spread before a record that finds the windows closed that end
    /// by `close`: others were closed for the records so far, or there is no more room.
    pub(crate) fn must_spread(&self, close: i64) -> bool {
        let end = |close: i64| close.div_euclid(self.spans.advance);
        !self.held.is_empty() && (end(close) != end(self.close) || self.held.len() >= PANES_MAX)
    }

    /// How many windows of a record are closed already: all, if it belongs nowhere any more.
    pub(crate) fn closed(&self, time: i64, close: i64) -> (usize, bool) {
        let is_closed = |start: &i64| self.spans.window(*start).end.as_millis() <= close;
        let mut starts = self.spans.starts(time).peekable();
        let mut closed = 0;
        while starts.next_if(is_closed).is_some() {
            closed += 1;
        }
        (closed, starts.peek().is_none())
    }

    /// Adds a record, of which not all windows are closed, to its pane.
    pub(crate) fn add(
        &mut self,
        key: K,
        record: &RecordContext,
        close: i64,
        step: impl FnOnce(&K, &mut Option<Held<A>>) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        self.close = close;
        self.touches += 1;
        let time = record.timestamp();
        let start = time.as_millis().div_euclid(self.spans.advance) * self.spans.advance;
        self.scratch.clear();
        let mut headers = Headers::default();
        let cx = &mut SerdeContext::key(&self.topic, &mut headers);
        self.key.serialize(&key, &mut self.scratch, cx)?;
        let hash = hash(&self.scratch, start);
        let held = &mut self.held;
        let bytes = &self.scratch;
        let is_it = |at: &u32| {
            let pane = &held[*at as usize];
            pane.start == start && *pane.bytes == **bytes
        };
        if let Some(at) = self.index.find(hash, is_it) {
            let pane = &mut held[*at as usize];
            step(&pane.key, &mut pane.aggregate)?;
            pane.latest = pane.latest.max(time);
            pane.record.clone_from(record);
            pane.touched = self.touches;
            return Ok(());
        }
        let mut aggregate = None;
        step(&key, &mut aggregate)?;
        let at = u32::try_from(held.len()).expect("panes are few");
        let bytes = Bytes::from(bytes.as_slice());
        let (record, touched) = (record.clone(), self.touches);
        held.push(Pane { key, latest: time, record, aggregate, start, bytes, touched });
        self.index.insert_unique(hash, at, |at| {
            let pane = &held[*at as usize];
            self::hash(&pane.bytes, pane.start)
        });
        Ok(())
    }

    /// Takes all panes, in the order of their last records: as if each record had gone to its
    /// windows at once.
    pub(crate) fn take(&mut self) -> Vec<Pane<K, A>> {
        self.index.clear();
        let mut panes = std::mem::take(&mut self.held);
        panes.sort_unstable_by_key(|pane| pane.touched);
        panes
    }

    /// The windows of a pane that took its records, the earliest first.
    pub(crate) fn windows(
        &self,
        pane: &Pane<K, A>,
    ) -> impl Iterator<Item = TimeWindow> + use<K, A> {
        let (spans, close) = (self.spans, self.close);
        let windows = spans.starts(pane.start).map(move |start| spans.window(start));
        windows.filter(move |window| window.end.as_millis() > close)
    }

    /// Adds a pane to the aggregate of a window.
    pub(crate) fn merge(&self, pane: &Pane<K, A>, aggregate: &mut Option<Held<A>>) {
        if let Some(of_pane) = &pane.aggregate {
            (self.merge)(of_pane, aggregate);
        }
    }
}

fn hash(key: &[u8], start: i64) -> u64 {
    FixedState::default().hash_one((key, start))
}
