//! From nothing to where the reading of global topics begins: take the storage, ask how many
//! partitions there are and how far they go, and see how much of them is on disk already.

use std::sync::Arc;
use std::time::Duration;

use state_stores::{LayeredStore, StateError, StoreMetadata, TaskKey, TaskStorage};

use super::super::asked::Asked;
use super::super::instance::InstanceShared;
use super::super::local_state::misfit;
use super::super::reaction_table::{Request, RequestReaction, request_reaction};
use super::state_error;
use crate::client::{
    Admin, ClientError, ClientErrorKind, OffsetSpec, TopicDescription, TopicPartition,
};
use crate::error::StreamsError;
use crate::task::{GlobalTaskSetup, global_handlers, global_positions};
use crate::task_id::TaskId;
use crate::time::Instant;

/// Pause before something is asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// A topic is known to one broker before another; one that is missing for longer does not exist.
const MISSING_TOPIC_PATIENCE: Duration = Duration::from_secs(5);

/// The way to where reading begins.
pub(super) struct Start {
    admin: Box<dyn Admin>,
    stage: Stage,
    fed: Vec<Fed>,
    retry_at: Option<Instant>,
    /// The first trouble since it last got on.
    trouble_since: Option<Instant>,
}

/// The stores, open, with where to read on.
pub(super) struct Started {
    pub(super) storage: TaskStorage,
    pub(super) stores: Vec<Opened>,
}

/// A store with where to read on.
pub(super) struct Opened {
    pub(super) setup: GlobalTaskSetup,
    pub(super) layers: LayeredStore,
    /// By partition.
    pub(super) ends: Vec<i64>,
}

/// A global store and its topic.
#[derive(Clone)]
struct Fed {
    subtopology: u32,
    topic: Arc<str>,
}

enum Stage {
    /// Ask for the topics.
    Ask,
    Topics(Asked<TopicDescription>),
    Extents {
        topics: Vec<TopicDescription>,
        earliest: Asked<i64>,
        ends: Asked<i64>,
    },
    /// Everything was asked: open the stores, by topic with partitions from earliest to end.
    Open(Vec<(TopicDescription, Vec<(i64, i64)>)>),
}

impl Start {
    pub(super) fn new(admin: Box<dyn Admin>, shared: &InstanceShared) -> Self {
        let application_id = &shared.config.application_id;
        let fed = |subtopology: u32| {
            let topics = shared.topology.source_topics(subtopology, application_id);
            let topic = topics.into_iter().next().expect("a global store is fed by one topic");
            Fed { subtopology, topic }
        };
        Self {
            admin,
            stage: Stage::Ask,
            fed: shared.topology.global_subtopologies().map(fed).collect(),
            retry_at: None,
            trouble_since: None,
        }
    }

    /// When it has to be looked at again, if nothing wakes it before.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// The way has been gone.
    pub(super) fn into_admin(self) -> Box<dyn Admin> {
        self.admin
    }

    /// Goes on as far as it can.
    pub(super) fn advance(
        &mut self,
        shared: &InstanceShared,
        now: Instant,
    ) -> Result<Option<Started>, StreamsError> {
        while self.retry_at.is_none_or(|at| now >= at) {
            self.retry_at = None;
            let next = match std::mem::replace(&mut self.stage, Stage::Ask) {
                Stage::Ask => {
                    let topics = self.fed.iter().map(|fed| fed.topic.clone()).collect();
                    Ok(Stage::Topics(Asked::Waiting(self.admin.describe_topics(topics))))
                }
                Stage::Topics(mut topics) => match topics.poll() {
                    Ok(false) => {
                        self.stage = Stage::Topics(topics);
                        return Ok(None);
                    }
                    Ok(true) => Ok(self.ask_extents(topics.into_answers(), shared)),
                    Err(error) => Err(error),
                },
                Stage::Extents { topics, mut earliest, mut ends } => {
                    match earliest.poll().and_then(|there| Ok(there & ends.poll()?)) {
                        Ok(false) => {
                            self.stage = Stage::Extents { topics, earliest, ends };
                            return Ok(None);
                        }
                        Ok(true) => {
                            let extents = earliest.into_answers().into_iter();
                            let extents = extents.zip(ends.into_answers());
                            Ok(Stage::Open(by_topic(topics, extents)))
                        }
                        Err(error) => Err(error),
                    }
                }
                Stage::Open(topics) => match self.lease(shared)? {
                    Some(storage) => {
                        self.trouble_since = None;
                        return self.open(storage, topics, shared).map(Some);
                    }
                    None => {
                        let error = ClientError::retriable("their state is still in use");
                        self.again(&error, shared, now)?;
                        self.stage = Stage::Open(topics);
                        continue;
                    }
                },
            };
            match next {
                Ok(stage) => self.stage = stage,
                Err(error) => self.again(&error, shared, now)?,
            }
        }
        Ok(None)
    }

    fn ask_extents(&mut self, topics: Vec<TopicDescription>, shared: &InstanceShared) -> Stage {
        let partitions = |topic: &TopicDescription| {
            let name = topic.name.clone();
            (0..topic.partitions).map(move |number| TopicPartition::new(name.clone(), number))
        };
        let partitions: Vec<_> = topics.iter().flat_map(partitions).collect();
        let at = |spec| partitions.iter().map(|p| (p.clone(), spec)).collect::<Vec<_>>();
        // What is not committed yet is not waited for: nobody would have seen it before either.
        let isolation = shared.config.isolation();
        let (earliest, latest) = (at(OffsetSpec::Earliest), at(OffsetSpec::Latest));
        Stage::Extents {
            earliest: Asked::new(partitions.len(), || self.admin.list_offsets(earliest, isolation)),
            ends: Asked::new(partitions.len(), || self.admin.list_offsets(latest, isolation)),
            topics,
        }
    }

    fn lease(&mut self, shared: &InstanceShared) -> Result<Option<TaskStorage>, StreamsError> {
        match shared.directory().lease(TaskKey::GLOBAL) {
            Ok(storage) => Ok(Some(storage)),
            Err(StateError::Leased { .. }) => Ok(None),
            Err(error) => Err(state_error(error)),
        }
    }

    fn open(
        &self,
        storage: TaskStorage,
        topics: Vec<(TopicDescription, Vec<(i64, i64)>)>,
        shared: &InstanceShared,
    ) -> Result<Started, StreamsError> {
        let mut stores = Vec::with_capacity(topics.len());
        for (fed, (topic, extents)) in self.fed.iter().zip(topics) {
            let mut layers = open_store(fed, &storage, shared).map_err(state_error)?;
            let wall_ms = shared.clock.wall_ms();
            let local = layers.metadata();
            if let Some(reason) = local.and_then(|m| reason(m, &topic, &extents, wall_ms)) {
                let id = TaskId::global(fed.subtopology);
                shared.tell_rebuilt(id, &layers.spec().name, reason);
                layers.wipe().map_err(state_error)?;
            }
            let mut positions = layers.metadata().map(global_positions).unwrap_or_default();
            // Partitions that are new since, or everything.
            positions.extend(extents[positions.len()..].iter().map(|(earliest, _)| *earliest));
            let processing = shared.config.processing_exception_handler_global_enabled;
            let setup = GlobalTaskSetup {
                topology: shared.topology.clone(),
                application_id: shared.config.application_id.clone(),
                subtopology: fed.subtopology,
                topic: fed.topic.clone(),
                topic_id: topic.id,
                positions,
                handlers: global_handlers(&shared.config.handlers, processing),
            };
            let ends = extents.iter().map(|(_, end)| *end).collect();
            stores.push(Opened { setup, layers, ends });
        }
        Ok(Started { storage, stores })
    }

    /// Waits and tries again, as long as `task.timeout.ms` allows and the error may pass.
    fn again(
        &mut self,
        error: &ClientError,
        shared: &InstanceShared,
        now: Instant,
    ) -> Result<(), StreamsError> {
        let config = &shared.config;
        if request_reaction(Request::Prepare, error.kind) != RequestReaction::Repeat {
            let doing = "find the topics of the global stores";
            return Err(StreamsError::from_client(error.clone(), doing, &config.bootstrap_servers));
        }
        let since = now.since(*self.trouble_since.get_or_insert(now));
        if error.kind == ClientErrorKind::UnknownTopic && since > MISSING_TOPIC_PATIENCE {
            let topics: Vec<_> = self.fed.iter().map(|fed| &*fed.topic).collect();
            let message = format!(
                "a topic of a global store does not exist (of {}): create it, or correct the name",
                topics.join(", ")
            );
            return Err(StreamsError::Fatal { message, source: Some(error.clone().into()) });
        }
        if since > config.task_timeout {
            return Err(StreamsError::TaskTimeout {
                task: TaskId::global(self.fed.first().map_or(0, |fed| fed.subtopology)),
                timeout: config.task_timeout,
                source: error.clone().into(),
            });
        }
        tracing::debug!(%error, "global stores cannot be opened yet");
        self.retry_at = Some(now + RETRY_INTERVAL);
        Ok(())
    }
}

/// Opens the store. One that cannot be read is begun anew.
fn open_store(
    fed: &Fed,
    storage: &TaskStorage,
    shared: &InstanceShared,
) -> Result<LayeredStore, StateError> {
    let stores = shared.topology.stores(fed.subtopology);
    let declaration = stores.first().expect("a global sub-topology has one store");
    match storage.open_store(declaration.spec()) {
        Err(error @ StateError::Incompatible { .. }) => {
            let id = TaskId::global(fed.subtopology);
            shared.tell_rebuilt(id, declaration.name(), &error.to_string());
            storage.wipe_store(declaration.spec())?;
            storage.open_store(declaration.spec())
        }
        result => result,
    }
}

/// Why what is on disk cannot be trusted to be what the topic says up to its positions, if it
/// cannot.
fn reason(
    local: &StoreMetadata,
    topic: &TopicDescription,
    extents: &[(i64, i64)],
    wall_ms: i64,
) -> Option<&'static str> {
    let positions = global_positions(local);
    if positions.len() > extents.len() {
        return Some("its topic has fewer partitions than it had");
    }
    positions.iter().zip(extents).find_map(|(&next_offset, &extent)| {
        let local = StoreMetadata { next_offset, ..local.clone() };
        misfit(&local, topic.id, extent, wall_ms)
    })
}

fn by_topic(
    topics: Vec<TopicDescription>,
    mut extents: impl Iterator<Item = (i64, i64)>,
) -> Vec<(TopicDescription, Vec<(i64, i64)>)> {
    let of = |topic: TopicDescription| {
        let count = usize::try_from(topic.partitions).unwrap_or(0);
        let extents = extents.by_ref().take(count).collect();
        (topic, extents)
    };
    topics.into_iter().map(of).collect()
}
