//! Random scenarios, on the JVM's side and on ours. Needs Java and Maven: `scripts/test` installs
//! them.
//!
//! `SCENARIO_SEED` is the first seed, `fresh` takes one from the clock, else 1; `SCENARIO_COUNT` is how
//! many there are, else as many as fit in `SCENARIO_SECONDS`, else in half a minute. What is printed
//! runs the same ones again.

use std::path::Path;
use std::time::Duration;

use integration_tests::scenario::differential;
use streams_core::time::{Clock, SystemClock};

#[test]
fn random_scenarios_have_the_jvms_results() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let fresh = || SystemClock.wall_ms().unsigned_abs() << 20 | u64::from(std::process::id());
    let wants_fresh = std::env::var("SCENARIO_SEED").is_ok_and(|seed| seed == "fresh");
    let seed = if wants_fresh { fresh() } else { number("SCENARIO_SEED").unwrap_or(1) };
    let count = number("SCENARIO_COUNT");
    let limit = match (number("SCENARIO_SECONDS"), count) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, Some(_)) => Duration::MAX,
        (None, None) => Duration::from_secs(30),
    };
    println!("SCENARIO_SEED={seed}");
    let outcome = differential(seed, count.unwrap_or(u64::MAX), limit);
    println!(
        "{outcome}\nagain: SCENARIO_SEED={seed} SCENARIO_COUNT={} \
         cargo test -p integration-tests --test differential -- --nocapture",
        outcome.count
    );
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenarios");
    let reports: Vec<_> =
        outcome.failures.iter().map(|failure| failure.report(&directory)).collect();
    assert!(reports.is_empty(), "{outcome}\n\n{}", reports.join("\n\n"));
}
