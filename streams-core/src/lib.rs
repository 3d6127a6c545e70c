//! Topologies, tasks, state, membership and the runtime of the stream processing library.
//! Applications depend on `streams-dsl`, which re-exports what they need of this.

pub mod assignment;
pub mod client;
pub mod record;
pub mod task_id;
pub mod time;

pub use record::{Headers, Timestamp};
pub use task_id::TaskId;
