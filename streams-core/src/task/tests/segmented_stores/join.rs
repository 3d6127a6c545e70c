//! Join buffers against a plain list.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::super::at;
use super::super::machine::{KEYS, Life, Machine, Observed, driver, life, on_disk};
use super::{Joins, RETENTION, TICK_MS, live, visible};
use crate::stores::{StoreBuilder, Stores};

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

impl Observed for JoinModel {
    fn observed(&mut self) -> &mut i64 {
        &mut self.observed
    }
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

pub(super) fn joins() -> StoreBuilder<Joins> {
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
