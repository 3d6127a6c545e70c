//! The application with a global table that the tests kill: looks up names of customers for orders,
//! from `orders` to `enriched`. Prints a line for each event that a test waits for. Configured by
//! the environment (`STREAMS_..`).

use integration_tests::say;
use streams_dsl::prelude::*;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let builder = StreamsBuilder::new();
    let names = builder.global_table::<String, String>("names", "names");
    builder
        .stream::<String, String>("orders")
        .left_join_global(
            &names,
            |_, customer| Some(customer.clone()),
            |_, customer, name| format!("{customer}={}", name.map_or("nobody", |name| name)),
        )
        .to("enriched");
    let config = StreamsConfig::from_env()?
        .on_state_change(|_, state| say(&format!("STATE {state:?}")))
        .on_restore(|progress| {
            say(&format!("RESTORE {} {:?} {}", progress.store, progress.phase, progress.records));
        });
    KafkaStreams::run(builder.build()?, config).await?;
    say("ENDED");
    Ok(())
}
