//! `Suppressed` and `Buffer`: how much of a table's updates is held back, and for how long.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use streams_core::{Timestamp, Window, Windowed};

/// How much [`suppress`](crate::KTable::suppress) may hold back, and what follows at the bound.
///
/// What is held back lies in a store: memory holds an index of it, and what was used lately.
#[derive(Clone, Debug)]
pub struct Buffer<Full> {
    pub(crate) limits: BufferLimits,
    full: PhantomData<fn() -> Full>,
}

/// At the bound of a [`Buffer`] the oldest updates go before their time.
#[derive(Clone, Debug)]
pub struct EmitEarly;

/// At the bound of a [`Buffer`] the application stops: no update goes before its time.
#[derive(Clone, Debug)]
pub struct ShutDown;

/// What happens at the bound of a [`Buffer`]: [`EmitEarly`] or [`ShutDown`].
pub trait WhenFull: private::Sealed {
    #[doc(hidden)]
    const SHUTS_DOWN: bool;
}

mod private {
    pub trait Sealed {}
    impl Sealed for super::EmitEarly {}
    impl Sealed for super::ShutDown {}
}

impl WhenFull for EmitEarly {
    const SHUTS_DOWN: bool = false;
}

impl WhenFull for ShutDown {
    const SHUTS_DOWN: bool = true;
}

/// What does not depend on types.
#[derive(Clone, Debug, Default)]
pub(crate) struct BufferLimits {
    pub(crate) records_max: Option<u64>,
    pub(crate) bytes_max: Option<u64>,
    pub(crate) logging_disabled: bool,
    pub(crate) changelog: BTreeMap<String, String>,
}

impl<Full> Buffer<Full> {
    fn new(limits: BufferLimits) -> Self {
        Self { limits, full: PhantomData }
    }

    /// At most so many bytes too, keys and values as they are written to topics.
    pub fn and_max_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes_max = Some(bytes);
        self
    }

    /// At most so many records too.
    pub fn and_max_records(mut self, records: u64) -> Self {
        self.limits.records_max = Some(records);
        self
    }

    /// At the bound the application stops.
    pub fn shut_down_when_full(self) -> Buffer<ShutDown> {
        Buffer::new(self.limits)
    }

    /// At the bound the oldest updates go before their time.
    pub fn emit_early_when_full(self) -> Buffer<EmitEarly> {
        Buffer::new(self.limits)
    }

    /// Without a changelog topic: what is held back is lost with the machine.
    pub fn logging_disabled(mut self) -> Self {
        self.limits.logging_disabled = true;
        self
    }

    /// A setting of the changelog topic, when it is made.
    pub fn changelog_config(mut self, key: &str, value: &str) -> Self {
        self.limits.changelog.insert(key.into(), value.into());
        self
    }
}

impl Buffer<EmitEarly> {
    /// At most so many records; above it, the oldest go before their time.
    pub fn max_records(records: u64) -> Self {
        Self::new(BufferLimits::default()).and_max_records(records)
    }

    /// At most so many bytes; above it, the oldest records go before their time.
    pub fn max_bytes(bytes: u64) -> Self {
        Self::new(BufferLimits::default()).and_max_bytes(bytes)
    }
}

impl Buffer<ShutDown> {
    /// As much as there is room for on disk.
    pub fn unbounded() -> Self {
        Self::new(BufferLimits::default())
    }
}

/// Which updates of a table go on, and when. The counterpart of Kafka Streams' `Suppressed`.
///
/// A table without windows has no [`until_window_closes`](Self::until_window_closes):
///
/// ```compile_fail
/// # use streams_dsl::prelude::*;
/// let never = Suppressed::<String>::until_window_closes(Buffer::unbounded());
/// ```
pub struct Suppressed<K> {
    pub(crate) until: Until<K>,
    pub(crate) limits: BufferLimits,
    pub(crate) shuts_down: bool,
    pub(crate) name: Option<String>,
}

/// When an update goes on.
pub(crate) enum Until<K> {
    /// So long after the first that was held back of its key, in stream time.
    TimeLimit(Duration),
    /// When the window has closed, which ends as the function tells.
    WindowCloses(fn(&K) -> Timestamp),
}

impl<K> Suppressed<K> {
    /// At most one update per key in `limit` of stream time: the latest.
    pub fn until_time_limit<Full: WhenFull>(limit: Duration, buffer: Buffer<Full>) -> Self {
        Self::new(Until::TimeLimit(limit), buffer)
    }

    /// The name of the operator; its store is `<name>-store`.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    fn new<Full: WhenFull>(until: Until<K>, buffer: Buffer<Full>) -> Self {
        Self { until, limits: buffer.limits, shuts_down: Full::SHUTS_DOWN, name: None }
    }
}

impl<K, W: Window> Suppressed<Windowed<K, W>> {
    /// One update per window: the last, when the grace period is over. A window that was deleted
    /// by then has none.
    pub fn until_window_closes(buffer: Buffer<ShutDown>) -> Self {
        Self::new(Until::WindowCloses(|windowed| windowed.window.end()), buffer)
    }
}
