//! From an assigned task to one that can run: take its storage, ask where its inputs were left
//! and how far its changelogs go, restore what is missing. Each call is polled, none is waited
//! for: other tasks run meanwhile.

mod questions;
mod store_in_creation;

use std::time::Duration;

use state_stores::{StateError, TaskKey, TaskStorage};

use self::questions::{Extent, Questions};
use self::store_in_creation::{OpenStore, StoreInCreation};
use super::instance::InstanceShared;
use super::mailbox::Postbox;
use super::offset_reset::reset_spec;
use super::reaction_table::{Request, RequestReaction, request_reaction};
use super::restorer::{RestoreDone, RestoreFailure, RestoreJob, RestoreOutcome};
use super::task_plan::TaskPlan;
use crate::client::{Admin, Call, ClientError, CommittedOffset, Each};
use crate::error::StreamsError;
use crate::task_id::TaskId;
use crate::time::Instant;

/// Pause before something is asked again: the storage of a previous owner, an unstable offset, a
/// broker that does not answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// A task on its way to running.
pub(crate) struct TaskCreation {
    pub(crate) plan: TaskPlan,
    stage: Stage,
    retry_at: Option<Instant>,
    /// The first trouble since it last got on.
    trouble_since: Option<Instant>,
    stores: Vec<StoreInCreation>,
    storage: Option<TaskStorage>,
    positions: Vec<InputPosition>,
}

/// Where reading an input begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InputPosition {
    pub(crate) offset: i64,
    /// Whether that position was committed; a reset one was not.
    pub(crate) committed: bool,
    pub(crate) metadata: String,
}

/// What becomes of a task that is ready.
pub(crate) struct ReadyTask {
    pub(crate) plan: TaskPlan,
    pub(crate) storage: TaskStorage,
    pub(crate) stores: Vec<OpenStore>,
    pub(crate) positions: Vec<InputPosition>,
}

enum Stage {
    /// Take the lease and open the stores.
    Open,
    /// Positions of the inputs, and the extents of the changelogs.
    Ask(Questions),
    /// Positions of inputs that were never committed.
    Reset {
        call: Call<Each<i64>>,
        inputs: Vec<usize>,
        extents: Vec<Extent>,
    },
    /// As `Ask`, with new questions.
    AskAgain,
    /// With the restorer.
    Restoring,
    Ready,
}

/// What a creation needs of its thread.
pub(crate) struct CreationContext<'a> {
    pub(crate) shared: &'a InstanceShared,
    pub(crate) admin: &'a mut dyn Admin,
    pub(crate) restores: &'a Postbox<RestoreJob>,
    pub(crate) restored: &'a Postbox<RestoreDone>,
    pub(crate) now: Instant,
}

impl TaskCreation {
    /// A task that was assigned just now.
    pub(crate) fn new(plan: TaskPlan) -> Self {
        Self {
            plan,
            stage: Stage::Open,
            retry_at: None,
            trouble_since: None,
            stores: Vec::new(),
            storage: None,
            positions: Vec::new(),
        }
    }

    /// Which task.
    pub(crate) fn id(&self) -> TaskId {
        self.plan.id
    }

    /// Whether its task will read what `plan` says.
    pub(crate) fn reads(&self, plan: &TaskPlan) -> bool {
        plan.is_read_by(self.plan.inputs.iter())
    }

    /// Whether its stores are with the restorer.
    pub(crate) fn is_restoring(&self) -> bool {
        matches!(self.stage, Stage::Restoring)
    }

    /// When it has to be looked at again, if nothing wakes it before.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Goes on as far as it can; `true` when the task is ready.
    pub(crate) fn advance(&mut self, cx: &mut CreationContext<'_>) -> Result<bool, StreamsError> {
        loop {
            if self.retry_at.is_some_and(|at| cx.now < at) {
                return Ok(false);
            }
            self.retry_at = None;
            let progress = match std::mem::replace(&mut self.stage, Stage::Ready) {
                Stage::Open => self.open(cx),
                Stage::Ask(questions) => self.ask(questions, cx),
                Stage::AskAgain => {
                    let questions = Questions::ask(&self.plan, &self.stores, cx);
                    Ok(Progress::Next(Stage::Ask(questions)))
                }
                Stage::Reset { call, inputs, extents } => self.reset(call, inputs, extents, cx),
                Stage::Restoring => {
                    self.stage = Stage::Restoring;
                    return Ok(false);
                }
                Stage::Ready => return Ok(true),
            };
            match progress {
                Ok(Progress::Next(stage)) => {
                    // New questions are no answers yet.
                    if !matches!(stage, Stage::Ask(_)) {
                        self.trouble_since = None;
                    }
                    self.stage = stage;
                }
                Ok(Progress::Wait(stage)) => {
                    self.stage = stage;
                    return Ok(false);
                }
                Ok(Progress::Again(stage, error)) => {
                    self.stage = stage;
                    self.again(&error, cx)?;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The stores back from the restorer.
    pub(crate) fn restored(
        &mut self,
        done: RestoreDone,
        shared: &InstanceShared,
        now: Instant,
    ) -> Result<(), StreamsError> {
        for (index, store) in done.stores {
            self.stores[index].store = Some(store);
        }
        match done.outcome {
            Ok(RestoreOutcome::Complete) => self.stage = Stage::Ready,
            // If the task came back meanwhile, it still lacks what was not restored.
            Ok(RestoreOutcome::Cancelled) => self.ask_again(now),
            Err(RestoreFailure::OutOfRange(stores)) => {
                for index in stores {
                    let reason = "its changelog no longer has the offset it is at";
                    let rebuilt = self.stores[index].rebuild(reason, shared);
                    rebuilt.map_err(|error| self.state_error(error))?;
                }
                self.ask_again(now);
            }
            Err(RestoreFailure::Client(changelog, error))
                if request_reaction(Request::Restore, error.kind) == RequestReaction::Repeat =>
            {
                tracing::warn!(task = %self.id(), %changelog, %error, "restore is tried again");
                self.ask_again(now);
            }
            Err(RestoreFailure::Client(changelog, error)) => {
                let message = format!("cannot restore task {} from {changelog}", self.id());
                return Err(StreamsError::Fatal { message, source: Some(error.into()) });
            }
            Err(RestoreFailure::State(error)) => return Err(self.state_error(error)),
        }
        Ok(())
    }

    /// The task, once `advance` has said that it is ready.
    pub(crate) fn into_ready(self) -> ReadyTask {
        let storage = self.storage.expect("a ready task has taken its storage");
        let stores = self.stores.into_iter().map(|open| OpenStore {
            declaration: open.declaration,
            store: open.store.expect("the restorer has given back what it was lent"),
            changelog: open.changelog,
        });
        let stores = stores.collect();
        ReadyTask { plan: self.plan, storage, stores, positions: self.positions }
    }

    fn open(&mut self, cx: &mut CreationContext<'_>) -> Result<Progress, StreamsError> {
        if cx.shared.topology.reads_globals(self.id().subtopology)
            && !cx.shared.states.globals_complete()
        {
            self.retry_at = Some(cx.now + RETRY_INTERVAL);
            return Ok(Progress::Wait(Stage::Open));
        }
        let key = TaskKey { subtopology: self.id().subtopology, partition: self.id().partition };
        let storage = match cx.shared.directory().lease(key) {
            Ok(storage) => storage,
            Err(error @ StateError::Leased { .. }) => {
                return Ok(Progress::Again(Stage::Open, ClientError::retriable(error.to_string())));
            }
            Err(error) => return Err(self.state_error(error)),
        };
        let opened = self.plan.stores.iter().map(|declaration| {
            StoreInCreation::open(self.plan.id, declaration.clone(), &storage, cx.shared)
        });
        let opened = opened.collect::<Result<Vec<_>, _>>();
        self.stores = opened.map_err(|error| self.state_error(error))?;
        self.storage = Some(storage);
        Ok(Progress::Next(Stage::AskAgain))
    }

    fn ask(
        &mut self,
        mut questions: Questions,
        cx: &mut CreationContext<'_>,
    ) -> Result<Progress, StreamsError> {
        match questions.poll() {
            Ok(true) => {}
            Ok(false) => return Ok(Progress::Wait(Stage::Ask(questions))),
            Err(error) => return Ok(Progress::Again(Stage::AskAgain, error)),
        }
        self.positions = questions.committed.answers().iter().map(InputPosition::from).collect();
        let mut extents = questions.into_extents();
        for extent in &mut extents {
            let store = &mut self.stores[extent.store];
            store.limit(extent, &self.plan, &self.positions);
            let checked = store.check(extent, cx.shared);
            checked.map_err(|error| self.state_error(error))?;
        }
        let unset = self.positions.iter().enumerate().filter(|(_, p)| !p.committed);
        let unset: Vec<usize> = unset.map(|(input, _)| input).collect();
        if unset.is_empty() {
            return Ok(self.restore(&extents, cx));
        }
        let specs = unset
            .iter()
            .map(|&input| {
                let input = &self.plan.inputs[input];
                let spec = reset_spec(&input.reset, &input.partition, cx.shared.clock.wall_ms())?;
                Ok((input.partition.clone(), spec))
            })
            .collect::<Result<Vec<_>, StreamsError>>()?;
        let call = cx.admin.list_offsets(specs, cx.shared.config.isolation());
        Ok(Progress::Next(Stage::Reset { call, inputs: unset, extents }))
    }

    fn reset(
        &mut self,
        mut call: Call<Each<i64>>,
        inputs: Vec<usize>,
        extents: Vec<Extent>,
        cx: &mut CreationContext<'_>,
    ) -> Result<Progress, StreamsError> {
        let Some(answer) = call.try_take() else {
            return Ok(Progress::Wait(Stage::Reset { call, inputs, extents }));
        };
        let offsets = answer.and_then(|each| each.into_iter().collect::<Result<Vec<_>, _>>());
        match offsets {
            Ok(offsets) => {
                for (input, offset) in inputs.into_iter().zip(offsets) {
                    self.positions[input].offset = offset;
                }
                Ok(self.restore(&extents, cx))
            }
            Err(error) => Ok(Progress::Again(Stage::AskAgain, error)),
        }
    }

    /// Lends the stores that lack something to the restorer.
    fn restore(&mut self, extents: &[Extent], cx: &mut CreationContext<'_>) -> Progress {
        let lent = extents.iter().filter_map(|extent| self.stores[extent.store].lend(extent));
        let stores: Vec<_> = lent.collect();
        if stores.is_empty() {
            return Progress::Next(Stage::Ready);
        }
        let reply_to = cx.restored.clone();
        cx.restores.send(RestoreJob { task: self.plan.id, stores, reply_to });
        Progress::Wait(Stage::Restoring)
    }

    /// Everything is asked again a little later: the answers may have changed.
    fn ask_again(&mut self, now: Instant) {
        self.stage = Stage::AskAgain;
        self.retry_at = Some(now + RETRY_INTERVAL);
    }

    /// Waits and tries again, as long as `task.timeout.ms` allows and the error may pass.
    fn again(&mut self, error: &ClientError, cx: &CreationContext<'_>) -> Result<(), StreamsError> {
        let config = &cx.shared.config;
        if request_reaction(Request::Prepare, error.kind) != RequestReaction::Repeat {
            let doing = format!("prepare task {}", self.id());
            return Err(StreamsError::from_client(error.clone(), doing, &config.bootstrap_servers));
        }
        let since = *self.trouble_since.get_or_insert(cx.now);
        if cx.now.since(since) > config.task_timeout {
            return Err(StreamsError::TaskTimeout {
                task: self.id(),
                timeout: config.task_timeout,
                source: error.clone().into(),
            });
        }
        tracing::debug!(task = %self.id(), %error, "not ready yet");
        self.retry_at = Some(cx.now + RETRY_INTERVAL);
        Ok(())
    }

    fn state_error(&self, error: StateError) -> StreamsError {
        StreamsError::Fatal {
            message: format!("the state of task {} cannot be used", self.id()),
            source: Some(error.into()),
        }
    }
}

enum Progress {
    Next(Stage),
    Wait(Stage),
    Again(Stage, ClientError),
}

impl From<&Option<CommittedOffset>> for InputPosition {
    fn from(committed: &Option<CommittedOffset>) -> Self {
        committed.as_ref().map_or_else(Self::default, |committed| Self {
            offset: committed.offset,
            committed: true,
            metadata: committed.metadata.clone(),
        })
    }
}
