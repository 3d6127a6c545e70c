//! Torture of an application on a real Kafka: [`Stage`] is one application of several processes
//! with its input, [`verify`] says whether its output is that of an undisturbed run.

mod gaps;
mod random;
mod stage;
mod verify;
mod writer;

pub use gaps::{Gap, GapWatch};
pub use random::Random;
pub use stage::{Guarantee, SESSION_TIMEOUT, Stage, StageOptions, TRANSACTION_TIMEOUT};
pub use verify::{LedgerLogs, Wrong, verify};
pub use writer::Writer;

/// A number from the environment.
///
/// # Panics
/// If it is not a number.
pub fn number_from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}
