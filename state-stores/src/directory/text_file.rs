//! Small texts that a process keeps beside its databases.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::StateError;

/// The text, or `None` if there is no such file.
pub(crate) fn read_if_exists(path: &Path) -> Result<Option<String>, StateError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StateError::io("read", path)(error)),
    }
}

/// Replaces the file: after a crash it has the old text or the new.
pub(crate) fn write_durably(directory: &Path, name: &str, text: &str) -> Result<(), StateError> {
    let path = directory.join(name);
    let new = directory.join(format!("{name}.new"));
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        // The rename itself.
        if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
    };
    write().map_err(StateError::io("write", &path))
}
