use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, String>("lines");
    lines.group_by(|_, word| word.clone()).count("counts").to("out");
}
