//! Scenarios by hand: `cargo run -p integration-tests --bin scenario -- <command>`.
//!
//! - `golden`: has the JVM write the results of all fixed scenarios anew.
//! - `run <file>`: runs the scenarios of a file on both sides, and shows what differs.
//! - `show <file>`: as `run`, and prints the JVM's results.
//! - `random <seed> [<count>]`: runs the scenario of a seed, and those behind it.
//! - `expect <seed> <count> <file>`: has the JVM write the results of random scenarios into a file.
//! - `hunt <file>`: runs the fixed scenarios here, then those of the file, until one differs from what
//!   the JVM has said; `scripts/scenario-mutations` asks for that.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use integration_tests::scenario::{Jvm, Scenario, difference, differential, fixed, generate, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["golden"] => golden(),
        ["run", file] => compare(file, false),
        ["show", file] => compare(file, true),
        ["random", seed] => random(seed, "1"),
        ["random", seed, count] => random(seed, count),
        ["expect", seed, count, file] => expect(seed, count, file),
        ["hunt", file] => hunt(file),
        _ => {
            eprintln!(
                "scenario golden | run <file> | show <file> | random <seed> [<count>] | \
                 expect <seed> <count> <file> | hunt <file>"
            );
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

fn expect(seed: &str, count: &str, file: &str) -> ExitCode {
    let (seed, count): (u64, u64) = (seed.parse().expect("a number"), count.parse().expect("one"));
    let mut jvm = Jvm::start();
    let result = |seed| format!("scenario {seed}\n{}\n", jvm.run(&generate(seed)));
    let text: String = (seed..seed + count).map(result).collect();
    fs::write(file, text).expect("the file can be written");
    ExitCode::SUCCESS
}

fn hunt(file: &str) -> ExitCode {
    let mut scenarios = Vec::new();
    for path in fixed::files() {
        let golden = fs::read_to_string(fixed::golden_of(&path)).expect("golden results are there");
        let results = fixed::split(&golden).into_iter().map(|(_, result)| result.to_owned());
        scenarios.extend(fixed::read(&path).into_iter().zip(results.collect::<Vec<_>>()));
    }
    let fixed = scenarios.len();
    let expected = fs::read_to_string(file).expect("the file can be read");
    for (seed, result) in fixed::split(&expected) {
        let scenario = generate(seed.parse().expect("seeds are numbers"));
        scenarios.push((scenario, result.to_owned()));
    }
    for (n, (scenario, expected)) in scenarios.iter().enumerate() {
        if expected.starts_with("topology\nrefused: ") {
            continue;
        }
        if difference(expected, &run(scenario)).is_some() {
            let sort = if n < fixed { "fixed" } else { "random" };
            println!("{} | {sort}: {}", n + 1, scenario.title);
            return ExitCode::FAILURE;
        }
    }
    println!("nothing in {} fixed and {} random scenarios", fixed, scenarios.len() - fixed);
    ExitCode::SUCCESS
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
