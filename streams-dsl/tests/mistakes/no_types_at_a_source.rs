use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    builder.stream("lines").map_values(|line| line.len() as i64).to("out");
}
