//! The same topology without Kafka: a [`TopologyTestDriver`] runs its tasks in the thread of the
//! test, one record at a time, on a clock that moves when the test says so.
//!
//! ```
//! use streams_core::stores::{KeyValueStore, StoreName, Stores};
//! use streams_core::processor::process_fn;
//! use streams_core::{Topology, BoxError};
//! use streams_test::TopologyTestDriver;
//! use std::sync::Arc;
//!
//! const SUMS: StoreName<KeyValueStore<String, i64>> = StoreName::new("sums");
//!
//! let mut topology = Topology::builder();
//! let numbers = topology.add_source::<String, i64>("numbers", "numbers");
//! let add = Arc::new(
//!     |sums: &streams_core::stores::KeyValueHandle<String, i64>,
//!      key: String,
//!      value: i64,
//!      ctx: &mut streams_core::processor::ProcessorContext<'_, String, i64>| {
//!         let sum = ctx.store(sums).get(&key)?.copied().unwrap_or(0) + value;
//!         ctx.store(sums).put(&key, sum)?;
//!         ctx.forward(key, sum)
//!     },
//! );
//! let sums = topology.add_processor(
//!     "sum",
//!     &[&numbers],
//!     Stores::key_value::<String, i64>("sums"),
//!     move |sums, _| process_fn(sums, add.clone()),
//! );
//! topology.add_sink("sums", &[&sums], "sums");
//!
//! let driver = TopologyTestDriver::new(&topology.build()?);
//! let numbers = driver.input::<String, i64>("numbers");
//! numbers.pipe("a", 1);
//! numbers.pipe("a", 2);
//! assert_eq!(driver.output::<String, i64>("sums").read_all(), [("a", 1), ("a", 3)]);
//! assert_eq!(driver.store(SUMS).get("a"), Some(3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Reading order: [`TopologyTestDriver`], [`TestInputTopic`] and [`TestOutputTopic`], [`Fixture`]
//! and [`KeyValues`] (how tests write what they pipe and expect), [`TestStore`]; then the private
//! `running` (the loop: process, feed back, commit, abort), `task_instance`, `topic_logs` and
//! `log_collector`, `ready_queues` (what is processed next).

mod driver;
mod fixture;
mod global_instance;
mod input_topic;
mod key_values;
mod log_collector;
mod output_topic;
mod raw_output;
mod ready_queues;
mod running;
mod setup;
mod task_instance;
mod test_store;
mod topic_logs;
mod windowed_test_store;

pub use driver::TopologyTestDriver;
pub use fixture::{Fixture, some};
pub use input_topic::TestInputTopic;
pub use key_values::{KeyValues, TimedKeyValues};
pub use output_topic::TestOutputTopic;
pub use raw_output::RawOutput;
pub use test_store::TestStore;
