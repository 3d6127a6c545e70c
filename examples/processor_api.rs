//! The Processor API: a processor with a store and a timer, wired by hand.
//!
//! `cargo run -p examples --example processor_api` runs on the embedded cluster. With
//! `STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:9092` it runs on a real Kafka.

use std::time::Duration;

use examples::{Cluster, init_logs};
use streams_dsl::prelude::*;

type Context<'a> = ProcessorContext<'a, String, String>;

/// Sums payments per account, and tells all sums every 100 ms.
struct Sums(KeyValueHandle<String, i64>);

impl Sums {
    fn tell(&mut self, _: Timestamp, ctx: &mut Context<'_>) -> Result<(), BoxError> {
        let mut sums = self.0.all();
        while let Some((account, sum)) = ctx.next(&mut sums)? {
            ctx.forward(account, sum.to_string())?;
        }
        Ok(())
    }
}

impl Processor for Sums {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        value: String,
        ctx: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let payment: i64 = value.parse()?;
        ctx.store(&self.0).update(&key, |sum| *sum = Some(sum.unwrap_or(0) + payment))
    }
}

fn sums() -> Result<Topology, TopologyError> {
    let mut topology = Topology::builder();
    let payments = topology.add_source::<String, String>("payments", "payments");
    let sums =
        topology.add_processor("sum", &[&payments], Stores::key_value("sums"), |sums, init| {
            init.every_wall_clock(Duration::from_millis(100), Sums::tell);
            Sums(sums)
        });
    topology.add_sink("out", &[&sums], "sums");
    topology.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("processor-api")?;
    cluster.create_topics(&["payments", "sums"], 1).await?;
    cluster.write("payments", [("ann", "5"), ("bob", "7"), ("ann", "3")]).await?;
    let streams = KafkaStreams::start(sums()?, cluster.config()).await?;
    let mut left = 2;
    cluster
        .read("sums", |record| {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let key = text(record.key().unwrap_or_default());
            println!("{key} has {}", text(record.value().unwrap_or_default()));
            left -= 1;
            left == 0
        })
        .await?;
    Ok(streams.close().await?)
}
