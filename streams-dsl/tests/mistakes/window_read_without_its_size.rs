// The bytes of a windowed key do not say how long its window is.
use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<Windowed<String>, i64>("counts-per-minute");
    counts.to("out");
}
