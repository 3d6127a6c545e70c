//! The application that the tests kill: counts records per key, from `words` to `counts`. Prints
//! a line for each event that a test waits for. Configured by the environment (`STREAMS_..`).

use integration_tests::say;
use streams_dsl::prelude::*;

const WORDS: Topic<String, String> = Topic::new("words");

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let builder = StreamsBuilder::new();
    builder.stream(WORDS).group_by_key().count("count-store").to("counts");
    let config = StreamsConfig::from_env()?
        .on_state_change(|_, state| say(&format!("STATE {state:?}")))
        .on_restore(|progress| {
            say(&format!(
                "RESTORE {} {} {:?} {}",
                progress.store, progress.task, progress.phase, progress.records
            ));
        });
    KafkaStreams::run(builder.build()?, config).await?;
    say("ENDED");
    Ok(())
}
