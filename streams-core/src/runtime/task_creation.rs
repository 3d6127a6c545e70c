//! From an assigned task to one that can run: take its storage, ask where its inputs were left
//! and how far its changelogs go, restore what is missing. Each call is polled, none is waited
//! for: other tasks run meanwhile.

use std::sync::Arc;
use std::time::Duration;

use state_stores::{LayeredStore, StateError, TaskKey, TaskStorage};
use uuid::Uuid;

use super::asked::Asked;
use super::instance::InstanceShared;
use super::local_state::misfit;
use super::mailbox::Postbox;
use super::offset_reset::reset_spec;
use super::restorer::{RestoreDone, RestoreFailure, RestoreJob, RestoreOutcome, StoreRestore};
use super::task_plan::TaskPlan;
use crate::client::{
    Admin, Call, ClientError, ClientErrorKind, CommittedOffset, Each, GroupError, Isolation,
    OffsetSpec, TopicDescription, TopicPartition,
};
use crate::error::StreamsError;
use crate::stores::StoreDeclaration;
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
    since: Instant,
    stores: Vec<StoreInCreation>,
    storage: Option<TaskStorage>,
    positions: Vec<InputPosition>,
}

/// A store that is open, and the changelog that belongs to it.
pub(crate) struct OpenStore {
    pub(crate) declaration: Arc<StoreDeclaration>,
    pub(crate) store: LayeredStore,
    pub(crate) changelog: Option<Changelog>,
}

/// A store that may be with the restorer.
struct StoreInCreation {
    declaration: Arc<StoreDeclaration>,
    changelog: Option<Changelog>,
    store: Option<LayeredStore>,
}

/// How far the changelogs of some stores go.
struct Extents {
    stores: Vec<usize>,
    earliest: Vec<i64>,
    ends: Vec<i64>,
}

/// The changelog partition of a store.
#[derive(Clone, Debug)]
pub(crate) struct Changelog {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: Uuid,
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
        extents: Extents,
    },
    /// As `Ask`, with new questions.
    AskAgain,
    /// With the restorer.
    Restoring,
    Ready,
}

struct Questions {
    committed: Asked<Option<CommittedOffset>>,
    topics: Asked<TopicDescription>,
    earliest: Asked<i64>,
    ends: Asked<i64>,
    /// The stores that the last three are about.
    stores: Vec<usize>,
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
    pub(crate) fn new(plan: TaskPlan, now: Instant) -> Self {
        Self {
            plan,
            stage: Stage::Open,
            retry_at: None,
            since: now,
            stores: Vec::new(),
            storage: None,
            positions: Vec::new(),
        }
    }

    /// Which task.
    pub(crate) fn id(&self) -> TaskId {
        self.plan.id
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
                Stage::AskAgain => Ok(Progress::Next(Stage::Ask(self.questions(cx)))),
                Stage::Reset { call, inputs, extents } => self.reset(call, inputs, extents, cx),
                Stage::Restoring => {
                    self.stage = Stage::Restoring;
                    return Ok(false);
                }
                Stage::Ready => return Ok(true),
            };
            match progress {
                Ok(Progress::Next(stage)) => self.stage = stage,
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
    pub(crate) fn restored(&mut self, done: RestoreDone, now: Instant) -> Result<(), StreamsError> {
        for (index, store) in done.stores {
            self.stores[index].store = Some(store);
        }
        match done.outcome {
            Ok(RestoreOutcome::Complete) => self.stage = Stage::Ready,
            // If the task came back meanwhile, it still lacks what was not restored.
            Ok(RestoreOutcome::Cancelled) => self.ask_again(now),
            Err(RestoreFailure::OutOfRange(stores)) => {
                for index in stores {
                    self.rebuild(index, "its changelog no longer has the offset it is at")?;
                }
                self.ask_again(now);
            }
            Err(RestoreFailure::Client(changelog, error)) if error.is_retriable() => {
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
        let key = TaskKey { subtopology: self.id().subtopology, partition: self.id().partition };
        let storage = match cx.shared.directory().lease(key) {
            Ok(storage) => storage,
            Err(error @ StateError::Leased { .. }) => {
                return Ok(Progress::Again(Stage::Open, ClientError::retriable(error.to_string())));
            }
            Err(error) => return Err(self.state_error(error)),
        };
        self.stores.clear();
        for declaration in self.plan.stores.clone() {
            let store = match storage.open_store(declaration.spec()) {
                Err(error @ StateError::Incompatible { .. }) => {
                    tracing::warn!(task = %self.id(), %error, "this store is rebuilt");
                    storage
                        .wipe_store(declaration.spec())
                        .and_then(|()| storage.open_store(declaration.spec()))
                }
                result => result,
            };
            let store = store.map_err(|error| self.state_error(error))?;
            let topic = declaration.changelog_topic(&cx.shared.config.application_id);
            let changelog = topic.map(|topic| Changelog {
                partition: TopicPartition { topic, partition: self.id().partition },
                topic_id: Uuid::nil(),
            });
            self.stores.push(StoreInCreation { declaration, changelog, store: Some(store) });
        }
        self.storage = Some(storage);
        Ok(Progress::Next(Stage::AskAgain))
    }

    fn questions(&self, cx: &mut CreationContext<'_>) -> Questions {
        let inputs = self.plan.inputs.iter().map(|input| input.partition.clone()).collect();
        let group = &cx.shared.config.application_id;
        let committed = Asked::Waiting(cx.admin.committed_offsets(group, inputs, true));
        let (stores, changelogs): (Vec<usize>, Vec<TopicPartition>) = self
            .stores
            .iter()
            .enumerate()
            .filter_map(|(index, store)| {
                let changelog = store.changelog.as_ref()?;
                Some((index, changelog.partition.clone()))
            })
            .unzip();
        let topics = changelogs.iter().map(|changelog| changelog.topic.clone()).collect();
        let at = |spec| changelogs.iter().map(|p| (p.clone(), spec)).collect::<Vec<_>>();
        let (earliest, latest) = (at(OffsetSpec::Earliest), at(OffsetSpec::Latest));
        Questions {
            committed,
            topics: Asked::new(changelogs.len(), || cx.admin.describe_topics(topics)),
            earliest: Asked::new(changelogs.len(), || {
                cx.admin.list_offsets(earliest, Isolation::ReadUncommitted)
            }),
            // The end counts open transactions too: they may become part of it.
            ends: Asked::new(changelogs.len(), || {
                cx.admin.list_offsets(latest, Isolation::ReadUncommitted)
            }),
            stores,
        }
    }

    fn ask(
        &mut self,
        mut questions: Questions,
        cx: &mut CreationContext<'_>,
    ) -> Result<Progress, StreamsError> {
        let mut answered = true;
        for result in [
            questions.committed.poll(),
            questions.topics.poll(),
            questions.earliest.poll(),
            questions.ends.poll(),
        ] {
            match result {
                Ok(there) => answered &= there,
                Err(error) => return Ok(Progress::Again(Stage::AskAgain, error)),
            }
        }
        if !answered {
            return Ok(Progress::Wait(Stage::Ask(questions)));
        }
        self.positions = questions.committed.answers().iter().map(InputPosition::from).collect();
        for (at, &index) in questions.stores.iter().enumerate() {
            let topic_id = questions.topics.answers()[at].id;
            let open = &mut self.stores[index];
            if let Some(changelog) = &mut open.changelog {
                changelog.topic_id = topic_id;
            }
            let extent = (questions.earliest.answers()[at], questions.ends.answers()[at]);
            let local = open.store.as_ref().and_then(LayeredStore::metadata);
            let wall_ms = cx.shared.clock.wall_ms();
            if let Some(reason) = local.and_then(|local| misfit(local, topic_id, extent, wall_ms)) {
                self.rebuild(index, reason)?;
            }
        }
        let unset = self.positions.iter().enumerate().filter(|(_, p)| !p.committed);
        let unset: Vec<usize> = unset.map(|(input, _)| input).collect();
        let extents = Extents {
            stores: questions.stores,
            earliest: questions.earliest.into_answers(),
            ends: questions.ends.into_answers(),
        };
        if unset.is_empty() {
            return self.restore(&extents, cx);
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
        extents: Extents,
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
                self.restore(&extents, cx)
            }
            Err(error) => Ok(Progress::Again(Stage::AskAgain, error)),
        }
    }

    /// Lends the stores that lack something to the restorer.
    fn restore(
        &mut self,
        extents: &Extents,
        cx: &mut CreationContext<'_>,
    ) -> Result<Progress, StreamsError> {
        let mut stores = Vec::new();
        for (at, &index) in extents.stores.iter().enumerate() {
            let open = &mut self.stores[index];
            let local = open.store.as_ref().and_then(LayeredStore::metadata);
            let local = local.map(|metadata| metadata.next_offset);
            let (start, end) = (local.unwrap_or(extents.earliest[at]), extents.ends[at]);
            if start >= end {
                tracing::info!(
                    task = %self.plan.id, store = %open.declaration.name(), offset = start,
                    "local state is up to date: nothing is replayed"
                );
                continue;
            }
            let Some(changelog) = open.changelog.clone() else { continue };
            stores.push(StoreRestore {
                index,
                name: open.declaration.name().clone(),
                store: open.store.take().expect("the restorer has given back what it was lent"),
                changelog: changelog.partition,
                topic_id: changelog.topic_id,
                start,
                end,
                from_local: local.is_some(),
            });
        }
        if stores.is_empty() {
            return Ok(Progress::Next(Stage::Ready));
        }
        let reply_to = cx.restored.clone();
        cx.restores.send(RestoreJob { task: self.plan.id, stores, reply_to });
        Ok(Progress::Wait(Stage::Restoring))
    }

    fn rebuild(&mut self, index: usize, reason: &str) -> Result<(), StreamsError> {
        let open = &mut self.stores[index];
        tracing::warn!(
            task = %self.plan.id, store = %open.declaration.name(), reason,
            "this store alone is rebuilt from its changelog"
        );
        let wiped = open.store.as_mut().map_or(Ok(()), LayeredStore::wipe);
        wiped.map_err(|error| self.state_error(error))
    }

    /// Everything is asked again a little later: the answers may have changed.
    fn ask_again(&mut self, now: Instant) {
        self.stage = Stage::AskAgain;
        self.retry_at = Some(now + RETRY_INTERVAL);
    }

    /// Waits and tries again, as long as `task.timeout.ms` allows and the error may pass.
    fn again(&mut self, error: &ClientError, cx: &CreationContext<'_>) -> Result<(), StreamsError> {
        let passes = matches!(
            error.kind,
            ClientErrorKind::Retriable
                | ClientErrorKind::UnknownTopic
                | ClientErrorKind::Group(GroupError::UnstableOffset)
        );
        let config = &cx.shared.config;
        if !passes {
            let doing = format!("prepare task {}", self.id());
            return Err(StreamsError::from_client(error.clone(), doing, &config.bootstrap_servers));
        }
        if cx.now.since(self.since) > config.task_timeout {
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
