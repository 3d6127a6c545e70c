//! The engine that is checked, in a directory that can be closed, crashed and opened again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::model::{Choices, Rows, Writes, bytes_text, in_range, same};
use super::{Survives, Violation};
use crate::{Batch, Bytes, Direction, EngineError, EngineSupplier, KeyRange, StorageEngine};

/// An engine that is open.
pub(super) struct Subject {
    // Closed before its directory is removed.
    engine: Option<Box<dyn StorageEngine>>,
    supplier: EngineSupplier,
    pub(super) survives: Survives,
    disk: Disk,
    /// The files at the last flush.
    flushed: BTreeMap<PathBuf, FileState>,
}

impl Subject {
    pub(super) fn new(supplier: EngineSupplier, survives: Survives) -> Result<Self, Violation> {
        let disk = Disk::new()?;
        let mut new = Self { engine: None, supplier, survives, disk, flushed: BTreeMap::new() };
        new.open()?;
        Ok(new)
    }

    pub(super) fn engine(&self) -> &dyn StorageEngine {
        self.engine.as_deref().expect("it is open between two calls")
    }

    pub(super) fn write(&self, writes: &Writes) -> Result<(), Violation> {
        Ok(self.engine().write(Batch::new(writes))?)
    }

    pub(super) fn flush(&mut self) -> Result<(), Violation> {
        self.engine().flush()?;
        self.note_flushed()
    }

    /// Every row, by a scan forwards.
    pub(super) fn rows(&self) -> Result<Rows, Violation> {
        Ok(self.scan(&KeyRange::all(), Direction::Forward, usize::MAX)?.into_iter().collect())
    }

    /// At most `rows_max` rows of `range`.
    pub(super) fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        rows_max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Violation> {
        let mut rows: Vec<(Bytes, Bytes)> = Vec::new();
        let mut broken = false;
        let mut went_on = false;
        self.engine().scan(range, direction, &mut |key, value| {
            went_on |= broken;
            rows.push((key.into(), value.into()));
            broken = rows.len() >= rows_max;
            if broken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if went_on {
            return Err(Violation::new(
                "a scan ends when `visit` breaks",
                format!("{} rows came after it broke", rows.len() - rows_max),
            ));
        }
        Ok(rows)
    }

    /// Whether a scan of `range` gives what `wanted` has there.
    pub(super) fn check_scan(
        &self,
        wanted: &Rows,
        range: &KeyRange,
        direction: Direction,
        rows_max: usize,
    ) -> Result<(), Violation> {
        let rule = match direction {
            Direction::Forward => "a scan gives exactly the rows of its range, by key",
            Direction::Backward => "a scan backwards gives the rows of its range, last key first",
        };
        let found = self.scan(range, direction, rows_max)?;
        let mut wanted = in_range(wanted, range, direction);
        wanted.truncate(rows_max);
        same(rule, found.iter().map(|(k, v)| (k, v)), wanted.iter().map(|(k, v)| (k, v)))
    }

    pub(super) fn check_get(&self, wanted: &Rows, key: &[u8]) -> Result<(), Violation> {
        let found = self.engine().get(key)?;
        let wanted = wanted.get(key);
        if found.as_deref() == wanted.map(|value| &**value) {
            return Ok(());
        }
        let text = |value: Option<&[u8]>| value.map_or("no value".to_owned(), bytes_text);
        let (found, wanted) = (text(found.as_deref()), text(wanted.map(|value| &**value)));
        Err(Violation::new(
            "a get gives the last value that was written, or none if it was removed",
            format!("{} has {found}, and should have {wanted}", bytes_text(key)),
        ))
    }

    /// Whether it is `wanted`, by gets and by scans in both directions.
    pub(super) fn check_all(&self, wanted: &Rows) -> Result<(), Violation> {
        for direction in [Direction::Forward, Direction::Backward] {
            self.check_scan(wanted, &KeyRange::all(), direction, usize::MAX)?;
        }
        wanted.keys().try_for_each(|key| self.check_get(wanted, key))
    }

    /// Drops the engine and opens it again.
    pub(super) fn close_and_open(&mut self) -> Result<(), Violation> {
        self.engine = None;
        self.open()
    }

    /// Kills the process, as far as the engine can tell, and opens it again.
    pub(super) fn crash(&mut self, choices: &mut Choices) -> Result<(), Violation> {
        let from = self.disk.current();
        let flushed = std::mem::take(&mut self.flushed);
        let crashed = self.disk.next()?;
        copy_while_open(&from, &crashed).map_err(of_disk)?;
        if self.survives >= Survives::TornFiles {
            for (file, before) in &flushed {
                tear(&from.join(file), &crashed.join(file), before, choices).map_err(of_disk)?;
            }
        }
        self.engine = None;
        fs::remove_dir_all(&from).map_err(of_disk)?;
        self.open()
    }

    fn open(&mut self) -> Result<(), Violation> {
        let path = self.disk.current();
        fs::create_dir_all(&path).map_err(of_disk)?;
        let opened = self.supplier.open(&path);
        self.engine = Some(opened.map_err(|error| {
            Violation::new("it opens in what it left behind, however it ended", error.to_string())
        })?);
        // What it was opened with is what there is.
        self.note_flushed()
    }

    fn note_flushed(&mut self) -> Result<(), Violation> {
        if self.survives >= Survives::TornFiles {
            self.flushed = files(&self.disk.current()).map_err(of_disk)?;
        }
        Ok(())
    }
}

/// A directory for directories, removed in the end.
pub(super) struct Disk {
    root: PathBuf,
    number: u32,
}

impl Disk {
    pub(super) fn new() -> Result<Self, Violation> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().join(format!("engine-conformance-{process}-{number}"));
        // Left behind by a process of the same id.
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).map_err(of_disk)?;
        Ok(Self { root, number: 0 })
    }

    pub(super) fn current(&self) -> PathBuf {
        self.root.join(self.number.to_string())
    }

    /// Another directory, which is the current one from now on.
    pub(super) fn next(&mut self) -> Result<PathBuf, Violation> {
        self.number += 1;
        Ok(self.current())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

pub(super) fn of_disk(error: io::Error) -> Violation {
    EngineError::from(format!("the disk of the test: {error}")).into()
}

/// What tells a file from one that was put in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileState {
    len: u64,
    number: u64,
    modified: Option<std::time::SystemTime>,
}

/// Copies a directory that somebody writes to: files that belong together change together, so it
/// is copied until nothing has changed meanwhile.
pub(super) fn copy_while_open(from: &Path, to: &Path) -> io::Result<()> {
    const TRIES: usize = 1_000;
    for _ in 0..TRIES {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        let before = files(from);
        let copied = copy(from, to);
        match (before, files(from), copied) {
            (Ok(before), Ok(after), Ok(())) if before == after => return Ok(()),
            // A file may have gone away.
            _ => std::thread::yield_now(),
        }
    }
    Err(io::Error::other("the directory does not stop changing while nobody writes"))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The files below `root`, by their paths from there.
fn files(root: &Path) -> io::Result<BTreeMap<PathBuf, FileState>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in fs::read_dir(root.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(path);
                continue;
            }
            let modified = metadata.modified().ok();
            let state = FileState { len: metadata.len(), number: number(&metadata), modified };
            found.insert(path, state);
        }
    }
    Ok(found)
}

/// Takes a part of what was appended to a file since it was `before`: the end is missing, or the
/// file has its length, and zeros where the bytes have not arrived.
fn tear(original: &Path, copy: &Path, before: &FileState, choices: &mut Choices) -> io::Result<()> {
    let Ok(now) = fs::metadata(original) else { return Ok(()) };
    // A file that was put in its place may be durable as a whole.
    if number(&now) != before.number || now.len() <= before.len {
        return Ok(());
    }
    let appended = usize::try_from(now.len() - before.len).unwrap_or(usize::MAX);
    let kept = before.len + choices.below(appended + 1) as u64;
    let file = fs::OpenOptions::new().write(true).open(copy)?;
    file.set_len(kept)?;
    if choices.one_in(2) { file.set_len(now.len()) } else { Ok(()) }
}

#[cfg(unix)]
fn number(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.ino()
}

#[cfg(not(unix))]
fn number(_metadata: &fs::Metadata) -> u64 {
    0
}
