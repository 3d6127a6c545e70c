//! placeholder
use super::Engine;
use crate::StateError;
use std::path::PathBuf;
pub(crate) struct RocksOptions {
    pub(crate) path: PathBuf,
    pub(crate) ingest: PathBuf,
    pub(crate) memory_budget_bytes: u64,
}
pub(crate) fn rocks_exists(_options: &RocksOptions) -> bool {
    false
}
pub(crate) fn rocks_open(options: &RocksOptions) -> Result<Box<dyn Engine>, StateError> {
    let _ = (&options.path, &options.ingest, options.memory_budget_bytes);
    Ok(Box::new(super::MemoryEngine::volatile()))
}
