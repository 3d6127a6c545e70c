//! Joins of tables, against the JVM's rules: what is emitted for a change of one side, given the
//! other side's value.

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use crate::driver;

fn show(left: Option<&i64>, right: Option<&i64>) -> String {
    let show = |n: Option<&i64>| n.map_or("-".to_owned(), i64::to_string);
    format!("{}+{}", show(left), show(right))
}

/// All three joins of the same tables.
fn joins(b: &StreamsBuilder, materialized: bool) {
    let left = b.table::<String, i64>("left", auto());
    let right = b.table::<String, i64>("right", auto());
    let tables = [
        ("inner", left.join(&right, |_, a, b| show(Some(a), Some(b)))),
        ("left-join", left.left_join(&right, |_, a, b| show(Some(a), b))),
        ("outer", left.outer_join(&right, |_, a, b| show(a, b))),
    ];
    for (topic, table) in tables {
        let table = if materialized { table.materialize(format!("{topic}-store")) } else { table };
        table.to(topic);
    }
}

enum Side {
    Left(Option<i64>),
    Right(Option<i64>),
}
use Side::{Left, Right};

fn pipe(driver: &TopologyTestDriver, side: Side, time: i64) {
    let (topic, value) = match side {
        Left(value) => ("left", value),
        Right(value) => ("right", value),
    };
    driver.input::<String, Option<i64>>(topic).pipe_at("k", value, time);
}

/// Per change: what the inner, the left and the outer join emit.
fn expected() -> Vec<(Side, [&'static str; 3])> {
    vec![
        (Left(Some(1)), ["", "1+-", "1+-"]),
        (Right(Some(2)), ["1+2", "1+2", "1+2"]),
        (Left(Some(3)), ["3+2", "3+2", "3+2"]),
        (Right(None), ["null", "3+-", "3+-"]),
        (Left(None), ["", "null", "null"]),
        // Nothing on either side: no result, and none before.
        (Left(None), ["", "", ""]),
        (Right(None), ["", "", ""]),
        (Right(Some(4)), ["", "", "-+4"]),
        (Left(Some(5)), ["5+4", "5+4", "5+4"]),
        (Left(None), ["null", "null", "-+4"]),
        (Left(None), ["null", "null", "-+4"]),
        (Right(None), ["", "", "null"]),
    ]
}

#[test]
fn each_change_of_a_side_gives_the_jvms_result() {
    for materialized in [false, true] {
        let driver = driver(|b| joins(b, materialized));
        let outputs = ["inner", "left-join", "outer"]
            .map(|topic| driver.output::<String, Option<String>>(topic));
        for (step, (side, wanted)) in expected().into_iter().enumerate() {
            pipe(&driver, side, 100);
            for (output, wanted) in outputs.iter().zip(wanted) {
                let seen = output.read_values();
                let seen: Vec<_> = seen.iter().map(|v| v.as_deref().unwrap_or("null")).collect();
                let wanted: Vec<_> = Some(wanted).filter(|w| !w.is_empty()).into_iter().collect();
                assert_eq!(seen, wanted, "step {step}, materialized: {materialized}");
            }
        }
    }
}

#[test]
fn the_time_of_a_result_is_the_later_one() {
    let driver = driver(|b| joins(b, false));
    pipe(&driver, Left(Some(1)), 10);
    pipe(&driver, Right(Some(2)), 5);
    pipe(&driver, Left(Some(3)), 3);
    let inner = driver.output::<String, String>("inner");
    // The left value is the one at 3 now, the right one at 5.
    assert_eq!(inner.read_timed(), [("k", "1+2", 10), ("k", "3+2", 5)]);
}

#[test]
fn joins_read_through_tables_without_stores() {
    let driver = driver(|b| {
        let left = b.table::<String, i64>("left", auto());
        let right = b.table::<String, i64>("right", auto());
        let even = left.filter(|_, n| n % 2 == 0).map_values(|n| n * 10);
        let texts = right.map_values_with_key(|k, n| format!("{k}{n}"));
        let joined = even.join(&texts, |_, n, text| format!("{n}{text}"));
        // A join of a join.
        joined.left_join(&right, |_, text, n| format!("{text}/{}", n.is_some())).to("out");
    });
    pipe(&driver, Left(Some(2)), 0);
    pipe(&driver, Right(Some(7)), 0);
    pipe(&driver, Left(Some(4)), 0);
    pipe(&driver, Left(Some(5)), 0);
    pipe(&driver, Right(Some(8)), 0);
    let out = driver.output::<String, Option<String>>("out");
    let values: Vec<_> = out.read_values();
    let last = values.last().cloned().flatten();
    assert_eq!(values[0].as_deref(), Some("20k7/true"), "{values:?}");
    assert!(values.contains(&Some("40k7/true".to_owned())), "{values:?}");
    assert_eq!(last, None, "{values:?}");
}

#[test]
fn a_table_joins_itself() {
    let driver = driver(|b| {
        let table = b.table::<String, i64>("left", auto());
        table.join(&table.map_values(|n| n + 1), |_, a, b| a * b).to("out");
    });
    pipe(&driver, Left(Some(2)), 0);
    pipe(&driver, Left(Some(3)), 0);
    let out = driver.output::<String, i64>("out").read_values();
    assert_eq!(out.last(), Some(&12), "{out:?}");
}
