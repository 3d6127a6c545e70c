//! The library on the same work.

use streams_core::error::BoxError;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::serdes::Bytes;
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::{KafkaStreams, StreamsConfig, Topology};
use streams_dsl::StreamsBuilder;

use crate::Result;
use crate::cases::{Guarantee, Task, Work};
use crate::measure::log_if_asked;

/// Runs until the coordinator, which watches the output, closes our input; then closes.
pub(crate) fn run(task: &Task, topology: Topology, guarantee: Guarantee) -> Result<()> {
    log_if_asked();
    let directory = tempfile::tempdir()?;
    let config = StreamsConfig::new(task.tag.as_str(), task.bootstrap.as_str())
        .state_dir(directory.path())
        .threads(1)
        .set("auto.offset.reset", "earliest");
    let config = settings(guarantee.apply(config))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let streams = runtime.block_on(KafkaStreams::start(topology, config))?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    runtime.block_on(streams.close())?;
    Ok(())
}

/// Further ones, from `BENCH_SET`: `name=value;name=value`.
pub(crate) fn settings(mut config: StreamsConfig) -> Result<StreamsConfig> {
    let given = std::env::var("BENCH_SET").unwrap_or_default();
    for pair in given.split(';').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("BENCH_SET: name=value;name=value")?;
        config = config.set(name, value);
    }
    Ok(config)
}

pub(crate) fn topology(task: &Task, work: Work) -> Result<Topology> {
    match work {
        Work::Pass => pass(&task.input, &task.output()),
        Work::Count(_) => count(&task.input, &task.output()),
    }
}

/// Records as they are.
pub(crate) fn pass(input: &str, output: &str) -> Result<Topology> {
    let mut builder = Topology::builder();
    let source = builder.add_source::<Bytes, Bytes>("in", input);
    builder.add_sink("out", &[&source], output);
    Ok(builder.build()?)
}

/// Counts by key, every update forwarded.
pub(crate) fn count(input: &str, output: &str) -> Result<Topology> {
    let mut builder = Topology::builder();
    let source = builder.add_source::<Bytes, Bytes>("in", input);
    let stores = Stores::key_value::<Bytes, i64>("counts");
    let counts = builder.add_processor("count", &[&source], stores, |counts, _| Count { counts });
    builder.add_sink("out", &[&counts], output);
    Ok(builder.build()?)
}

/// The same with operators.
pub(crate) fn count_by_dsl(input: &str, output: &str) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder.stream::<Bytes, Bytes>(input).group_by_key().count("counts").to(output);
    Ok(builder.build()?)
}

/// The count of each key.
pub(crate) struct Count {
    pub(crate) counts: KeyValueHandle<Bytes, i64>,
}

impl Processor for Count {
    type KIn = Bytes;
    type VIn = Bytes;
    type KOut = Bytes;
    type VOut = i64;

    fn process(
        &mut self,
        key: Bytes,
        _: Bytes,
        ctx: &mut ProcessorContext<'_, Bytes, i64>,
    ) -> std::result::Result<(), BoxError> {
        let count =
            ctx.store(&self.counts).update(&key, |count| *count.insert(count.unwrap_or(0) + 1))?;
        ctx.forward(key, count)
    }
}
