// A table's stream has deletions: its values are `Option`.
use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, i64>("orders").group_by_key().count("counts");
    counts.to_stream().map_values(|n| n + 1).to("out");
}
