//! Rules of this repository that no other tool checks.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files outside `streams-core/src/client` that may contain unsafe code, with the reason.
const UNSAFE_FILES: &[(&str, &str)] =
    &[("benchmarks/src/raw_kafka.rs", "the raw librdkafka loop that we compare with")];

/// Invariants whose guards are not built yet: windows.
const NOT_BUILT: &[u32] = &[9];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files(below: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

#[test]
fn dependencies_point_one_way() {
    let allowed: &[(&str, &[&str])] = &[
        ("state-stores", &[]),
        ("streams-macros", &[]),
        ("streams-core", &["state-stores", "streams-macros"]),
        ("streams-dsl", &["streams-core"]),
        ("streams-test", &["streams-core", "state-stores"]),
    ];
    for (krate, may_use) in allowed {
        let manifest = fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
        let dependencies = dependencies.split("\n[").next().unwrap();
        for (other, _) in allowed {
            let used = dependencies.lines().any(|line| line.starts_with(other));
            assert!(!used || may_use.contains(other), "{krate} must not depend on {other}");
        }
    }
}

#[test]
fn what_is_dangerous_or_exchangeable_stays_behind_its_door() {
    let doors: &[(&str, &[&str])] = &[
        ("rocksdb::", &["state-stores/"]),
        ("rdkafka::", &["streams-core/src/client/", "integration-tests/", "benchmarks/"]),
        ("rdkafka_sys::", &["streams-core/src/client/", "benchmarks/"]),
        ("kacrab_protocol::", &["streams-core/src/client/"]),
        (
            "tokio::",
            &[
                "streams-core/src/client/",
                "streams-core/src/runtime/driver/",
                "streams-core/src/runtime/kafka_streams.rs",
                "/tests/",
                "examples/",
                "integration-tests/",
                "benchmarks/",
            ],
        ),
    ];
    for path in files(".", "rs") {
        let name = relative(&path);
        if name.ends_with("tidy.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (what, behind) in doors {
            let outside = !behind.iter().any(|door| name.contains(door));
            let used = code_lines(&text).any(|line| {
                let uses = line.split("self::").collect::<String>();
                uses.contains(what) && !uses.contains(&format!("wire::{what}"))
            });
            assert!(!(outside && used), "{name} uses {what}");
        }
        let may = name.contains("streams-core/src/client/")
            || UNSAFE_FILES.iter().any(|(file, _)| *file == name);
        let is_unsafe = code_lines(&text).any(|line| {
            line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl")
        });
        assert!(may || !is_unsafe, "{name} contains unsafe code");
    }
}

#[test]
fn every_module_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut missing = BTreeSet::new();
    for krate in ["state-stores", "streams-core", "streams-dsl", "streams-test", "streams-macros"] {
        for path in files(&format!("{krate}/src"), "rs") {
            let name = relative(&path);
            let file = path.file_name().unwrap().to_str().unwrap();
            let is_test =
                name.contains("tests") || name.contains("_vectors") || file == "round_trips.rs";
            if !is_test && file != "mod.rs" && file != "lib.rs" && !map.contains(file) {
                missing.insert(name);
            }
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name: {missing:#?}");
    assert!(map.lines().count() < 300, "ARCHITECTURE.md is no longer a bird's eye view");
}

#[test]
fn every_invariant_is_cited_by_a_test() {
    let mut cited = BTreeSet::new();
    for path in files(".", "rs") {
        let name = relative(&path);
        let text = fs::read_to_string(&path).unwrap();
        let tests = name.contains("/tests") || text.contains("#[cfg(test)]");
        if tests && !name.ends_with("tidy.rs") {
            for number in 1..=12 {
                let cites = |line: &str| {
                    line.split(|c: char| !c.is_alphanumeric()).any(|w| w == format!("I{number}"))
                };
                if text.lines().any(cites) {
                    cited.insert(number);
                }
            }
        }
    }
    let missing: Vec<_> =
        (1..=12).filter(|n| !cited.contains(n) && !NOT_BUILT.contains(n)).collect();
    assert!(missing.is_empty(), "no test cites the invariants {missing:?} of ARCHITECTURE.md");
}

#[test]
fn nothing_is_left_undone_in_the_code() {
    for path in files(".", "rs") {
        let name = relative(&path);
        if name.ends_with("tidy.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for what in ["todo!(", "unimplemented!(", "TODO", "FIXME", "dbg!("] {
            assert!(!text.contains(what), "{name} contains {what}");
        }
    }
}
