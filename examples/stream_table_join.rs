//! Enriches a stream of orders by a table of customers.
//!
//! `cargo run -p examples --example stream_table_join` runs on the embedded cluster. With
//! `STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:9092` it runs on a real Kafka.

use examples::{Cluster, init_logs};
use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

#[derive(Clone, Debug, Serialize, Deserialize, DefaultSerde)]
struct Order {
    customer: String,
    amount: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize, DefaultSerde)]
struct Customer {
    name: String,
}

const CUSTOMERS: Topic<String, Customer> = Topic::new("customers");
const ORDERS: Topic<String, Order> = Topic::new("orders");

fn enrich() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let customers = builder.table(CUSTOMERS, "customers-by-id");
    builder
        .stream(ORDERS)
        .select_key(|_, order| order.customer.clone())
        .left_join_table_with(
            &customers,
            |id, order, customer| {
                let name = customer.map_or(id.as_str(), |customer| customer.name.as_str());
                format!("{name} ordered for {}", order.amount)
            },
            "orders-by-customer",
        )
        .to("enriched");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("stream-table-join")?;
    cluster.create_topics(&["customers", "orders", "enriched"], 3).await?;
    let customers = [("c1", r#"{"name":"Ann"}"#), ("c2", r#"{"name":"Bob"}"#)];
    cluster.write("customers", customers).await?;
    let orders = [
        ("o1", r#"{"customer":"c1","amount":5}"#),
        ("o2", r#"{"customer":"c2","amount":7}"#),
        ("o3", r#"{"customer":"c3","amount":9}"#),
    ];
    cluster.write("orders", orders).await?;
    let streams = KafkaStreams::start(enrich()?, cluster.config()).await?;
    let mut left = orders.len();
    cluster
        .read("enriched", |record| {
            println!("{}", String::from_utf8_lossy(record.value().unwrap_or_default()));
            left -= 1;
            left == 0
        })
        .await?;
    Ok(streams.close().await?)
}
