use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

#[derive(Serialize, Deserialize, DefaultSerde)]
struct Order {
    amount: i64,
}

fn main() {
    let builder = StreamsBuilder::new();
    let _orders = builder.stream::<String, Order>("orders");
}
