//! Against librdkafka's mock cluster: no transactions worth the name, no deletion of records, and
//! an empty fetch is answered only after `fetch.wait.max.ms`.
#![allow(clippy::unwrap_used)]

mod fetching;
mod measuring;
mod mock;
mod producing;
