//! The application that the torture kills, see `integration_tests::ledger`. Prints a line for each
//! event that a test waits for. Configured by the environment (`STREAMS_..`), and by
//! - `LEDGER_LOG`, the level of its log;
//! - `LEDGER_DIE_AT=Sealed:7`: the process ends at once when that step of a commit comes for the
//!   seventh time;
//! - `LEDGER_STALL_AT=Sealed:7:9000`: the thread to which that happens stands still for 9000 ms.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use integration_tests::{ledger, say};
use streams_core::runtime::CommitStep;
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
    let (die, stall) =
        (FailPoint::from_env("LEDGER_DIE_AT"), FailPoint::from_env("LEDGER_STALL_AT"));
    let config = config.on_commit_step(move |step| {
        if die.as_ref().is_some_and(|point| point.is_reached(step)) {
            // Nobody sees to it that output is written: that is the point.
            say(&format!("DIES {step:?}"));
            std::process::abort();
        }
        if let Some(point) = stall.as_ref().filter(|point| point.is_reached(step)) {
            say(&format!("STALLS {step:?}"));
            #[allow(clippy::disallowed_methods, reason = "a slow disk, network or processor")]
            std::thread::sleep(point.pause);
            say(&format!("GOES ON {step:?}"));
        }
    });
    KafkaStreams::run(ledger::topology(&application_id)?, config).await?;
    say("ENDED");
    Ok(())
}

/// A step of a commit, when it comes for the n-th time.
struct FailPoint {
    step: String,
    left: AtomicU64,
    pause: Duration,
}

impl FailPoint {
    /// `Step:n` or `Step:n:milliseconds`.
    fn from_env(name: &str) -> Option<Self> {
        let text = std::env::var(name).ok()?;
        let mut parts = text.split(':');
        let step = parts.next().unwrap_or_default().to_owned();
        let mut number = || parts.next().and_then(|part| part.parse().ok());
        let left = AtomicU64::new(number().unwrap_or(1));
        Some(Self { step, left, pause: Duration::from_millis(number().unwrap_or(0)) })
    }

    fn is_reached(&self, step: CommitStep) -> bool {
        // Wraps after the last one: it never comes again.
        format!("{step:?}") == self.step && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}
