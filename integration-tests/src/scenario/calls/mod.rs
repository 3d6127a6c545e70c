//! Makes the calls of a scenario with the DSL.

mod groups;
mod joins;
mod streams;
mod tables;
mod windows;

use std::collections::BTreeMap;
use std::time::Duration;

use streams_dsl::prelude::*;
use streams_dsl::{KeyValueKind, WindowKind};

use super::Op;
use streams::AnyStream;
use tables::AnyTable;
use windows::AnyWindows;

/// What a call returned.
#[derive(Clone)]
pub(crate) enum Made {
    Stream(AnyStream),
    Table(AnyTable),
    Global(GlobalKTable<String, String>),
    Grouped(KGroupedStream<String, String>),
    GroupedTable(KGroupedTable<String, String>),
    Cogrouped(CogroupedKStream<String, String>),
    Windowed(AnyWindows),
    /// Of a split: by the numbers of the branches.
    Branches(Vec<(u32, AnyStream)>),
    /// A branch ends here.
    Nothing,
}

/// The builder, and what was made so far.
#[derive(Default)]
pub(crate) struct Calls {
    builder: StreamsBuilder,
    made: BTreeMap<String, Made>,
    /// Stores with names, in the order of the calls.
    stores: Vec<(String, Rows)>,
}

/// Types of the rows of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    Texts,
    Numbers,
}

impl Calls {
    /// Makes one call.
    pub(crate) fn call(&mut self, op: &Op) -> Result<(), String> {
        let made = self.made_by(op).map_err(|error| format!("{op}: {error}"))?;
        if let Some(store) = op.get("store") {
            let rows = match &made {
                // Neither side can list what is in a versioned store.
                _ if op.get("versioned").is_some() => None,
                Made::Table(AnyTable::Numbers(_)) => Some(Rows::Numbers),
                Made::Table(AnyTable::Texts(_)) | Made::Global(_) => Some(Rows::Texts),
                _ => None,
            };
            self.stores.extend(rows.map(|rows| (store.to_owned(), rows)));
        }
        match (&op.id, made) {
            (Some(id), Made::Branches(branches)) => {
                for (number, branch) in branches {
                    self.made.insert(format!("{id}.{number}"), Made::Stream(branch));
                }
            }
            (Some(id), made) => drop(self.made.insert(id.clone(), made)),
            (None, _) => {}
        }
        Ok(())
    }

    /// The topology, and the stores with names.
    pub(crate) fn build(
        self,
        config: &StreamsConfig,
    ) -> Result<(Topology, Vec<(String, Rows)>), String> {
        // Handles first: what is not used is told by what is left of it.
        drop(self.made);
        let topology = self.builder.build_with(config).map_err(|error| error.to_string())?;
        Ok((topology, self.stores))
    }

    fn made_by(&self, op: &Op) -> Result<Made, String> {
        match &*op.call {
            "stream" => return streams::source(&self.builder, op),
            "table" => return tables::source(&self.builder, op),
            "global_table" => return tables::global(&self.builder, op),
            _ => {}
        }
        let first = self.parent(op, 0)?;
        if op.call == "cogroup" {
            let parents = 0..op.parents.len();
            let parents: Vec<_> = parents.map(|n| self.parent(op, n)).collect::<Result<_, _>>()?;
            return groups::cogroup(&parents, op);
        }
        let second = if op.parents.len() > 1 { Some(self.parent(op, 1)?) } else { None };
        match first {
            Made::Stream(stream) => streams::call(stream, second, op),
            Made::Table(table) => tables::call(table, second, op),
            Made::Grouped(group) => groups::stream(group, op),
            Made::GroupedTable(group) => groups::table(group, op),
            Made::Cogrouped(groups) => groups::cogrouped(groups, op),
            Made::Windowed(windows) => windows::call(windows, op),
            Made::Global(_) | Made::Branches(_) | Made::Nothing => Err(unknown(op)),
        }
    }

    fn parent(&self, op: &Op, n: usize) -> Result<&Made, String> {
        let id = op.parents.get(n).ok_or("a parent is missing")?;
        self.made.get(id).ok_or_else(|| format!("there is no {id}"))
    }
}

fn unknown(op: &Op) -> String {
    format!("no call {} of that", op.call)
}

/// The options of a store without windows: a name or none, then what else was said.
fn materialized<K: DefaultSerde, V: DefaultSerde>(op: &Op) -> Materialized<K, V, KeyValueKind> {
    let options = of_any_kind(op);
    match op.number("versioned") {
        Ok(history) => {
            options.versioned(Duration::from_millis(u64::try_from(history).unwrap_or(0)))
        }
        Err(_) => options,
    }
}

fn of_any_kind<K: DefaultSerde, V: DefaultSerde, Kind>(op: &Op) -> Materialized<K, V, Kind> {
    let mut options = match op.get("store") {
        Some(name) => Materialized::from(name),
        None => Materialized::from(auto()),
    };
    if op.get("cache") == Some("off") {
        options = options.emit_on_commit(false);
    }
    if op.get("log") == Some("off") {
        options = options.logging_disabled();
    }
    options
}

/// As [`materialized`], of windows.
fn window_store<K: DefaultSerde, V: DefaultSerde>(
    op: &Op,
) -> Result<Materialized<K, V, WindowKind>, String> {
    let options = of_any_kind(op);
    Ok(match op.get("retention") {
        Some(_) => options.retention(windows::millis(op, "retention")?),
        None => options,
    })
}
