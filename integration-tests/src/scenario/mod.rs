//! Scenarios: topologies and inputs as data, run by the JVM's test driver and by ours, and
//! compared byte for byte. `integration-tests/scenarios/README.md` describes the language.
//!
//! Reading order: `language`, `expr` (functions of texts), `calls` (the topology), `run`, `compare`,
//! `jvm` (the other side).

mod calls;
mod compare;
mod expr;
pub mod fixed;
mod jvm;
mod language;
mod run;

pub use compare::difference;
pub use expr::{Expr, Show, Text};
pub use jvm::Jvm;
pub use language::{Input, Op, Scenario, Step};
pub use run::run;
