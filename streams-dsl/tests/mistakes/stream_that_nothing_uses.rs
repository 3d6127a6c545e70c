#![deny(unused_must_use)]
use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("lines").filter(|_, line| !line.is_empty());
}
