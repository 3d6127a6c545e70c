//! What a task is made of, and how it is made of it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use state_stores::LayeredStore;

use super::committed_times::CommittedTimes;
use super::error::TaskError;
use super::node::Node;
use super::panics::panicked;
use super::record_queue::RecordQueue;
use super::task_state::TaskState;
use super::timers::Timers;
use super::wiring::{Entries, wire};
use crate::client::{Tag, TopicPartition};
use crate::config::Handlers;
use crate::error::StreamsError;
use crate::record::Timestamp;
use crate::stores::{GlobalStoreReader, GlobalStores, StoreDeclaration, StoreInstance, StoreParts};
use crate::task_id::TaskId;
use crate::topology::{Graph, NodeKind, Subtopology, Topology};

/// What a task is made of.
pub struct TaskSetup<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// The application's id.
    pub application_id: &'a Arc<str>,
    /// Which task.
    pub task: TaskId,
    /// The partitions it reads, each with its time as it was committed (-1 ms: none).
    pub inputs: Vec<(TopicPartition, Timestamp)>,
    /// Times of operators, as [`ProcessorTask::committed_times`](super::ProcessorTask::committed_times)
    /// gave them for the last commit; those of several inputs one after the other.
    pub committed_times: Vec<(String, i64)>,
    /// In the order of [`Topology::stores`].
    pub stores: Vec<TaskStore>,
    /// Those that its processors may read.
    pub globals: &'a GlobalStores,
    /// Who is asked about errors.
    pub handlers: &'a Handlers,
    /// The time of day.
    pub wall_clock: Timestamp,
}

/// A store of a task.
pub struct TaskStore {
    /// Its layers, restored.
    pub layers: LayeredStore,
    /// Where its changes are written; `None` if they are not, because there is no changelog or
    /// because a source topic is it.
    pub changelog: Option<ChangelogPartition>,
}

/// The changelog of a store of a task.
#[derive(Clone, Debug)]
pub struct ChangelogPartition {
    /// As the broker knows it.
    pub topic: Arc<str>,
    /// The task's.
    pub partition: i32,
    /// Under which the producer accounts what was acknowledged.
    pub tag: Tag,
}

/// The parts of a task, made.
pub(super) struct Parts {
    pub(super) nodes: Vec<Box<dyn Node>>,
    pub(super) queues: Vec<Box<dyn RecordQueue>>,
    pub(super) timers: Timers,
    pub(super) state: TaskState,
    /// By store.
    pub(super) changelogs: Vec<Option<ChangelogPartition>>,
    /// Of the slots behind those of its own stores.
    pub(super) globals: Vec<GlobalStoreReader>,
}

/// Makes all parts: runs the supplier of every node.
pub(super) fn make(setup: TaskSetup<'_>) -> Result<Parts, TaskError> {
    let task = setup.task;
    let graph = setup.topology.graph();
    let Some(sub) = setup.topology.subtopology(task.subtopology) else {
        return Err(fatal(format!("task {task}: the topology has no such sub-topology")));
    };
    if setup.stores.len() != sub.stores.len() {
        let (wanted, got) = (sub.stores.len(), setup.stores.len());
        return Err(fatal(format!("task {task} has {wanted} stores and was given {got}")));
    }
    let names = sub.nodes.iter().map(|&node| graph.nodes[node].name.clone()).collect();
    let (mut stores, changelogs) = make_stores(graph, sub, setup.stores, setup.application_id);
    let (views, globals) = make_globals(graph, sub, setup.globals, setup.application_id)?;
    stores.extend(views);
    let partition_times = setup.inputs.iter().map(|(_, time)| *time);
    let stream_time = partition_times.max().unwrap_or(Timestamp::from_millis(-1));
    let mut state = TaskState::new(
        task,
        setup.application_id.clone(),
        setup.handlers.clone(),
        names,
        stores,
        (stream_time, setup.wall_clock),
        CommittedTimes::new(setup.committed_times),
    );
    let mut timers = Timers::new();
    let made = catch_unwind(AssertUnwindSafe(|| make_nodes(graph, sub, &mut state, &mut timers)));
    let (nodes, entries) = made.map_err(|panic| panicked(&state, None, &*panic))?;
    let queues = setup
        .inputs
        .into_iter()
        .map(|(partition, time)| {
            make_queue(graph, sub, &entries, partition, time, setup.application_id)
        })
        .collect::<Result<_, _>>()?;
    Ok(Parts { nodes, queues, timers, state, changelogs, globals })
}

type Stores = Vec<(Arc<str>, Box<dyn StoreInstance>)>;

fn make_stores(
    graph: &Graph,
    sub: &Subtopology,
    stores: Vec<TaskStore>,
    application_id: &str,
) -> (Stores, Vec<Option<ChangelogPartition>>) {
    let declared = sub.stores.iter().map(|&store| &graph.stores[store]);
    let made = declared.zip(stores).map(|(declaration, TaskStore { layers, changelog })| {
        (make_store(declaration, layers, application_id), changelog)
    });
    made.unzip()
}

fn make_store(
    declaration: &StoreDeclaration,
    layers: LayeredStore,
    application_id: &str,
) -> (Arc<str>, Box<dyn StoreInstance>) {
    let name = declaration.name().clone();
    let parts = StoreParts {
        name: name.clone(),
        topic: declaration.own_changelog_topic(application_id),
        layers,
        time_ordered: declaration.is_time_ordered(),
        time_to_live: declaration.time_to_live(),
    };
    (name, declaration.make(parts))
}

fn make_globals(
    graph: &Graph,
    sub: &Subtopology,
    globals: &GlobalStores,
    application_id: &str,
) -> Result<(Stores, Vec<GlobalStoreReader>), TaskError> {
    let made = sub.globals.iter().map(|&store| {
        let declaration = &graph.stores[store];
        let (layers, reader) = globals.reader(declaration.name()).ok_or_else(|| {
            fatal(format!("global store {} is not there yet", declaration.name()))
        })?;
        Ok((make_store(declaration, layers, application_id), reader))
    });
    Ok(made.collect::<Result<Vec<_>, TaskError>>()?.into_iter().unzip())
}

fn make_nodes(
    graph: &Graph,
    sub: &Subtopology,
    state: &mut TaskState,
    timers: &mut Timers,
) -> (Vec<Box<dyn Node>>, Entries) {
    let places: BTreeMap<usize, usize> =
        sub.nodes.iter().enumerate().map(|(place, &node)| (node, place)).collect();
    let children: Vec<Vec<usize>> = sub
        .nodes
        .iter()
        .map(|&node| graph.children[node].iter().map(|child| places[child]).collect())
        .collect();
    let factories: Vec<_> =
        sub.nodes.iter().map(|&node| graph.nodes[node].factory.clone()).collect();
    let application_id = state.application_id().clone();
    let decorate = |topic: &Arc<str>| graph.decorated(topic, &application_id);
    wire(&factories, &children, &decorate, state, timers)
}

fn make_queue(
    graph: &Graph,
    sub: &Subtopology,
    entries: &Entries,
    partition: TopicPartition,
    partition_time: Timestamp,
    application_id: &str,
) -> Result<Box<dyn RecordQueue>, TaskError> {
    let source = graph.source_of(&partition.topic, application_id);
    let place = source.and_then(|source| sub.nodes.iter().position(|&node| node == source));
    let (Some(source), Some(place)) = (source, place) else {
        return Err(fatal(format!("no source of the task reads {partition}")));
    };
    let NodeKind::Source { queue, .. } = &graph.nodes[source].kind else {
        return Err(fatal(format!("the node that reads {partition} is no source")));
    };
    Ok(queue(entries, place, partition, partition_time))
}

#[cold]
fn fatal(message: String) -> TaskError {
    StreamsError::fatal(message).into()
}
