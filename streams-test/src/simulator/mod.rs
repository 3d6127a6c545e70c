//! The true runtime, stepped on one thread in virtual time: several instances of an application
//! over the embedded cluster, scheduled by a seed, killed and frozen at will. Equal seeds give
//! equal runs.
//!
//! ```
//! use std::time::Duration;
//! use streams_core::{StreamsConfig, Topology};
//! use streams_test::Simulation;
//!
//! let mut builder = Topology::builder();
//! let words = builder.add_source::<String, String>("in", "words");
//! builder.add_sink("out", &[&words], "copies");
//! let topology = builder.build()?;
//!
//! let mut simulation = Simulation::new(topology, StreamsConfig::new("app", "embedded"), 7);
//! simulation.cluster().create_topic("words", 2)?;
//! simulation.cluster().create_topic("copies", 2)?;
//! let first = simulation.start_instance();
//! simulation.run_for(Duration::from_secs(10));
//! simulation.kill(first);
//! simulation.restart(first);
//! simulation.run_until("the topic is there", |cluster| {
//!     cluster.topics().iter().any(|topic| &*topic.name == "copies")
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod instance;
mod part;
mod random;
mod simulation;

pub(crate) use random::Random;
pub use simulation::{InstanceId, Simulation};
