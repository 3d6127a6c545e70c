//! Scenarios by hand: `cargo run -p integration-tests --bin scenario -- <command>`.
//!
//! - `golden`: has the JVM write the results of all fixed scenarios anew.
//! - `run <file>`: runs the scenarios of a file on both sides, and shows what differs.
//! - `show <file>`: as `run`, and prints the JVM's results.
//! - `random <seed> [<count>]`: runs the scenario of a seed, and those behind it.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use integration_tests::scenario::{Jvm, Scenario, difference, differential, fixed, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["golden"] => golden(),
        ["run", file] => compare(file, false),
        ["show", file] => compare(file, true),
        ["random", seed] => random(seed, "1"),
        ["random", seed, count] => random(seed, count),
        _ => {
            eprintln!("scenario golden | run <file> | show <file> | random <seed> [<count>]");
            ExitCode::FAILURE
        }
    }
}

fn golden() -> ExitCode {
    let mut jvm = Jvm::start();
    for path in fixed::files() {
        let text = fixed::results(&fixed::read(&path), |scenario| jvm.run(scenario));
        fs::write(fixed::golden_of(&path), text).expect("the repository can be written");
        println!("{}", path.display());
    }
    ExitCode::SUCCESS
}

fn random(seed: &str, count: &str) -> ExitCode {
    let (seed, count) = (seed.parse().expect("a number"), count.parse().expect("a number"));
    let outcome = differential(seed, count, Duration::MAX);
    for failure in &outcome.failures {
        println!("{}", failure.report(&std::env::temp_dir().join("scenarios")));
    }
    println!("{outcome}");
    if outcome.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compare(file: &str, show: bool) -> ExitCode {
    let mut jvm = Jvm::start();
    let mut code = ExitCode::SUCCESS;
    let text = fs::read_to_string(file).expect("the file can be read");
    for scenario in Scenario::parse_all(&text).expect("the file holds scenarios") {
        let expected = jvm.run(&scenario);
        if show {
            println!("scenario {}\n{expected}", scenario.title);
        }
        match difference(&expected, &run(&scenario)) {
            None => println!("same: {}", scenario.title),
            Some(difference) => {
                println!("DIFFERENT: {}, {difference}", scenario.title);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
