use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, String>("lines");
    lines.process_fn("seen", |_seen, key, value, ctx| ctx.forward(key, value)).to("out");
}
