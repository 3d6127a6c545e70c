//! The embedded cluster: Kafka in memory behind the client seam, for tests, examples and the
//! simulator. For development only: nothing is durable, and there is one broker.
//!
//! It does what hides bugs when it is left out: transaction markers occupy offsets, read-committed
//! ends at the last stable offset, compaction leaves gaps, producers and members are fenced, topic
//! ids change, and offsets are unstable while a transaction holds them.
//!
//! Nothing here has a thread of its own. What depends on time (session expiry, rebalance and
//! transaction timeouts, delayed requests) is looked at with every request, by idle fetchers, and
//! by [`EmbeddedCluster::tick`]; a driver in virtual time asks
//! [`EmbeddedCluster::next_timer`] how far it may jump. With the system clock the heartbeats and
//! fetches of the living members are enough to expire the dead ones.
//!
//! Reading order: `cluster` (the handle), `log` and `partition`, `fetcher`, `producer`,
//! `transactions`, `admin`, `coordinator` and `group`, `faults`.

mod admin;
mod cluster;
mod commit;
mod coordinator;
mod faults;
mod fetcher;
mod group;
mod group_transport;
mod log;
mod partition;
mod producer;
mod requests;
mod seeded_faults;
mod timers;
mod topic;
mod transactions;
mod virtual_clock;

pub use cluster::EmbeddedCluster;
pub use faults::{Fault, FaultPlan, Operation, Step};
pub(crate) use producer::Alive;
pub use seeded_faults::SeededFaults;
pub(crate) use virtual_clock::BrokerClock;
pub use virtual_clock::VirtualClock;

#[cfg(test)]
mod tests;
