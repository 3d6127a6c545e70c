//! The Processor API: a processor with a store and a timer, wired by hand.
//!
//! `cargo run -p examples --example processor_api`

use std::time::Duration;

use examples::{Cluster, init_logs};
use streams_dsl::prelude::*;

/// Sums payments per account and tells the sums every 100 ms, when they have changed.
struct Sums {
    sums: KeyValueHandle<String, i64>,
    changed: KeyValueHandle<String, bool>,
}

impl Sums {
    fn tell(
        &mut self,
        _: Timestamp,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        let mut accounts = self.changed.all();
        while let Some((account, _)) = ctx.next(&mut accounts)? {
            ctx.store(&self.changed).delete(&account)?;
            let sum = ctx.store(&self.sums).get(&account)?.copied().unwrap_or(0);
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
        account: String,
        payment: String,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        let payment: i64 = payment.parse()?;
        ctx.store(&self.sums).update(&account, |sum| *sum = Some(sum.unwrap_or(0) + payment))?;
        ctx.store(&self.changed).put(&account, true)
    }
}

fn sums() -> Result<Topology, TopologyError> {
    let mut topology = Topology::builder();
    let payments = topology.add_source::<String, String>("payments", "payments");
    let stores = (Stores::key_value("sums"), Stores::key_value("changed"));
    let sums = topology.add_processor("sum", &[&payments], stores, |(sums, changed), init| {
        init.every_wall_clock(Duration::from_millis(100), Sums::tell);
        Sums { sums, changed }
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
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
            };
            println!("{} has {}", text(record.key()), text(record.value()));
            left -= 1;
            left == 0
        })
        .await?;
    Ok(streams.close().await?)
}
