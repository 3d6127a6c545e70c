//! Many random scenarios on both sides.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use streams_dsl::core::time::{Clock, SystemClock};

use super::compare::sort_of_difference;
use super::{Jvm, Scenario, difference, generate, run, shrink};

/// How many scenarios the JVM is ahead: it computes while we do.
const AHEAD: usize = 3;
/// So often a failing scenario is tried in a smaller form.
const TRIES: usize = 400;
/// After so many scenarios the JVM is started anew: it keeps something of each, and died of that
/// after some 20,000.
const SCENARIOS_OF_A_JVM: u64 = 4_000;
/// With so many failures one has seen enough.
const FAILURES: usize = 5;

/// What came of a run.
pub struct Outcome {
    /// Of the first scenario; the others follow.
    pub seed: u64,
    /// How many were run.
    pub count: u64,
    /// How long that took.
    pub took: Duration,
    /// What the JVM said of topologies that both sides refused, or failed on, and how often.
    pub refused: BTreeMap<String, u64>,
    /// What differed.
    pub failures: Vec<Failure>,
}

/// A scenario of which the two sides have different results.
pub struct Failure {
    /// Makes it again.
    pub seed: u64,
    /// A smaller scenario that differs too.
    pub scenario: Scenario,
    /// How that differs.
    pub difference: String,
}

/// Runs scenarios of `seed` and those behind it, until there were `count`, or `limit` has passed.
pub fn differential(seed: u64, count: u64, limit: Duration) -> Outcome {
    let mut jvm = Jvm::start();
    let started = SystemClock.now();
    let mut outcome = Outcome {
        seed,
        count: 0,
        took: Duration::ZERO,
        refused: BTreeMap::new(),
        failures: Vec::new(),
    };
    let mut asked: VecDeque<(u64, Scenario)> = VecDeque::new();
    let mut next = 0;
    loop {
        outcome.took = SystemClock.now().since(started);
        let go_on = outcome.took < limit && outcome.failures.len() < FAILURES;
        let mut is_fresh = next % SCENARIOS_OF_A_JVM != 0;
        if !is_fresh && asked.is_empty() {
            (jvm, is_fresh) = (Jvm::start(), true);
        }
        while go_on && is_fresh && asked.len() < AHEAD && next < count {
            let scenario = generate(seed.wrapping_add(next));
            jvm.send(&scenario);
            asked.push_back((seed.wrapping_add(next), scenario));
            next += 1;
            is_fresh = next % SCENARIOS_OF_A_JVM != 0;
        }
        let Some((seed, scenario)) = asked.pop_front() else { return outcome };
        let (expected, ours) = (jvm.receive(), run(&scenario));
        outcome.count += 1;
        let refusal =
            expected.lines().find(|l| l.starts_with("refused: ") || l.starts_with("failed: "));
        if let Some(refusal) = refusal {
            // Without names: what has digits is one.
            let named = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
            let words: Vec<&str> = refusal.split(' ').filter(named).take(7).collect();
            *outcome.refused.entry(words.join(" ")).or_default() += 1;
        }
        // The JVM's own mistake; docs/differences.md has a row of each that was looked into.
        if refusal.is_some_and(|refusal| refusal.starts_with("failed: NullPointerException")) {
            continue;
        }
        // That the JVM refuses more than we do is no difference of results.
        let refused = expected.starts_with("topology\nrefused: ");
        if !refused && difference(&expected, &ours).is_some() {
            // What was asked for is answered first.
            let ahead = asked.len();
            let dropped: Vec<String> = (0..ahead).map(|_| jvm.receive()).collect();
            drop(dropped);
            outcome.failures.push(smaller(&mut jvm, seed, &scenario));
            asked.iter().for_each(|(_, scenario)| jvm.send(scenario));
        }
    }
}

fn smaller(jvm: &mut Jvm, seed: u64, scenario: &Scenario) -> Failure {
    let sort = sort_of_difference(&jvm.run(scenario), &run(scenario));
    let scenario = shrink(scenario, TRIES, |candidate| {
        let ours = run(candidate);
        !ours.contains("invalid: ")
            && !candidate.ops.is_empty()
            && sort_of_difference(&jvm.run(candidate), &ours) == sort
    });
    let shown = difference(&jvm.run(&scenario), &run(&scenario)).unwrap_or_default();
    Failure { seed, scenario, difference: shown }
}

impl Failure {
    /// Writes the scenario to a file; says how to run it again.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn report(&self, directory: &Path) -> String {
        let path = directory.join(format!("{}.scenario", self.seed));
        std::fs::create_dir_all(directory).expect("the directory can be made");
        std::fs::write(&path, self.scenario.to_string()).expect("the file can be written");
        let again = "cargo run -p integration-tests --bin scenario --";
        format!(
            "seed {}, {}\n{}again: {again} random {}\nsmaller: {again} run {}\n",
            self.seed,
            self.difference,
            self.scenario,
            self.seed,
            path.display()
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, count, took, refused, failures } = self;
        let seconds = took.as_secs_f64();
        write!(
            f,
            "{count} scenarios from seed {seed} in {seconds:.1} s ({:.0}/s), {} different; \
             refused or failed on both sides: {refused:?}",
            *count as f64 / seconds,
            failures.len()
        )
    }
}
