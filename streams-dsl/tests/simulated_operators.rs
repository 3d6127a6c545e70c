//! More operators under everything that can go wrong, see `simulated.rs`: those without state, and
//! the rarer ones with it.
#![allow(clippy::unwrap_used)]

mod seeded;

use std::borrow::Cow;
use std::time::Duration;

use streams_dsl::prelude::*;
use streams_test::{Compare, SeededSimulation};

use self::seeded::numbers;

const SEEDS: std::ops::Range<u64> = 0..10;

fn simulated(describe: impl Fn(&StreamsBuilder) + 'static) -> SeededSimulation {
    seeded::simulated(SEEDS, describe)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// I3, I4: each record once, in order; several results of a record, and records to several places.
#[test]
fn streams_without_state() {
    let simulation = simulated(|b| {
        let numbers = b.stream::<String, i64>("in");
        let (small, even, rest) =
            numbers.split().branch(|_, n| *n < 40).branch(|_, n| n % 2 == 0).default_branch();
        small.flat_map_values(|n, out| (0..n % 3).for_each(|m| out.emit(n * 10 + m))).to("many");
        even.map_values(|n| n / 2).merge(&rest.filter_not(|_, n| n % 3 == 0)).to("merged");
        rest.to_dynamic(|record| {
            Cow::Borrowed(if *record.value % 5 == 0 { "five" } else { "not" })
        });
        let everywhere =
            Produced::from("everywhere").partitioner(|_: RecordRef<'_, String, i64>, count| {
                Partitions::Many((0..count).collect())
            });
        small.select_key(|key, _| key.replace("key", "name")).to(everywhere);
    });
    let simulation = simulation.input("in", 2, numbers(160, 7));
    let outputs = ["many", "merged", "five", "not", "everywhere"];
    outputs.into_iter().fold(simulation, |s, topic| s.output(topic, 2)).run();
}

/// I3, I4: aggregates that several streams change.
#[test]
fn co_grouped_streams() {
    let simulation = simulated(|b| {
        let left = b.stream::<String, i64>("left").group_by_key();
        let right = b.stream::<String, i64>("right").group_by_key();
        let group = left
            .cogroup(|| 0_i64, |_, n, sum: &mut i64| *sum += n)
            .cogroup(&right, |_, n, sum| *sum -= n * 1_000);
        group.aggregate("sums").to("sums");
        let windows = TimeWindows::tumbling(ms(40)).grace(Duration::from_secs(3_600));
        let windowed = group.windowed_by_time(windows).aggregate("windowed-sums");
        windowed.to_stream().map(|key, n| (key.to_string(), n)).to("windowed");
    });
    let simulation = simulation.input("left", 2, numbers(100, 7)).input("right", 2, numbers(90, 5));
    // Whose record comes first is nobody's promise.
    let last = |s: SeededSimulation, topic| s.output(topic, 2).compare(topic, Compare::LastValues);
    last(last(simulation, "sums"), "windowed").run();
}

/// I3, I4, I9: windows around each record, and those without an end.
#[test]
fn sliding_and_unlimited_windows() {
    let simulation = simulated(|b| {
        let records = b.stream::<String, i64>("in").group_by_key();
        let sliding = SlidingWindows::of(ms(12)).grace(ms(10));
        let counts = records.windowed_by(sliding.clone()).count("sliding-counts");
        counts.to_stream().map(|key, n| (key.to_string(), n)).to("sliding");
        let closed = records.windowed_by(sliding).emit(EmitStrategy::OnWindowClose);
        let closed = closed.reduce(|a, b| a + b, "closed-sums");
        closed.to_stream().map(|key, n| (key.to_string(), n)).to("closed");
        let unlimited = records
            .windowed_by(UnlimitedWindows::starting(Timestamp::from_millis(0)))
            .count("unlimited-counts");
        unlimited.to_stream().map(|key, n| (key.key, n)).to("unlimited");
    });
    let simulation = simulation.input("in", 2, numbers(160, 7));
    let outputs = ["sliding", "closed", "unlimited"];
    outputs.into_iter().fold(simulation, |s, topic| s.output(topic, 2)).run();
}

/// I3, I4, I9: what hopping windows share until a commit is lost with the attempt, or counted.
#[test]
fn hopping_windows_that_share_panes() {
    let simulation = simulated(|b| {
        let records = b.stream::<String, i64>("in").group_by_key();
        let hopping = TimeWindows::hopping(ms(40), ms(8)).grace(ms(10));
        let lazy = Materialized::from("lazy-counts").emit_on_commit(true);
        let counts = records.windowed_by(hopping.clone()).count(lazy);
        counts.to_stream().map(|key, n| (key.to_string(), n)).to("lazy");
        let closed = records.windowed_by(hopping).emit(EmitStrategy::OnWindowClose);
        let closed = closed.count("closed-counts");
        closed.to_stream().map(|key, n| (key.to_string(), n)).to("closed");
    });
    let simulation = simulation.input("in", 2, numbers(200, 7)).output("closed", 2);
    simulation.output("lazy", 2).compare("lazy", Compare::LastValues).run();
}

/// I3, I4: both sides come from one topic, so that it is known which record comes first.
#[test]
fn joins_of_a_stream_with_itself() {
    let simulation = simulated(|b| {
        let numbers = b.stream::<String, i64>("in");
        let (even, odd) = numbers.split().branch(|_, n| n % 2 == 0).default_branch();
        let near = JoinWindows::within(ms(15)).grace(ms(5));
        let some =
            |_: &String, left: Option<&i64>, right: Option<&i64>| format!("{left:?} {right:?}");
        even.outer_join(&odd, some, near.clone(), "outer").to("outer");
        even.left_join(&odd, |_, l, r| format!("{l} {r:?}"), near.clone(), "left").to("left");
        numbers.join(&numbers, |_, l, r| format!("{l} {r}"), near, "twice").to("twice");
    });
    let simulation = simulation.input("in", 2, numbers(150, 7));
    let outputs = ["outer", "left", "twice"];
    outputs.into_iter().fold(simulation, |s, topic| s.output(topic, 2)).run();
}

/// I3, I4: tables that are computed, kept, held back and looked into.
#[test]
fn tables_of_tables() {
    let simulation = simulated(|b| {
        let table = b.stream::<String, i64>("in").to_table("latest");
        table.filter(|_, n| n % 3 != 0).materialize("filtered").to("filtered");
        table.map_values(|n| n * 2).materialize("doubled").to("doubled");
        let changes = Stores::key_value::<String, i64>("changes");
        let changed = table.transform_values(changes, |changes, key, value, cx| {
            let count = cx.store(changes).get(key)?.copied().unwrap_or(0) + 1;
            cx.store(changes).put(key, count)?;
            Ok(value.map(|value| format!("{value}, change {count}")))
        });
        changed.to("changed");
        let held = Suppressed::until_time_limit(ms(9), Buffer::unbounded()).named("held");
        table.suppress(held).to("held");
    });
    let simulation = simulation.input("in", 2, numbers(160, 7));
    let outputs = ["filtered", "doubled", "changed", "held"];
    let simulation = outputs.into_iter().fold(simulation, |s, topic| s.output(topic, 2));
    // Its changelog has the time of the clock, as the JVM's.
    simulation.compare("held-store", Compare::Nothing).run();
}

/// I3, I4: who has not been seen for a while is forgotten.
#[test]
fn rows_that_live_for_a_time() {
    let simulation = simulated(|b| {
        let seen = Stores::key_value::<String, i64>("seen").time_to_live(ms(20));
        b.stream::<String, i64>("in")
            .process_values_fn(seen, |seen, key, n, cx| {
                let count = cx.store(seen).get(&key)?.copied().unwrap_or(0) + 1;
                cx.store(seen).put(&key, count)?;
                cx.forward(key, format!("{n} is number {count}"))
            })
            .to("out");
    });
    let simulation = simulation.input("in", 2, numbers(200, 31)).output("out", 2);
    // Which expired rows are gone already depends on how many commits there were.
    simulation.compare("seen", Compare::Nothing).run();
}
