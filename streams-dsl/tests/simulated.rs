//! Operators under everything that can go wrong: instances are killed and frozen, answers come late,
//! twice or never; what is committed is that of an undisturbed run. One seed again:
//! `docs/simulation.md`.
#![allow(clippy::unwrap_used)]

use streams_dsl::prelude::*;
use streams_test::{Compare, SeededSimulation, Simulation};

/// More by `STREAMS_SIMULATION_SEEDS`: see docs/simulation.md.
const SEEDS: std::ops::Range<u64> = 0..12;

/// A simulation of what `describe` builds.
fn simulated(describe: impl Fn(&StreamsBuilder) + 'static) -> SeededSimulation {
    let topology = move || {
        let builder = StreamsBuilder::new();
        describe(&builder);
        builder.build().unwrap()
    };
    Simulation::of(topology).exactly_once().seeds(SEEDS)
}

/// Numbers under a few keys.
fn numbers(count: i64, keys: i64) -> impl Iterator<Item = (String, i64)> {
    (0..count).map(move |n| (format!("key-{}", n * n % keys), n))
}

/// I1, I3, I4: aggregates are exact, each update once.
#[test]
fn aggregations_behind_a_repartition_topic() {
    let simulation = simulated(|b| {
        let by_rest = b.stream::<String, i64>("in").group_by(|_, n| n % 5, "by-rest");
        by_rest.count("counts").to("counts");
        by_rest.reduce(|a, b| a + b, "sums").to("sums");
        by_rest.aggregate(|| 0, |_, n, max: &mut i64| *max = n.max(*max), "maxima").to("maxima");
    });
    let simulation = simulation.input("in", 2, numbers(160, 7));
    let mut simulation = simulation.check(|committed, _| {
        for (rest, counts) in committed.values::<i64, i64>("counts") {
            assert!(counts.iter().copied().eq(1..=32), "the counts of {rest} are {counts:?}");
        }
    });
    // Records of one rest come from both partitions, in any order.
    for topic in ["counts", "sums", "maxima"] {
        simulation = simulation.output(topic, 2).compare(topic, Compare::LastValues);
    }
    simulation.run();
}

/// I4, I10: changes that are put aside for the commit are emitted once.
#[test]
fn one_change_a_key_and_commit() {
    let simulation = simulated(|b| {
        let store = Materialized::from("counts").emit_on_commit(true);
        b.stream::<String, i64>("in").group_by_key().count(store).to("counts");
    });
    let simulation = simulation.input("in", 2, numbers(160, 7)).output("counts", 2);
    // How many changes there are depends on when commits come.
    simulation.compare("counts", Compare::LastValues).run();
}

/// I3, I4: rows of both sides meet, whoever comes first.
#[test]
fn joins_of_tables() {
    let simulation = simulated(|b| {
        let left = b.table::<String, i64>("left", "lefts");
        let right = b.table::<String, i64>("right", auto());
        let text = |l: Option<&i64>, r: Option<&i64>| format!("{l:?} {r:?}");
        left.join(&right, move |_, l, r| text(Some(l), Some(r))).to("inner");
        left.left_join(&right, move |_, l, r| text(Some(l), r))
            .materialize("joined")
            .to("left-out");
        left.outer_join(&right, move |_, l, r| text(l, r)).to("outer");
    });
    let rows = |count, keys| numbers(count, keys).map(|(k, n)| (k, (n % 4 != 0).then_some(n)));
    let mut simulation = simulation.input("left", 2, rows(100, 11)).input("right", 2, rows(90, 7));
    for topic in ["inner", "left-out", "outer"] {
        simulation = simulation.output(topic, 2).compare(topic, Compare::LastValues);
    }
    simulation.run();
}

/// I3, I4: what an update takes from one group it gives to another.
#[test]
fn groups_of_a_table() {
    let simulation = simulated(|b| {
        let rows = b.table::<String, i64>("in", auto());
        let groups = rows.filter(|_, n| n % 3 != 0).group_by(|_, n| (n % 4, *n), "by-rest");
        groups.count("counts").to("counts");
        let store = "sums";
        groups.aggregate(|| 0, |_, n, sum| *sum += n, |_, n, sum| *sum -= n, store).to("sums");
    });
    let simulation = simulation.input("in", 2, numbers(150, 13));
    let simulation = simulation.output("counts", 2).output("sums", 2);
    simulation.compare("counts", Compare::LastValues).compare("sums", Compare::LastValues).run();
}

/// I3, I4: a record meets the row of its key.
#[test]
fn a_stream_joins_a_table() {
    let simulation = simulated(|b| {
        let rows = b.table::<String, i64>("rows", "rows");
        let records = b.stream::<String, i64>("in").map(|key, n| (key.clone(), n));
        records
            .left_join_table_with(&rows, |_, n, row| (n, row.copied()), "again")
            .map_values(|(n, row)| format!("{n} {row:?}"))
            .to("out");
    });
    let simulation = simulation.table("rows", 2, numbers(40, 9)).input("in", 2, numbers(120, 20));
    // The repartition topic is written by both partitions of the input.
    simulation.output("out", 2).compare("out", Compare::AnyOrder).run();
}
