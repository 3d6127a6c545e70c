// `Ok(line.parse()?)` converts every error into `BoxError`.
use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, String>("lines");
    lines.try_map_values(|line| line.parse::<i64>()).to("out");
}
