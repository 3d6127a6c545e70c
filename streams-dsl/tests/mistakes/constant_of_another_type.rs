use streams_dsl::prelude::*;

const ORDERS: Topic<String, i64> = Topic::new("orders");

fn main() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("lines").to(ORDERS);
}
