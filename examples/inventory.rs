//! Keeps the stock of a shop: movements are summed up per item, and an item whose stock falls
//! below its minimum is reordered.
//!
//! `cargo run -p examples --example inventory` runs it on the embedded cluster, with
//! `STREAMS_BOOTSTRAP_SERVERS=localhost:9092` on that Kafka.

use examples::{Cluster, init_logs};
use streams_dsl::prelude::*;

/// What came in, or went out (negative), by item.
const MOVEMENTS: Topic<String, String> = Topic::new("movements");
/// How many of each item there should be.
const MINIMA: Topic<String, String> = Topic::new("minima");

fn inventory() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let minima = builder.table(MINIMA, "minima").map_values(|text| text.parse().unwrap_or(0_i64));
    let stock = builder
        .stream(MOVEMENTS)
        .try_map_values(|text| Ok(text.parse::<i64>()?))
        .group_by_key()
        .reduce(|stock, moved| stock + moved, "stock");
    stock
        .join(&minima, |_, stock, minimum| (*stock, *minimum))
        .filter(|_, (stock, minimum)| stock < minimum)
        .to_stream()
        .drop_null_values()
        .map_values_with_key(|item, (stock, minimum)| {
            format!("{item}: {stock} left, reorder {}", 2 * minimum - stock)
        })
        .to("alerts");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("inventory")?;
    cluster.create_topics(&["movements", "minima", "alerts"], 3).await?;
    cluster.write("minima", [("lamp", "5"), ("chair", "2")]).await?;
    let streams = KafkaStreams::start(inventory()?, cluster.config()).await?;
    streams.wait_for(State::Running).await?;
    let movements = [("lamp", "12"), ("chair", "4"), ("lamp", "-8"), ("chair", "-2")];
    cluster.write("movements", movements).await?;
    cluster
        .read("alerts", |record| {
            let alert = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
            println!("{alert}");
            alert.starts_with("lamp: 4")
        })
        .await?;
    Ok(streams.close().await?)
}
