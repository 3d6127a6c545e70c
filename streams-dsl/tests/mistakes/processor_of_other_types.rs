use streams_dsl::prelude::*;

struct Upper;

impl Processor for Upper {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        value: String,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        ctx.forward(key.to_uppercase(), value)
    }
}

fn main() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("n").process((), |_, _| Upper).to("out");
}
