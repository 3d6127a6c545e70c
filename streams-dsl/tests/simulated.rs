//! Operators under everything that can go wrong: instances are killed and frozen, answers come late,
//! twice or never; what is committed is that of an undisturbed run. One seed again:
//! `docs/simulation.md`.
#![allow(clippy::unwrap_used)]

mod seeded;

use std::time::Duration;

use streams_dsl::KeyValueKind;
use streams_dsl::prelude::*;
use streams_test::{Compare, SeededSimulation};

use self::seeded::numbers;

/// More by `STREAMS_SIMULATION_SEEDS`: see docs/simulation.md.
const SEEDS: std::ops::Range<u64> = 0..12;

fn simulated(describe: impl Fn(&StreamsBuilder) + 'static) -> SeededSimulation {
    seeded::simulated(SEEDS, describe)
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

/// I2, I3, I4: a record meets the row that it names, whoever runs its task.
#[test]
fn a_stream_joins_a_global_table() {
    let simulation = simulated(|b| {
        let rows = b.global_table::<String, i64>("rows", "rows");
        let row_of = |_: &String, n: &i64| (n % 5 != 0).then(|| format!("key-{}", n % 12));
        b.stream::<String, i64>("in")
            .left_join_global(&rows, row_of, |_, n, row| (n, row.copied()))
            .map_values(|(n, row)| format!("{n} {row:?}"))
            .group_by_key()
            .reduce(|old, new| if old.len() > 200 { new } else { old + &new }, "texts")
            .to("out");
    });
    let rows = numbers(60, 9).map(|(key, n)| (key, (n % 7 != 0).then_some(n)));
    // Of many partitions one is read after the other: an instance must wait for the last.
    simulation.table("rows", 40, rows).input("in", 2, numbers(120, 20)).output("out", 2).run();
}

/// I2: rows that come while everything goes wrong are on every disk in the end. Which of them a
/// record meets depends on who is faster.
#[test]
fn a_global_table_that_changes() {
    let simulation = simulated(|b| {
        let rows = b.global_table::<String, i64>("rows", "rows");
        let changes = b.stream::<String, i64>("changes").map(|key, n| (key, n));
        changes.to("rows");
        b.stream::<String, i64>("in")
            .left_join_global(&rows, |key, _| Some(key.clone()), |_, n, row| (n, row.copied()))
            .map_values(|(n, row)| n + row.map_or(0, |row| row - row))
            .to("out");
    });
    let simulation = simulation.input("changes", 2, numbers(150, 40)).output("rows", 3);
    simulation.input("in", 2, numbers(120, 20)).output("out", 2).run();
}

/// I3: what feeds a global store goes on where it was.
#[test]
fn a_global_store_with_a_processor() {
    let simulation = simulated(|b| {
        let most = Stores::key_value::<i64, i64>("most");
        let most = b.add_global_store(most, "rows", |store, _| Most(store));
        b.stream::<String, i64>("in")
            .process_values_fn(most, |most, key, n, ctx| {
                let row = ctx.store(most).get(&(n % 4))?.copied();
                ctx.forward(key, format!("{n} {row:?}"))
            })
            .to("out");
    });
    simulation
        .table("rows", 3, numbers(60, 9))
        .input("in", 2, numbers(120, 20))
        .output("out", 2)
        .run();
}

/// The largest number of each rest.
struct Most(KeyValueHandle<i64, i64>);

impl Processor for Most {
    type KIn = String;
    type VIn = i64;
    type KOut = ();
    type VOut = ();

    fn process(
        &mut self,
        _: String,
        n: i64,
        ctx: &mut ProcessorContext<'_, (), ()>,
    ) -> Result<(), BoxError> {
        ctx.store(&self.0).update(&(n % 4), |most| *most = Some(most.map_or(n, |most| most.max(n))))
    }
}

/// Numbers under a few keys, at times that go back again and again, by up to 90 ms.
fn out_of_order(count: i64, keys: i64) -> impl Iterator<Item = (String, i64, i64)> {
    numbers(count, keys).map(|(key, n)| (key, n, 200 + n * 3 - n * n % 7 * 15))
}

fn versioned(store: &str, history: u64) -> Materialized<String, i64, KeyValueKind> {
    Materialized::from(store).versioned(Duration::from_millis(history))
}

/// I3, I4, I9: a record meets the row of its time, when it comes or after a grace period; a row that
/// came too late is as if it had never come.
#[test]
fn a_stream_joins_a_versioned_table() {
    let simulation = simulated(|b| {
        let rows = b.table::<String, i64>("rows", versioned("rows", 60));
        let records = b.stream::<String, i64>("in").map(|key, n| (key.clone(), n));
        let text = |n: i64, row: Option<&i64>| format!("{n} {row:?}");
        records.left_join_table_with(&rows, move |_, n, row| text(n, row), "now").to("now");
        let waits = Joined::from("late").grace(Duration::from_millis(40));
        records.left_join_table_with(&rows, move |_, n, row| text(n, row), waits).to("late");
    });
    let simulation = simulation.table("rows", 2, out_of_order(60, 9));
    let simulation = simulation.input("in", 2, out_of_order(120, 20));
    let simulation = simulation.output("now", 2).compare("now", Compare::AnyOrder);
    let simulation = simulation.output("late", 2).compare("late", Compare::AnyOrder);
    // Its changelog has the time of the clock, as the JVM's.
    simulation.compare("late-Buffer", Compare::Nothing).run();
}

/// I3, I4: what changes the past changes neither groups nor joins, whoever comes first.
#[test]
fn joins_and_groups_of_versioned_tables() {
    let simulation = simulated(|b| {
        let left = b.table::<String, i64>("left", versioned("lefts", 50));
        let right = b.table::<String, i64>("right", versioned("rights", 1_000_000));
        left.join(&right, |_, l, r| format!("{l} {r}")).to("inner");
        left.outer_join(&right, |_, l, r| format!("{l:?} {r:?}")).to("outer");
        let groups = left.filter(|_, n| n % 3 != 0).group_by(|_, n| (n % 4, *n), "by-rest");
        groups.aggregate(|| 0, |_, n, sum| *sum += n, |_, n, sum| *sum -= n, "sums").to("sums");
    });
    let rows = |count, keys| {
        out_of_order(count, keys).map(|(k, n, at)| (k, (n % 5 != 0).then_some(n), at))
    };
    let mut simulation = simulation.input("left", 2, rows(100, 11)).input("right", 2, rows(90, 7));
    for topic in ["inner", "outer", "sums"] {
        simulation = simulation.output(topic, 2).compare(topic, Compare::LastValues);
    }
    simulation.run();
}

/// I3, I4, I9: windows, on each update and once when they close.
#[test]
fn windows_of_a_stream() {
    let simulation = simulated(|b| {
        let tumbling = TimeWindows::tumbling(Duration::from_millis(20));
        let hopping = TimeWindows::hopping(Duration::from_millis(30), Duration::from_millis(10));
        let records = b.stream::<String, i64>("in").group_by_key();
        let text = |window: &Windowed<String>| window.to_string();
        let grace = Duration::from_millis(10);
        let counts = records.windowed_by(tumbling.grace(grace)).count("tumbling-counts");
        counts.to_stream().map(move |key, n| (text(&key), n)).to("tumbling");
        let sums = records.windowed_by(hopping.grace(grace)).reduce(|a, b| a + b, "hopping-sums");
        sums.to_stream().map(move |key, n| (text(&key), n)).to("hopping");
        let closed = records
            .windowed_by(TimeWindows::tumbling(Duration::from_millis(20)))
            .emit(EmitStrategy::OnWindowClose)
            .count("closed-counts");
        closed.to_stream().map(move |key, n| (text(&key), n)).to("closed");
    });
    let simulation = simulation.input("in", 2, numbers(200, 7));
    let outputs = ["tumbling", "hopping", "closed"];
    outputs.into_iter().fold(simulation, |s, topic| s.output(topic, 2)).run();
}

/// I3, I4, I9: sessions grow together.
#[test]
fn sessions_of_a_stream() {
    let simulation = simulated(|b| {
        let records = b.stream::<String, i64>("in").group_by_key();
        let sessions =
            SessionWindows::gap(Duration::from_millis(15)).grace(Duration::from_millis(30));
        let counts = records.windowed_by(sessions).count("session-counts");
        counts.to_stream().map(|key, n| (key.to_string(), n)).to("sessions");
    });
    simulation.input("in", 2, numbers(200, 31)).output("sessions", 2).run();
}

/// I3, I4: what is held back comes once.
#[test]
fn suppressed_windows() {
    let simulation = simulated(|b| {
        let windows = TimeWindows::tumbling(Duration::from_millis(20));
        let counts =
            b.stream::<String, i64>("in").group_by_key().windowed_by(windows).count("counts");
        let last = counts.suppress(Suppressed::until_window_closes(Buffer::unbounded()));
        last.to_stream().map(|key, n| (key.to_string(), n)).to("last");
    });
    let simulation = simulation.input("in", 2, numbers(200, 7)).output("last", 2);
    // Its changelog has the time of the clock, as the JVM's.
    simulation.compare("KTABLE-SUPPRESS-STATE-STORE-0000000003", Compare::Nothing).run();
}

/// I3, I4: records of two streams meet once, whoever comes first.
#[test]
fn joins_of_streams() {
    let simulation = simulated(|b| {
        let (left, right) = (b.stream::<String, i64>("left"), b.stream::<String, i64>("right"));
        // Longer than all records: none is late, whatever the order in which topics are read.
        let near = JoinWindows::within(Duration::from_millis(20)).grace(Duration::from_secs(3_600));
        left.join(&right, |_, l, r| format!("{l} {r}"), near, "pairs").to("inner");
    });
    let simulation =
        simulation.input("left", 2, numbers(120, 9)).input("right", 2, numbers(120, 5));
    simulation.output("inner", 2).compare("inner", Compare::AnyOrder).run();
}

/// I3, I4: rows find those that they name, across partitions.
#[test]
fn foreign_keys() {
    let simulation = simulated(|b| {
        let orders = b.table::<String, i64>("orders", "orders");
        let people = b.table::<i64, String>("people", "people");
        let joined = orders.left_join_on(
            &people,
            |_, person| Some(person % 5),
            |_, n, person| format!("{n} {person:?}"),
            "orders-of-people",
        );
        joined.to("joined");
    });
    let people = (0..60_i64).map(|n| (n % 7, (n % 4 != 0).then(|| format!("person-{n}"))));
    let orders = numbers(80, 13).map(|(key, n)| (key, (n % 6 != 0).then_some(n)));
    let simulation = simulation.input("people", 2, people).input("orders", 2, orders);
    simulation.output("joined", 2).compare("joined", Compare::LastValues).run();
}
