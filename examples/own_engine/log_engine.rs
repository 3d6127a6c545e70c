//! An engine of one's own: a log of batches, and all rows in memory.
//!
//! The log is read at the start and written anew, without what was overwritten. It suits state that
//! fits into memory and should be back at once after a restart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use streams_dsl::stores::engine::{Batch, Direction, EngineError, KeyRange, StorageEngine};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) struct LogEngine {
    rows: RwLock<Rows>,
    log: Mutex<Log>,
}

/// Batches: length, checksum, rows. A row is two lengths, key and value.
struct Log {
    file: File,
    /// The end of the last whole batch. What a failed write left behind it is overwritten.
    end: u64,
}

/// The length of no value.
const REMOVED: u32 = u32::MAX;

impl LogEngine {
    /// Rows of all batches that are whole. Of a batch that a crash has cut nothing is taken.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let (path, new_path) = (directory.join("log"), directory.join("log.new"));
        let mut rows = Rows::new();
        if path.exists() {
            let log = fs::read(&path)?;
            let mut log = &log[..];
            while let Some(mut batch) = take_batch(&mut log) {
                while let Some((key, value)) = take_row(&mut batch) {
                    put(&mut rows, key, value);
                }
            }
        }
        let all: Vec<u8> = rows.iter().flat_map(|(key, value)| row(key, Some(value))).collect();
        let mut log = Log { file: File::create(&new_path)?, end: 0 };
        log.append(&all)?;
        log.file.sync_all()?;
        // The old log is there until the new one is durable.
        fs::rename(new_path, path)?;
        File::open(directory)?.sync_all()?;
        Ok(Self { rows: RwLock::new(rows), log: Mutex::new(log) })
    }
}

impl StorageEngine for LogEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.rows.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let rows = rows.range::<[u8], _>(range.bounds());
        let mut visit = |(key, value): (&Vec<u8>, &Vec<u8>)| visit(key, value);
        let _ = match direction {
            Direction::Forward => rows.into_iter().try_for_each(&mut visit),
            Direction::Backward => rows.rev().try_for_each(&mut visit),
        };
        Ok(())
    }

    fn write(&self, mut batch: Batch<'_>) -> Result<(), EngineError> {
        let mut bytes = Vec::with_capacity(batch.bytes() + 8 * batch.len());
        while let Some((key, value)) = batch.next_row() {
            bytes.extend(row(key, value));
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(&bytes)?;
        // Readers see all of it at once.
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let mut batch = &bytes[..];
        while let Some((key, value)) = take_row(&mut batch) {
            put(&mut rows, key, value);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        Ok(self.log.lock().unwrap_or_else(PoisonError::into_inner).file.sync_data()?)
    }
}

impl Log {
    fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        let mut framed = (batch.len() as u64).to_be_bytes().to_vec();
        framed.extend(checksum(batch).to_be_bytes());
        framed.extend(batch);
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&framed)?;
        self.end += framed.len() as u64;
        Ok(())
    }
}

fn put(rows: &mut Rows, key: &[u8], value: Option<&[u8]>) {
    match value {
        Some(value) => rows.insert(key.to_vec(), value.to_vec()),
        None => rows.remove(key),
    };
}

fn row(key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let value_len = value.map_or(REMOVED, |value| value.len() as u32);
    let (key_len, value) = ((key.len() as u32).to_be_bytes(), value.unwrap_or_default());
    [&key_len[..], &value_len.to_be_bytes(), key, value].concat()
}

fn take_row<'a>(batch: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let key_len = u32::from_be_bytes(take(batch, 4)?.try_into().ok()?);
    let value_len = u32::from_be_bytes(take(batch, 4)?.try_into().ok()?);
    let key = take(batch, key_len.into())?;
    let value = if value_len == REMOVED { None } else { Some(take(batch, value_len.into())?) };
    Some((key, value))
}

fn take_batch<'a>(log: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u64::from_be_bytes(take(log, 8)?.try_into().ok()?);
    let sum = u64::from_be_bytes(take(log, 8)?.try_into().ok()?);
    take(log, len).filter(|batch| checksum(batch) == sum)
}

fn take<'a>(bytes: &mut &'a [u8], len: u64) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    *bytes = rest;
    Some(head)
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
