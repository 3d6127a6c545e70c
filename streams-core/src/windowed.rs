//! Keys in windows: what a windowed aggregation makes of a key.

use std::fmt;
use std::hash::Hash;

use crate::record::Timestamp;

/// A span of time that records are grouped in: [`TimeWindow`] or [`SessionWindow`].
pub trait Window: Copy + Ord + Hash + fmt::Debug + Send + Sync + 'static {
    /// Where it begins; the first millisecond that belongs to it.
    fn start(&self) -> Timestamp;

    /// Where it ends.
    fn end(&self) -> Timestamp;
}

/// A window of a known size: `[start, end)`; of a sliding window also the end belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeWindow {
    /// The first millisecond that belongs to it.
    pub start: Timestamp,
    /// Where it ends.
    pub end: Timestamp,
}

/// A window that grows with its records: from the first to the last, both belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionWindow {
    /// The time of the first record.
    pub start: Timestamp,
    /// The time of the last record.
    pub end: Timestamp,
}

/// A key in a window. Two kinds of windows are two formats on topics, and therefore two types.
///
/// The counterpart of Kafka Streams' `Windowed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Windowed<K, W = TimeWindow> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: W,
}

/// A key in a session.
pub type SessionWindowed<K> = Windowed<K, SessionWindow>;

impl<K, W> Windowed<K, W> {
    /// `key` in `window`.
    pub fn new(key: K, window: W) -> Self {
        Self { key, window }
    }
}

impl TimeWindow {
    /// From milliseconds since 1970.
    pub const fn from_millis(start: i64, end: i64) -> Self {
        Self { start: Timestamp::from_millis(start), end: Timestamp::from_millis(end) }
    }
}

impl SessionWindow {
    /// From milliseconds since 1970.
    pub const fn from_millis(start: i64, end: i64) -> Self {
        Self { start: Timestamp::from_millis(start), end: Timestamp::from_millis(end) }
    }
}

impl Window for TimeWindow {
    fn start(&self) -> Timestamp {
        self.start
    }

    fn end(&self) -> Timestamp {
        self.end
    }
}

impl Window for SessionWindow {
    fn start(&self) -> Timestamp {
        self.start
    }

    fn end(&self) -> Timestamp {
        self.end
    }
}

/// As Kafka Streams prints it: `[key@start/end]`.
impl<K: fmt::Display, W: Window> fmt::Display for Windowed<K, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.window.start().as_millis(), self.window.end().as_millis());
        write!(f, "[{}@{start}/{end}]", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_windowed_key_is_printed_as_by_the_jvm() {
        let key = Windowed::new("ann", TimeWindow::from_millis(10, 20));
        assert_eq!(key.to_string(), "[ann@10/20]");
    }
}
