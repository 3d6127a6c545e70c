//! Tests of the embedded cluster through the seam, as the runtime uses it.
#![allow(clippy::unwrap_used)]

mod logs;
mod support;
