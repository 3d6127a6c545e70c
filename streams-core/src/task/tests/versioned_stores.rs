//! Versioned stores against a plain map of all versions (I3, I4, I9).
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::at;
use super::machine::{KEYS, Life, Machine, Observed, driver, life, on_disk};
use crate::stores::{StoreBuilder, Stores, VersionedRecord, VersionedStore, Written};

type Versions = VersionedStore<String, u32>;

const RETENTION_MS: i64 = 100;

/// A key's versions; `None` is a deletion.
#[derive(Clone, Default)]
struct Model {
    versions: BTreeMap<String, BTreeMap<i64, Option<u32>>>,
    observed: i64,
}

impl Observed for Model {
    fn observed(&mut self) -> &mut i64 {
        &mut self.observed
    }
}

impl Model {
    fn is_expired(&self, time: i64) -> bool {
        time < self.observed - RETENTION_MS
    }

    fn put(&mut self, key: &str, value: Option<u32>, time: i64) -> Written<Option<i64>> {
        if self.is_expired(time) {
            return Written::Expired;
        }
        self.observed = self.observed.max(time);
        let versions = self.versions.entry(key.to_owned()).or_default();
        versions.insert(time, value);
        Written::Stored(versions.range(time + 1..).next().map(|(next, _)| *next))
    }

    fn get(&self, key: &str) -> Option<(u32, i64, Option<i64>)> {
        let (from, value) = self.versions.get(key)?.last_key_value()?;
        Some(((*value)?, *from, None))
    }

    fn get_as_of(&self, key: &str, time: i64) -> Option<(u32, i64, Option<i64>)> {
        let versions = self.versions.get(key)?;
        let (from, value) = versions.range(..=time).next_back()?;
        let to = versions.range(time + 1..).next().map(|(next, _)| *next);
        if to.is_some() && self.is_expired(time) {
            return None;
        }
        Some(((*value)?, *from, to))
    }

    /// What was valid at some time from `from` to `to`.
    fn history(&self, key: &str, from: i64, to: i64) -> Vec<(u32, i64, Option<i64>)> {
        let from = from.max(self.observed - RETENTION_MS);
        let Some(versions) = self.versions.get(key) else { return Vec::new() };
        let ends = versions.keys().skip(1).map(|end| Some(*end)).chain([None]);
        versions
            .iter()
            .zip(ends)
            .filter(|((start, _), end)| **start <= to && end.is_none_or(|end| end > from))
            .filter_map(|((start, value), end)| Some(((*value)?, *start, end)))
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Option<u32>, i64),
    Delete(usize, i64),
    Get(usize),
    AsOf(usize, i64),
    History(usize, i64, i64),
    Life(Life),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    // Not far apart, or every second put would be expired.
    let time = 0..300_i64;
    prop_oneof![
        8 => (key.clone(), prop::option::weighted(0.7, any::<u32>()), time.clone())
            .prop_map(|(k, v, t)| Step::Put(k, v, t)),
        1 => (key.clone(), time.clone()).prop_map(|(k, t)| Step::Delete(k, t)),
        2 => key.clone().prop_map(Step::Get),
        5 => (key.clone(), time.clone()).prop_map(|(k, t)| Step::AsOf(k, t)),
        2 => (key, time.clone(), time).prop_map(|(k, a, b)| Step::History(k, a.min(b), a.max(b))),
        4 => life().prop_map(Step::Life),
    ]
}

fn plain(record: VersionedRecord<u32>) -> (u32, i64, Option<i64>) {
    let valid_to = record.valid_to.map(|time| time.as_millis());
    (record.value, record.timestamp.as_millis(), valid_to)
}

/// Times crawl: each step's time is behind or a little before the largest one.
fn run(mut machine: Machine<Model>, step: Step) -> Machine<Model> {
    let key = |k: usize| KEYS[k].to_owned();
    let near = |machine: &Machine<Model>, time: i64| {
        let observed = machine.model.now.observed;
        (observed - 150 + time * 2 / 3).max(0)
    };
    match step {
        Step::Put(k, value, time) => {
            let time = near(&machine, time);
            let put = machine
                .with::<Versions, _>(0, |mut s| s.put(&key(k), value.as_ref(), at(time)).unwrap());
            let expected = machine.model.now.put(&key(k), value, time);
            assert_eq!(millis(put), expected, "{time}");
        }
        Step::Delete(k, time) => {
            let time = near(&machine, time);
            let deleted = machine.with::<Versions, _>(0, |mut s| s.delete(&key(k), at(time)));
            let model = &mut machine.model.now;
            let expected = model.get_as_of(&key(k), time);
            let put = model.put(&key(k), None, time);
            let expected = put.stored().map(|_| expected);
            assert_eq!(deleted.unwrap().stored().map(|found| found.map(plain)), expected);
        }
        Step::Get(k) => {
            let found = machine.with::<Versions, _>(0, |mut s| s.get(&key(k)).unwrap());
            assert_eq!(found.map(plain), machine.model.now.get(&key(k)));
        }
        Step::AsOf(k, time) => {
            let time = near(&machine, time);
            let found =
                machine.with::<Versions, _>(0, |mut s| s.get_as_of(&key(k), at(time)).unwrap());
            assert_eq!(found.map(plain), machine.model.now.get_as_of(&key(k), time), "{time}");
        }
        Step::History(k, from, to) => {
            let (from, to) = (near(&machine, from), near(&machine, to));
            let found = machine
                .with::<Versions, _>(0, |mut s| s.history(&key(k), at(from)..=at(to)).unwrap());
            let found: Vec<_> = found.into_iter().map(plain).collect();
            assert_eq!(found, machine.model.now.history(&key(k), from, to), "{from} {to}");
        }
        Step::Life(life) => return machine.live(&life),
    }
    machine
}

fn millis(written: Written<Option<crate::Timestamp>>) -> Written<Option<i64>> {
    match written {
        Written::Stored(valid_to) => Written::Stored(valid_to.map(|time| time.as_millis())),
        Written::Expired => Written::Expired,
    }
}

fn store() -> StoreBuilder<Versions> {
    let retention = Duration::from_millis(RETENTION_MS.unsigned_abs());
    Stores::versioned("store", retention).segment_interval(Duration::from_millis(30))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_versioned_store_knows_the_past(
        steps in prop::collection::vec(step(), 1..80),
        on_disk in on_disk(),
    ) {
        let mut machine = Machine::new_on(driver(store()), on_disk);
        for step in steps {
            machine = run(machine, step);
        }
        machine = machine.live(&Life::Restore);
        let model = machine.model.now.clone();
        for key in KEYS {
            let found = machine.with::<Versions, _>(0, |mut s| {
                s.history(&key.to_owned(), ..).unwrap()
            });
            let found: Vec<_> = found.into_iter().map(plain).collect();
            prop_assert_eq!(found, model.history(key, i64::MIN, i64::MAX));
        }
        let rows = machine.rows::<Versions>(|s| s.all());
        let rows: Vec<_> = rows.into_iter().map(|(key, record)| (key, plain(record))).collect();
        let mut expected: Vec<_> =
            KEYS.iter().filter_map(|key| Some((key.to_string(), model.get(key)?))).collect();
        expected.sort();
        prop_assert_eq!(rows, expected);
    }
}

#[test]
fn the_changelog_has_every_put_in_order() {
    let key = "k".to_owned();
    let mut machine = Machine::<Model>::new(driver(store()));
    for (value, time) in [(Some(1), 50), (Some(2), 40), (None, 45), (Some(3), 50)] {
        let put = machine.with::<Versions, _>(99, |mut s| s.put(&key, value.as_ref(), at(time)));
        assert!(!put.unwrap().is_expired());
    }
    machine.driver.commit();
    let sent: Vec<_> = machine.driver.output.changelog.lock().unwrap().drain(..).collect();
    let record =
        |value: Option<u8>, time| (b"k".to_vec(), value.map(|value| vec![0, 0, 0, value]), time);
    let expected =
        [record(Some(1), 50), record(Some(2), 40), record(None, 45), record(Some(3), 50)];
    assert_eq!(sent, expected);
}

#[test]
fn the_changelog_topic_keeps_the_history() {
    let topology = driver(store()).topology;
    let group = topology.group_topology("app", &Default::default());
    let configs = &group.subtopologies[0].changelogs["app-store-changelog"].configs;
    assert_eq!(configs["cleanup.policy"], "compact");
    assert_eq!(configs["min.compaction.lag.ms"], (24 * 60 * 60 * 1000 + RETENTION_MS).to_string());
    assert!(!configs.contains_key("retention.ms"));
}
