//! Members of a group against the embedded cluster, in virtual time.

#![allow(clippy::unwrap_used)]

mod harness;
mod interleavings;
mod scenarios;
