use streams_dsl::prelude::*;

#[derive(Clone)]
struct Total {
    sum: i64,
}

fn main() {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, i64>("orders");
    orders.map_values(|sum| Total { sum }).filter(|_, total| total.sum > 1).to("totals");
}
