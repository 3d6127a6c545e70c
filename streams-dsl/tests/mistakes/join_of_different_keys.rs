use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, i64>("orders");
    let limits = builder.table::<i64, i64>("limits", "limits");
    orders.join_table(&limits, |_, a, b| a + b).to("out");
}
