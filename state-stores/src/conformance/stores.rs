//! Directed cases: stores of tasks over an engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::model::{Rows, same};
use super::subject::{Disk, copy_while_open, of_disk};
use super::{Survives, Violation};
use crate::{
    Attempt, Cursor, Direction, EngineKind, KeyRange, LayeredStore, Segments, StateDirectory,
    StateDirectoryOptions, StoreMetadata, StoreSpec, TaskKey, Write,
};

/// A case with its name.
type Case = (&'static str, fn(&EngineKind, Survives) -> Result<(), Violation>);

pub(super) const CASES: &[Case] = &[
    ("a store and how far it goes", a_store_and_how_far_it_goes),
    ("stores of two tasks", stores_of_two_tasks),
    ("windows expire", windows_expire),
    ("a restore", a_restore),
];

const FIRST: TaskKey = TaskKey::new(0, 0);
const SECOND: TaskKey = TaskKey::new(0, 1);

/// The state directory of a process that can be restarted and killed.
pub(super) struct Process {
    // Closed before its directory is removed.
    directory: Option<Arc<StateDirectory>>,
    engine: EngineKind,
    disk: Disk,
}

impl Process {
    pub(super) fn new(engine: &EngineKind) -> Result<Self, Violation> {
        let mut new = Self { directory: None, engine: engine.clone(), disk: Disk::new()? };
        new.open()?;
        Ok(new)
    }

    pub(super) fn directory(&self) -> &Arc<StateDirectory> {
        self.directory.as_ref().expect("it is open between two calls")
    }

    pub(super) fn store(&self, task: TaskKey, spec: &StoreSpec) -> Result<LayeredStore, Violation> {
        Ok(self.directory().lease(task)?.open_store(spec)?)
    }

    /// All stores must have been dropped.
    pub(super) fn restart(&mut self) -> Result<(), Violation> {
        self.directory = None;
        self.open()
    }

    /// All stores must have been dropped; their layers are lost.
    pub(super) fn crash(&mut self) -> Result<(), Violation> {
        let from = self.disk.current();
        let to = self.disk.next()?;
        copy_while_open(&from, &to).map_err(of_disk)?;
        self.restart()
    }

    /// Does what is due; how many jobs there were.
    pub(super) fn upkeep(&self, now_ms: i64) -> Result<usize, Violation> {
        let jobs = self.directory().flush_due(now_ms);
        let count = jobs.len();
        for job in jobs {
            job.run()?;
        }
        Ok(count)
    }

    fn open(&mut self) -> Result<(), Violation> {
        let mut options = StateDirectoryOptions::new(self.disk.current());
        options.engine = self.engine.clone();
        self.directory = Some(StateDirectory::open(options)?);
        Ok(())
    }
}

/// What a store has when `log` was written.
pub(super) fn replay(log: &[Write]) -> Rows {
    let mut rows = Rows::new();
    for (key, value) in log {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
    rows
}

/// The records before `next_offset` were written.
pub(super) fn up_to(next_offset: usize) -> StoreMetadata {
    let next_offset = i64::try_from(next_offset).unwrap_or(i64::MAX);
    StoreMetadata::new(Uuid::from_u128(7), next_offset)
}

/// Where a store's metadata row says that it is.
pub(super) fn offset(store: &LayeredStore) -> usize {
    store.metadata().and_then(|found| usize::try_from(found.next_offset).ok()).unwrap_or(0)
}

/// Commits `writes` and has them written to the engine.
pub(super) fn put(
    store: &mut LayeredStore,
    metadata: StoreMetadata,
    writes: Vec<Write>,
) -> Result<(), Violation> {
    store.seal(Attempt(1), writes);
    store.commit(Attempt(1), metadata);
    apply(store)
}

pub(super) fn apply(store: &mut LayeredStore) -> Result<(), Violation> {
    if let Some(job) = store.apply() {
        store.finish_apply(job.run())?;
    }
    Ok(())
}

/// The rows of a store, read in short scans as an application does.
pub(super) fn rows(store: &LayeredStore, direction: Direction) -> Result<Rows, Violation> {
    let mut cursor = Cursor::new(KeyRange::all(), direction).with_rows_max(7);
    let mut batch = Vec::new();
    let mut all = Rows::new();
    while cursor.next(store, &mut batch)? {
        all.extend(batch.drain(..));
    }
    Ok(all)
}

/// Whether a store has these rows, and is where the log ends that made them.
pub(super) fn check_store(store: &LayeredStore, log: &[Write]) -> Result<(), Violation> {
    let rule = "the rows of a store are those of the position in its metadata row";
    let wanted = replay(log);
    for direction in [Direction::Forward, Direction::Backward] {
        same(rule, &rows(store, direction)?, &wanted)?;
    }
    for (key, value) in &wanted {
        if store.get(key)?.as_deref() != Some(&**value) {
            return Err(Violation::new(rule, "a get differs from a scan"));
        }
    }
    match offset(store) {
        found if found == log.len() => Ok(()),
        found => {
            let wanted = log.len();
            Err(Violation::new(rule, format!("it is at {found} and should be at {wanted}")))
        }
    }
}

fn numbered(numbers: std::ops::Range<u32>, value: &[u8]) -> Vec<Write> {
    numbers.map(|n| (n.to_be_bytes().into(), Some(value.into()))).collect()
}

fn a_store_and_how_far_it_goes(engine: &EngineKind, survives: Survives) -> Result<(), Violation> {
    let mut process = Process::new(engine)?;
    let spec = StoreSpec::key_value("s");
    let mut store = process.store(FIRST, &spec)?;
    let mut log = numbered(0..100, b"first");
    put(&mut store, up_to(log.len()), log.clone())?;
    // The empty key is one like others, and a value may be empty.
    let second = vec![
        ([].into(), Some([].into())),
        (1_u32.to_be_bytes().into(), None),
        (2_u32.to_be_bytes().into(), Some([].into())),
    ];
    log.extend(second.clone());
    put(&mut store, up_to(log.len()), second)?;
    check_store(&store, &log)?;
    if survives < Survives::Closing {
        return Ok(());
    }
    drop(store);
    process.directory().flush_all()?;
    process.restart()?;
    check_store(&process.store(FIRST, &spec)?, &log)?;
    if survives < Survives::Crash {
        return Ok(());
    }
    process.crash()?;
    let found = process.directory().tasks();
    if found != [FIRST] {
        let rule = "after a crash it is known which tasks have state";
        return Err(Violation::new(rule, format!("{found:?}, and should be {FIRST}")));
    }
    check_store(&process.store(FIRST, &spec)?, &log)
}

fn stores_of_two_tasks(engine: &EngineKind, survives: Survives) -> Result<(), Violation> {
    let mut process = Process::new(engine)?;
    let specs = [StoreSpec::key_value("left"), StoreSpec::key_value("right")];
    let log = |task: TaskKey, n: usize| numbered(0..200, format!("{task} {n}").as_bytes());
    for task in [FIRST, SECOND] {
        for (n, spec) in specs.iter().enumerate() {
            put(&mut process.store(task, spec)?, up_to(200), log(task, n))?;
        }
    }
    // One store is wiped and filled again, all of the other task is given up.
    let mut wiped = process.store(FIRST, &specs[0])?;
    wiped.wipe()?;
    check_store(&wiped, &[])?;
    let again = numbered(190..210, b"again");
    put(&mut wiped, up_to(again.len()), again.clone())?;
    drop(wiped);
    process.directory().remove_task(SECOND)?;
    let check = |process: &Process| {
        check_store(&process.store(FIRST, &specs[0])?, &again)?;
        check_store(&process.store(FIRST, &specs[1])?, &log(FIRST, 1))?;
        specs.iter().try_for_each(|spec| check_store(&process.store(SECOND, spec)?, &[]))
    };
    check(&process)?;
    // Rows that nobody needs are removed.
    for now_ms in 0..4 {
        process.upkeep(now_ms * 1_000_000)?;
    }
    check(&process)?;
    if survives < Survives::Closing {
        return Ok(());
    }
    process.directory().flush_all()?;
    process.restart()?;
    check(&process)?;
    if survives >= Survives::Crash {
        process.crash()?;
        check(&process)?;
    }
    Ok(())
}

fn windows_expire(engine: &EngineKind, _: Survives) -> Result<(), Violation> {
    let process = Process::new(engine)?;
    let segments = Segments::new(1_000, 100);
    let spec = StoreSpec::segmented("w", segments);
    let key = |segment: u64, n: u8| [&segment.to_be_bytes()[..], &[n]].concat();
    let mut stores = [process.store(FIRST, &spec)?, process.store(SECOND, &spec)?];
    let mut next_offset = 0;
    for stream_time_ms in (0..5_000_i64).step_by(500) {
        // The second task lags behind.
        for (store, stream_time_ms) in stores.iter_mut().zip([stream_time_ms, stream_time_ms / 5]) {
            let segment = segments.segment(stream_time_ms);
            let writes = (0..20).map(|n| (key(segment, n).into(), Some([n].into()))).collect();
            next_offset += 20;
            let metadata = StoreMetadata { stream_time_ms, ..up_to(next_offset) };
            let notes = metadata.notes();
            store.note(Attempt(1), notes);
            put(store, metadata, writes)?;
            let kept = rows(store, Direction::Forward)?;
            let live = segments.oldest_live(stream_time_ms)..=segment;
            let found: BTreeSet<u64> = kept
                .keys()
                .filter_map(|key| key.first_chunk().map(|segment| u64::from_be_bytes(*segment)))
                .filter(|segment| live.contains(segment))
                .collect();
            let newest_rows = rows_of(&kept, segment);
            if !found.contains(&segment) || newest_rows != 20 {
                let rule = "only rows of windows that have expired are removed";
                let found = format!("{newest_rows} of 20 rows are there at {stream_time_ms} ms");
                return Err(Violation::new(rule, found));
            }
            // RocksDB removes whole files, when it gets to it.
            let lowest = kept.keys().next().and_then(|key| key.first_chunk().copied());
            if let (EngineKind::Custom(_), Some(lowest)) = (engine, lowest)
                && u64::from_be_bytes(lowest) < *live.start()
            {
                let rule = "`remove` removes the rows of its range";
                return Err(Violation::new(rule, "rows of a window that has expired are there"));
            }
        }
    }
    Ok(())
}

fn rows_of(rows: &Rows, segment: u64) -> usize {
    rows.keys().filter(|key| key.starts_with(&segment.to_be_bytes())).count()
}

fn a_restore(engine: &EngineKind, survives: Survives) -> Result<(), Violation> {
    let mut process = Process::new(engine)?;
    let spec = StoreSpec::key_value("restored");
    let mut store = process.store(FIRST, &spec)?;
    let mut log = Vec::new();
    // Into an empty store, then over its rows.
    for round in 0..2_u32 {
        let mut load = store.bulk_load()?.with_run_bytes_max(10_000);
        for n in 0..2_000_u32 {
            let key = (n * 7 % 500).to_be_bytes();
            let value = (n % 5 != round).then_some([u8::try_from(n % 251).unwrap_or(0); 20]);
            load.push(&key, value.as_ref().map(|value| &value[..]));
            log.push((key.into(), value.map(Into::into)));
            if n % 100 == 99 {
                load.checkpoint(&up_to(log.len()))?;
            }
        }
        let loaded = load.finish(up_to(log.len()))?;
        store.finish_load(loaded);
        check_store(&store, &log)?;
    }
    drop(store);
    if survives >= Survives::Closing {
        process.directory().flush_all()?;
        process.restart()?;
        check_store(&process.store(FIRST, &spec)?, &log)?;
    }
    Ok(())
}
