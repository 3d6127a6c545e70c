//! The true runtime, stepped on one thread in virtual time: several instances of an application
//! over the embedded cluster, scheduled by a seed, killed and frozen at will. Equal seeds give
//! equal runs.
//!
//! [`Simulation::of`] runs an application under everything that can go wrong, by many seeds, and
//! compares what it has committed with an undisturbed run:
//!
//! ```
//! use streams_core::Topology;
//! use streams_test::Simulation;
//!
//! fn topology() -> Topology {
//!     let mut builder = Topology::builder();
//!     let words = builder.add_source::<String, String>("in", "words");
//!     builder.add_sink("out", &[&words], "copies");
//!     builder.build().expect("a valid topology")
//! }
//!
//! Simulation::of(topology)
//!     .exactly_once()
//!     .input("words", 2, (0..50).map(|n| (format!("key-{}", n % 5), n.to_string())))
//!     .output("copies", 2)
//!     .seeds(0..3)
//!     .check(|committed, _| {
//!         assert_eq!(committed.values::<String, String>("copies")["key-1"].len(), 10);
//!     })
//!     .run();
//! ```
//!
//! [`Simulation::new`] gives one run to a test that decides itself what happens when:
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

mod disks;
mod input;
mod instance;
mod outcome;
mod part;
mod random;
mod seeded;
mod seeds;
mod simulation;
mod storm;

pub use input::SimulatedRecord;
pub use outcome::{Compare, Outcome};
pub(crate) use random::Random;
pub use seeded::{Run, SeededSimulation};
pub use seeds::for_each_seed;
pub use simulation::{InstanceId, Simulation};
