//! Many tasks with several stores each: how long a start takes, and how many files it opens.

use std::sync::Arc;

use streams_core::config::State;
use streams_core::error::BoxError;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::serdes::Bytes;
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::{KafkaStreams, StreamsConfig, Topology};
use streams_test::EmbeddedCluster;

use crate::Result;
use crate::measure::{log_if_asked, now};

const TASKS: i32 = 200;

/// Milliseconds to RUNNING and descriptors that are open then: at the first start, and again.
pub(crate) fn run() -> Result<String> {
    log_if_asked();
    let directory = tempfile::tempdir()?;
    let cluster = EmbeddedCluster::new();
    cluster.create_topic("in", TASKS)?;
    let config = StreamsConfig::new("many-tasks", "none:1")
        .state_dir(directory.path())
        .threads(2)
        .client(Arc::new(cluster.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start = || {
        runtime.block_on(async {
            let (before, files) = (now(), open_files()?);
            let streams = KafkaStreams::start(topology()?, config.clone()).await?;
            streams.wait_for(State::Running).await?;
            let took = now().since(before).as_secs_f64() * 1e3;
            let opened = open_files()? - files;
            streams.close().await?;
            Result::Ok((took, opened))
        })
    };
    let ((first_ms, first_files), (again_ms, again_files)) = (start()?, start()?);
    Ok(format!("{first_ms} {again_ms} {first_files} {again_files}"))
}

fn topology() -> Result<Topology> {
    let mut builder = Topology::builder();
    let source = builder.add_source::<Bytes, Bytes>("in", "in");
    let stores = (
        Stores::key_value::<Bytes, i64>("a"),
        Stores::key_value::<Bytes, i64>("b"),
        Stores::key_value::<Bytes, i64>("c"),
    );
    builder.add_processor("count", &[&source], stores, |(a, b, c), _| Three([a, b, c]));
    Ok(builder.build()?)
}

struct Three([KeyValueHandle<Bytes, i64>; 3]);

impl Processor for Three {
    type KIn = Bytes;
    type VIn = Bytes;
    type KOut = ();
    type VOut = ();

    fn process(
        &mut self,
        key: Bytes,
        _: Bytes,
        ctx: &mut ProcessorContext<'_, (), ()>,
    ) -> std::result::Result<(), BoxError> {
        for store in &self.0 {
            ctx.store(store).put(&key, 1)?;
        }
        Ok(())
    }
}

fn open_files() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}
