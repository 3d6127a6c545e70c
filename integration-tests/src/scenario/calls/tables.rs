//! Calls of tables.

use streams_dsl::core::Data;
use streams_dsl::core::processor::StateAccess;
use streams_dsl::prelude::*;
use streams_dsl::serdes::DefaultWrite;

use super::super::{Expr, Op, Show};
use super::streams::AnyStream;
use super::windows::millis;
use super::{Made, materialized, unknown};

/// A table of texts, or of what `count` makes; in windows or not.
#[derive(Clone)]
pub(crate) enum AnyTable {
    Texts(KTable<String, String>),
    Numbers(KTable<String, i64>),
    Windows(KTable<Windowed<String>, String>),
    WindowNumbers(KTable<Windowed<String>, i64>),
    Sessions(KTable<SessionWindowed<String>, String>),
    SessionNumbers(KTable<SessionWindowed<String>, i64>),
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

pub(super) fn global(builder: &StreamsBuilder, op: &Op) -> Result<Made, String> {
    let mut consumed = Consumed::<String, String>::from(op.need("topic")?);
    if let Some(name) = op.get("name") {
        consumed = consumed.named(name);
    }
    Ok(Made::Global(builder.global_table(consumed, materialized(op))))
}

pub(super) fn call(table: &AnyTable, other: Option<&Made>, op: &Op) -> Result<Made, String> {
    if let Some(other) = other {
        return match (table, other) {
            (AnyTable::Texts(a), Made::Table(AnyTable::Texts(b))) => join(a, b, op),
            _ => Err(unknown(op)),
        };
    }
    Ok(match &*op.call {
        "filter" | "filter_not" => Made::Table(match table {
            AnyTable::Texts(t) => AnyTable::Texts(stored(filter(t, op)?, op)),
            AnyTable::Numbers(t) => AnyTable::Numbers(stored(filter(t, op)?, op)),
            AnyTable::Windows(t) => AnyTable::Windows(filter(t, op)?),
            AnyTable::WindowNumbers(t) => AnyTable::WindowNumbers(filter(t, op)?),
            AnyTable::Sessions(t) => AnyTable::Sessions(filter(t, op)?),
            AnyTable::SessionNumbers(t) => AnyTable::SessionNumbers(filter(t, op)?),
        }),
        "map_values" => Made::Table(match table {
            AnyTable::Texts(t) => AnyTable::Texts(stored(map_values(t, op)?, op)),
            AnyTable::Numbers(t) => AnyTable::Texts(stored(map_values(t, op)?, op)),
            AnyTable::Windows(t) => AnyTable::Windows(map_values(t, op)?),
            AnyTable::WindowNumbers(t) => AnyTable::Windows(map_values(t, op)?),
            AnyTable::Sessions(t) => AnyTable::Sessions(map_values(t, op)?),
            AnyTable::SessionNumbers(t) => AnyTable::Sessions(map_values(t, op)?),
        }),
        "transform_values" => Made::Table(AnyTable::Texts(match table {
            AnyTable::Texts(t) => stored(transform_values(t, op)?, op),
            AnyTable::Numbers(t) => stored(transform_values(t, op)?, op),
            _ => return Err(unknown(op)),
        })),
        "suppress" => Made::Table(match table {
            AnyTable::Texts(t) => AnyTable::Texts(t.suppress(time_limit(op)?)),
            AnyTable::Numbers(t) => AnyTable::Numbers(t.suppress(time_limit(op)?)),
            AnyTable::Windows(t) => AnyTable::Windows(t.suppress(until(op)?)),
            AnyTable::WindowNumbers(t) => AnyTable::WindowNumbers(t.suppress(until(op)?)),
            AnyTable::Sessions(t) => AnyTable::Sessions(t.suppress(until(op)?)),
            AnyTable::SessionNumbers(t) => AnyTable::SessionNumbers(t.suppress(until(op)?)),
        }),
        "to_stream" => Made::Stream(AnyStream::NullValues(match table {
            AnyTable::Texts(t) => match op.get("name") {
                Some(name) => t.to_stream().named(name),
                None => t.to_stream(),
            },
            _ => return Err(unknown(op)),
        })),
        "unwindow" => Made::Stream(AnyStream::NullValues(match table {
            AnyTable::Windows(t) => unwindow(t),
            AnyTable::Sessions(t) => unwindow(t),
            _ => return Err(unknown(op)),
        })),
        _ => match table {
            AnyTable::Texts(t) => of_one(t, op)?,
            AnyTable::Numbers(t) => of_one(t, op)?,
            AnyTable::Windows(t) => of_one(t, op)?,
            AnyTable::WindowNumbers(t) => of_one(t, op)?,
            AnyTable::Sessions(t) => of_one(t, op)?,
            AnyTable::SessionNumbers(t) => of_one(t, op)?,
        },
    })
}

fn until<W: Window>(op: &Op) -> Result<Suppressed<Windowed<String, W>>, String> {
    if op.need("until")? != "close" {
        return time_limit(op);
    }
    let buffer = match op.get("max") {
        Some(_) => Buffer::max_records(records(op)?).shut_down_when_full(),
        None => Buffer::unbounded(),
    };
    Ok(named_suppressed(Suppressed::until_window_closes(buffer), op))
}

fn time_limit<K>(op: &Op) -> Result<Suppressed<K>, String> {
    let limit = millis(op, "until")?;
    let suppressed = match (op.get("max"), op.get("full")) {
        (None, _) => Suppressed::until_time_limit(limit, Buffer::unbounded()),
        (Some(_), Some("fail")) => {
            let buffer = Buffer::max_records(records(op)?).shut_down_when_full();
            Suppressed::until_time_limit(limit, buffer)
        }
        _ => Suppressed::until_time_limit(limit, Buffer::max_records(records(op)?)),
    };
    Ok(named_suppressed(suppressed, op))
}

fn records(op: &Op) -> Result<u64, String> {
    op.number("max").map(i64::unsigned_abs)
}

fn named_suppressed<K>(suppressed: Suppressed<K>, op: &Op) -> Suppressed<K> {
    match op.get("name") {
        Some(name) => suppressed.named(name),
        None => suppressed,
    }
}

/// With a store, if the scenario says so.
fn stored<V: Data + DefaultSerde>(table: KTable<String, V>, op: &Op) -> KTable<String, V> {
    match op.get("store") {
        Some(_) => table.materialize(materialized(op)),
        None => table,
    }
}

fn filter<K: Show + Data, V: Show + Data>(
    table: &KTable<K, V>,
    op: &Op,
) -> Result<KTable<K, V>, String> {
    let p = Expr::new(op.need("p")?);
    let holds = move |k: &K, v: &V| p.holds(k, v);
    let kept = if op.call == "filter" { table.filter(holds) } else { table.filter_not(holds) };
    Ok(named(kept, op))
}

fn map_values<K: Show + Data, V: Show + Data>(
    table: &KTable<K, V>,
    op: &Op,
) -> Result<KTable<K, String>, String> {
    let f = Expr::new(op.need("f")?);
    Ok(named(table.map_values_with_key(move |k, v| f.map::<String>(k, v)), op))
}

/// Sees deletions, too.
fn transform_values<V: Show + Data>(
    table: &KTable<String, V>,
    op: &Op,
) -> Result<KTable<String, String>, String> {
    let f = Expr::new(op.need("f")?);
    let made = move |(): &(), k: &String, v: Option<&V>, _: &mut StateAccess<'_>| {
        Ok(f.make::<Option<String>>(Some(k), None::<&String>, v))
    };
    Ok(named(table.transform_values((), made), op))
}

/// A stream whose keys say the window as text.
fn unwindow<K: Show + Data>(table: &KTable<K, String>) -> KStream<String, Option<String>> {
    table.to_stream().select_key(|k, _| k.show().unwrap_or_default().into_owned())
}

fn of_one<K: Show + Data + DefaultWrite, V: Show + Data + DefaultSerde>(
    table: &KTable<K, V>,
    op: &Op,
) -> Result<Made, String> {
    Ok(match &*op.call {
        "group_by" => {
            let (key, f) = (Expr::new(op.need("k")?), Expr::new(op.need("f")?));
            let select = move |k: &K, v: &V| -> (String, String) { (key.map(k, v), f.map(k, v)) };
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
    Ok(Made::Table(AnyTable::Texts(stored(named(joined, op), op))))
}
