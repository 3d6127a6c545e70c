//! A lookup in a table for each record of a stream, without Kafka: in a table of the task, and in a
//! global one.

use std::path::Path;
use std::sync::Arc;

use state_stores::{
    Attempt, StateDirectory, StateDirectoryOptions, StoreMetadata, TaskKey, TaskStorage,
};
use streams_core::client::{MemoryRecord, RawRecord, TopicPartition};
use streams_core::stores::GlobalStores;
use streams_core::task::{
    GlobalTask, GlobalTaskSetup, ProcessorTask, RecordCollector, TaskSetup, TaskStore,
};
use streams_core::{StreamsConfig, TaskId, Timestamp, Topology};
use streams_dsl::prelude::StreamsBuilder;

use crate::Result;
use crate::measure::cpu_time;
use crate::micro::{Nowhere, record};

const BATCH: usize = 500;
const ROUNDS: usize = 1000;
const REPEATS: usize = 5;
/// Of them all rows are cached.
const FEW: usize = 1_000;
/// Of them none is cached when it is looked up: what a batch has cached goes with it.
const MANY: usize = 100_000;

/// Where the rows are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    /// Nowhere: for what the rest takes.
    None,
    Local,
    Global,
}

/// Nanoseconds of CPU time of a lookup: in memory, then in RocksDB, of the task's own table and of a
/// global one when all rows are cached, and the same when none is.
pub(crate) fn run() -> Result<String> {
    let mut numbers = Vec::new();
    for on_disk in [false, true] {
        for keys in [FEW, MANY] {
            let none = per_record(Table::None, keys, on_disk)?;
            for table in [Table::Local, Table::Global] {
                numbers.push((per_record(table, keys, on_disk)? - none).to_string());
            }
        }
    }
    Ok(numbers.join(" "))
}

fn topology(table: Table) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<i64, i64>("in");
    let joined = match table {
        Table::None => stream.map_values(|value| value + 1),
        Table::Local => {
            let rows = builder.table::<i64, i64>("table", "table");
            stream.join_table(&rows, |_, value, row| value + row)
        }
        Table::Global => {
            let rows = builder.global_table::<i64, i64>("table", "table");
            stream.join_global(&rows, |key, _| *key, |_, value, row| value + row)
        }
    };
    joined.for_each(|_, value| {
        std::hint::black_box(value);
    });
    Ok(builder.build()?)
}

fn per_record(table: Table, keys: usize, on_disk: bool) -> Result<f64> {
    let directory = tempfile::tempdir()?;
    let state = open(on_disk, directory.path())?;
    let topology = topology(table)?;
    let globals = GlobalStores::default();
    let records: Vec<_> = (0..keys).map(|number| Arc::new(record(number))).collect();
    let _fed = match table {
        Table::Global => Some(feed_global(&topology, &state, &globals, &records)?),
        _ => None,
    };
    let subtopology = topology.subtopologies().next().ok_or("no sub-topology")?;
    let storage = state.lease(TaskKey { subtopology, partition: 0 })?;
    let mut task = task(&topology, subtopology, &storage, &globals, table)?;
    if table == Table::Local {
        feed_local(&mut task, &records)?;
    }
    state.flush_all()?;
    let mut collector: Box<dyn RecordCollector> = Box::new(Nowhere);
    let mut raws = Vec::new();
    let mut best = f64::MAX;
    for _ in 0..REPEATS {
        let before = cpu_time();
        for round in 0..ROUNDS {
            raws.extend((0..BATCH).map(|n| raw(round * BATCH + n, &records)));
            task.push(0, &mut raws, ((round + 1) * BATCH) as i64, 0);
            while task.process(0, &mut collector)? {}
            if keys == MANY {
                task.evict(0);
            }
        }
        let took = cpu_time().saturating_sub(before);
        best = best.min(took.as_nanos() as f64 / (ROUNDS * BATCH) as f64);
    }
    Ok(best)
}

fn open(on_disk: bool, path: &Path) -> Result<Arc<StateDirectory>> {
    Ok(match on_disk {
        true => StateDirectory::open(StateDirectoryOptions::new(path))?,
        false => StateDirectory::in_memory(),
    })
}

fn task(
    topology: &Topology,
    subtopology: u32,
    storage: &TaskStorage,
    globals: &GlobalStores,
    table: Table,
) -> Result<ProcessorTask> {
    let config = StreamsConfig::new("lookups", "none:1").validate()?;
    let mut stores = Vec::new();
    for declaration in topology.stores(subtopology) {
        stores.push(TaskStore { layers: storage.open_store(declaration.spec())?, changelog: None });
    }
    let topics = if table == Table::Local { &["in", "table"][..] } else { &["in"] };
    let begun = Timestamp::from_millis(-1);
    Ok(ProcessorTask::new(TaskSetup {
        topology,
        application_id: &config.application_id,
        task: TaskId { subtopology, partition: 0 },
        inputs: topics.iter().map(|topic| (TopicPartition::new(*topic, 0), begun)).collect(),
        committed_times: Vec::new(),
        stores,
        globals,
        handlers: &config.handlers,
        wall_clock: Timestamp::from_millis(0),
    })?)
}

/// The rows, in the engine.
fn feed_local(task: &mut ProcessorTask, records: &[Arc<MemoryRecord>]) -> Result<()> {
    let mut collector: Box<dyn RecordCollector> = Box::new(Nowhere);
    let mut raws: Vec<_> = (0..records.len()).map(|n| raw(n, records)).collect();
    task.push(1, &mut raws, records.len() as i64, 0);
    while task.process(1, &mut collector)? {}
    task.flush(&mut collector)?;
    task.seal(Attempt(1), &mut collector)?;
    for layers in task.layers_mut() {
        layers.commit(Attempt(1), StoreMetadata::new(uuid::Uuid::nil(), records.len() as i64));
        if let Some(job) = layers.apply() {
            layers.finish_apply(job.run())?;
        }
    }
    Ok(())
}

/// The same in a global store, which is readable from then on, as long as what is returned lives.
fn feed_global(
    topology: &Topology,
    state: &Arc<StateDirectory>,
    globals: &GlobalStores,
    records: &[Arc<MemoryRecord>],
) -> Result<(GlobalTask, TaskStorage)> {
    let config = StreamsConfig::new("lookups", "none:1").validate()?;
    let subtopology = topology.global_subtopologies().next().ok_or("no global sub-topology")?;
    let storage = state.lease(TaskKey::GLOBAL)?;
    let stores = topology.stores(subtopology);
    let layers = storage.open_store(stores.first().ok_or("no global store")?.spec())?;
    let setup = GlobalTaskSetup {
        topology: topology.clone(),
        application_id: config.application_id.clone(),
        subtopology,
        topic: "table".into(),
        topic_id: uuid::Uuid::nil(),
        positions: vec![0],
        handlers: config.handlers,
    };
    let now = Timestamp::from_millis(0);
    let mut task = GlobalTask::new(setup, layers, now)?;
    let mut raws: Vec<_> = (0..records.len()).map(|n| raw(n, records)).collect();
    task.process(0, &mut raws, records.len() as i64, 0, now)?;
    task.commit(0, 0)?;
    task.publish(globals);
    Ok((task, storage))
}

/// The record of an offset: the keys follow each other, again and again.
fn raw(offset: usize, records: &[Arc<MemoryRecord>]) -> RawRecord {
    RawRecord::from_memory(offset as i64, records[offset % records.len()].clone())
}
