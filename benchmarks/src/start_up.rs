//! How long an application takes to run: the first time, and again with its state.

use std::sync::Arc;

use streams_core::config::State;
use streams_core::{KafkaStreams, StreamsConfig};
use streams_test::EmbeddedCluster;

use crate::Result;
use crate::broker::PARTITIONS;
use crate::cases::{Cluster, Task};
use crate::measure::{log_if_asked, now};
use crate::streams::count;

/// Milliseconds from `start` to RUNNING: `first second`.
pub(crate) fn run(task: &Task, cluster: Cluster) -> Result<String> {
    log_if_asked();
    let directory = tempfile::tempdir()?;
    let mut config = StreamsConfig::new(task.tag.as_str(), task.bootstrap.as_str())
        .state_dir(directory.path())
        .set("auto.offset.reset", "latest");
    if cluster == Cluster::Embedded {
        let embedded = EmbeddedCluster::new();
        embedded.create_topic(&task.input, PARTITIONS)?;
        embedded.create_topic(&task.output(), PARTITIONS)?;
        config = config.client(Arc::new(embedded));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start = || {
        runtime.block_on(async {
            let before = now();
            let topology = count(&task.input, &task.output())?;
            let streams = KafkaStreams::start(topology, config.clone()).await?;
            streams.wait_for(State::Running).await?;
            let took = now().since(before);
            streams.close().await?;
            crate::Result::Ok(took.as_secs_f64() * 1e3)
        })
    };
    Ok(format!("{} {}", start()?, start()?))
}
