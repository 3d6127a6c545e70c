//! The handle to a running application.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::driver::Application;
use crate::config::{State, StreamsConfig};
use crate::error::StreamsError;
use crate::time::{ClockRef, SystemClock};
use crate::topology::Topology;

/// How long [`KafkaStreams::close`] waits for a last commit.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A running application: its threads process the topology until it is closed or fails. Clones
/// are the same application. The counterpart of Kafka Streams' `KafkaStreams`.
///
/// When the last clone is dropped the application closes without anybody waiting for it.
#[derive(Clone)]
pub struct KafkaStreams(Arc<Handle>);

struct Handle {
    application: Application,
    ended: Mutex<Option<StreamsError>>,
}

/// How to close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseOptions {
    /// What is not committed by then is dropped, and processed again by whoever goes on.
    pub timeout: Duration,
    /// Tell the group, so that others take the tasks at once. Without it they wait for the
    /// session to end, or for this instance to come back.
    pub leave_group: bool,
}

impl Default for CloseOptions {
    fn default() -> Self {
        Self { timeout: CLOSE_TIMEOUT, leave_group: true }
    }
}

impl KafkaStreams {
    /// Checks the configuration, opens the state directory and starts the threads; returns when
    /// they run, which is not yet when state is restored: see [`wait_for`](Self::wait_for).
    ///
    /// # Errors
    /// A wrong configuration; a state directory that is not writable, or held by another process.
    /// What goes wrong afterwards (a missing topic, no broker) ends the application, and is the
    /// result of [`run_until`](Self::run_until).
    pub async fn start(topology: Topology, config: StreamsConfig) -> Result<Self, StreamsError> {
        let clock: ClockRef = Arc::new(SystemClock);
        let application = Application::start(topology, config.validate()?, clock)?;
        Ok(Self(Arc::new(Handle { application, ended: Mutex::new(None) })))
    }

    /// Starts the application and runs it until it fails, or until the process is asked to stop
    /// (ctrl-c, SIGTERM); then closes it. All of a small `main`.
    ///
    /// # Errors
    /// Those of [`start`](Self::start), and what the application failed with.
    pub async fn run(topology: Topology, config: StreamsConfig) -> Result<(), StreamsError> {
        let streams = Self::start(topology, config).await?;
        let stop = streams.0.application.stop_signal();
        streams.run_until(stop).await
    }

    /// Until `stop` is ready, or until a failure, which is returned. Closes in both cases.
    ///
    /// # Errors
    /// What the application failed with.
    pub async fn run_until(self, stop: impl Future) -> Result<(), StreamsError> {
        let states = self.0.application.states().clone();
        let failed = states
            .wait(|state| matches!(state, State::PendingError | State::Error | State::NotRunning));
        let (stop, failed) = (std::pin::pin!(stop), std::pin::pin!(failed));
        futures::future::select(stop, failed).await;
        self.close().await
    }

    /// Commits, releases the tasks, leaves the group, closes the stores.
    ///
    /// # Errors
    /// What the application failed with, if it did.
    pub async fn close(self) -> Result<(), StreamsError> {
        self.close_with(CloseOptions::default()).await
    }

    /// As [`close`](Self::close), in another way.
    ///
    /// # Errors
    /// What the application failed with, if it did.
    pub async fn close_with(self, options: CloseOptions) -> Result<(), StreamsError> {
        let application = &self.0.application;
        application.stop(options.timeout, options.leave_group);
        let ended = |state| matches!(state, State::NotRunning | State::Error);
        application.states().wait(ended).await;
        let mut error = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = error.take().or_else(|| application.take_failure());
        failure.map_or(Ok(()), Err)
    }

    /// Now.
    pub fn state(&self) -> State {
        self.0.application.states().get()
    }

    /// Waits for a state. If the application ends in another one this is an error.
    ///
    /// # Errors
    /// [`StreamsError::NotRunning`] when the state can no longer come.
    pub async fn wait_for(&self, wanted: State) -> Result<(), StreamsError> {
        let ended = |state| matches!(state, State::NotRunning | State::Error | State::PendingError);
        let state = self.0.application.states().wait(|state| state == wanted || ended(state)).await;
        if state == wanted { Ok(()) } else { Err(StreamsError::NotRunning { state }) }
    }

    /// Whether every thread lives.
    pub fn is_healthy(&self) -> bool {
        matches!(self.state(), State::Created | State::Rebalancing | State::Running)
    }

    /// Stops processing, without leaving the group.
    pub fn pause(&self) {
        self.0.application.pause(true);
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.0.application.pause(false);
    }
}
