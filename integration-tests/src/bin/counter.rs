//! The application that the tests kill: counts records per key, from `words` to `counts`. Prints
//! a line for each event that a test waits for. Configured by the environment (`STREAMS_..`).

use std::io::Write;

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

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A test that has gone away reads nothing more.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
