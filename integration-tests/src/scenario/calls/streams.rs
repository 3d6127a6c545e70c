//! Calls of streams.

use std::any::Any;

use streams_dsl::core::Data;
use streams_dsl::prelude::*;

use super::super::{Expr, Op, Text};
use super::tables::AnyTable;
use super::{Made, joins, materialized, unknown};

/// A stream, with null in keys and values where its type says so.
#[derive(Clone)]
pub(crate) enum AnyStream {
    Plain(KStream<String, String>),
    NullValues(KStream<String, Option<String>>),
    NullKeys(KStream<Option<String>, String>),
    Nulls(KStream<Option<String>, Option<String>>),
}

impl AnyStream {
    pub(super) fn of<K: Data, V: Data>(stream: KStream<K, V>) -> Self {
        let any: Box<dyn Any> = Box::new(stream);
        let any = match any.downcast() {
            Ok(stream) => return Self::Plain(*stream),
            Err(any) => any,
        };
        let any = match any.downcast() {
            Ok(stream) => return Self::NullValues(*stream),
            Err(any) => any,
        };
        let any = match any.downcast() {
            Ok(stream) => return Self::NullKeys(*stream),
            Err(any) => any,
        };
        Self::Nulls(*any.downcast().expect("there are no streams of other types"))
    }
}

fn made<K: Data, V: Data>(stream: KStream<K, V>, op: &Op) -> Made {
    Made::Stream(AnyStream::of(match op.get("name") {
        Some(name) => stream.named(name),
        None => stream,
    }))
}

pub(super) fn source(builder: &StreamsBuilder, op: &Op) -> Result<Made, String> {
    fn read<K: Text, V: Text>(builder: &StreamsBuilder, op: &Op) -> Result<Made, String> {
        let topics: Vec<&str> = op.need("topic")?.split(',').collect();
        let mut consumed = Consumed::<K, V>::from(&topics[..]);
        if let Some(name) = op.get("name") {
            consumed = consumed.named(name);
        }
        Ok(Made::Stream(AnyStream::of(builder.stream::<K, V>(consumed))))
    }
    match op.get("nulls") {
        None => read::<String, String>(builder, op),
        Some("values") => read::<String, Option<String>>(builder, op),
        Some("keys") => read::<Option<String>, String>(builder, op),
        Some(_) => read::<Option<String>, Option<String>>(builder, op),
    }
}

pub(super) fn call(stream: &AnyStream, other: Option<&Made>, op: &Op) -> Result<Made, String> {
    if let Some(made) = by_nulls(stream, op) {
        return Ok(made);
    }
    if let Some(made) = joins::call(stream, other, op)? {
        return Ok(made);
    }
    if let AnyStream::Plain(stream) = stream
        && let Some(made) = by_key(stream, op)?
    {
        return Ok(made);
    }
    match (stream, other) {
        (AnyStream::Plain(stream), None) => stateless(stream, op),
        (AnyStream::NullValues(stream), None) => stateless(stream, op),
        (AnyStream::NullKeys(stream), None) => stateless(stream, op),
        (AnyStream::Nulls(stream), None) => stateless(stream, op),
        (stream, Some(Made::Stream(other))) if op.call == "merge" => merge(stream, other, op),
        _ => Err(unknown(op)),
    }
}

fn merge(stream: &AnyStream, other: &AnyStream, op: &Op) -> Result<Made, String> {
    match (stream, other) {
        (AnyStream::Plain(a), AnyStream::Plain(b)) => Ok(made(a.merge(b), op)),
        (AnyStream::NullValues(a), AnyStream::NullValues(b)) => Ok(made(a.merge(b), op)),
        (AnyStream::NullKeys(a), AnyStream::NullKeys(b)) => Ok(made(a.merge(b), op)),
        (AnyStream::Nulls(a), AnyStream::Nulls(b)) => Ok(made(a.merge(b), op)),
        _ => Err("streams of different types cannot be merged".to_owned()),
    }
}

/// Calls that exist only where there is null.
fn by_nulls(stream: &AnyStream, op: &Op) -> Option<Made> {
    Some(match (&*op.call, stream) {
        ("drop_null_values", AnyStream::NullValues(s)) => made(s.drop_null_values(), op),
        ("drop_null_values", AnyStream::Nulls(s)) => made(s.drop_null_values(), op),
        ("drop_null_keys", AnyStream::NullKeys(s)) => made(s.drop_null_keys(), op),
        ("drop_null_keys", AnyStream::Nulls(s)) => made(s.drop_null_keys(), op),
        ("to_table", AnyStream::NullValues(s)) => {
            let table = s.to_table_from_updates(materialized(op));
            Made::Table(AnyTable::Texts(match op.get("name") {
                Some(name) => table.named(name),
                None => table,
            }))
        }
        _ => return None,
    })
}

/// Calls that need keys and values.
fn by_key(s: &KStream<String, String>, op: &Op) -> Result<Option<Made>, String> {
    Ok(Some(match &*op.call {
        "group_by" => {
            let key = Expr::new(op.need("k")?);
            let key = move |k: &String, v: &String| -> String { key.map(k, v) };
            Made::Grouped(match op.get("name") {
                Some(name) => s.group_by(key, name),
                None => s.group_by(key, auto()),
            })
        }
        "group_by_key" => Made::Grouped(match op.get("name") {
            Some(name) => s.group_by_key_with(name),
            None => s.group_by_key_with(auto()),
        }),
        "to_table" => {
            let table = s.to_table(materialized(op));
            Made::Table(AnyTable::Texts(match op.get("name") {
                Some(name) => table.named(name),
                None => table,
            }))
        }
        _ => return Ok(None),
    }))
}

fn stateless<K: Text, V: Text>(s: &KStream<K, V>, op: &Op) -> Result<Made, String> {
    let expr = |name: &str| op.need(name).map(Expr::new);
    Ok(match &*op.call {
        "filter" | "filter_not" => {
            let p = expr("p")?;
            let holds = move |k: &K, v: &V| p.holds(k, v);
            let kept = if op.call == "filter" { s.filter(holds) } else { s.filter_not(holds) };
            made(kept, op)
        }
        "map_values" => {
            let f = expr("f")?;
            match op.yes("null") {
                true => made(s.map_values_with_key(move |k, v| f.map::<Option<String>>(k, &v)), op),
                false => made(s.map_values_with_key(move |k, v| f.map::<String>(k, &v)), op),
            }
        }
        "map" => {
            let (key, f) = (expr("k")?, expr("f")?);
            match op.yes("null") {
                true => made(
                    s.map(move |k, v| (key.map::<String>(&k, &v), f.map::<Option<String>>(&k, &v))),
                    op,
                ),
                false => made(
                    s.map(move |k, v| (key.map::<String>(&k, &v), f.map::<String>(&k, &v))),
                    op,
                ),
            }
        }
        "flat_map" => {
            let (key, f) = (expr("k")?, expr("f")?);
            let parts = s.flat_map(move |k, v, out| {
                for part in parts(&f.map::<String>(&k, &v)) {
                    let key: String = key.make(Some(&k), Some(&v), Some(&part));
                    out.emit((key, part));
                }
            });
            made(parts, op)
        }
        "flat_map_values" => {
            let f = expr("f")?;
            let parts = s.flat_map_values_with_key(move |k, v, out| {
                out.extend(parts(&f.map::<String>(k, &v)))
            });
            made(parts, op)
        }
        "select_key" => {
            let key = expr("k")?;
            match op.yes("null") {
                true => made(s.select_key(move |k, v| key.map::<Option<String>>(k, v)), op),
                false => made(s.select_key(move |k, v| key.map::<String>(k, v)), op),
            }
        }
        "peek" => made(s.peek(|_, _| {}), op),
        "split" => split(s, op)?,
        "repartition" => Made::Stream(AnyStream::of(match op.get("name") {
            Some(name) => s.repartition(name),
            None => s.repartition(auto()),
        })),
        "to" => {
            let mut produced = Produced::from(op.need("topic")?);
            if let Some(name) = op.get("name") {
                produced = produced.named(name);
            }
            s.to(produced);
            Made::Nothing
        }
        _ => return Err(unknown(op)),
    })
}

fn parts(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

/// Up to three branches: the number of results is part of the type.
fn split<K: Text, V: Text>(s: &KStream<K, V>, op: &Op) -> Result<Made, String> {
    let predicate = |name: &str| {
        op.get(name).map(|p| {
            let p = Expr::new(p);
            move |k: &K, v: &V| p.holds(k, v)
        })
    };
    let split = match op.get("name") {
        Some(name) => s.split_named(name),
        None => s.split(),
    };
    let default = op.yes("default");
    let branches = match (predicate("p1"), predicate("p2"), default) {
        (Some(p1), None, true) => {
            let (a, rest) = split.branch(p1).default_branch();
            vec![(1, a), (0, rest)]
        }
        (Some(p1), None, false) => {
            let (a,) = split.branch(p1).no_default_branch();
            vec![(1, a)]
        }
        (Some(p1), Some(p2), true) => {
            let (a, b, rest) = split.branch(p1).branch(p2).default_branch();
            vec![(1, a), (2, b), (0, rest)]
        }
        (Some(p1), Some(p2), false) => {
            let (a, b) = split.branch(p1).branch(p2).no_default_branch();
            vec![(1, a), (2, b)]
        }
        (None, ..) => return Err("split needs p1=".to_owned()),
    };
    Ok(Made::Branches(branches.into_iter().map(|(n, s)| (n, AnyStream::of(s))).collect()))
}
