//! What can go wrong with state, by what the caller should do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::TaskKey;

/// An error of a state directory, an engine or a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process (or another `StateDirectory` of this one) uses the directory.
    #[error(
        "state directory {} is in use by {}; stop it, or give this instance a directory of its own",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that holds the lock, if it could be read.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("cannot {action} {}: check that the path exists and is writable", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The answer of the operating system.
        #[source]
        source: io::Error,
    },
    /// The task's storage is still held by its previous owner; try again later.
    #[error("state of task {task} is still in use by its previous owner; try again")]
    Leased {
        /// The task.
        task: TaskKey,
    },
    /// The store is open, or one of its jobs still runs.
    #[error("store {store} of task {task} is already open, or one of its jobs has not ended")]
    StoreOpen {
        /// The task.
        task: TaskKey,
        /// The store.
        store: String,
    },
    /// What is on disk was written by another version or by another kind of store. Wipe the store
    /// ([`TaskStorage::wipe_store`](crate::TaskStorage::wipe_store)), say why, and restore it.
    #[error(
        "state of store {store} of task {task} does not fit: found {found}, wanted {wanted}; \
         it must be wiped and restored"
    )]
    Incompatible {
        /// The task.
        task: TaskKey,
        /// The store.
        store: String,
        /// What the state is.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// A bulk load needs a store without sealed or committed layers.
    #[error("store {store} of task {task} has layers that were not applied; {action} needs none")]
    LayersPending {
        /// The task.
        task: TaskKey,
        /// The store.
        store: String,
        /// What was asked for.
        action: &'static str,
    },
    /// The engine failed. State may be on an older commit than the layers above it; it can be
    /// tried again, and after a restart the changelog brings back what is missing.
    #[error("state engine cannot {action} ({place}): {message}")]
    Engine {
        /// What was tried, as a verb.
        action: &'static str,
        /// Which database or family.
        place: String,
        /// The engine's own words.
        message: String,
    },
    /// Two engines of the application would have one directory. Give each another name, or give
    /// the stores that are to share an engine clones of one
    /// [`EngineSupplier`](crate::EngineSupplier).
    #[error(
        "two engines are called {name:?}: name them differently, or clone one for all its stores"
    )]
    EngineName {
        /// The name.
        name: String,
    },
    /// The process was crashed by [`StateDirectory::crash`](crate::StateDirectory::crash): what is
    /// left of it cannot read or write any more.
    #[error("this storage was crashed; open it again")]
    Crashed,
    /// Only directories in memory can be crashed.
    #[error("only a state directory in memory can be crashed")]
    CrashUnsupported,
    /// The name of a store cannot be used.
    #[error("store name {name:?} cannot be used: it must have 1 to 200 characters")]
    StoreName {
        /// The name.
        name: String,
    },
}

impl StateError {
    /// Whether the same call may succeed later without anybody's help.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Leased { .. } | Self::StoreOpen { .. })
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
