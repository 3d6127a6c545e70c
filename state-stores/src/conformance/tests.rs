//! What the suite finds: nothing in engines that are right, and each kind of mistake.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use super::{Conformance, Survives, check_stores};
use crate::engine::{
    Engine, Instance, InstanceId, MemoryEngine, RocksOptions, SortedWrite, rocks_open,
};
use crate::sync::{lock, read, write};
use crate::{
    Batch, Bytes, Direction, EngineError, EngineKind, KeyRange, StateError, StorageEngine,
};

/// One instance of one of the library's engines, as if it were an application's engine.
struct Built {
    engine: Box<dyn Engine>,
    instance: Arc<dyn Instance>,
}

const FAMILY: &str = "kv.conformance";

impl Built {
    fn new(engine: Box<dyn Engine>) -> Result<Self, StateError> {
        // It has neighbours.
        engine.instance(FAMILY, InstanceId(6))?.write(one_row())?;
        engine.instance(FAMILY, InstanceId(8))?.write(one_row())?;
        let instance = engine.instance(FAMILY, InstanceId(7))?;
        Ok(Self { engine, instance })
    }

    fn rocks(path: &Path) -> Result<Self, EngineError> {
        let ingest = path.join("ingest");
        std::fs::create_dir_all(&ingest)?;
        let path = path.join("db");
        Ok(Self::new(rocks_open(&RocksOptions { path, ingest, memory_budget_bytes: 8 << 20 })?)?)
    }

    fn memory() -> Result<Self, EngineError> {
        Ok(Self::new(Box::new(MemoryEngine::volatile()))?)
    }
}

fn one_row() -> SortedWrite<'static> {
    SortedWrite {
        rows: Box::new([(&b"neighbour"[..], Some(&b"of ours"[..]))].into_iter()),
        row_count: 1,
        bytes: 16,
        metadata: Some(b"metadata"),
        into_empty: false,
    }
}

impl StorageEngine for Built {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let mut found = None;
        self.instance.get(key, &mut |value| found = value.map(<[u8]>::to_vec))?;
        Ok(found)
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        Ok(self.instance.scan(range, direction, visit)?)
    }

    fn write(&self, mut batch: Batch<'_>) -> Result<(), EngineError> {
        let mut rows = Vec::new();
        let bytes = batch.bytes();
        while let Some((key, value)) = batch.next_row() {
            rows.push((Bytes::from(key), value.map(Bytes::from)));
        }
        Ok(self.instance.write(SortedWrite {
            row_count: rows.len(),
            rows: Box::new(rows.iter().map(|(key, value)| (&**key, value.as_deref()))),
            bytes,
            metadata: None,
            into_empty: false,
        })?)
    }

    fn flush(&self) -> Result<(), EngineError> {
        Ok(self.engine.flush(FAMILY)?)
    }
}

#[test]
fn rocksdb_keeps_all_rules() {
    Conformance::of(Built::rocks).seeds(0..2).run_rows().unwrap();
}

#[test]
fn memory_keeps_all_rules() {
    Conformance::of(|_| Built::memory())
        .survives(Survives::Nothing)
        .seeds(0..20)
        .run_rows()
        .unwrap();
}

#[test]
fn stores_keep_all_rules_over_rocksdb() {
    check_stores(&EngineKind::RocksDb, Survives::Crash, 0..4).unwrap();
}

#[test]
fn stores_keep_all_rules_over_memory() {
    check_stores(&EngineKind::Memory, Survives::Nothing, 0..20).unwrap();
}

/// A mistake of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    ForgetsRemovals,
    ForgetsRemovalsInTheFile,
    OrdersBySignedBytes,
    IgnoresTheDirection,
    IncludesTheUpperBound,
    ExcludesTheLowerBound,
    IgnoresBreaks,
    TakesEmptyForRemoved,
    CutsLargeValues,
    EndsKeysAtZero,
    RemovesOneMore,
    ShowsBatchesRowByRow,
    LeavesWritesInMemory,
    LosesTheLastWriteWhenClosed,
    WritesRowsOneByOne,
    WritesOffsetsApart,
    GoesOnBehindATornBatch,
    TrustsLengths,
    LosesOneOfTwoWrites,
}

/// A log of batches, and all rows in memory.
struct Log {
    flaw: Flaw,
    rows: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
    file: Mutex<File>,
    apart: Mutex<File>,
    held_back: Mutex<Vec<u8>>,
}

impl Log {
    fn open(path: &Path, flaw: Flaw) -> Result<Self, EngineError> {
        let open = |name| OpenOptions::new().create(true).append(true).open(path.join(name));
        let new = Self {
            flaw,
            rows: RwLock::default(),
            file: Mutex::new(open("log")?),
            apart: Mutex::new(open("apart")?),
            held_back: Mutex::default(),
        };
        let whole = new.replay(&std::fs::read(path.join("log"))?).ok_or("the log is damaged")?;
        new.replay(&std::fs::read(path.join("apart"))?);
        if flaw != Flaw::GoesOnBehindATornBatch {
            lock(&new.file).set_len(whole)?;
        }
        Ok(new)
    }

    /// Takes the batches of a log, as far as they are whole; how far that is.
    fn replay(&self, mut log: &[u8]) -> Option<u64> {
        let mut whole = 0;
        while let Some((batch, rest)) = take(log) {
            let Some((sum, mut rows)) = batch.split_first_chunk() else { break };
            if self.flaw != Flaw::TrustsLengths && *sum != checksum(rows) {
                break;
            }
            while let Some((key, after)) = take(rows) {
                let (value, after) = take(after)?;
                let (kind, value) = value.split_first()?;
                let value = (*kind == 1).then(|| value.to_vec());
                self.put(key.to_vec(), value);
                rows = after;
            }
            whole += (log.len() - rest.len()) as u64;
            log = rest;
        }
        Some(whole)
    }

    fn put(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let mut rows = write(&self.rows);
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }

    fn append(&self, bytes: &[u8]) -> std::io::Result<()> {
        match self.flaw {
            Flaw::LeavesWritesInMemory => Ok(()),
            Flaw::LosesTheLastWriteWhenClosed => {
                // Behind what was held back until now; a flush writes nothing more.
                let before = std::mem::replace(&mut *lock(&self.held_back), bytes.to_vec());
                lock(&self.file).write_all(&before)
            }
            _ => lock(&self.file).write_all(bytes),
        }
    }

    fn row(&self, key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = frame(key);
        if value.is_none() && self.flaw == Flaw::ForgetsRemovalsInTheFile {
            return Vec::new();
        }
        let kind = u8::from(value.is_some());
        bytes.extend(frame(&[&[kind], value.unwrap_or_default()].concat()));
        bytes
    }
}

/// A batch with what tells it from half a batch.
fn framed_batch(rows: &[u8]) -> Vec<u8> {
    frame(&[&checksum(rows)[..], rows].concat())
}

fn checksum(rows: &[u8]) -> [u8; 8] {
    let step = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
    rows.iter().fold(1, step).to_be_bytes()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn put_all(all: &mut BTreeMap<Vec<u8>, Vec<u8>>, rows: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
    for (key, value) in rows {
        match value {
            Some(value) => all.insert(key, value),
            None => all.remove(&key),
        };
    }
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*len) as usize)
}

impl StorageEngine for Log {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(read(&self.rows).get(key).cloned())
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let rows = read(&self.rows);
        let mut found: Vec<_> = rows
            .iter()
            .filter(|(key, _)| match self.flaw {
                Flaw::IncludesTheUpperBound => {
                    range.contains(key) || range.upper.as_deref() == Some(key)
                }
                Flaw::ExcludesTheLowerBound => range.contains(key) && *range.lower != ***key,
                _ => range.contains(key),
            })
            .collect();
        if self.flaw == Flaw::OrdersBySignedBytes {
            found.sort_by_key(|(key, _)| key.iter().map(|byte| *byte as i8).collect::<Vec<_>>());
        }
        if direction == Direction::Backward && self.flaw != Flaw::IgnoresTheDirection {
            found.reverse();
        }
        for (key, value) in found {
            if visit(key, value).is_break() && self.flaw != Flaw::IgnoresBreaks {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, mut batch: Batch<'_>) -> Result<(), EngineError> {
        let mut rows = Vec::new();
        while let Some((key, value)) = batch.next_row() {
            let key = match self.flaw {
                Flaw::EndsKeysAtZero => key.split(|byte| *byte == 0).next().unwrap(),
                _ => key,
            };
            let value = value.map(|value| match self.flaw {
                Flaw::CutsLargeValues => &value[..value.len() % 65_536],
                _ => value,
            });
            match value {
                None if self.flaw == Flaw::ForgetsRemovals => {}
                Some([]) if self.flaw == Flaw::TakesEmptyForRemoved => {
                    rows.push((key.to_vec(), None));
                }
                value => rows.push((key.to_vec(), value.map(<[u8]>::to_vec))),
            }
        }
        let mut log = Vec::new();
        for (index, (key, value)) in rows.iter().enumerate() {
            let row = self.row(key, value.as_deref());
            match self.flaw {
                Flaw::WritesRowsOneByOne => log.extend(framed_batch(&row)),
                Flaw::WritesOffsetsApart if index == 0 => {
                    lock(&self.apart).write_all(&framed_batch(&row))?;
                }
                _ => log.extend(row),
            }
        }
        let one_by_one = self.flaw == Flaw::WritesRowsOneByOne;
        let log = if one_by_one { log } else { framed_batch(&log) };
        if self.flaw == Flaw::ShowsBatchesRowByRow {
            self.append(&log)?;
            for (key, value) in rows {
                self.put(key, value);
                std::thread::yield_now();
            }
            return Ok(());
        }
        if self.flaw == Flaw::LosesOneOfTwoWrites {
            let mut all = read(&self.rows).clone();
            std::thread::yield_now();
            put_all(&mut all, rows);
            *write(&self.rows) = all;
            return Ok(self.append(&log)?);
        }
        let mut all = write(&self.rows);
        self.append(&log)?;
        put_all(&mut all, rows);
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        Ok(lock(&self.file).sync_data()?)
    }

    fn remove(&self, range: &KeyRange) -> Result<(), EngineError> {
        let mut found = BTreeMap::new();
        let (mut rest, mut one_more) = (KeyRange::all(), false);
        rest.lower = range.lower.clone();
        self.scan(&rest, Direction::Forward, &mut |key, _| {
            let more = std::mem::replace(&mut one_more, !range.contains(key));
            if range.contains(key) || self.flaw == Flaw::RemovesOneMore && !more {
                found.insert(Bytes::from(key), None);
            }
            ControlFlow::Continue(())
        })?;
        self.write(Batch::new(&found))
    }
}

fn of(flaw: Flaw) -> Conformance {
    Conformance::of(move |path| Log::open(path, flaw)).survives(Survives::TornFiles)
}

#[test]
fn a_log_keeps_all_rules() {
    of(Flaw::None).check();
}

/// The rule that is found to be broken first.
#[track_caller]
fn assert_breaks(flaw: Flaw, rule: &str) {
    let violation = of(flaw).run().expect_err("it breaks a rule");
    assert!(violation.rule().contains(rule), "{flaw:?} breaks another rule: {violation}");
}

#[test]
fn wrong_reads_are_found() {
    let range = "exactly the rows of its range";
    assert_breaks(Flaw::OrdersBySignedBytes, range);
    assert_breaks(Flaw::IncludesTheUpperBound, range);
    assert_breaks(Flaw::ExcludesTheLowerBound, range);
    assert_breaks(Flaw::IgnoresTheDirection, "backwards");
    assert_breaks(Flaw::IgnoresBreaks, "ends when `visit` breaks");
}

#[test]
fn wrong_writes_are_found() {
    let written = "exactly the rows of its range";
    assert_breaks(Flaw::ForgetsRemovals, written);
    assert_breaks(Flaw::TakesEmptyForRemoved, written);
    assert_breaks(Flaw::CutsLargeValues, written);
    assert_breaks(Flaw::EndsKeysAtZero, written);
    assert_breaks(Flaw::RemovesOneMore, written);
    assert_breaks(Flaw::ShowsBatchesRowByRow, "all of a batch or nothing");
    assert_breaks(Flaw::LosesOneOfTwoWrites, "writes of two threads are both there");
}

#[test]
fn rows_that_do_not_outlive_the_process_are_found() {
    let durable = "what was flushed is there";
    assert_breaks(Flaw::LeavesWritesInMemory, durable);
    assert_breaks(Flaw::LosesTheLastWriteWhenClosed, durable);
    assert_breaks(Flaw::ForgetsRemovalsInTheFile, durable);
}

#[test]
fn halves_of_batches_are_found() {
    assert_breaks(Flaw::WritesRowsOneByOne, "after one of its writes");
    assert_breaks(Flaw::WritesOffsetsApart, "after one of its writes");
    assert_breaks(Flaw::GoesOnBehindATornBatch, "what was flushed is there");
    assert_breaks(Flaw::TrustsLengths, "it opens in what it left behind");
}

#[test]
fn a_violation_says_where_it_was_found() {
    let violation = of(Flaw::ForgetsRemovals).run().unwrap_err().to_string();
    assert!(violation.contains("(case `overwrites and removals`)"), "{violation}");
}
