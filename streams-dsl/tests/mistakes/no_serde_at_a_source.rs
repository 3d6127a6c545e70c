// A bare name of a topic stands for the default serdes of its types.
use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    amount: i64,
}

fn main() {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, Order>("orders");
    orders.filter(|_, order| order.amount > 1).to("out");
}
