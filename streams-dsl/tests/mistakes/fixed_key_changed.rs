use streams_dsl::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, i64>("lines");
    lines.process_values_fn((), |_, key, n, ctx| ctx.forward(key.to_uppercase(), n)).to("out");
}
