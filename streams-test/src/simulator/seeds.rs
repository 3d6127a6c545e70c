//! Which seeds a test runs, and what is printed when one of them fails.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::str::FromStr;
use std::time::Duration;

use streams_core::time::{Clock, SystemClock};

/// Runs `run` for each seed of `seeds`, one after the other. When one fails, the command that
/// shows it again is printed.
///
/// The environment decides otherwise: `STREAMS_SIMULATION_SEED=17` runs one seed,
/// `STREAMS_SIMULATION_SEEDS=10000` the first ten thousand, `STREAMS_SIMULATION_SEEDS=500..600`
/// these, and with `STREAMS_SIMULATION_SECONDS=60` no more than fit into a minute: `500..` has no
/// other end.
///
/// # Panics
/// As `run` does, and if the environment says what cannot be understood.
pub fn for_each_seed(seeds: Range<u64>, mut run: impl FnMut(u64)) {
    let range = from_env(seeds);
    let seconds: Option<u64> = variable("STREAMS_SIMULATION_SECONDS");
    let clock = SystemClock;
    let started = clock.now();
    let mut count = 0_u64;
    for seed in range.clone() {
        let spent = clock.now().since(started);
        if seconds.is_some_and(|seconds| spent >= Duration::from_secs(seconds)) {
            break;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("seed {seed} fails; to see it again:\n  {}", reproduction(seed));
            resume_unwind(panic);
        }
        count += 1;
    }
    let spent = clock.now().since(started).as_secs_f64();
    let name = test_name();
    println!("{name}: {count} seeds from {} in {spent:.1} s", range.start);
}

/// The command that runs one seed of the test that is running.
fn reproduction(seed: u64) -> String {
    let package = std::env::var("CARGO_PKG_NAME").map(|name| format!(" -p {name}"));
    let package = package.unwrap_or_default();
    let test = test_name();
    format!("STREAMS_SIMULATION_SEED={seed} cargo test{package} {test} -- --nocapture")
}

/// Tests run in threads that have their names.
fn test_name() -> String {
    std::thread::current().name().unwrap_or("the test").to_owned()
}

fn from_env(seeds: Range<u64>) -> Range<u64> {
    if let Some(seed) = variable::<u64>("STREAMS_SIMULATION_SEED") {
        return seed..seed + 1;
    }
    let Ok(given) = std::env::var("STREAMS_SIMULATION_SEEDS") else { return seeds };
    let number = |text: &str| {
        text.parse::<u64>().unwrap_or_else(|_| {
            panic!("STREAMS_SIMULATION_SEEDS is `{given}`; it is like 10000, 500..600 or 500..")
        })
    };
    match given.split_once("..") {
        None => 0..number(&given),
        Some((from, "")) => number(from)..u64::MAX,
        Some((from, to)) => number(from)..number(to),
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    let Ok(parsed) = value.parse() else { panic!("{name} is `{value}`, which is no number") };
    Some(parsed)
}
