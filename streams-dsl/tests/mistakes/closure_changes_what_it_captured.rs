// All tasks share a closure: what it remembers belongs into a store.
use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let mut seen = 0;
    let lines = builder.stream::<String, String>("lines");
    lines
        .map_values(move |line| {
            seen += 1;
            format!("{seen} {line}")
        })
        .to("out");
}
