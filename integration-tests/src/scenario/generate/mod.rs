//! Random scenarios: equal seeds give equal ones.

mod functions;
mod groups;
mod inputs;
mod streams;
mod tables;
mod topology;
mod windows;

use super::Scenario;
use super::random::Random;

/// The scenario of a seed.
pub fn generate(seed: u64) -> Scenario {
    let mut random = Random::new(seed);
    let mut scenario = Scenario { title: format!("of seed {seed}"), ..Scenario::default() };
    if random.percent(30) {
        scenario.options.insert("cache".into(), "on".into());
    }
    let topics = topology::generate(&mut random, &mut scenario);
    inputs::generate(&mut random, &topics, &mut scenario);
    scenario
}
