//! Stores against an ordered map: any sequence of writes, commits, aborts, applies, loads, flushes,
//! crashes and reads (invariants I2, I3, I4).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{Rows, metadata, read, replay, rows};
use proptest::prelude::*;
use state_stores::{
    Applied, ApplyJob, Attempt, Direction, KeyRange, LayeredStore, Segments, StateDirectory,
    StateError, StoreSpec, TaskKey, Write,
};

/// Two tasks with the same two stores: neighbours in a family, and families that are flushed apart.
/// One of the stores has segments; nothing expires here.
const TASKS: [TaskKey; 2] = [TaskKey::new(0, 0), TaskKey::new(0, 1)];
const STORES: [&str; 2] = ["left", "right"];
const SEGMENTED: usize = 1;

#[derive(Clone, Debug)]
enum Step {
    Seal(usize, Vec<Write>),
    Commit(usize),
    AbortNewest(usize),
    AbortAll(usize),
    StartApply(usize),
    RunApply(usize),
    FinishApply(usize),
    LoseApply(usize),
    Load(usize, Vec<Write>, usize),
    Wipe(usize),
    Flush(usize),
    Upkeep,
    Restart,
    Get(usize, Vec<u8>),
    Scan(usize, KeyRange, Direction, usize),
}

/// A store and what is known of it.
struct Model {
    store: LayeredStore,
    job: Option<ApplyJob>,
    applied: Option<Applied>,
    /// Every committed write since the store was wiped; the changelog.
    log: Vec<Write>,
    sealed: Vec<(Attempt, Vec<Write>)>,
    /// How much of the log is in the engine, by the jobs that were run.
    applied_to: Option<usize>,
    /// How much of the log the running job carries.
    applying_to: usize,
    committed: bool,
}

struct Machine {
    directory: Option<Arc<StateDirectory>>,
    models: Vec<Model>,
    next_attempt: u64,
    now_ms: i64,
    disk: Option<tempfile::TempDir>,
}

fn spec(index: usize) -> StoreSpec {
    let name = STORES[index % STORES.len()];
    if is_segmented(index) {
        StoreSpec::segmented(name, Segments::of_retention(i64::MAX))
    } else {
        StoreSpec::key_value(name)
    }
}

fn is_segmented(index: usize) -> bool {
    index % STORES.len() == SEGMENTED
}

/// Keys of a segmented store begin with a segment of eight bytes.
fn in_segment(key: &[u8]) -> Vec<u8> {
    let (segment, rest) = key.split_first().unwrap_or((&0, &[]));
    [&[0; 7], &[*segment % 255][..], rest].concat()
}

fn in_segments(range: KeyRange) -> KeyRange {
    let upper = range.upper.map(|upper| match upper.len() {
        // Bounds may be shorter than a segment.
        0 | 3 => upper,
        _ => in_segment(&upper).into(),
    });
    KeyRange { lower: in_segment(&range.lower).into(), upper }
}

fn open_stores(directory: &Arc<StateDirectory>) -> Vec<LayeredStore> {
    TASKS
        .iter()
        .flat_map(|task| {
            let storage = directory.lease(*task).unwrap();
            (0..STORES.len()).map(move |index| storage.open_store(&spec(index)).unwrap())
        })
        .collect()
}

/// The step with keys as its store wants them.
fn in_store(step: Step) -> Step {
    let of = |writes: Vec<Write>| {
        writes.into_iter().map(|(key, value)| (in_segment(&key).into(), value)).collect()
    };
    match step {
        Step::Seal(index, writes) if is_segmented(index) => Step::Seal(index, of(writes)),
        Step::Load(index, writes, run) if is_segmented(index) => Step::Load(index, of(writes), run),
        Step::Get(index, key) if is_segmented(index) => Step::Get(index, in_segment(&key)),
        Step::Scan(index, range, direction, rows) if is_segmented(index) => {
            Step::Scan(index, in_segments(range), direction, rows)
        }
        step => step,
    }
}

impl Machine {
    fn new(disk: Option<tempfile::TempDir>) -> Self {
        let directory = match &disk {
            Some(disk) => common::open(disk.path()),
            None => StateDirectory::in_memory(),
        };
        let models = open_stores(&directory)
            .into_iter()
            .map(|store| Model {
                store,
                job: None,
                applied: None,
                log: Vec::new(),
                sealed: Vec::new(),
                applied_to: None,
                applying_to: 0,
                committed: false,
            })
            .collect();
        Self { directory: Some(directory), models, next_attempt: 1, now_ms: 0, disk }
    }

    fn directory(&self) -> &Arc<StateDirectory> {
        self.directory.as_ref().unwrap()
    }

    fn run(&mut self, step: Step) {
        match in_store(step) {
            Step::Seal(index, writes) => {
                let attempt = Attempt(self.next_attempt);
                self.next_attempt += 1;
                let model = &mut self.models[index];
                model.store.seal(attempt, writes.clone());
                model.sealed.push((attempt, writes));
            }
            Step::Commit(index) => self.models[index].commit(),
            Step::AbortNewest(index) => {
                let model = &mut self.models[index];
                if let Some((attempt, _)) = model.sealed.pop() {
                    model.store.abort(attempt);
                }
            }
            Step::AbortAll(index) => {
                let model = &mut self.models[index];
                model.sealed.clear();
                model.store.abort(Attempt(0));
            }
            Step::StartApply(index) => self.models[index].start_apply(),
            Step::RunApply(index) => {
                let model = &mut self.models[index];
                if let Some(job) = model.job.take() {
                    model.applied = Some(job.run());
                    model.applied_to = Some(model.applying_to);
                }
            }
            Step::FinishApply(index) => {
                let model = &mut self.models[index];
                if let Some(applied) = model.applied.take() {
                    model.store.finish_apply(applied).unwrap();
                }
            }
            Step::LoseApply(index) => {
                let model = &mut self.models[index];
                model.job = None;
                model.applied = None;
            }
            Step::Load(index, writes, run_bytes) => self.models[index].load(&writes, run_bytes),
            Step::Wipe(index) => self.models[index].wipe(),
            Step::Flush(index) => self.directory().flush_store(&spec(index)).unwrap(),
            Step::Upkeep => {
                self.now_ms += 40_000;
                for job in self.directory().flush_due(self.now_ms) {
                    job.run().unwrap();
                }
            }
            Step::Restart => self.restart(),
            Step::Get(index, key) => self.models[index].check_get(&key),
            Step::Scan(index, range, direction, rows_max) => {
                self.models[index].check_scan(range, direction, rows_max);
            }
        }
    }

    /// Memory: kill -9, and nothing of the old process may matter any more. Disk: a clean stop.
    fn restart(&mut self) {
        let old = std::mem::take(&mut self.models);
        let crashed = self.disk.is_none();
        let stores = if let Some(disk) = &self.disk {
            let (logs, applied): (Vec<_>, Vec<_>) =
                old.into_iter().map(|model| (model.log, model.applied_to)).unzip();
            self.directory = None;
            self.directory = Some(common::open(disk.path()));
            let stores = open_stores(self.directory());
            for (store, applied) in stores.iter().zip(applied) {
                let found = store.metadata().map(|found| found.next_offset);
                assert_eq!(found, applied.map(|offset| i64::try_from(offset).unwrap()));
            }
            stores.into_iter().zip(logs).collect::<Vec<_>>()
        } else {
            self.directory().crash().unwrap();
            let stores = open_stores(self.directory());
            let mut logs = Vec::new();
            for mut model in old {
                if let Some(job) = model.job.take() {
                    assert!(matches!(
                        model.store.finish_apply(job.run()),
                        Err(StateError::Crashed)
                    ));
                }
                logs.push(model.log);
            }
            stores.into_iter().zip(logs).collect()
        };
        for (store, log) in stores {
            self.models.push(Model::survivor(store, log, crashed));
        }
    }
}

impl Model {
    /// Checks what survived, and restores the rest from the log.
    fn survivor(store: LayeredStore, log: Vec<Write>, crashed: bool) -> Self {
        let survived = store.metadata().map(|found| usize::try_from(found.next_offset).unwrap());
        // A crash may also bring back a state from before a wipe that was not durable; wipes are.
        let offset = survived.unwrap_or(0);
        assert!(offset <= log.len(), "a state from the future, crashed: {crashed}");
        assert_eq!(rows(&store), replay(&log[..offset]), "data and metadata disagree");
        let mut model = Self {
            store,
            job: None,
            applied: None,
            log: log[..offset].to_vec(),
            sealed: Vec::new(),
            applied_to: survived,
            applying_to: 0,
            committed: false,
        };
        model.load(&log[offset..], 40);
        model
    }

    fn commit(&mut self) {
        if self.sealed.is_empty() {
            return;
        }
        let (attempt, writes) = self.sealed.remove(0);
        self.log.extend(writes);
        self.store.commit(attempt, metadata(self.log.len()));
        self.committed = true;
        assert_eq!(self.store.metadata(), Some(&metadata(self.log.len())));
    }

    fn start_apply(&mut self) {
        let in_flight = self.job.is_some() || self.applied.is_some();
        let was_applying = self.store.is_applying();
        let Some(job) = self.store.apply() else {
            assert!(in_flight || !self.committed && !was_applying);
            return;
        };
        assert!(!in_flight, "two jobs of one store at a time");
        if !was_applying {
            self.applying_to = self.log.len();
            self.committed = false;
        }
        self.job = Some(job);
    }

    fn load(&mut self, writes: &[Write], run_bytes: usize) {
        let Ok(load) = self.store.bulk_load() else {
            assert!(self.committed || self.store.is_applying() || !self.sealed.is_empty());
            return;
        };
        let mut load = load.with_run_bytes_max(run_bytes);
        for batch in writes.chunks(3) {
            for (key, value) in batch {
                load.push(key, value.as_deref());
            }
            self.log.extend_from_slice(batch);
            load.checkpoint(&metadata(self.log.len())).unwrap();
        }
        let loaded = load.finish(metadata(self.log.len())).unwrap();
        self.store.finish_load(loaded);
        self.applied_to = Some(self.log.len());
        assert_eq!(self.store.applied_metadata(), Some(&metadata(self.log.len())));
    }

    fn wipe(&mut self) {
        self.store.wipe().unwrap();
        self.log.clear();
        self.sealed.clear();
        self.committed = false;
        self.applied_to = None;
        assert!(rows(&self.store).is_empty());
        assert_eq!(self.store.metadata(), None);
        // What is still under way writes where nobody reads.
        if let Some(job) = self.job.take() {
            self.applied = Some(job.run());
        }
        if let Some(applied) = self.applied.take() {
            self.store.finish_apply(applied).unwrap();
        }
        assert!(rows(&self.store).is_empty());
    }

    fn expected(&self) -> Rows {
        let sealed = self.sealed.iter().flat_map(|(_, writes)| writes);
        replay(self.log.iter().chain(sealed))
    }

    fn check_get(&self, key: &[u8]) {
        assert_eq!(self.store.get(key).unwrap().as_ref(), self.expected().get(key));
    }

    fn check_scan(&self, range: KeyRange, direction: Direction, rows_max: usize) {
        let mut expected: Vec<_> =
            self.expected().into_iter().filter(|(key, _)| range.contains(key)).collect();
        if direction == Direction::Backward {
            expected.reverse();
        }
        assert_eq!(read(&self.store, range, direction, rows_max), expected);
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(7), Just(255)], 0..4)
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..5));
    let write = (key(), value).prop_map(|(key, value)| (key.into(), value.map(Into::into)));
    prop::collection::vec(write, 0..12)
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        Just(KeyRange::all()),
        key().prop_map(|prefix| KeyRange::prefix(&prefix)),
        (key(), key()).prop_map(|(lower, upper)| KeyRange::new(lower, upper)),
        (key(), key()).prop_map(|(lower, last)| KeyRange::inclusive(lower, &last)),
        key().prop_map(KeyRange::from),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let index = || 0..TASKS.len() * STORES.len();
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Backward)];
    prop_oneof![
        6 => (index(), writes()).prop_map(|(index, writes)| Step::Seal(index, writes)),
        5 => index().prop_map(Step::Commit),
        1 => index().prop_map(Step::AbortNewest),
        1 => index().prop_map(Step::AbortAll),
        3 => index().prop_map(Step::StartApply),
        3 => index().prop_map(Step::RunApply),
        3 => index().prop_map(Step::FinishApply),
        1 => index().prop_map(Step::LoseApply),
        1 => (index(), writes(), 1..200usize)
            .prop_map(|(index, writes, run)| Step::Load(index, writes, run)),
        1 => index().prop_map(Step::Wipe),
        2 => index().prop_map(Step::Flush),
        1 => Just(Step::Upkeep),
        1 => Just(Step::Restart),
        4 => (index(), key()).prop_map(|(index, key)| Step::Get(index, key)),
        4 => (index(), range(), direction, 1..6usize).prop_map(
            |(index, range, direction, rows_max)| Step::Scan(index, range, direction, rows_max)
        ),
    ]
}

fn run_all(disk: Option<tempfile::TempDir>, steps: Vec<Step>) {
    let mut machine = Machine::new(disk);
    for step in steps {
        machine.run(step);
    }
    for model in &machine.models {
        assert_eq!(rows(&model.store), model.expected());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn memory_agrees_with_the_oracle_over_crashes(steps in prop::collection::vec(step(), 1..120)) {
        run_all(None, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn rocksdb_agrees_with_the_oracle_over_restarts(steps in prop::collection::vec(step(), 1..150)) {
        run_all(Some(tempfile::tempdir().unwrap()), steps);
    }
}
