//! Programs as a user writes them, and what becomes of them.

#![allow(clippy::unwrap_used)]

mod describe;
mod validation;
