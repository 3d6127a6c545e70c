//! The application that the torture kills, see `integration_tests::ledger`. Prints a line for each
//! event that a test waits for. Configured by the environment (`STREAMS_..`), and by
//! `LEDGER_LOG`, the level of its log.

use std::io::Write;

use integration_tests::ledger;
use streams_dsl::prelude::*;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let level = std::env::var("LEDGER_LOG").unwrap_or_else(|_| "info".to_owned());
    let logs = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(level)?);
    logs.with_writer(std::io::stderr).with_ansi(false).init();
    tracing::info!(pid = std::process::id(), "starts");
    let application_id = std::env::var("STREAMS_APPLICATION_ID")?;
    let config = StreamsConfig::from_env()?
        .on_state_change(|_, state| say(&format!("STATE {state:?}")))
        .on_restore(|progress| {
            say(&format!(
                "RESTORE {} {} {:?} {}",
                progress.store, progress.task, progress.phase, progress.records
            ));
        });
    KafkaStreams::run(ledger::topology(&application_id)?, config).await?;
    say("ENDED");
    Ok(())
}

fn say(line: &str) {
    tracing::info!("{line}");
    let mut out = std::io::stdout().lock();
    // A test that has gone away reads nothing more.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
