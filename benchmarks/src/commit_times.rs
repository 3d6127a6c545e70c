//! How long commits take, by the events that the library tells about them.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streams_core::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::Result;
use crate::measure::now;

/// Commits up to a moment, or between two.
#[derive(Clone, Debug)]
pub(crate) struct CommitTimes {
    at: Instant,
    commits: u32,
    /// From the seal to the acknowledgement of all records.
    flushing: Duration,
    /// From the seal to the answer.
    committing: Duration,
}

impl CommitTimes {
    /// What came after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            at: Instant::from_origin(self.at.since(earlier.at)),
            commits: self.commits - earlier.commits,
            flushing: self.flushing.saturating_sub(earlier.flushing),
            committing: self.committing.saturating_sub(earlier.committing),
        }
    }

    /// Commits a second, milliseconds of flush and of the whole commit, share of the time in which
    /// one was under way.
    pub(crate) fn numbers(&self) -> [f64; 4] {
        let seconds = self.at.since_origin().as_secs_f64();
        let each = |total: Duration| total.as_secs_f64() * 1e3 / f64::from(self.commits.max(1));
        [
            f64::from(self.commits) / seconds,
            each(self.flushing),
            each(self.committing),
            self.committing.as_secs_f64() / seconds,
        ]
    }
}

/// Listens to the events of the whole process, of one stream thread.
#[derive(Clone)]
pub(crate) struct Observer(Arc<Mutex<Observed>>);

#[derive(Default)]
struct Observed {
    sealed: Option<Instant>,
    flushed: Option<Instant>,
    commits: u32,
    flushing: Duration,
    committing: Duration,
}

impl Observer {
    pub(crate) fn install() -> Result<Self> {
        let observer = Self(Arc::default());
        tracing::subscriber::set_global_default(observer.clone())?;
        Ok(observer)
    }

    /// Up to now.
    pub(crate) fn taken(&self) -> CommitTimes {
        let observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        CommitTimes {
            at: now(),
            commits: observed.commits,
            flushing: observed.flushing,
            committing: observed.committing,
        }
    }
}

impl Subscriber for Observer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "streams_core::runtime::commit"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match message.0.as_str() {
            "sealed, and sent to the changelogs" => {
                observed.sealed = Some(now());
                observed.flushed = None;
            }
            "everything is acknowledged" => observed.flushed = Some(now()),
            "committed" => {
                if let (Some(sealed), Some(flushed)) = (observed.sealed, observed.flushed) {
                    observed.commits += 1;
                    observed.flushing += flushed.since(sealed);
                    observed.committing += now().since(sealed);
                }
            }
            _ => {}
        }
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
