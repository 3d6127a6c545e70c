//! What `windowed_by` accepts.

use std::time::Duration;

use streams_core::Data;

use super::{SessionWindowedKStream, TimeWindowedKStream};
use crate::grouped::KGroupedStream;
use crate::windows::{Problem, SessionWindows, SlidingWindows, TimeWindows, UnlimitedWindows};

/// What [`KGroupedStream::windowed_by`] accepts, and what it makes of a grouped stream.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a window to aggregate over",
    note = "`windowed_by` takes `TimeWindows`, `SlidingWindows`, `UnlimitedWindows` or `SessionWindows`; `JoinWindows` belong to `join`"
)]
pub trait WindowDefinition {
    /// The windowed stream.
    type Stream<K: Data, V: Data>;

    /// Of a grouped stream.
    #[doc(hidden)]
    fn of<K: Data, V: Data>(self, group: &KGroupedStream<K, V>) -> Self::Stream<K, V>;
}

impl<K: Data, V: Data> KGroupedStream<K, V> {
    /// Aggregates each window of a key for itself.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let per_minute = builder
    ///     .stream::<String, String>("clicks")
    ///     .group_by_key()
    ///     .windowed_by(TimeWindows::tumbling(Duration::from_secs(60)))
    ///     .count("clicks-per-minute");
    /// # per_minute.to("clicks-per-minute");
    /// ```
    pub fn windowed_by<W: WindowDefinition>(&self, windows: W) -> W::Stream<K, V> {
        windows.of(self)
    }
}

/// Windows of a known size: `TimeWindows`, `SlidingWindows`, `UnlimitedWindows`.
#[derive(Clone, Debug)]
pub enum AnyTimeWindows {
    #[doc(hidden)]
    Time(TimeWindows),
    #[doc(hidden)]
    Sliding(SlidingWindows),
    #[doc(hidden)]
    Unlimited(UnlimitedWindows),
}

impl AnyTimeWindows {
    pub(crate) fn check(&self) -> Result<(), Problem> {
        match self {
            Self::Time(windows) => windows.check(),
            Self::Sliding(windows) => windows.check(),
            Self::Unlimited(windows) => windows.check(),
        }
    }

    /// From the start of a window to its end.
    pub(crate) fn size(&self) -> Duration {
        match self {
            Self::Time(windows) => windows.size(),
            Self::Sliding(windows) => windows.size(),
            Self::Unlimited(_) => FOREVER,
        }
    }

    /// How long after its end a window takes records.
    pub(crate) fn grace(&self) -> Duration {
        match self {
            Self::Time(windows) => windows.grace_period(),
            Self::Sliding(windows) => windows.grace_period(),
            Self::Unlimited(_) => Duration::ZERO,
        }
    }

    /// How long after its end a window closes, unless it never does.
    pub(crate) fn closes_after(&self) -> Option<Duration> {
        (!matches!(self, Self::Unlimited(_))).then(|| self.grace())
    }

    /// How long windows have to be kept at least, with what that is made of.
    pub(crate) fn retention(&self) -> (Duration, &'static str) {
        match self {
            Self::Time(_) => {
                (self.size().saturating_add(self.grace()), "the size and the grace period")
            }
            Self::Sliding(_) => (
                self.size().saturating_mul(2).saturating_add(self.grace()),
                "twice the time difference and the grace period",
            ),
            Self::Unlimited(_) => (FOREVER, "all time, which windows without an end last"),
        }
    }
}

/// All time that Kafka can count.
const FOREVER: Duration = Duration::from_millis(i64::MAX.unsigned_abs());

macro_rules! time_windows {
    ($($windows:ident => $variant:ident),+) => { $(
        impl WindowDefinition for $windows {
            type Stream<K: Data, V: Data> = TimeWindowedKStream<K, V>;

            fn of<K: Data, V: Data>(self, group: &KGroupedStream<K, V>) -> Self::Stream<K, V> {
                TimeWindowedKStream::new(group.clone(), AnyTimeWindows::$variant(self))
            }
        }

        impl From<$windows> for AnyTimeWindows {
            fn from(windows: $windows) -> Self {
                Self::$variant(windows)
            }
        }
    )+ };
}
time_windows!(TimeWindows => Time, SlidingWindows => Sliding, UnlimitedWindows => Unlimited);

impl WindowDefinition for SessionWindows {
    type Stream<K: Data, V: Data> = SessionWindowedKStream<K, V>;

    fn of<K: Data, V: Data>(self, group: &KGroupedStream<K, V>) -> Self::Stream<K, V> {
        SessionWindowedKStream::new(group.clone(), self)
    }
}
