//! Rows of key-value stores that live for a while only.

use std::time::Duration;

use state_stores::{Direction, KeyRange, LayeredStore, ScanEnd, StateError};

use super::typed_cache::{Base, TypedCache};
use crate::record::Timestamp;

/// Rows that a commit looks at, besides two for each that it writes: so the look around a store
/// that does not grow without bounds takes a bounded number of commits.
const ROWS_PER_SWEEP: usize = 256;
const ROWS_PER_SWEEP_MAX: usize = 20_000;

/// The life of rows in one store of one task.
pub(super) struct TimeToLive {
    millis: i64,
    /// Stream time when the store was last used.
    now: i64,
    /// Where the next look begins.
    next: KeyRange,
    /// The stream time at which the last look around the whole store began.
    begun: i64,
    /// The stream time at which the one before began.
    swept: i64,
}

impl TimeToLive {
    pub(super) fn new(time: Duration) -> Self {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self { millis, now: -1, next: KeyRange::all(), begun: -1, swept: -1 }
    }

    #[inline]
    pub(super) fn set_now(&mut self, stream_time: Timestamp) {
        self.now = self.now.max(stream_time.as_millis());
    }

    #[inline]
    pub(super) fn is_expired(&self, timestamp: i64) -> bool {
        timestamp.saturating_add(self.millis) <= self.now
    }

    /// When a row that has expired is deleted.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// Whether something may have expired that was not looked at.
    pub(super) fn is_due(&self) -> bool {
        self.now.saturating_sub(self.millis) > self.swept
    }

    /// Deletes expired rows among the next ones; the deletions are dirty rows like any other.
    pub(super) fn sweep<V>(
        &mut self,
        cache: &mut TypedCache<V>,
        layers: &LayeredStore,
    ) -> Result<(), StateError> {
        if !self.is_due() {
            return Ok(());
        }
        if self.next == KeyRange::all() {
            self.begun = self.now.saturating_sub(self.millis);
        }
        let rows_max = ROWS_PER_SWEEP + 2 * cache.dirty_rows().count();
        let mut rows = Vec::new();
        let range = &self.next;
        let end =
            layers.scan(range, Direction::Forward, rows_max.min(ROWS_PER_SWEEP_MAX), &mut rows)?;
        for (key, value) in rows {
            let Some(timestamp) = value.first_chunk().map(|time| i64::from_be_bytes(*time)) else {
                continue;
            };
            if self.is_expired(timestamp) {
                delete(cache, &key, timestamp, self.now);
            }
        }
        self.next = match end {
            ScanEnd::More(rest) => rest,
            ScanEnd::Done => {
                self.swept = self.begun;
                KeyRange::all()
            }
        };
        Ok(())
    }
}

/// Deletes a row of the layers, unless it was written since.
fn delete<V>(cache: &mut TypedCache<V>, key: &[u8], timestamp: i64, now: i64) {
    let hash = cache.hash(key);
    let at = match cache.find(hash, key) {
        Some(at) if cache.row(at).value.is_none() || cache.row(at).timestamp != timestamp => return,
        Some(at) => at,
        None => cache.insert(hash, key, None, -1, 0, Base::Present),
    };
    let row = cache.row_to_write(at);
    row.value = None;
    row.timestamp = now;
}
