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

use super::Scenario;
use super::random::Random;
use theme::Theme;

/// The scenario of a seed.
pub fn generate(seed: u64) -> Scenario {
    let mut random = Random::new(seed);
    let mut scenario = Scenario { title: format!("of seed {seed}"), ..Scenario::default() };
    let theme = Theme::random(&mut random);
    if random.percent(theme.cached()) {
        scenario.options.insert("cache".into(), "on".into());
    }
    if random.percent(theme.optimised()) {
        scenario.options.insert("optimize".into(), "all".into());
    }
    let topics = topology::generate(&mut random, theme, &mut scenario);
    inputs::generate(&mut random, &topics, &mut scenario);
    globals::add(seed, &mut scenario);
    scenario
}
