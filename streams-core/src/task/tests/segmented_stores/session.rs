//! Session stores against a plain map.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::at;
use super::super::machine::{KEYS, Life, Machine, Observed, driver, life, on_disk};
use super::{RETENTION, Sessions, TICK_MS, live, visible};
use crate::stores::{Held, StoreBuilder, Stores};
use crate::windowed::{SessionWindow, Windowed};

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

impl Observed for SessionModel {
    fn observed(&mut self) -> &mut i64 {
        &mut self.observed
    }
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

pub(super) fn sessions() -> StoreBuilder<Sessions> {
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
