//! Calls of tables.

use streams_dsl::core::Data;
use streams_dsl::prelude::*;

use super::super::{Expr, Op, Show};
use super::streams::AnyStream;
use super::{Made, materialized, unknown};

/// A table of texts, or of what `count` makes.
#[derive(Clone)]
pub(crate) enum AnyTable {
    Texts(KTable<String, String>),
    Numbers(KTable<String, i64>),
}

pub(super) fn named<K, V>(table: KTable<K, V>, op: &Op) -> KTable<K, V> {
    match op.get("name") {
        Some(name) => table.named(name),
        None => table,
    }
}

pub(super) fn source(builder: &StreamsBuilder, op: &Op) -> Result<Made, String> {
    let mut consumed = Consumed::<String, String>::from(op.need("topic")?);
    if let Some(name) = op.get("name") {
        consumed = consumed.named(name);
    }
    Ok(Made::Table(AnyTable::Texts(builder.table(consumed, materialized(op)))))
}

pub(super) fn call(table: &AnyTable, other: Option<&Made>, op: &Op) -> Result<Made, String> {
    match (table, other) {
        (AnyTable::Texts(a), Some(Made::Table(AnyTable::Texts(b)))) => join(a, b, op),
        (AnyTable::Texts(a), None) if op.call == "to_stream" => {
            let stream = a.to_stream();
            Ok(Made::Stream(AnyStream::NullValues(match op.get("name") {
                Some(name) => stream.named(name),
                None => stream,
            })))
        }
        (AnyTable::Texts(a), None) if is_filter(op) => {
            Ok(Made::Table(AnyTable::Texts(filter(a, op)?)))
        }
        (AnyTable::Numbers(a), None) if is_filter(op) => {
            Ok(Made::Table(AnyTable::Numbers(filter(a, op)?)))
        }
        (AnyTable::Texts(a), None) => of_one(a, op),
        (AnyTable::Numbers(a), None) => of_one(a, op),
        _ => Err(unknown(op)),
    }
}

fn is_filter(op: &Op) -> bool {
    ["filter", "filter_not"].contains(&&*op.call)
}

/// With a store, if the scenario says so.
fn stored<V: Data + DefaultSerde>(table: KTable<String, V>, op: &Op) -> KTable<String, V> {
    let table = named(table, op);
    match op.get("store") {
        Some(_) => table.materialize(materialized(op)),
        None => table,
    }
}

fn filter<V: Show + Data + DefaultSerde>(
    table: &KTable<String, V>,
    op: &Op,
) -> Result<KTable<String, V>, String> {
    let p = Expr::new(op.need("p")?);
    let holds = move |k: &String, v: &V| p.holds(k, v);
    let kept = if op.call == "filter" { table.filter(holds) } else { table.filter_not(holds) };
    Ok(stored(kept, op))
}

fn of_one<V: Show + Data + DefaultSerde>(
    table: &KTable<String, V>,
    op: &Op,
) -> Result<Made, String> {
    Ok(match &*op.call {
        "map_values" => {
            let f = Expr::new(op.need("f")?);
            let mapped = table.map_values_with_key(move |k, v| f.map::<String>(k, v));
            Made::Table(AnyTable::Texts(stored(mapped, op)))
        }
        "group_by" => {
            let (key, f) = (Expr::new(op.need("k")?), Expr::new(op.need("f")?));
            let select =
                move |k: &String, v: &V| -> (String, String) { (key.map(k, v), f.map(k, v)) };
            Made::GroupedTable(match op.get("name") {
                Some(name) => table.group_by(select, name),
                None => table.group_by(select, auto()),
            })
        }
        "to" => {
            let mut produced = Produced::from(op.need("topic")?);
            if let Some(name) = op.get("name") {
                produced = produced.named(name);
            }
            table.to(produced);
            Made::Nothing
        }
        _ => return Err(unknown(op)),
    })
}

fn join(
    left: &KTable<String, String>,
    right: &KTable<String, String>,
    op: &Op,
) -> Result<Made, String> {
    let f = Expr::new(op.need("f")?);
    // The JVM's joiner does not get the key if there are other options.
    let make =
        move |a: Option<&String>, b: Option<&String>| -> String { f.make(None::<&String>, a, b) };
    if ["join_on", "left_join_on"].contains(&&*op.call) {
        let key = Expr::new(op.need("k")?);
        let key = move |k: &String, v: &String| -> Option<String> { key.map(k, v) };
        let options = match op.get("name") {
            Some(name) => TableJoined::from(name),
            None => TableJoined::from(auto()),
        };
        let joined = if op.call == "join_on" {
            left.join_on(right, key, move |_, a, b| make(Some(a), Some(b)), options)
        } else {
            left.left_join_on(right, key, move |_, a, b| make(Some(a), b), options)
        };
        return Ok(Made::Table(AnyTable::Texts(match op.get("store") {
            Some(_) => joined.materialize(materialized(op)),
            None => joined,
        })));
    }
    let joined = match &*op.call {
        "join" => left.join(right, move |_, a, b| make(Some(a), Some(b))),
        "left_join" => left.left_join(right, move |_, a, b| make(Some(a), b)),
        "outer_join" => left.outer_join(right, move |_, a, b| make(a, b)),
        _ => return Err(unknown(op)),
    };
    Ok(Made::Table(AnyTable::Texts(stored(joined, op))))
}
