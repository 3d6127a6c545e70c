//! What the application is asked and told while it runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{BoxError, StreamsError};
use crate::reaction::{ErrorContext, Reaction, ThreadReaction, fail};
use crate::runtime::CommitSteps;
use crate::task_id::TaskId;

/// Asked about a record that cannot be read, processed or written.
pub type ErrorHandler = Arc<dyn Fn(&ErrorContext<'_>, &BoxError) -> Reaction + Send + Sync>;
/// Asked when a stream thread has died.
pub type ThreadErrorHandler = Arc<dyn Fn(&StreamsError) -> ThreadReaction + Send + Sync>;
/// Told how restoration goes.
pub type RestoreListener = Arc<dyn Fn(&RestoreProgress) + Send + Sync>;
/// Told each change of state: the old one, then the new one.
pub type StateListener = Arc<dyn Fn(State, State) + Send + Sync>;

/// Told what whoever operates the application should know.
pub type EventListener = Arc<dyn Fn(&StreamsEvent) + Send + Sync>;

/// Handlers and listeners. Called on stream threads: they must not block.
#[derive(Clone)]
pub struct Handlers {
    /// About records that cannot be read.
    pub deserialization: ErrorHandler,
    /// About records on which the application's code failed.
    pub processing: ErrorHandler,
    /// About records that cannot be written.
    pub production: ErrorHandler,
    /// About threads that died.
    pub thread: ThreadErrorHandler,
    /// About restoration.
    pub on_restore: Option<RestoreListener>,
    /// About the application's state.
    pub on_state: Option<StateListener>,
    /// Where a test wants to interfere.
    #[doc(hidden)]
    pub commit_steps: CommitSteps,
    /// About what the application got over by itself.
    pub on_event: Option<EventListener>,
}

impl Default for Handlers {
    fn default() -> Self {
        Self {
            deserialization: Arc::new(fail),
            processing: Arc::new(fail),
            production: Arc::new(fail),
            thread: Arc::new(|_| ThreadReaction::default()),
            on_restore: None,
            on_state: None,
            commit_steps: CommitSteps::default(),
            on_event: None,
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").finish_non_exhaustive()
    }
}

/// Something that the application got over by itself, and that whoever operates it should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamsEvent {
    /// The local copy of a store is not what its changelog says: this store alone is rebuilt from
    /// the changelog.
    StoreRebuilt {
        /// The task to which it belongs.
        task: TaskId,
        /// The store.
        store: String,
        /// Why the local copy is not trusted.
        reason: String,
    },
    /// A task fails again and again: from now on it runs alone, so that the others progress.
    TaskIsolated {
        /// The task.
        task: TaskId,
        /// How often it has failed without a success in between.
        failures: u32,
        /// How it failed last.
        error: String,
    },
    /// A task with windows or versioned tables processes records that are older than the broker
    /// keeps their changelogs beyond what they need themselves
    /// (`windowstore.changelog.additional.retention.ms`): what a restore would need may be deleted
    /// or compacted.
    WindowsBehindClock {
        /// The task.
        task: TaskId,
        /// How far its stream time is behind the clock.
        behind: Duration,
    },
    /// A task that ran alone is over what it failed at: it runs with the others again.
    TaskHealed {
        /// The task.
        task: TaskId,
    },
}

/// How the restoration of one store goes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RestoreProgress {
    /// The store.
    pub store: String,
    /// The task to which it belongs.
    pub task: TaskId,
    /// Whether it begins, goes on, or ends.
    pub phase: RestorePhase,
    /// Records that were read so far.
    pub records: u64,
    /// Offsets that are left: an upper bound of records.
    pub records_left: u64,
    /// Records a second.
    pub rate: f64,
}

impl RestoreProgress {
    /// At the beginning.
    pub fn new(store: impl Into<String>, task: TaskId, records_left: u64) -> Self {
        let store = store.into();
        Self { store, task, phase: RestorePhase::Started, records: 0, records_left, rate: 0.0 }
    }
}

/// Where a restoration is. The counterparts are the methods of `StateRestoreListener`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestorePhase {
    /// It begins.
    Started,
    /// Another batch was restored.
    Progress,
    /// The task went elsewhere before it was done.
    Suspended,
    /// The store is complete.
    Done,
}

/// What an application is doing. The counterpart of `KafkaStreams.State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Not started.
    Created,
    /// Some thread waits for its tasks, or restores them.
    Rebalancing,
    /// All threads process.
    Running,
    /// Closing.
    PendingShutdown,
    /// Closed.
    NotRunning,
    /// Closing because of an error.
    PendingError,
    /// Closed because of an error.
    Error,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Rebalancing => "rebalancing",
            Self::Running => "running",
            Self::PendingShutdown => "closing",
            Self::NotRunning => "closed",
            Self::PendingError => "closing after an error",
            Self::Error => "closed after an error",
        })
    }
}
