//! Joins a stream of orders with a stream of payments: those of one order that are at most a
//! minute apart.
//!
//! `cargo run -p examples --example order_payment_join` runs it on the embedded cluster, with
//! `STREAMS_BOOTSTRAP_SERVERS=localhost:9092` on that Kafka.

use std::time::Duration;

use examples::{Cluster, init_logs};
use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

#[derive(Clone, Debug, Serialize, Deserialize, DefaultSerde)]
struct Order {
    item: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, DefaultSerde)]
struct Payment {
    order: String,
    by: String,
}

const ORDERS: Topic<String, Order> = Topic::new("orders");
const PAYMENTS: Topic<String, Payment> = Topic::new("payments");

fn join() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    // Payments have keys of their own: they go through a topic of the join.
    let payments = builder.stream(PAYMENTS).select_key(|_, payment| payment.order.clone());
    builder
        .stream(ORDERS)
        .join(
            &payments,
            |id, order, payment| format!("{id}: {} was paid by {}", order.item, payment.by),
            JoinWindows::within(Duration::from_secs(60)),
            "paid-orders",
        )
        .to("paid");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("order-payment-join")?;
    cluster.create_topics(&["orders", "payments", "paid"], 3).await?;
    let orders = [
        ("o1", r#"{"item":"a lamp"}"#),
        ("o2", r#"{"item":"a chair"}"#),
        ("o3", r#"{"item":"a table"}"#),
    ];
    cluster.write("orders", orders).await?;
    let payments =
        [("p1", r#"{"order":"o2","by":"card"}"#), ("p2", r#"{"order":"o1","by":"invoice"}"#)];
    cluster.write("payments", payments).await?;
    let streams = KafkaStreams::start(join()?, cluster.config()).await?;
    let mut left = payments.len();
    cluster
        .read("paid", |record| {
            println!("{}", String::from_utf8_lossy(record.value().unwrap_or_default()));
            left -= 1;
            left == 0
        })
        .await?;
    Ok(streams.close().await?)
}
