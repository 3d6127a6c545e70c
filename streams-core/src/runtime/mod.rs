//! The running application: threads' loops, tasks, commit, restore, and what drives them.
//!
//! Every active part is a state machine without a thread, a clock or I/O of its own, with one
//! method `step(now) -> Next`: [`stream_thread::StreamThread`] (fetch, process, commit),
//! [`restorer::Restorer`] (changelogs into stores), [`store_worker::StoreWorker`] (committed
//! layers into the engine), and the group member of [`crate::membership`]. What crosses between
//! them goes through a [`mailbox`]. [`driver`] runs them: operating system threads in production,
//! each blocking in one place; a seeded scheduler on one thread in tests.
//!
//! Reading order: [`step`], [`stream_thread`], `stream_task`, `commit`, `transactions`,
//! `task_creation`, [`restorer`], then [`instance`] (how the parts are put together) and
//! `kafka_streams`.

mod asked;
mod broker_probe;
mod commit;
mod commit_step;
mod committed_metadata;
pub mod driver;
mod engines;
pub mod global_part;
pub mod instance;
mod isolation;
mod kafka_streams;
mod local_state;
pub mod mailbox;
mod offset_reset;
mod partition_group;
mod reaction_table;
mod reconcile;
mod record_collector;
mod repartition_purge;
pub mod restorer;
pub mod state;
pub mod step;
mod store_load;
pub mod store_worker;
mod stream_task;
pub mod stream_thread;
mod task_creation;
mod task_plan;
mod transactions;
mod troubled_tasks;
mod unfenced_writes;

#[doc(hidden)]
pub use commit_step::{CommitStep, CommitSteps};
pub use kafka_streams::{CloseOptions, KafkaStreams};
#[cfg(test)]
pub(crate) use store_load::StoreLoad;
