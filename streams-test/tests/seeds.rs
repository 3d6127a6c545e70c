//! An application under everything that can go wrong, by many seeds: the committed output and the
//! stores are those of an undisturbed run, and what lies on the disks agrees with the changelogs.
//!
//! The commands are in docs/simulation.md.
#![allow(clippy::unwrap_used)]

mod common;
mod shop;

use std::collections::{BTreeMap, BTreeSet};

use streams_test::{Compare, SeededSimulation, Simulation};

/// Words, each with a number of its own.
fn words() -> Vec<(String, String)> {
    (0..240).map(|n| (format!("word-{}", n * n % 11), n.to_string())).collect()
}

fn words_are_counted() -> SeededSimulation {
    common::show_logs();
    let simulation = Simulation::of(common::topology);
    simulation.input(common::INPUT, 2, words()).output(common::OUTPUT, 2)
}

/// The wall clock decides how often a timer has ticked.
fn shop() -> SeededSimulation {
    common::show_logs();
    shop::simulation().compare("ticks", Compare::Nothing)
}

/// I1, I3, I4, I5, I9: whatever fails, the committed output is that of an undisturbed run.
#[test]
fn exactly_once_the_output_is_exact() {
    shop().exactly_once().seeds(0..100).run();
}

/// The same of hardly more than a store: other seeds, faster.
#[test]
fn exactly_once_the_counts_are_exact() {
    words_are_counted().exactly_once().seeds(0..50).run();
}

/// I3, I6, I7, I10: whatever fails, nothing is lost.
#[test]
fn at_least_once_no_record_is_lost() {
    let simulation = words_are_counted().compare("seen", Compare::Keys);
    let simulation = simulation.check(|committed, undisturbed| {
        let seen = |outcome: &streams_test::Outcome| -> BTreeMap<String, BTreeSet<u64>> {
            let table = outcome.table::<String, String>(common::OUTPUT);
            table.into_iter().map(|(key, text)| (key, common::parse(&text).1)).collect()
        };
        assert_eq!(seen(committed), seen(undisturbed));
        let table = committed.table::<String, String>(common::OUTPUT);
        assert_eq!(table, committed.store("seen"), "output and state have the same history");
    });
    simulation.seeds(0..100).run();
}

/// I11: faults and fates are part of what the seed decides.
#[test]
fn equal_seeds_give_equal_runs() {
    for simulation in [shop().exactly_once(), words_are_counted()] {
        let undisturbed = simulation.undisturbed();
        let run = |seed| simulation.run_seed(seed, &undisturbed);
        for seed in 1..4 {
            assert_eq!(run(seed), run(seed));
            assert_ne!(run(seed).event_hash, run(seed + 100).event_hash);
        }
    }
}

/// What is compared is there: an oracle that is empty agrees with everything.
#[test]
fn the_undisturbed_run_has_something_of_everything() {
    let undisturbed = shop().exactly_once().undisturbed();
    for topic in [shop::TOTALS, shop::HOURS, shop::LATE] {
        let records: Vec<_> = undisturbed.records(topic).iter().map(Vec::len).collect();
        assert!(records.iter().all(|&records| records > 2), "{topic}: {records:?}");
    }
    assert!(!undisturbed.store::<String, i64>("totals").is_empty());
}
