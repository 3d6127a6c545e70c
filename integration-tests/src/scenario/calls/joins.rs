//! Joins of streams: with tables, and with each other.

use std::time::Duration;

use streams_dsl::prelude::*;

use super::super::{Expr, Op, Text};
use super::streams::AnyStream;
use super::tables::AnyTable;
use super::windows::millis;
use super::{Made, unknown};

/// `None`: it is no join.
pub(super) fn call(
    stream: &AnyStream,
    other: Option<&Made>,
    op: &Op,
) -> Result<Option<Made>, String> {
    Ok(Some(match (stream, other) {
        (AnyStream::Plain(stream), Some(Made::Table(AnyTable::Texts(table)))) => {
            join_table(stream, table, op)?
        }
        (AnyStream::Plain(stream), Some(Made::Global(table))) => join_global(stream, table, op)?,
        (AnyStream::NullKeys(stream), Some(Made::Global(table))) => join_global(stream, table, op)?,
        (_, Some(Made::Stream(other))) if op.call.ends_with("join_stream") => {
            join_stream(stream, other, op)?
        }
        _ => return Ok(None),
    }))
}

fn join_table(
    s: &KStream<String, String>,
    table: &KTable<String, String>,
    op: &Op,
) -> Result<Made, String> {
    let f = Expr::new(op.need("f")?);
    let mut options = match op.get("name") {
        Some(name) => Joined::from(name),
        None => Joined::from(auto()),
    };
    if op.get("grace").is_some() {
        options = options.grace(millis(op, "grace")?);
    }
    let joined: KStream<String, String> = match &*op.call {
        "join_table" => {
            s.join_table_with(table, move |k, a, b| f.make(Some(k), Some(&a), Some(b)), options)
        }
        "left_join_table" => {
            s.left_join_table_with(table, move |k, a, b| f.make(Some(k), Some(&a), b), options)
        }
        _ => return Err(unknown(op)),
    };
    Ok(Made::Stream(AnyStream::Plain(joined)))
}

fn join_global<K: Text>(
    s: &KStream<K, String>,
    table: &GlobalKTable<String, String>,
    op: &Op,
) -> Result<Made, String> {
    let (key, f) = (Expr::new(op.need("k")?), Expr::new(op.need("f")?));
    let joined: KStream<K, String> = match &*op.call {
        "join_global" => s.join_global(
            table,
            move |k, v| key.map::<String>(k, v),
            move |k, a, b| f.make(Some(k), Some(&a), Some(b)),
        ),
        "left_join_global" => {
            let nullable = op.yes("null");
            s.left_join_global(
                table,
                move |k, v| match nullable {
                    true => key.map::<Option<String>>(k, v),
                    false => Some(key.map::<String>(k, v)),
                },
                move |k, a, b| f.make(Some(k), Some(&a), b),
            )
        }
        _ => return Err(unknown(op)),
    };
    Ok(Made::Stream(AnyStream::of(match op.get("name") {
        Some(name) => joined.named(name),
        None => joined,
    })))
}

/// Both have null in their keys, or neither.
fn join_stream(stream: &AnyStream, other: &AnyStream, op: &Op) -> Result<Made, String> {
    use AnyStream::{NullKeys, NullValues, Nulls, Plain};
    match (stream, other) {
        (Plain(a), Plain(b)) => joined(a, b, op),
        (Plain(a), NullValues(b)) => joined(a, b, op),
        (NullValues(a), Plain(b)) => joined(a, b, op),
        (NullValues(a), NullValues(b)) => joined(a, b, op),
        (NullKeys(a), NullKeys(b)) => joined(a, b, op),
        (NullKeys(a), Nulls(b)) => joined(a, b, op),
        (Nulls(a), NullKeys(b)) => joined(a, b, op),
        (Nulls(a), Nulls(b)) => joined(a, b, op),
        _ => Err("streams with keys of different types cannot be joined".to_owned()),
    }
}

fn joined<K: Text, V: Text, V2: Text>(
    a: &KStream<K, V>,
    b: &KStream<K, V2>,
    op: &Op,
) -> Result<Made, String> {
    let f = Expr::new(op.need("f")?);
    let (before, after) = (op.number("before")?, op.number("after")?);
    let larger = before.unsigned_abs().max(after.unsigned_abs());
    let windows = JoinWindows::within(Duration::from_millis(larger))
        .before_ms(before)
        .after_ms(after)
        .grace(millis(op, "grace")?);
    let mut options = StreamJoined::from(auto());
    if let Some(name) = op.get("name") {
        options = options.named(name);
    }
    if let Some(store) = op.get("store") {
        options = options.store_name(store);
    }
    if op.get("log") == Some("off") {
        options = options.logging_disabled();
    }
    let joined: KStream<K, String> = match &*op.call {
        "join_stream" => {
            a.join(b, move |k, a, b| f.make(Some(k), Some(a), Some(b)), windows, options)
        }
        "left_join_stream" => {
            a.left_join(b, move |k, a, b| f.make(Some(k), Some(a), b), windows, options)
        }
        "outer_join_stream" => {
            a.outer_join(b, move |k, a, b| f.make(Some(k), a, b), windows, options)
        }
        _ => return Err(unknown(op)),
    };
    Ok(Made::Stream(AnyStream::of(joined)))
}
