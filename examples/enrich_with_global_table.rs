//! Looks up, for each order, its customer and its product in global tables: of these every instance
//! has all rows, so an order finds both wherever it is processed. Nothing is repartitioned, and
//! the three topics need not have equally many partitions.
//!
//! `cargo run -p examples --example enrich_with_global_table` runs it on the embedded cluster, with
//! `STREAMS_BOOTSTRAP_SERVERS=localhost:9092` on that Kafka.

use examples::{Cluster, init_logs};
use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

#[derive(Clone, Debug, Serialize, Deserialize, DefaultSerde)]
struct Order {
    customer: String,
    product: String,
    pieces: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize, DefaultSerde)]
struct Product {
    name: String,
    price: i64,
}

const ORDERS: Topic<String, Order> = Topic::new("orders");
const PRODUCTS: Topic<String, Product> = Topic::new("products");
const CUSTOMERS: Topic<String, String> = Topic::new("customers");

fn enrich() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let products = builder.global_table(PRODUCTS, "products");
    let customers = builder.global_table(CUSTOMERS, "customers");
    builder
        .stream(ORDERS)
        // An order of something that is not sold goes no further.
        .join_global(
            &products,
            |_, order| order.product.clone(),
            |_, order, product| {
                let total = order.pieces * product.price;
                (order.customer, format!("{} {} for {total}", order.pieces, product.name))
            },
        )
        .left_join_global(
            &customers,
            |_, (customer, _)| Some(customer.clone()),
            |_, (customer, what), name| format!("{}: {what}", name.unwrap_or(&customer)),
        )
        .to("invoices");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("enrich-with-global-table")?;
    cluster.create_topics(&["orders", "invoices"], 4).await?;
    cluster.create_topics(&["products", "customers"], 2).await?;
    let products =
        [("p1", r#"{"name":"lamps","price":20}"#), ("p2", r#"{"name":"chairs","price":45}"#)];
    cluster.write("products", products).await?;
    cluster.write("customers", [("c1", "Ann"), ("c2", "Bob")]).await?;
    let orders = [
        ("o1", r#"{"customer":"c1","product":"p1","pieces":2}"#),
        ("o2", r#"{"customer":"c2","product":"p2","pieces":1}"#),
        ("o3", r#"{"customer":"c1","product":"p9","pieces":5}"#),
        ("o4", r#"{"customer":"c3","product":"p2","pieces":4}"#),
    ];
    cluster.write("orders", orders).await?;
    let streams = KafkaStreams::start(enrich()?, cluster.config()).await?;
    let mut left = 3;
    cluster
        .read("invoices", |record| {
            println!("{}", String::from_utf8_lossy(record.value().unwrap_or_default()));
            left -= 1;
            left == 0
        })
        .await?;
    Ok(streams.close().await?)
}
