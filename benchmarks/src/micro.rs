//! A task without Kafka: what a record, a hop and an update of a cached count take. For profiling.

use std::sync::Arc;
use std::time::Duration;

use state_stores::{StateDirectory, TaskKey};
use streams_core::client::{
    ClientError, MemoryRecord, ProducerRecord, RawRecord, TopicPartition, TopicSlot,
};
use streams_core::error::BoxError;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::GlobalStores;
use streams_core::task::{ProcessorTask, RecordCollector, TaskSetup, TaskStore};
use streams_core::{StreamsConfig, TaskId, Timestamp, Topology};
use streams_dsl::prelude::{Materialized, StreamsBuilder, TimeWindows};

use crate::Result;
use crate::measure::cpu_time;
use crate::streams;

const HOPS: usize = 32;
const BATCH: usize = 500;
const ROUNDS: usize = 2000;
const KEYS: usize = 1000;

/// A record in so many hopping windows, for the comparison with one in a tumbling window.
const OVERLAPS: u32 = 12;

/// Nanoseconds of CPU time: `record hop pass count tumbling hopping`.
pub(crate) fn run() -> Result<String> {
    let bare = per_record(&hops(0)?)?;
    let hop = (per_record(&hops(HOPS)?)? - bare) / HOPS as f64;
    let pass = per_record(&streams::pass("in", "out")?)?;
    let count = per_record(&streams::count("in", "out")?)?;
    let tumbling = per_record(&windowed_count(1)?)?;
    let hopping = per_record(&windowed_count(OVERLAPS)?)?;
    Ok(format!("{bare} {hop} {pass} {count} {tumbling} {hopping}"))
}

struct Hop;

impl Processor for Hop {
    type KIn = i64;
    type VIn = i64;
    type KOut = i64;
    type VOut = i64;

    fn process(
        &mut self,
        key: i64,
        value: i64,
        ctx: &mut ProcessorContext<'_, i64, i64>,
    ) -> std::result::Result<(), BoxError> {
        ctx.forward(key, value + 1)
    }
}

fn hops(hops: usize) -> Result<Topology> {
    let mut builder = Topology::builder();
    let source = builder.add_source::<i64, i64>("in", "in");
    let mut last = builder.add_processor("hop", &[&source], (), |(), _| Hop);
    for hop in 0..hops {
        last = builder.add_processor(&format!("hop-{hop}"), &[&last], (), |(), _| Hop);
    }
    Ok(builder.build()?)
}

/// Counts in windows of a minute, of which each record has `overlaps`; forwarded on commit.
fn windowed_count(overlaps: u32) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let size = Duration::from_secs(60);
    let windows = TimeWindows::hopping(size, size / overlaps);
    let counts = Materialized::from("counts").emit_on_commit(true);
    let counts = builder.stream::<i64, i64>("in").group_by_key().windowed_by(windows).count(counts);
    counts.to_stream().for_each(|_, _| {});
    Ok(builder.build()?)
}

fn per_record(topology: &Topology) -> Result<f64> {
    let config = StreamsConfig::new("micro", "none:1").validate()?;
    let application_id: Arc<str> = "micro".into();
    let directory = StateDirectory::in_memory();
    let id = TaskId { subtopology: 0, partition: 0 };
    let storage = directory.lease(TaskKey { subtopology: 0, partition: 0 })?;
    let mut stores = Vec::new();
    for declaration in topology.stores(0) {
        stores.push(TaskStore { layers: storage.open_store(declaration.spec())?, changelog: None });
    }
    let mut task = ProcessorTask::new(TaskSetup {
        topology,
        application_id: &application_id,
        task: id,
        inputs: vec![(TopicPartition::new("in", 0), Timestamp::from_millis(-1))],
        committed_times: Vec::new(),
        stores,
        globals: &GlobalStores::default(),
        handlers: &config.handlers,
        wall_clock: Timestamp::from_millis(0),
    })?;
    let records: Vec<Arc<MemoryRecord>> = (0..KEYS).map(|n| Arc::new(record(n))).collect();
    let mut collector: Box<dyn RecordCollector> = Box::new(Nowhere);
    let mut raws = Vec::new();
    let mut best = f64::MAX;
    for _ in 0..5 {
        let before = cpu_time();
        for round in 0..ROUNDS {
            raws.extend((0..BATCH).map(|n| {
                let offset = round * BATCH + n;
                RawRecord::from_memory(offset as i64, records[offset % KEYS].clone())
            }));
            task.push(0, &mut raws, ((round + 1) * BATCH) as i64, 0);
            while task.process(0, &mut collector)? {}
        }
        let took = cpu_time().saturating_sub(before);
        best = best.min(took.as_nanos() as f64 / (ROUNDS * BATCH) as f64);
    }
    Ok(best)
}

/// Keys and values of eight bytes, which are an i64 as well.
pub(crate) fn record(number: usize) -> MemoryRecord {
    MemoryRecord {
        timestamp: 1_000_000 + number as i64,
        key: Some((number as i64).to_be_bytes().into()),
        value: Some([0; 8].into()),
        ..MemoryRecord::default()
    }
}

/// Takes records and forgets them.
pub(crate) struct Nowhere;

impl RecordCollector for Nowhere {
    fn generation(&self) -> u64 {
        0
    }

    fn topic(&mut self, _: &Arc<str>) -> std::result::Result<TopicSlot, ClientError> {
        Ok(TopicSlot(0))
    }

    fn partitions(&mut self, _: TopicSlot) -> std::result::Result<i32, ClientError> {
        Ok(4)
    }

    fn send(&mut self, record: ProducerRecord<'_>) -> std::result::Result<(), ClientError> {
        std::hint::black_box(record);
        Ok(())
    }
}
