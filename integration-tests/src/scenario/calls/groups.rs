//! Aggregations without windows.

use streams_dsl::prelude::*;

use super::super::{Expr, Op};
use super::tables::{AnyTable, named};
use super::{Made, materialized, unknown, windows};

pub(super) fn stream(group: &KGroupedStream<String, String>, op: &Op) -> Result<Made, String> {
    let table = match &*op.call {
        "count" => {
            return Ok(Made::Table(AnyTable::Numbers(named(group.count(materialized(op)), op))));
        }
        "reduce" => group.reduce(reducer(op, "f")?, materialized(op)),
        "aggregate" if op.yes("null") => {
            let step = option_aggregator(op, "f")?;
            group.aggregate_option(
                move |k, v, a: &mut Option<String>| step(k, &v, a),
                materialized(op),
            )
        }
        "aggregate" => {
            let step = aggregator(op, "f")?;
            group.aggregate(
                String::new,
                move |k, v, a: &mut String| step(k, &v, a),
                materialized(op),
            )
        }
        _ => return windows::of_group(group, op),
    };
    Ok(Made::Table(AnyTable::Texts(named(table, op))))
}

pub(super) fn table(group: &KGroupedTable<String, String>, op: &Op) -> Result<Made, String> {
    let table = match &*op.call {
        "count" => {
            return Ok(Made::Table(AnyTable::Numbers(named(group.count(materialized(op)), op))));
        }
        "reduce" => group.reduce(reducer(op, "f")?, reducer(op, "minus")?, materialized(op)),
        "aggregate" if op.yes("null") => {
            let (add, minus) = (option_aggregator(op, "f")?, option_aggregator(op, "minus")?);
            group.aggregate_option(
                move |k, v, a: &mut Option<String>| add(k, &v, a),
                move |k, v, a: &mut Option<String>| minus(k, &v, a),
                materialized(op),
            )
        }
        "aggregate" => {
            let (add, minus) = (aggregator(op, "f")?, aggregator(op, "minus")?);
            group.aggregate(
                String::new,
                move |k, v, a: &mut String| add(k, &v, a),
                move |k, v, a: &mut String| minus(k, &v, a),
                materialized(op),
            )
        }
        _ => return Err(unknown(op)),
    };
    Ok(Made::Table(AnyTable::Texts(named(table, op))))
}

/// Several groups: the functions are `f`, `f2`, `f3`.
pub(super) fn cogroup(groups: &[&Made], op: &Op) -> Result<Made, String> {
    let mut all: Option<CogroupedKStream<String, String>> = None;
    for (group, parameter) in groups.iter().zip(["f", "f2", "f3"]) {
        let Made::Grouped(group) = group else { return Err(unknown(op)) };
        let step = aggregator(op, parameter)?;
        let step = move |k: &String, v: String, a: &mut String| step(k, &v, a);
        all = Some(match all {
            None => group.cogroup(String::new, step),
            Some(all) => all.cogroup(group, step),
        });
    }
    all.map(Made::Cogrouped).ok_or_else(|| unknown(op))
}

pub(super) fn cogrouped(
    groups: &CogroupedKStream<String, String>,
    op: &Op,
) -> Result<Made, String> {
    match &*op.call {
        "aggregate" => {
            let table = groups.aggregate(materialized(op));
            Ok(Made::Table(AnyTable::Texts(named(table, op))))
        }
        _ => windows::of_cogroup(groups, op),
    }
}

pub(super) fn reducer(
    op: &Op,
    parameter: &str,
) -> Result<impl Fn(String, String) -> String + Send + Sync + 'static, String> {
    let f = Expr::new(op.need(parameter)?);
    Ok(move |a, b| f.make(None::<&String>, Some(&a), Some(&b)))
}

pub(super) fn aggregator(
    op: &Op,
    parameter: &str,
) -> Result<impl Fn(&String, &String, &mut String) + Send + Sync + 'static, String> {
    let f = Expr::new(op.need(parameter)?);
    Ok(move |k: &String, v: &String, a: &mut String| *a = f.make(Some(k), Some(a), Some(v)))
}

/// Null deletes; what is not there begins as an empty text.
pub(super) fn option_aggregator(
    op: &Op,
    parameter: &str,
) -> Result<impl Fn(&String, &String, &mut Option<String>) + Send + Sync + 'static, String> {
    let f = Expr::new(op.need(parameter)?);
    Ok(move |k: &String, v: &String, a: &mut Option<String>| {
        let before = a.take().unwrap_or_default();
        *a = f.make(Some(k), Some(&before), Some(v));
    })
}
