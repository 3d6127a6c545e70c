//! The scenarios of the repository, and the JVM's results of them.

use std::fs;
use std::path::{Path, PathBuf};

use super::Scenario;

/// The files with scenarios, in order.
///
/// # Panics
/// If the repository cannot be read.
pub fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(directory).expect("integration-tests/scenarios can be read");
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "scenario")).collect();
    paths.sort();
    paths
}

/// The scenarios of a file.
///
/// # Panics
/// If it cannot be read.
pub fn read(path: &Path) -> Vec<Scenario> {
    let text = fs::read_to_string(path).expect("the file can be read");
    match Scenario::parse_all(&text) {
        Ok(scenarios) => scenarios,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// The file of the JVM's results of `path`.
pub fn golden_of(path: &Path) -> PathBuf {
    path.with_extension("result")
}

/// Results of scenarios as a golden file has them.
pub fn results(scenarios: &[Scenario], mut run: impl FnMut(&Scenario) -> String) -> String {
    let result = |scenario: &Scenario| format!("scenario {}\n{}\n", scenario.title, run(scenario));
    scenarios.iter().map(result).collect()
}

/// The results in a golden file, by their titles.
pub fn split(golden: &str) -> Vec<(&str, &str)> {
    let blocks = golden.split("scenario ").filter(|block| !block.is_empty());
    blocks
        .filter_map(|block| block.split_once('\n'))
        .map(|(title, result)| (title, result.strip_suffix('\n').unwrap_or(result)))
        .collect()
}
