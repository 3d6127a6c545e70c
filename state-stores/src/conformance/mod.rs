//! Whether an engine keeps what [`StorageEngine`] promises: one line in a
//! test of whoever wrote it.
//!
//! ```no_run
//! # use std::path::Path;
//! # use std::ops::ControlFlow;
//! # use state_stores::{Batch, Direction, EngineError, KeyRange, StorageEngine};
//! # struct MyEngine;
//! # impl MyEngine {
//! #     fn open(_: &Path) -> std::io::Result<Self> { Ok(Self) }
//! # }
//! # impl StorageEngine for MyEngine {
//! #     fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, EngineError> { Ok(None) }
//! #     fn scan(
//! #         &self, _: &KeyRange, _: Direction,
//! #         _: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
//! #     ) -> Result<(), EngineError> { Ok(()) }
//! #     fn write(&self, _: Batch<'_>) -> Result<(), EngineError> { Ok(()) }
//! #     fn flush(&self) -> Result<(), EngineError> { Ok(()) }
//! # }
//! #[test]
//! fn it_is_an_engine() {
//!     state_stores::conformance::check(|directory| MyEngine::open(directory));
//! }
//! ```
//!
//! The engine is driven alone (directed cases, random operations against a map, reads beside
//! writes) and below the stores of tasks. A crash is a copy of its directory, taken while it is
//! open, from which it is opened again.

mod crashes;
mod model;
mod random;
mod random_stores;
mod rows;
mod stores;
mod subject;
mod threads;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::path::Path;

use self::subject::Subject;
use crate::{EngineError, EngineKind, EngineSupplier, StateError, StorageEngine};

/// Panics if the engine that `open` opens breaks a rule of [`StorageEngine`], and says which.
/// It must outlive the death of its process; for others, see [`Conformance`].
#[track_caller]
pub fn check<E, Error>(open: impl Fn(&Path) -> Result<E, Error> + Send + Sync + 'static)
where
    E: StorageEngine + 'static,
    Error: Into<EngineError>,
{
    Conformance::of(open).check();
}

/// What an engine outlives. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Survives {
    /// Nothing: it is in memory. It may be used, and everything is restored at each start.
    Nothing,
    /// Being closed: for engines whose rows are not in files of their directory, so that this suite
    /// cannot crash them.
    Closing,
    /// The death of its process.
    Crash,
    /// The loss of power, as far as files that only grow can show it: of what was appended since
    /// the last flush, any part of the end is missing, or zeros.
    TornFiles,
}

/// What is checked, and how much of it.
#[derive(Clone)]
#[must_use = "nothing is checked before `check`"]
pub struct Conformance {
    supplier: EngineSupplier,
    survives: Survives,
    seeds: Range<u64>,
}

impl Conformance {
    /// The engine that `open` opens or makes in a directory, which outlives a
    /// [crash](Survives::Crash), under 8 seeds.
    pub fn of<E, Error>(open: impl Fn(&Path) -> Result<E, Error> + Send + Sync + 'static) -> Self
    where
        E: StorageEngine + 'static,
        Error: Into<EngineError>,
    {
        let supplier = EngineSupplier::new("checked", open);
        Self { supplier, survives: Survives::Crash, seeds: 0..8 }
    }

    /// The same engine, which is said to outlive this.
    pub fn survives(self, survives: Survives) -> Self {
        Self { survives, ..self }
    }

    /// The same engine under these seeds of random operations.
    pub fn seeds(self, seeds: Range<u64>) -> Self {
        Self { seeds, ..self }
    }

    /// Panics if a rule is broken, and says which.
    #[track_caller]
    pub fn check(&self) {
        if let Err(violation) = self.run() {
            panic!("{violation}");
        }
    }

    /// The first rule that is found to be broken.
    ///
    /// # Errors
    /// The rule, and how it was broken.
    pub fn run(&self) -> Result<(), Violation> {
        self.run_rows()?;
        let engine = EngineKind::Custom(self.supplier.clone());
        check_stores(&engine, self.survives, self.seeds.clone())
    }

    /// The rules of one map, without stores over it.
    pub(crate) fn run_rows(&self) -> Result<(), Violation> {
        for (name, case) in rows::CASES.iter().chain(crashes::CASES).chain(threads::CASES) {
            case(&mut self.subject()?).map_err(|violation| violation.in_case(name))?;
        }
        for seed in self.seeds.clone() {
            random::run(&mut self.subject()?, seed).map_err(|found| found.under_seed(seed))?;
        }
        Ok(())
    }

    fn subject(&self) -> Result<Subject, Violation> {
        Subject::new(self.supplier.clone(), self.survives)
    }
}

/// What stores need of an engine, whichever it is.
pub(crate) fn check_stores(
    engine: &EngineKind,
    survives: Survives,
    seeds: Range<u64>,
) -> Result<(), Violation> {
    for (name, case) in stores::CASES {
        case(engine, survives).map_err(|violation| violation.in_case(name))?;
    }
    for seed in seeds {
        random_stores::run(engine, survives, seed).map_err(|found| found.under_seed(seed))?;
    }
    Ok(())
}

/// A rule that an engine breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    rule: &'static str,
    found: String,
    place: String,
}

impl Violation {
    pub(crate) fn new(rule: &'static str, found: impl Into<String>) -> Self {
        Self { rule, found: found.into(), place: String::new() }
    }

    /// What should hold and does not.
    pub fn rule(&self) -> &str {
        self.rule
    }

    fn in_case(self, name: &str) -> Self {
        Self { place: format!("case `{name}`"), ..self }
    }

    fn under_seed(self, seed: u64) -> Self {
        Self { place: format!("random operations of seed {seed}"), ..self }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the engine breaks a rule: {}; {} ({})", self.rule, self.found, self.place)
    }
}

impl std::error::Error for Violation {}

impl From<EngineError> for Violation {
    fn from(error: EngineError) -> Self {
        Self::new("what is asked of it succeeds", error.to_string())
    }
}

impl From<StateError> for Violation {
    fn from(error: StateError) -> Self {
        Self::new("stores can use it", error.to_string())
    }
}
