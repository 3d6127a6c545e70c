//! Window stores against a plain map.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::at;
use super::super::machine::{KEYS, Life, Machine, Observed, driver, life, on_disk};
use super::{RETENTION, SIZE, TICK_MS, Windows, live, segment, visible};
use crate::stores::{Held, StoreBuilder, Stores, Written};
use crate::windowed::{TimeWindow, Windowed};

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

impl Observed for WindowModel {
    fn observed(&mut self) -> &mut i64 {
        &mut self.observed
    }
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

pub(super) fn window(start: i64) -> TimeWindow {
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

pub(super) fn windows() -> StoreBuilder<Windows> {
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
