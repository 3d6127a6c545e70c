//! The storage of a process.

mod flush_job;
mod identity;
mod lease;
mod lock_file;
mod persistent;
mod state_directory;
mod text_file;

pub use flush_job::FlushJob;
pub(crate) use lease::StoreGuard;
pub use lease::TaskStorage;
pub use persistent::EngineKind;
pub use state_directory::{StateDirectory, StateDirectoryOptions};
