//! Stores with a retention against plain maps: writes, reads, cursors, seals, aborts (I4, I9),
//! changelogs and what is restored from them (I3).
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use state_stores::{Attempt, StoreMetadata};

use super::{Driver, RawSent, at, make};
use crate::error::BoxError;
use crate::processor::{ProcessorContext, process_fn};
use crate::record::{Headers, RecordContext};
use crate::runtime::StoreLoad;
use crate::stores::{
    Cursor, Held, JoinStore, SessionStore, Store, StoreBuilder, StoreHandle, StoreName, Stores,
    WindowStore, Written,
};
use crate::topology::{Node, Topology};
use crate::windowed::{SessionWindow, TimeWindow, Windowed};

type Text = Node<String, String>;
type Windows = WindowStore<String, u32>;
type Sessions = SessionStore<String, u32>;
type Joins = JoinStore<String, u32>;

const RETENTION_MS: i64 = 100_000;
const RETENTION: Duration = Duration::from_millis(100_000);
const SIZE: Duration = Duration::from_millis(7);
/// A step of time: several in a segment of a minute, more than a retention in all.
const TICK_MS: i64 = 7_000;
/// Beginnings of each other, also where the bytes of a time would follow.
pub(super) const KEYS: [&str; 6] = ["a", "a\0", "a\0\0\0", "a\0\0\0\0\0\0\0\u{1}", "b", "ab"];

pub(super) fn driver<S: Store>(store: StoreBuilder<S>) -> Driver {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let processor: Text = builder
        .add_processor("processor", &[&source], store, move |_, _| process_fn((), Arc::new(pass)));
    builder.add_sink("sink", &[&processor], "out");
    Driver::new(&builder.build().unwrap(), &["in"])
}

fn pass(
    (): &(),
    key: String,
    value: String,
    ctx: &mut ProcessorContext<'_, String, String>,
) -> Result<(), BoxError> {
    ctx.forward(key, value)
}

/// What a store should have now, at each seal, and at the last commit.
#[derive(Default)]
pub(super) struct Versions<M> {
    pub(super) now: M,
    sealed: Vec<M>,
    committed: M,
}

/// What happens to any store.
#[derive(Clone, Debug)]
pub(super) enum Life {
    Evict(u16),
    Seal,
    Commit,
    Apply,
    AbortActive,
    AbortSealed,
    /// From the changelog, into another directory.
    Restore,
    /// The process begins again with what the engine has.
    Reopen,
}

pub(super) fn life() -> impl Strategy<Value = Life> {
    prop_oneof![
        (0..2_000_u16).prop_map(Life::Evict),
        Just(Life::Seal),
        Just(Life::Commit),
        Just(Life::Commit),
        Just(Life::Apply),
        Just(Life::AbortActive),
        Just(Life::AbortSealed),
        Just(Life::Restore),
        Just(Life::Reopen),
    ]
}

/// Some cases are in RocksDB.
pub(super) fn on_disk() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.15)
}

/// A task with one store, its oracle, and its changelog.
pub(super) struct Machine<M> {
    pub(super) driver: Driver,
    pub(super) model: Versions<M>,
    /// Of committed attempts; what is not committed yet.
    log: (Vec<RawSent>, Vec<RawSent>),
}

/// A model knows its stream time.
pub(super) trait Observed {
    fn observed(&mut self) -> &mut i64;
}

macro_rules! observed {
    ($($model:ty),+) => { $(
        impl Observed for $model {
            fn observed(&mut self) -> &mut i64 {
                &mut self.observed
            }
        }
    )+ };
}
observed!(WindowModel, SessionModel, JoinModel);

impl Observed for () {
    fn observed(&mut self) -> &mut i64 {
        unreachable!("nothing is restored without a model")
    }
}

impl<M: Clone + Default + Observed> Machine<M> {
    /// With its stores in RocksDB if `on_disk`, else in memory.
    pub(super) fn new_on(driver: Driver, on_disk: bool) -> Self {
        Self::new(if on_disk { driver.anew(true) } else { driver })
    }

    pub(super) fn new(driver: Driver) -> Self {
        let (now, committed) = (M::default(), M::default());
        let model = Versions { now, sealed: Vec::new(), committed };
        Self { driver, model, log: (Vec::new(), Vec::new()) }
    }

    pub(super) fn live(mut self, life: &Life) -> Self {
        match life {
            Life::Evict(bytes) => self.driver.task.evict(usize::from(*bytes)),
            Life::Seal => {
                self.driver.seal();
                self.take_log();
                self.model.sealed.push(self.model.now.clone());
            }
            Life::Commit => self.commit(),
            Life::Apply => self.driver.apply(),
            Life::AbortActive => {
                self.driver = self.driver.abort(false);
                let model = &mut self.model;
                model.now = model.sealed.last().unwrap_or(&model.committed).clone();
            }
            Life::AbortSealed => {
                while self.model.sealed.pop().is_some() {
                    self.driver = self.driver.abort(true);
                }
                self.driver = self.driver.abort(false);
                self.log.1.clear();
                self.model.now = self.model.committed.clone();
            }
            Life::Restore => {
                self.commit();
                self.restore();
            }
            Life::Reopen => {
                self.driver.apply();
                self.driver = self.driver.reopen();
                self.log.1.clear();
                self.model.sealed.clear();
                self.model.now = self.model.committed.clone();
            }
        }
        self
    }

    fn commit(&mut self) {
        self.driver.commit();
        self.take_log();
        self.log.0.append(&mut self.log.1);
        self.model.sealed.clear();
        self.model.committed = self.model.now.clone();
    }

    fn take_log(&mut self) {
        self.log.1.append(&mut self.driver.output.changelog.lock().unwrap());
    }

    /// The same task with another disk, its store made from the changelog.
    fn restore(&mut self) {
        let restored = self.driver.anew(false);
        let format = self.driver.topology.stores(0)[0].format();
        let Driver { task, topology, id, inputs, handlers, .. } = restored;
        let layers = task.into_layers().pop().unwrap();
        let mut load = StoreLoad::begin(layers, format).ok().unwrap();
        let metadata = StoreMetadata::new(uuid::Uuid::nil(), 0);
        for (key, value, timestamp) in &self.log.0 {
            load.take(key, value.as_deref(), *timestamp).unwrap();
            load.checkpoint(metadata.clone()).unwrap();
        }
        let layers = load.finish(metadata).unwrap();
        // A delete of nothing has no record, but may have been the youngest write.
        let observed = layers.notes().stream_time_ms.max(0);
        assert!(observed <= *self.model.now.observed());
        *self.model.now.observed() = observed;
        self.model.committed = self.model.now.clone();
        let task = make(&topology, id, &inputs, &handlers, vec![layers]).unwrap();
        self.driver = Driver { task, topology, id, inputs, handlers, ..restored };
    }

    pub(super) fn with<S: Store, R>(
        &mut self,
        timestamp: i64,
        f: impl FnOnce(S::Access<'_>) -> R,
    ) -> R {
        let context = RecordContext::new(at(timestamp), Headers::new());
        self.driver.task.with_store(StoreName::<S>::new("store"), &context, f).unwrap()
    }

    pub(super) fn rows<S: Store>(
        &mut self,
        f: impl FnOnce(&StoreHandle<S>) -> Cursor<S>,
    ) -> Vec<S::Row> {
        let handle = self.driver.task.store_handle::<S>("store").unwrap();
        let mut cursor = f(&handle);
        std::iter::from_fn(|| self.driver.task.next_row(&mut cursor).unwrap()).collect()
    }
}

fn visible(time: i64, observed: i64) -> bool {
    time > observed - RETENTION_MS
}

fn segment(time: i64) -> i64 {
    time / 60_000
}

fn live(time: i64, observed: i64) -> bool {
    segment(time) >= segment((observed - RETENTION_MS).max(0))
}

// ---- windows --------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum OnWindows {
    Put(usize, i64, u32),
    Delete(usize, i64),
    Add(usize, i64, u32),
    Get(usize, i64),
    Fetch(usize, i64, i64, bool),
    FetchKeys(usize, usize, i64, i64, bool),
    ByTime(i64, i64, bool),
    Life(Life),
}

/// Value and time by start, then key; the largest start written.
#[derive(Clone, Default)]
struct WindowModel {
    rows: BTreeMap<(i64, String), (u32, i64)>,
    observed: i64,
}

impl WindowModel {
    /// In the store's order.
    fn rows(&self, wanted: impl Fn(&str, i64) -> bool) -> Vec<(String, i64, u32, i64)> {
        self.kept(|key, start| visible(start, self.observed) && wanted(key, start))
    }

    /// In the index by time a row is there until its segment goes.
    fn kept(&self, wanted: impl Fn(&str, i64) -> bool) -> Vec<(String, i64, u32, i64)> {
        let rows = self
            .rows
            .iter()
            .filter(|((start, key), _)| live(*start, self.observed) && wanted(key, *start));
        let mut rows: Vec<_> = rows
            .map(|((start, key), (value, time))| (key.clone(), *start, *value, *time))
            .collect();
        rows.sort_by_key(|(key, start, ..)| {
            (segment(*start), [key.as_bytes(), &start.to_be_bytes()].concat())
        });
        rows
    }
}

fn on_windows() -> impl Strategy<Value = OnWindows> {
    let key = 0..KEYS.len();
    let time = 0..30_i64;
    prop_oneof![
        4 => (key.clone(), time.clone(), any::<u32>()).prop_map(|(k, t, v)| OnWindows::Put(k, t, v)),
        1 => (key.clone(), time.clone()).prop_map(|(k, t)| OnWindows::Delete(k, t)),
        3 => (key.clone(), time.clone(), 1..9_u32).prop_map(|(k, t, v)| OnWindows::Add(k, t, v)),
        2 => (key.clone(), time.clone()).prop_map(|(k, t)| OnWindows::Get(k, t)),
        2 => (key.clone(), time.clone(), time.clone(), any::<bool>())
            .prop_map(|(k, a, b, r)| OnWindows::Fetch(k, a, b, r)),
        1 => (key.clone(), key, time.clone(), time.clone(), any::<bool>())
            .prop_map(|(k, l, a, b, r)| OnWindows::FetchKeys(k, l, a, b, r)),
        1 => (time.clone(), time, any::<bool>()).prop_map(|(a, b, r)| OnWindows::ByTime(a, b, r)),
        4 => life().prop_map(OnWindows::Life),
    ]
}

fn run_on_windows(mut machine: Machine<WindowModel>, step: OnWindows) -> Machine<WindowModel> {
    let key = |k: usize| KEYS[k].to_owned();
    match step {
        OnWindows::Put(k, tick, value) => {
            let start = tick * TICK_MS;
            let put =
                machine.with::<Windows, _>(start + 3, |mut s| s.put(&key(k), at(start), value));
            let model = &mut machine.model.now;
            model.observed = model.observed.max(start);
            assert_eq!(put.unwrap().is_expired(), !live(start, model.observed));
            if live(start, model.observed) {
                model.rows.insert((start, key(k)), (value, start + 3));
            }
        }
        OnWindows::Delete(k, tick) => {
            let start = tick * TICK_MS;
            let deleted = machine.with::<Windows, _>(start, |mut s| s.delete(&key(k), at(start)));
            let model = &mut machine.model.now;
            model.observed = model.observed.max(start);
            let expected = if live(start, model.observed) {
                Written::Stored(model.rows.remove(&(start, key(k))).map(|(value, _)| value))
            } else {
                Written::Expired
            };
            assert_eq!(deleted.unwrap(), expected);
        }
        OnWindows::Add(k, tick, more) => {
            let start = tick * TICK_MS;
            let updated = machine.with::<Windows, _>(0, |mut s| {
                s.update_held(&key(k), at(start), |value, time| {
                    let old = value.as_deref().copied().unwrap_or(0);
                    *value = Some(Held::new(old.wrapping_add(more)));
                    *time = at(time.as_millis().max(0) + 1);
                })
            });
            let model = &mut machine.model.now;
            model.observed = model.observed.max(start);
            assert_eq!(updated.unwrap().is_expired(), !live(start, model.observed));
            if live(start, model.observed) {
                let (value, time) = model.rows.entry((start, key(k))).or_insert((0, 0));
                (*value, *time) = (value.wrapping_add(more), *time + 1);
            }
        }
        OnWindows::Get(k, tick) => {
            let start = tick * TICK_MS;
            let found = machine.with::<Windows, _>(0, |mut s| {
                let found = s.get_held(&key(k), at(start)).unwrap();
                found.map(|(value, time)| (*value, time.as_millis()))
            });
            let model = &machine.model.now;
            let expected = model.rows.get(&(start, key(k))).copied();
            assert_eq!(found, expected.filter(|_| visible(start, model.observed)));
        }
        OnWindows::Fetch(k, a, b, reverse) => {
            let (from, to) = (a.min(b) * TICK_MS, a.max(b) * TICK_MS);
            let rows = machine.rows::<Windows>(|s| {
                let cursor = s.fetch(&key(k), at(from)..=at(to));
                if reverse { cursor.rev() } else { cursor }
            });
            let mut expected =
                machine.model.now.rows(|row, start| row == KEYS[k] && from <= start && start <= to);
            let direct = machine.with::<Windows, _>(0, |mut s| {
                let found = s.fetch(&key(k), at(from)..=at(to)).unwrap();
                found.into_iter().map(|found| (found.window, *found.value)).collect::<Vec<_>>()
            });
            let windows = expected.iter().map(|row| (window(row.1), row.2));
            assert_eq!(direct, windows.collect::<Vec<_>>());
            if reverse {
                expected.reverse();
            }
            assert_eq!(window_rows(rows), expected);
        }
        OnWindows::FetchKeys(k, l, a, b, reverse) => {
            let (from, to) = (a.min(b) * TICK_MS, a.max(b) * TICK_MS);
            let (first, last) = (KEYS[k].min(KEYS[l]), KEYS[k].max(KEYS[l]));
            let rows = machine.rows::<Windows>(|s| {
                let keys = first.to_owned()..=last.to_owned();
                let cursor = s.fetch_keys(keys, at(from)..=at(to));
                if reverse { cursor.rev() } else { cursor }
            });
            let mut expected = machine
                .model
                .now
                .rows(|row, start| first <= row && row <= last && from <= start && start <= to);
            if reverse {
                expected.reverse();
            }
            assert_eq!(window_rows(rows), expected);
        }
        OnWindows::ByTime(a, b, reverse) => {
            let (from, to) = (a.min(b) * TICK_MS, a.max(b) * TICK_MS);
            let rows = machine.rows::<Windows>(|s| {
                let cursor = s.by_time(at(from)..at(to));
                if reverse { cursor.rev() } else { cursor }
            });
            let mut expected = machine.model.now.kept(|_, start| from <= start && start < to);
            expected.sort_by_key(|(key, start, ..)| (*start, key.clone()));
            if reverse {
                expected.reverse();
            }
            assert_eq!(window_rows(rows), expected);
        }
        OnWindows::Life(life) => return machine.live(&life),
    }
    machine
}

fn window(start: i64) -> TimeWindow {
    TimeWindow { start: at(start), end: at(start) + SIZE }
}

fn window_rows(rows: Vec<crate::stores::WindowRow<String, u32>>) -> Vec<(String, i64, u32, i64)> {
    rows.into_iter()
        .map(|row| {
            let Windowed { key, window } = row.windowed;
            assert_eq!(window.end, window.start + SIZE);
            (key, window.start.as_millis(), *row.value, row.timestamp.as_millis())
        })
        .collect()
}

fn windows() -> StoreBuilder<Windows> {
    Stores::window("store", RETENTION, SIZE)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_window_store_is_a_map_that_forgets(
        steps in prop::collection::vec(on_windows(), 1..60),
        on_disk in on_disk(),
    ) {
        let mut machine = Machine::new_on(driver(windows().time_ordered()), on_disk);
        for step in steps {
            machine = run_on_windows(machine, step);
        }
        machine = machine.live(&Life::Restore);
        let rows = machine.rows::<Windows>(|s| s.all());
        prop_assert_eq!(window_rows(rows), machine.model.now.rows(|_, _| true));
        let rows = machine.rows::<Windows>(|s| s.by_time(..));
        let mut expected = machine.model.now.kept(|_, _| true);
        expected.sort_by_key(|(key, start, ..)| (*start, key.clone()));
        prop_assert_eq!(window_rows(rows), expected);
    }
}

// ---- sessions -------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum OnSessions {
    Put(usize, i64, i64, u32),
    Remove(usize, i64, i64),
    Fetch(usize, i64, i64),
    Find(usize, i64, i64, bool),
    ByTime(i64, i64),
    Life(Life),
}

/// Aggregates by end, start and key; the largest end written.
#[derive(Clone, Default)]
struct SessionModel {
    rows: BTreeMap<(i64, i64, String), u32>,
    observed: i64,
}

impl SessionModel {
    /// By end, start and key.
    fn rows(&self, wanted: impl Fn(&str, i64, i64) -> bool) -> Vec<(String, i64, i64, u32)> {
        self.kept(|key, start, end| visible(end, self.observed) && wanted(key, start, end))
    }

    /// In the index by time a row is there until its segment goes.
    fn kept(&self, wanted: impl Fn(&str, i64, i64) -> bool) -> Vec<(String, i64, i64, u32)> {
        self.rows
            .iter()
            .filter(|((end, start, key), _)| live(*end, self.observed) && wanted(key, *start, *end))
            .map(|((end, start, key), value)| (key.clone(), *start, *end, *value))
            .collect()
    }
}

fn on_sessions() -> impl Strategy<Value = OnSessions> {
    let key = 0..KEYS.len();
    let time = 0..30_i64;
    prop_oneof![
        4 => (key.clone(), time.clone(), 0..4_i64, any::<u32>())
            .prop_map(|(k, t, l, v)| OnSessions::Put(k, t, l, v)),
        2 => (key.clone(), time.clone(), 0..4_i64).prop_map(|(k, t, l)| OnSessions::Remove(k, t, l)),
        2 => (key.clone(), time.clone(), 0..4_i64).prop_map(|(k, t, l)| OnSessions::Fetch(k, t, l)),
        3 => (key, time.clone(), time.clone(), any::<bool>())
            .prop_map(|(k, a, b, r)| OnSessions::Find(k, a, b, r)),
        1 => (time.clone(), time).prop_map(|(a, b)| OnSessions::ByTime(a, b)),
        4 => life().prop_map(OnSessions::Life),
    ]
}

fn run_on_sessions(mut machine: Machine<SessionModel>, step: OnSessions) -> Machine<SessionModel> {
    let key = |k: usize| KEYS[k].to_owned();
    let session = |tick: i64, len: i64| {
        let (start, end) = (tick * TICK_MS, (tick + len) * TICK_MS);
        (start, end, SessionWindow::from_millis(start, end))
    };
    match step {
        OnSessions::Put(k, tick, len, value) => {
            let (start, end, window) = session(tick, len);
            let put = machine
                .with::<Sessions, _>(end, |mut s| s.put(&key(k), window, Some(Held::new(value))));
            let model = &mut machine.model.now;
            model.observed = model.observed.max(end);
            assert_eq!(put.unwrap().is_expired(), !live(end, model.observed));
            if live(end, model.observed) {
                model.rows.insert((end, start, key(k)), value);
            }
        }
        OnSessions::Remove(k, tick, len) => {
            let (start, end, window) = session(tick, len);
            let removed = machine.with::<Sessions, _>(end, |mut s| s.remove(&key(k), window));
            let model = &mut machine.model.now;
            model.observed = model.observed.max(end);
            let expected = live(end, model.observed)
                .then(|| model.rows.remove(&(end, start, key(k))).map(Held::new));
            assert_eq!(removed.unwrap().stored(), expected);
        }
        OnSessions::Fetch(k, tick, len) => {
            let (start, end, window) = session(tick, len);
            let found = machine.with::<Sessions, _>(0, |mut s| s.fetch_session(&key(k), window));
            let model = &machine.model.now;
            let expected = model.rows.get(&(end, start, key(k))).copied();
            let expected = expected.filter(|_| visible(end, model.observed));
            assert_eq!(found.unwrap().map(|value| *value), expected);
        }
        OnSessions::Find(k, a, b, reverse) => {
            let (earliest_end, latest_start) = (a * TICK_MS, b * TICK_MS);
            let found = machine.with::<Sessions, _>(0, |mut s| {
                s.find_sessions(&key(k), at(earliest_end), at(latest_start)).unwrap()
            });
            let mut expected = machine.model.now.rows(|row, start, end| {
                row == KEYS[k] && end >= earliest_end && start <= latest_start
            });
            let windows = expected
                .iter()
                .map(|(_, start, end, value)| (SessionWindow::from_millis(*start, *end), *value));
            let found = found.into_iter().map(|found| (found.window, *found.value));
            assert_eq!(found.collect::<Vec<_>>(), windows.collect::<Vec<_>>());
            let rows = machine.rows::<Sessions>(|s| {
                let cursor = s.find_sessions(&key(k), at(earliest_end), at(latest_start));
                if reverse { cursor.rev() } else { cursor }
            });
            if reverse {
                expected.reverse();
            }
            assert_eq!(session_rows(rows), expected);
        }
        OnSessions::ByTime(a, b) => {
            let (from, to) = (a.min(b) * TICK_MS, a.max(b) * TICK_MS);
            let rows = machine.rows::<Sessions>(|s| s.by_time(at(from)..=at(to)));
            let expected = machine.model.now.kept(|_, _, end| from <= end && end <= to);
            assert_eq!(session_rows(rows), expected);
        }
        OnSessions::Life(life) => return machine.live(&life),
    }
    machine
}

fn session_rows(rows: Vec<crate::stores::SessionRow<String, u32>>) -> Vec<(String, i64, i64, u32)> {
    rows.into_iter()
        .map(|row| {
            let Windowed { key, window } = row.session;
            (key, window.start.as_millis(), window.end.as_millis(), *row.value)
        })
        .collect()
}

fn sessions() -> StoreBuilder<Sessions> {
    Stores::session("store", RETENTION)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_session_store_is_a_map_that_forgets(
        steps in prop::collection::vec(on_sessions(), 1..60),
        on_disk in on_disk(),
    ) {
        let mut machine = Machine::new_on(driver(sessions().time_ordered()), on_disk);
        for step in steps {
            machine = run_on_sessions(machine, step);
        }
        machine = machine.live(&Life::Restore);
        let rows = machine.rows::<Sessions>(|s| s.by_time(..));
        prop_assert_eq!(session_rows(rows), machine.model.now.kept(|_, _, _| true));
        let mut rows = session_rows(machine.rows::<Sessions>(|s| s.all()));
        rows.sort_by_key(|(key, start, end, _)| (*end, *start, key.clone()));
        prop_assert_eq!(rows, machine.model.now.rows(|_, _, _| true));
    }
}

// ---- join buffers ---------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum OnJoins {
    Put(usize, i64, u32),
    Fetch(usize, i64, i64),
    Life(Life),
}

/// Key, time and value in the order of the puts; the largest time.
#[derive(Clone, Default)]
struct JoinModel {
    rows: Vec<(String, i64, u32)>,
    observed: i64,
}

impl JoinModel {
    fn rows(&self, wanted: impl Fn(&str, i64) -> bool) -> Vec<(u32, i64)> {
        let rows = self.rows.iter();
        let mut rows: Vec<_> = rows
            .filter(|(key, time, _)| visible(*time, self.observed) && wanted(key, *time))
            .map(|(_, time, value)| (*value, *time))
            .collect();
        rows.sort_by_key(|(_, time)| *time);
        rows
    }
}

fn on_joins() -> impl Strategy<Value = OnJoins> {
    let key = 0..KEYS.len();
    prop_oneof![
        5 => (key.clone(), 0..30_i64, any::<u32>()).prop_map(|(k, t, v)| OnJoins::Put(k, t, v)),
        3 => (key, 0..30_i64, 0..30_i64).prop_map(|(k, a, b)| OnJoins::Fetch(k, a, b)),
        3 => life().prop_map(OnJoins::Life),
    ]
}

fn run_on_joins(mut machine: Machine<JoinModel>, step: OnJoins) -> Machine<JoinModel> {
    let key = |k: usize| KEYS[k].to_owned();
    match step {
        OnJoins::Put(k, tick, value) => {
            let time = tick * TICK_MS;
            let put = machine.with::<Joins, _>(time, |mut s| s.put(&key(k), value, at(time)));
            let model = &mut machine.model.now;
            model.observed = model.observed.max(time);
            assert_eq!(put.unwrap().is_expired(), !live(time, model.observed));
            if live(time, model.observed) {
                model.rows.push((key(k), time, value));
            }
        }
        OnJoins::Fetch(k, a, b) => {
            let (from, to) = (a.min(b) * TICK_MS, a.max(b) * TICK_MS);
            let found = machine.with::<Joins, _>(0, |mut s| s.fetch(&key(k), at(from)..=at(to)));
            let found = found.unwrap().into_iter().map(|(value, time)| (*value, time.as_millis()));
            let expected =
                machine.model.now.rows(|row, time| row == KEYS[k] && from <= time && time <= to);
            assert_eq!(found.collect::<Vec<_>>(), expected);
            let rows = machine.rows::<Joins>(|s| s.fetch(&key(k), at(from)..=at(to)).rev());
            let rows = rows.into_iter().rev().map(|row| (*row.value, row.timestamp.as_millis()));
            assert_eq!(rows.collect::<Vec<_>>(), expected);
        }
        OnJoins::Life(life) => return machine.live(&life),
    }
    machine
}

fn joins() -> StoreBuilder<Joins> {
    Stores::join("store", RETENTION)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_join_store_keeps_every_record_in_order(
        steps in prop::collection::vec(on_joins(), 1..60),
        on_disk in on_disk(),
    ) {
        let mut machine = Machine::new_on(driver(joins()), on_disk);
        for step in steps {
            machine = run_on_joins(machine, step);
        }
        machine = machine.live(&Life::Restore);
        for key in KEYS {
            let found = machine.with::<Joins, _>(0, |mut s| s.fetch(&key.to_owned(), ..)).unwrap();
            let found = found.into_iter().map(|(value, time)| (*value, time.as_millis()));
            let expected = machine.model.now.rows(|row, _| row == key);
            prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        }
    }
}

// ---- what the others do not show ------------------------------------------------------------------

fn changelog(machine: &Machine<()>) -> Vec<RawSent> {
    machine.driver.output.changelog.lock().unwrap().drain(..).collect()
}

#[test]
fn changelogs_have_the_jvms_bytes() {
    let key = "k".to_owned();
    let mut machine = Machine::<()>::new(driver(windows()));
    machine.with::<Windows, _>(300, |mut s| s.put(&key, at(258), 7)).unwrap().stored().unwrap();
    machine.driver.commit();
    let row = (b"k\0\0\0\0\0\0\x01\x02\0\0\0\0".to_vec(), Some(vec![0, 0, 0, 7]), 300);
    assert_eq!(changelog(&machine), [row]);
    machine.with::<Windows, _>(301, |mut s| s.delete(&key, at(258))).unwrap().stored().unwrap();
    machine.driver.commit();
    assert_eq!(changelog(&machine), [(b"k\0\0\0\0\0\0\x01\x02\0\0\0\0".to_vec(), None, 301)]);

    let mut machine = Machine::<()>::new(driver(sessions()));
    let session = SessionWindow::from_millis(1, 258);
    let put = machine.with::<Sessions, _>(9, |mut s| s.put(&key, session, Some(Held::new(7))));
    assert_eq!(put.unwrap(), Written::Stored(()));
    machine.driver.commit();
    let bytes = b"k\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x01".to_vec();
    assert_eq!(changelog(&machine), [(bytes, Some(vec![0, 0, 0, 7]), 9)]);

    let mut machine = Machine::<()>::new(driver(joins()));
    for value in [7, 8] {
        let put = machine.with::<Joins, _>(258, |mut s| s.put(&key, value, at(258)));
        assert_eq!(put.unwrap(), Written::Stored(()));
    }
    machine.driver.commit();
    let row = |sequence, value| {
        let mut bytes = b"k\0\0\0\0\0\0\x01\x02\0\0\0".to_vec();
        bytes.push(sequence);
        (bytes, Some(vec![0, 0, 0, value]), 258)
    };
    assert_eq!(changelog(&machine), [row(1, 7), row(2, 8)]);
}

#[test]
fn changelog_topics_keep_what_is_visible_and_a_day() {
    let configs = |driver: Driver| {
        let group = driver.topology.group_topology("app", &Default::default());
        let topic = &group.subtopologies[0].changelogs["app-store-changelog"];
        (topic.configs["cleanup.policy"].clone(), topic.configs["retention.ms"].clone())
    };
    let kept = (24 * 60 * 60 * 1_000 + RETENTION_MS).to_string();
    let compact_and_delete = ("compact,delete".to_owned(), kept.clone());
    assert_eq!(configs(driver(windows())), compact_and_delete);
    assert_eq!(configs(driver(sessions())), compact_and_delete);
    assert_eq!(configs(driver(joins())), ("delete".to_owned(), kept));
    let own = windows().changelog_config("retention.ms", "7");
    assert_eq!(configs(driver(own)).1, "7");
}

#[test]
fn a_commit_emits_one_change_per_window() {
    let key = "k".to_owned();
    let mut machine = Machine::<()>::new(driver(windows()));
    for value in [1, 2] {
        machine.with::<Windows, _>(value.into(), |mut s| {
            let old = s.put_held(&key, at(5), Some(Held::new(value)), at(value.into())).unwrap();
            s.emit_on_commit(&key, at(5), old.stored().unwrap().map(|(old, _)| old)).unwrap();
        });
    }
    let emission = machine.with::<Windows, _>(0, |mut s| {
        let emission = s.take_emission().unwrap().unwrap();
        assert!(s.take_emission().unwrap().is_none());
        emission
    });
    assert_eq!(emission.key, Windowed::new(key.clone(), window(5)));
    assert_eq!((emission.change.new, emission.change.old), (Some(Held::new(2)), None));
    assert_eq!((emission.timestamp, emission.record.timestamp()), (at(2), at(2)));

    let mut machine = Machine::<()>::new(driver(sessions()));
    let session = SessionWindow::from_millis(1, 2);
    machine.with::<Sessions, _>(9, |mut s| {
        let old = s.put_held(&key, session, Some(Held::new(1))).unwrap().stored().unwrap();
        s.emit_on_commit(&key, session, old).unwrap();
    });
    let emission = machine.with::<Sessions, _>(0, |mut s| s.take_emission().unwrap().unwrap());
    assert_eq!(emission.key, Windowed::new(key, session));
}

#[test]
fn sequence_numbers_go_on_after_a_restart_and_back_after_an_abort() {
    let key = "k".to_owned();
    let mut machine = Machine::<()>::new(driver(joins()));
    let put = |machine: &mut Machine<()>| {
        machine.with::<Joins, _>(0, |mut s| s.put(&key, 1, at(0))).unwrap().stored().unwrap();
        machine.driver.seal();
        let (bytes, ..) = changelog(machine).pop().unwrap();
        let metadata = StoreMetadata::new(uuid::Uuid::nil(), 0);
        (*bytes.last().unwrap(), Attempt(machine.driver.attempt), metadata)
    };
    let (first, attempt, metadata) = put(&mut machine);
    machine.driver.task.layers_mut().for_each(|l| l.commit(attempt, metadata.clone()));
    let (second, ..) = put(&mut machine);
    machine.driver = machine.driver.abort(true);
    let (again, ..) = put(&mut machine);
    assert_eq!((first, second, again), (1, 2, 2));
    machine.driver = machine.driver.abort(false);
    assert_eq!(put(&mut machine).0, 3);
}

#[test]
fn the_stream_time_of_an_aborted_attempt_expires_nothing() {
    let key = "k".to_owned();
    let mut machine = Machine::<()>::new(driver(windows()));
    let put = |machine: &mut Machine<()>, start: i64| {
        machine.with::<Windows, _>(0, |mut s| s.put(&key, at(start), 1)).unwrap().stored().unwrap();
    };
    let count = |machine: &mut Machine<()>| machine.rows::<Windows>(|s| s.all()).len();
    put(&mut machine, 0);
    machine.driver.commit();
    machine.driver.apply();
    put(&mut machine, 10 * RETENTION_MS);
    machine.driver.seal();
    assert_eq!(count(&mut machine), 1);
    machine.driver.apply();
    machine.driver = machine.driver.abort(true);
    assert_eq!(count(&mut machine), 1);
    let observed = machine.with::<Windows, _>(0, |s| s.observed());
    assert_eq!(observed, at(0));
    put(&mut machine, 1);
    assert_eq!(count(&mut machine), 2);
}
