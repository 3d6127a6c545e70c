//! The fixed scenarios, against the results that the JVM has written.
//! `cargo run -p integration-tests --bin scenario -- golden` writes them anew.
#![allow(clippy::unwrap_used)]

use std::fs;

use integration_tests::scenario::{difference, fixed, run};

#[test]
fn fixed_scenarios_have_the_jvms_results() {
    let mut different = Vec::new();
    for path in fixed::files() {
        let scenarios = fixed::read(&path);
        let golden = fs::read_to_string(fixed::golden_of(&path)).unwrap_or_default();
        let results = fixed::split(&golden);
        let titles: Vec<_> = scenarios.iter().map(|scenario| &*scenario.title).collect();
        let golden_titles: Vec<_> = results.iter().map(|(title, _)| *title).collect();
        assert_eq!(titles, golden_titles, "{}: write the results anew", path.display());
        for (scenario, (_, jvm)) in scenarios.iter().zip(results) {
            if let Some(difference) = difference(jvm, &run(scenario)) {
                different.push(format!("{}, {difference}", scenario.title));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}
