//! Joins a table of orders with a table of customers by the customer that each order names; when a
//! customer changes, so do the results of all their orders.
//!
//! `cargo run -p examples --example foreign_key_join` runs it on the embedded cluster, with
//! `STREAMS_BOOTSTRAP_SERVERS=localhost:9092` on that Kafka.

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

fn join() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let customers = builder.table(CUSTOMERS, "customers");
    builder
        .table(ORDERS, "orders")
        .join_on(
            &customers,
            |_, order| Some(order.customer.clone()),
            |id, order, customer| format!("{id}: {} ordered for {}", customer.name, order.amount),
            "orders-of-customers",
        )
        .to("named-orders");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("foreign-key-join")?;
    // The topics need not have equally many partitions: the join has topics of its own.
    cluster.create_topics(&["orders", "named-orders"], 3).await?;
    cluster.create_topics(&["customers"], 2).await?;
    let orders = [
        ("o1", r#"{"customer":"c1","amount":5}"#),
        ("o2", r#"{"customer":"c2","amount":7}"#),
        ("o3", r#"{"customer":"c1","amount":9}"#),
    ];
    cluster.write("orders", orders).await?;
    let customers = [("c1", r#"{"name":"Ann"}"#), ("c2", r#"{"name":"Bob"}"#)];
    cluster.write("customers", customers).await?;
    let streams = KafkaStreams::start(join()?, cluster.config()).await?;
    let print = |left: usize| {
        let mut seen = 0;
        move |record: &streams_core::client::RawRecord| {
            println!("{}", String::from_utf8_lossy(record.value().unwrap_or_default()));
            seen += 1;
            seen == left
        }
    };
    cluster.read("named-orders", print(orders.len())).await?;
    println!("Ann becomes Anna:");
    cluster.write("customers", [("c1", r#"{"name":"Anna"}"#)]).await?;
    cluster.read("named-orders", print(orders.len() + 2)).await?;
    Ok(streams.close().await?)
}
