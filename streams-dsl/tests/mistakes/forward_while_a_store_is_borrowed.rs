// Copy out of a store what is forwarded: `.cloned()`.
use streams_dsl::prelude::*;

struct Replay {
    store: KeyValueHandle<String, String>,
}

impl Processor for Replay {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        _: String,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        if let Some(old) = ctx.store(&self.store).get(&key)? {
            ctx.forward(key, old.clone())?;
        }
        Ok(())
    }
}

fn main() {}
