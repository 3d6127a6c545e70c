//! What the examples share: a cluster to run on, topics to write and read, readable logs.
//!
//! An example runs on the embedded cluster, in this process, unless `STREAMS_BOOTSTRAP_SERVERS`
//! names a real Kafka.

mod cluster;
mod input;
mod report;

pub use cluster::Cluster;
pub use input::{read_lines, words};
pub use report::{init_logs, print_table};
