use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let least = 5;
    builder.stream::<String, i64>("n").filter(|_, n| *n > least).to("out");
}
