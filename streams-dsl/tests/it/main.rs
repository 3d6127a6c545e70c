//! Programs as a user writes them, and what becomes of them.

#![allow(clippy::unwrap_used)]

mod aborts;
mod cogroups;
mod describe;
mod describe_vectors;
mod foreign_key_joins;
mod global_tables;
mod groups;
mod join_vectors;
mod optimizations;
mod result_vectors;
mod stream_joins;
mod stream_table_joins;
mod streams;
mod table_groups;
mod table_joins;
mod tables;
mod validation;
mod versioned_tables;
mod windows;

use streams_dsl::StreamsBuilder;
use streams_test::TopologyTestDriver;

/// A driver of what `describe` builds.
#[track_caller]
fn driver(describe: impl FnOnce(&StreamsBuilder)) -> TopologyTestDriver {
    let builder = StreamsBuilder::new();
    describe(&builder);
    TopologyTestDriver::new(&builder.build().unwrap())
}
