//! Scenarios: topologies and inputs as data, run by the JVM's test driver and by ours, and
//! compared byte for byte. `integration-tests/scenarios/README.md` describes the language.
//!
//! Reading order: `language`, `expr` (functions of texts), `calls` (the topology), `run`, `compare`,
//! `jvm` (the other side); `fixed` has the scenarios of the repository, `generate`, `differential` and
//! `shrink` the random ones.

mod calls;
mod compare;
mod differential;
mod expr;
pub mod fixed;
mod generate;
mod jvm;
mod language;
mod random;
mod run;
mod shrink;

pub use compare::difference;
pub use differential::{Failure, Outcome, differential};
pub use expr::{Expr, Show, Text};
pub use generate::generate;
pub use jvm::{Jvm, java};
pub use language::{Input, Op, Scenario, Step};
pub use run::run;
pub use shrink::shrink;
