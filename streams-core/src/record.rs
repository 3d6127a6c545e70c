//! Records, time and headers.

use std::sync::Arc;
use std::time::Duration;

/// Milliseconds since 1970, as Kafka has it. Event time, so it may lie in the future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Headers of a record: copy on write, no allocation when empty, a clone is a count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(Option<Arc<Vec<(String, Option<Vec<u8>>)>>>);

impl Headers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// In the order of the record; a value may be null.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> {
        self.0
            .as_deref()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_deref()))
    }

    /// Appends a header.
    pub fn push(&mut self, name: impl Into<String>, value: Option<&[u8]>) -> &mut Self {
        let headers = Arc::make_mut(self.0.get_or_insert_default());
        headers.push((name.into(), value.map(<[u8]>::to_vec)));
        self
    }
}
