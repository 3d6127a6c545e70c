//! Tests of the embedded cluster through the seam, as the runtime uses it.
#![allow(clippy::unwrap_used)]

mod faults;
mod groups;
mod log_model;
mod logs;
mod support;
mod threads;
mod transactions;
