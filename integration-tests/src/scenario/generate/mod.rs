//! Random scenarios: equal seeds give equal ones.

mod functions;
mod globals;
mod groups;
mod inputs;
mod streams;
mod tables;
mod theme;
mod topology;
mod windows;

use super::random::Random;
use super::{Op, Scenario};
use theme::Theme;

/// The scenario of a seed.
pub fn generate(seed: u64) -> Scenario {
    let mut random = Random::new(seed);
    loop {
        let scenario = attempt(&mut random, seed);
        let is_fit =
            |op: &Op| degree(&scenario, op) <= DEGREE_MAX && !waits_for_ever(&scenario, op);
        if scenario.ops.iter().all(is_fit) {
            return scenario;
        }
    }
}

/// Joins of joins of streams: one with itself, three times over, has millions of results, and
/// the JVM's test driver keeps them all.
const DEGREE_MAX: usize = 4;

/// Of the number of an operator's results in the number of records.
fn degree(scenario: &Scenario, op: &Op) -> usize {
    let parents = parents(scenario, op).map(|op| degree(scenario, op));
    match &*op.call {
        "join_stream" | "left_join_stream" | "outer_join_stream" => parents.sum(),
        _ => parents.max().unwrap_or(1),
    }
}

/// Suppressed until windows close that never end: refused here, silent in the JVM.
fn waits_for_ever(scenario: &Scenario, op: &Op) -> bool {
    fn is_endless(scenario: &Scenario, op: &Op) -> bool {
        op.call == "unlimited_windows"
            || parents(scenario, op).any(|parent| is_endless(scenario, parent))
    }
    let until_close = op.params.get("until").is_some_and(|until| until == "close");
    op.call == "suppress" && until_close && is_endless(scenario, op)
}

fn parents<'a>(scenario: &'a Scenario, op: &'a Op) -> impl Iterator<Item = &'a Op> {
    op.parents.iter().filter_map(|parent| {
        let id = parent.split('.').next();
        scenario.ops.iter().find(|op| op.id.as_deref() == id)
    })
}

fn attempt(random: &mut Random, seed: u64) -> Scenario {
    let mut scenario = Scenario { title: format!("of seed {seed}"), ..Scenario::default() };
    let theme = Theme::random(random);
    if random.percent(theme.cached()) {
        scenario.options.insert("cache".into(), "on".into());
    }
    if random.percent(theme.optimised()) {
        scenario.options.insert("optimize".into(), "all".into());
    }
    let topics = topology::generate(random, theme, &mut scenario);
    inputs::generate(random, &topics, &mut scenario);
    globals::add(seed, &mut scenario);
    scenario
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was generated first of this seed joined a stream with itself three times over.
    #[test]
    fn results_do_not_explode() {
        let scenario = generate(600_013_606);
        let most = scenario.ops.iter().map(|op| degree(&scenario, op)).max();
        assert!(most <= Some(DEGREE_MAX), "{scenario}");
        assert_eq!(generate(600_013_606), scenario);
        let joined = (0..20_000)
            .map(generate)
            .filter(|scenario| scenario.ops.iter().any(|op| degree(scenario, op) == DEGREE_MAX));
        assert!(joined.count() > 0, "joins of joins are generated");
    }
}
