//! Aggregations in windows.

use std::time::Duration;

use streams_dsl::prelude::*;

use super::super::{Expr, Op};
use super::groups::{aggregator, option_aggregator, reducer};
use super::tables::{AnyTable, named};
use super::{Made, unknown, window_store};

/// What `windowed_by` returned.
#[derive(Clone)]
pub(crate) enum AnyWindows {
    Time(TimeWindowedKStream<String, String>),
    Session(SessionWindowedKStream<String, String>),
    /// Made when it is aggregated: these are not `Clone`.
    CogroupedTime(CogroupedKStream<String, String>, Op),
    CogroupedSession(CogroupedKStream<String, String>, Op),
}

pub(super) fn of_group(group: &KGroupedStream<String, String>, op: &Op) -> Result<Made, String> {
    let emit = match op.get("emit") {
        Some("close") => EmitStrategy::OnWindowClose,
        _ => EmitStrategy::OnWindowUpdate,
    };
    Ok(Made::Windowed(match &*op.call {
        "time_windows" => AnyWindows::Time(group.windowed_by(time_windows(op)?).emit(emit)),
        "sliding_windows" => AnyWindows::Time(group.windowed_by(sliding_windows(op)?).emit(emit)),
        "unlimited_windows" => {
            let start = Timestamp::from_millis(op.number("start")?);
            AnyWindows::Time(group.windowed_by(UnlimitedWindows::starting(start)))
        }
        "session_windows" => {
            AnyWindows::Session(group.windowed_by(session_windows(op)?).emit(emit))
        }
        _ => return Err(unknown(op)),
    }))
}

pub(super) fn of_cogroup(
    group: &CogroupedKStream<String, String>,
    op: &Op,
) -> Result<Made, String> {
    Ok(Made::Windowed(match &*op.call {
        "time_windows" | "sliding_windows" => AnyWindows::CogroupedTime(group.clone(), op.clone()),
        "session_windows" => AnyWindows::CogroupedSession(group.clone(), op.clone()),
        _ => return Err(unknown(op)),
    }))
}

pub(super) fn call(windows: &AnyWindows, op: &Op) -> Result<Made, String> {
    Ok(Made::Table(match windows {
        AnyWindows::Time(windows) => time(windows, op)?,
        AnyWindows::Session(windows) => session(windows, op)?,
        AnyWindows::CogroupedTime(group, windows) => {
            let windows = match &*windows.call {
                "time_windows" => group.windowed_by_time(time_windows(windows)?),
                _ => group.windowed_by_time(sliding_windows(windows)?),
            };
            AnyTable::Windows(named(windows.aggregate(window_store(op)?), op))
        }
        AnyWindows::CogroupedSession(group, windows) => {
            let windows = group.windowed_by_session(session_windows(windows)?, merger(op)?);
            AnyTable::Sessions(named(windows.aggregate(window_store(op)?), op))
        }
    }))
}

fn time(windows: &TimeWindowedKStream<String, String>, op: &Op) -> Result<AnyTable, String> {
    let table = match &*op.call {
        "count" => {
            return Ok(AnyTable::WindowNumbers(named(windows.count(window_store(op)?), op)));
        }
        "reduce" => windows.reduce(reducer(op, "f")?, window_store(op)?),
        "aggregate" if op.yes("null") => {
            let step = option_aggregator(op, "f")?;
            windows.aggregate_option(
                move |k, v, a: &mut Option<String>| step(k, &v, a),
                window_store(op)?,
            )
        }
        "aggregate" => {
            let step = aggregator(op, "f")?;
            windows.aggregate(
                String::new,
                move |k, v, a: &mut String| step(k, &v, a),
                window_store(op)?,
            )
        }
        _ => return Err(unknown(op)),
    };
    Ok(AnyTable::Windows(named(table, op)))
}

fn session(windows: &SessionWindowedKStream<String, String>, op: &Op) -> Result<AnyTable, String> {
    let table = match &*op.call {
        "count" => {
            return Ok(AnyTable::SessionNumbers(named(windows.count(window_store(op)?), op)));
        }
        "reduce" => windows.reduce(reducer(op, "f")?, window_store(op)?),
        "aggregate" => {
            let step = aggregator(op, "f")?;
            windows.aggregate(
                String::new,
                move |k, v, a: &mut String| step(k, &v, a),
                merger(op)?,
                window_store(op)?,
            )
        }
        _ => return Err(unknown(op)),
    };
    Ok(AnyTable::Sessions(named(table, op)))
}

fn merger(
    op: &Op,
) -> Result<impl Fn(&String, String, String) -> String + Send + Sync + 'static, String> {
    let f = Expr::new(op.need("merge")?);
    Ok(move |k: &String, a: String, b: String| f.make(Some(k), Some(&a), Some(&b)))
}

fn time_windows(op: &Op) -> Result<TimeWindows, String> {
    let size = millis(op, "size")?;
    let windows = match op.get("advance") {
        Some(_) => TimeWindows::hopping(size, millis(op, "advance")?),
        None => TimeWindows::tumbling(size),
    };
    Ok(windows.grace(millis(op, "grace")?))
}

fn sliding_windows(op: &Op) -> Result<SlidingWindows, String> {
    Ok(SlidingWindows::of(millis(op, "difference")?).grace(millis(op, "grace")?))
}

fn session_windows(op: &Op) -> Result<SessionWindows, String> {
    Ok(SessionWindows::gap(millis(op, "gap")?).grace(millis(op, "grace")?))
}

pub(super) fn millis(op: &Op, parameter: &str) -> Result<Duration, String> {
    let millis = op.number(parameter)?;
    u64::try_from(millis).map(Duration::from_millis).map_err(|_| format!("{parameter}={millis}"))
}
