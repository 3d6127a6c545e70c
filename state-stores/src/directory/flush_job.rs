//! Upkeep of a database, to be run on a worker.

use std::sync::Arc;

use crate::database::{Database, Upkept};
use crate::{StateDirectory, StateError};

/// A flush of a family (one store name, all its tasks), or the removal of rows of wiped stores.
/// A job that is dropped without being run is handed out again.
#[must_use = "without flushes a kill loses all that was applied"]
pub struct FlushJob {
    // Before the directory: the database is not to be the last to hold its files.
    database: Arc<Database>,
    work: Upkept,
    _directory: Arc<StateDirectory>,
}

impl FlushJob {
    pub(crate) fn new(
        directory: &Arc<StateDirectory>,
        database: &Arc<Database>,
        work: Upkept,
    ) -> Self {
        Self { database: Arc::clone(database), work, _directory: Arc::clone(directory) }
    }

    /// Does it. Blocks for as long as the engine takes.
    ///
    /// # Errors
    /// What the engine reports; the job is handed out again.
    pub fn run(self) -> Result<(), StateError> {
        self.database.run(&self.work)
    }
}

impl Drop for FlushJob {
    fn drop(&mut self) {
        self.database.ended(&self.work);
    }
}
