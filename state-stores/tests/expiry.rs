//! Segments that have expired leave the engine, and nothing else does: by the committed stream time
//! of their own task (I9), over aborts, crashes and restarts.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{apply, metadata, rows};
use proptest::prelude::*;
use state_stores::{
    Attempt, LayeredStore, Segments, StateDirectory, StoreNotes, StoreSpec, TaskKey,
};

const TASKS: [TaskKey; 2] = [TaskKey::new(0, 0), TaskKey::new(0, 1)];
const SEGMENTS: fn() -> Segments = || Segments::new(30, 10);

#[derive(Clone, Debug)]
enum Step {
    /// A row of this time and key.
    Put(usize, i64, u8),
    Seal(usize),
    Commit(usize),
    Abort(usize),
    Apply(usize),
    Flush,
    Restart,
}

/// Rows by time and key, and the largest time.
#[derive(Clone, Default)]
struct State {
    rows: BTreeMap<(i64, u8), u64>,
    stream_time: i64,
}

struct Model {
    store: LayeredStore,
    attempt: u64,
    offset: usize,
    active: Vec<(i64, u8, u64)>,
    sealed: State,
    committed: State,
    /// As of the last apply.
    applied: State,
    /// What was applied, by offset: a crash goes back to one of them.
    history: Vec<(usize, State)>,
}

struct Machine {
    directory: Option<Arc<StateDirectory>>,
    disk: Option<tempfile::TempDir>,
    models: Vec<Model>,
}

fn spec() -> StoreSpec {
    StoreSpec::segmented("windows", SEGMENTS())
}

fn key(time: i64, key: u8) -> Vec<u8> {
    [&SEGMENTS().segment(time).to_be_bytes()[..], &[key], &time.to_be_bytes()].concat()
}

impl Machine {
    fn new(disk: Option<tempfile::TempDir>) -> Self {
        let mut machine = Self { directory: None, disk, models: Vec::new() };
        machine.directory = Some(match &machine.disk {
            Some(disk) => common::open(disk.path()),
            None => StateDirectory::in_memory(),
        });
        machine.models = machine.open().into_iter().map(|store| Model::new(store, 0)).collect();
        machine
    }

    fn open(&self) -> Vec<LayeredStore> {
        let directory = self.directory.as_ref().unwrap();
        let open = |task: &TaskKey| directory.lease(*task).unwrap().open_store(&spec()).unwrap();
        TASKS.iter().map(open).collect()
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Put(task, time, key) => self.models[task].put(time, key),
            Step::Seal(task) => self.models[task].seal(),
            Step::Commit(task) => self.models[task].commit(),
            Step::Abort(task) => self.models[task].abort(),
            Step::Apply(task) => self.models[task].apply(),
            Step::Flush => self.directory.as_ref().unwrap().flush_store(&spec()).unwrap(),
            Step::Restart => self.restart(),
        }
        for model in &self.models {
            model.check();
        }
    }

    fn restart(&mut self) {
        let old = std::mem::take(&mut self.models);
        let histories: Vec<_> = old.into_iter().map(|model| model.history).collect();
        if let Some(disk) = &self.disk {
            self.directory = None;
            self.directory = Some(common::open(disk.path()));
        } else {
            self.directory.as_ref().unwrap().crash().unwrap();
        }
        for (store, history) in self.open().into_iter().zip(histories) {
            let offset = store.metadata().map_or(0, |found| found.next_offset);
            let offset = usize::try_from(offset).unwrap();
            let mut model = Model::new(store, offset);
            let survived = history.iter().rfind(|(at, _)| *at == offset);
            let state = survived.map(|(_, state)| state.clone()).unwrap_or_default();
            model.sealed = state.clone();
            model.committed = state.clone();
            model.applied = state;
            model.history = history;
            self.models.push(model);
        }
    }
}

impl Model {
    fn new(store: LayeredStore, offset: usize) -> Self {
        Self {
            store,
            attempt: 0,
            offset,
            active: Vec::new(),
            sealed: State::default(),
            committed: State::default(),
            applied: State::default(),
            history: Vec::new(),
        }
    }

    fn put(&mut self, time: i64, key: u8) {
        let value = self.attempt * 1_000 + self.active.len() as u64;
        self.active.push((time, key, value));
    }

    fn seal(&mut self) {
        if self.attempt > 0 && self.sealed.rows != self.committed.rows {
            return;
        }
        self.attempt += 1;
        let writes = std::mem::take(&mut self.active);
        let bytes = |(time, k, value): &(i64, u8, u64)| {
            (key(*time, *k), Some(value.to_be_bytes().to_vec()))
        };
        self.store.seal(Attempt(self.attempt), writes.iter().map(bytes));
        for (time, key, value) in writes {
            self.sealed.rows.insert((time, key), value);
            self.sealed.stream_time = self.sealed.stream_time.max(time);
        }
        let notes = StoreNotes { stream_time_ms: self.sealed.stream_time, extra: Vec::new() };
        self.store.note(Attempt(self.attempt), notes);
    }

    fn commit(&mut self) {
        self.offset += 1;
        self.store.commit(Attempt(self.attempt), metadata(self.offset));
        self.committed = self.sealed.clone();
    }

    fn abort(&mut self) {
        self.store.abort(Attempt(self.attempt));
        self.sealed = self.committed.clone();
    }

    fn apply(&mut self) {
        apply(&mut self.store);
        self.applied = self.committed.clone();
        self.history.push((self.offset, self.applied.clone()));
    }

    /// Every row of a live segment is there, and none is there that was not written.
    fn check(&self) {
        let found = rows(&self.store);
        // Expired by what was applied: younger than any state that a crash goes back to.
        let newest = self.history.iter().map(|(_, state)| state.stream_time).max();
        let oldest_live = SEGMENTS().oldest_live(newest.unwrap_or(-1).max(0));
        for (&(time, k), value) in &self.sealed.rows {
            let there = found.get(&key(time, k)).map(Vec::as_slice);
            if SEGMENTS().segment(time) >= oldest_live {
                assert_eq!(there, Some(&value.to_be_bytes()[..]), "{time} {k}");
            } else {
                assert!(there.is_none_or(|there| there == value.to_be_bytes()));
            }
        }
        assert!(
            found
                .keys()
                .all(|found| { self.sealed.rows.keys().any(|(time, k)| key(*time, *k) == *found) })
        );
    }
}

fn step() -> impl Strategy<Value = Step> {
    let task = 0..TASKS.len();
    prop_oneof![
        8 => (task.clone(), 0..100_i64, 0..3_u8).prop_map(|(task, time, k)| Step::Put(task, time, k)),
        4 => task.clone().prop_map(Step::Seal),
        4 => task.clone().prop_map(Step::Commit),
        1 => task.clone().prop_map(Step::Abort),
        3 => task.prop_map(Step::Apply),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ]
}

fn run_all(disk: Option<tempfile::TempDir>, steps: Vec<Step>) {
    let mut machine = Machine::new(disk);
    steps.into_iter().for_each(|step| machine.run(step));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn memory_forgets_what_has_expired_only(steps in prop::collection::vec(step(), 1..100)) {
        run_all(None, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn rocksdb_forgets_what_has_expired_only(steps in prop::collection::vec(step(), 1..100)) {
        run_all(Some(tempfile::tempdir().unwrap()), steps);
    }
}

fn put(store: &mut LayeredStore, attempt: u64, time: i64) {
    store.seal(Attempt(attempt), [(key(time, 1), Some(b"v"))]);
    store.note(Attempt(attempt), StoreNotes { stream_time_ms: time, extra: Vec::new() });
}

#[test]
fn an_aborted_stream_time_removes_nothing() {
    let directory = StateDirectory::in_memory();
    let mut store = directory.lease(TASKS[0]).unwrap().open_store(&spec()).unwrap();
    put(&mut store, 1, 5);
    store.commit(Attempt(1), metadata(1));
    apply(&mut store);
    put(&mut store, 2, 1_000);
    store.abort(Attempt(2));
    put(&mut store, 3, 6);
    store.commit(Attempt(3), metadata(2));
    apply(&mut store);
    assert_eq!(rows(&store).len(), 2);
    assert_eq!(store.metadata().unwrap().stream_time_ms, 6);
    put(&mut store, 4, 1_000);
    store.commit(Attempt(4), metadata(3));
    apply(&mut store);
    assert_eq!(rows(&store).len(), 1, "the committed one does");
}

#[test]
fn files_of_expired_segments_are_deleted_and_the_rest_is_dropped_by_compaction() {
    let disk = tempfile::tempdir().unwrap();
    let directory = common::open(disk.path());
    let mut stores: Vec<_> = TASKS
        .iter()
        .map(|task| directory.lease(*task).unwrap().open_store(&spec()).unwrap())
        .collect();
    let value = vec![7; 1_000];
    for round in 1..60_u64 {
        for store in &mut stores {
            let time = i64::try_from(round).unwrap() * 5;
            let keys = (0..200).map(|k| key(time, k));
            store.seal(Attempt(round), keys.map(|key| (key, Some(&value))));
            store.note(Attempt(round), StoreNotes { stream_time_ms: time, extra: Vec::new() });
            store.commit(Attempt(round), metadata(usize::try_from(round).unwrap()));
            apply(store);
        }
        directory.flush_store(&spec()).unwrap();
    }
    let live = SEGMENTS().oldest_live(59 * 5);
    for store in &stores {
        let found = rows(store);
        let count = found.keys().filter(|key| key[..8] >= live.to_be_bytes()[..]).count();
        // Five or six segments' worth of 400 rows each are live; of 30 that were written few are
        // left that are not.
        assert_eq!(count, 200 * (1..60).filter(|n| n * 5 / 10 >= live).count());
        assert!(found.len() < 4 * count, "{} rows left, {count} live", found.len());
    }
}
