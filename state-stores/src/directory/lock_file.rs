//! One process per state directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::StateError;

/// Held as long as this lives; the operating system releases it when the process dies.
pub(crate) struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Locks `directory`, which exists.
    pub(crate) fn acquire(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StateError::io("open the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateError::Locked {
                    path: directory.to_owned(),
                    pid: owner(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StateError::io("lock", &path)(source));
            }
        }
        write_owner(&mut file).map_err(StateError::io("write the lock file", &path))?;
        Ok(Self { file })
    }

    /// What tells this lock file from a copy of it.
    pub(crate) fn fingerprint(&self) -> u64 {
        fingerprint(&self.file)
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing is not enough: a child process that another thread is just about to start has
        // the file too, for a moment. If it fails, closing will do.
        let _ = self.file.unlock();
    }
}

fn owner(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_owner(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(unix)]
fn fingerprint(file: &File) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map_or(0, |metadata| metadata.ino())
}

#[cfg(not(unix))]
fn fingerprint(_file: &File) -> u64 {
    0
}
