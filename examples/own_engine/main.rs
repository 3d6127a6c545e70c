//! State in an engine of the application's own: purchases are counted, the application ends, and
//! its second run goes on with the counts that it finds in the engine.
//!
//! The engine is in `log_engine.rs`; `tests/own_engine.rs` lets the conformance suite judge it, and
//! kills the application.
//!
//! `cargo run -p examples --example own_engine` runs on the embedded cluster. With
//! `STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:9092` it runs on a real Kafka.

mod log_engine;

use examples::{Cluster, init_logs};
use streams_dsl::prelude::*;
use streams_dsl::stores::engine::EngineSupplier;

use log_engine::LogEngine;

fn purchases() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("purchases")
        .group_by_key()
        .count("purchases-by-customer")
        .to_stream()
        .drop_null_values()
        .map(|customer, count| (customer.clone(), format!("{customer} has bought {count} things")))
        .to("purchase-counts");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("own-engine")?;
    cluster.create_topics(&["purchases", "purchase-counts"], 1).await?;
    let config = cluster
        .config()
        .engine(EngineSupplier::new("log", LogEngine::open))
        .on_restore(|restore| println!("{} records are missing", restore.records_left));

    let runs = [[("ann", "lamp"), ("bob", "chair")], [("ann", "table"), ("ann", "bed")]];
    for (number, run) in runs.into_iter().enumerate() {
        println!("run {}", number + 1);
        cluster.write("purchases", run).await?;
        let streams = KafkaStreams::start(purchases()?, config.clone()).await?;
        let mut counts = Vec::new();
        cluster
            .read("purchase-counts", |count| {
                counts
                    .push(String::from_utf8_lossy(count.value().unwrap_or_default()).into_owned());
                counts.len() == 2 * (number + 1)
            })
            .await?;
        counts[2 * number..].iter().for_each(|count| println!("{count}"));
        streams.close().await?;
    }
    Ok(())
}
