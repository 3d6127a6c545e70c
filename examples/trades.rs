//! Books trades exactly once: each trade moves money from the buyer to the seller, and the
//! positions always add up to zero, whatever fails and when.
//!
//! `cargo run -p examples --example trades` runs it on the embedded cluster, with
//! `STREAMS_BOOTSTRAP_SERVERS=localhost:9092` on that Kafka.

use std::collections::BTreeMap;

use examples::{Cluster, init_logs};
use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

#[derive(Clone, Debug, Serialize, Deserialize, DefaultSerde)]
struct Trade {
    buyer: String,
    seller: String,
    price: i64,
}

const TRADES: Topic<String, Trade> = Topic::new("trades");

fn positions() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    builder
        .stream(TRADES)
        // Two bookings of one trade: both are committed, or none.
        .flat_map(|_, trade, out| {
            out.emit((trade.buyer, -trade.price));
            out.emit((trade.seller, trade.price));
        })
        .repartition("bookings")
        .group_by_key()
        .reduce(|position, booked| position + booked, "positions")
        .to_stream()
        .drop_null_values()
        .map_values(|position| position.to_string())
        .to("positions-of-traders");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("trades")?;
    cluster.create_topics(&["trades", "positions-of-traders"], 3).await?;
    let traders = ["ann", "bob", "cai"];
    let trade = |n: usize| {
        let (buyer, seller) = (traders[n % 3], traders[(n + 1 + n % 2) % 3]);
        let trade = format!(r#"{{"buyer":"{buyer}","seller":"{seller}","price":{}}}"#, n + 1);
        (format!("t{n}"), trade)
    };
    let trades: Vec<_> = (0..12).map(trade).collect();
    cluster.write("trades", trades.iter().map(|(key, trade)| (&**key, &**trade))).await?;
    let streams = KafkaStreams::start(positions()?, cluster.config().exactly_once()).await?;
    let (mut positions, mut left) = (BTreeMap::new(), 2 * trades.len());
    cluster
        .read("positions-of-traders", |record| {
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
            };
            positions.insert(text(record.key()), text(record.value()).parse().unwrap_or(0_i64));
            left -= 1;
            left == 0
        })
        .await?;
    positions.iter().for_each(|(trader, position)| println!("{trader} has {position}"));
    println!("together {}", positions.values().sum::<i64>());
    Ok(streams.close().await?)
}
