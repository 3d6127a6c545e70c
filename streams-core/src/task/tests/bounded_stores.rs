//! Key-value stores that forget: by time, and by the number of keys.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::Driver;
use super::machine::{Life, Machine, Observed, driver, life};
use crate::processor::{ProcessorContext, process_fn};
use crate::stores::{KeyValueStore, LruStore, StoreBuilder, Stores};
use crate::topology::{Node, Topology};

type Lru = LruStore<String, u32>;
type Text = Node<String, String>;

const KEYS_MAX: usize = 3;

/// Key, value and time of the last write, least recently used first.
#[derive(Clone, Default)]
struct Model {
    rows: Vec<(String, u32, i64)>,
    /// The clock: every write has a time of its own.
    now: i64,
}

impl Observed for Model {
    fn observed(&mut self) -> &mut i64 {
        &mut self.now
    }
}

impl Model {
    fn take(&mut self, key: &str) -> Option<(String, u32, i64)> {
        let at = self.rows.iter().position(|(found, ..)| found == key)?;
        Some(self.rows.remove(at))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Get(u8),
    Put(u8, u32),
    Delete(u8),
    Life(Life),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6_u8).prop_map(Step::Get),
        4 => (0..6_u8, any::<u32>()).prop_map(|(k, v)| Step::Put(k, v)),
        1 => (0..6_u8).prop_map(Step::Delete),
        3 => life().prop_map(Step::Life),
    ]
}

fn run(mut machine: Machine<Model>, step: Step) -> Machine<Model> {
    let key = |k: u8| format!("key-{k}");
    machine.model.now.now += 1;
    let now = machine.model.now.now;
    match step {
        Step::Get(k) => {
            let found = machine.with::<Lru, _>(now, |mut s| s.get(&key(k)).unwrap().copied());
            let model = &mut machine.model.now;
            let row = model.take(&key(k));
            assert_eq!(found, row.as_ref().map(|(_, value, _)| *value));
            model.rows.extend(row);
        }
        Step::Put(k, value) => {
            machine.with::<Lru, _>(now, |mut s| s.put(&key(k), value).unwrap());
            let model = &mut machine.model.now;
            model.take(&key(k));
            model.rows.push((key(k), value, now));
            if model.rows.len() > KEYS_MAX {
                model.rows.remove(0);
            }
        }
        Step::Delete(k) => {
            let deleted = machine.with::<Lru, _>(now, |mut s| s.delete(&key(k)).unwrap());
            let row = machine.model.now.take(&key(k));
            assert_eq!(deleted, row.map(|(_, value, _)| value));
        }
        Step::Life(life) => {
            // It lies in memory: who begins again has only the changelog.
            let life = if matches!(life, Life::Reopen) { Life::Restore } else { life };
            let mut machine = machine.live(&life);
            if matches!(life, Life::AbortActive | Life::AbortSealed | Life::Restore) {
                machine.model.now.rows.sort_by_key(|(.., time)| *time);
            }
            machine.model.now.now = machine.model.now.now.max(now);
            return machine;
        }
    }
    machine
}

fn lru() -> StoreBuilder<Lru> {
    Stores::lru("store", KEYS_MAX)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn an_lru_store_keeps_what_was_used_last(steps in prop::collection::vec(step(), 1..60)) {
        let mut machine = Machine::new(driver(lru()));
        for step in steps {
            machine = run(machine, step);
        }
        machine = machine.live(&Life::Restore);
        let rows = machine.rows::<Lru>(|s| s.all());
        let mut expected: Vec<_> =
            machine.model.now.rows.iter().map(|(key, value, _)| (key.clone(), *value)).collect();
        expected.sort();
        prop_assert_eq!(rows, expected);
    }
}

#[test]
fn an_eviction_is_logged() {
    let mut machine = Machine::<Model>::new(driver(lru()));
    for (time, key) in ["a", "b", "c"].into_iter().enumerate() {
        let time = i64::try_from(time).unwrap();
        machine.with::<Lru, _>(time, |mut s| s.put(&key.to_owned(), 1).unwrap());
    }
    machine.driver.commit();
    machine.driver.sent();
    machine.with::<Lru, _>(7, |mut s| s.get(&"a".to_owned()).unwrap().copied()).unwrap();
    machine.with::<Lru, _>(8, |mut s| s.put(&"d".to_owned(), 2).unwrap());
    assert_eq!(machine.with::<Lru, _>(9, |mut s| s.len().unwrap()), KEYS_MAX);
    machine.driver.commit();
    let sent = machine.driver.sent();
    let keys = sent.iter().map(|sent| (sent.key.as_deref().unwrap(), sent.value.is_some()));
    assert_eq!(keys.collect::<Vec<_>>(), [("d", true), ("b", false)]);
}

/// A task that puts each record's value, and answers with what it finds at `get`.
fn task_with_time_to_live(time: Duration) -> Driver {
    let store = Stores::key_value::<String, String>("store").time_to_live(time);
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let processor: Text = builder.add_processor("processor", &[&source], store, |store, _| {
        process_fn(
            store,
            std::sync::Arc::new(
                |store: &crate::stores::KeyValueHandle<String, String>,
                 key: String,
                 value: String,
                 ctx: &mut ProcessorContext<'_, String, String>| {
                    if value != "get" {
                        return ctx.store(store).put(&key, value);
                    }
                    let found = ctx.store(store).get(&key)?.cloned();
                    ctx.forward(key, found.unwrap_or_else(|| "none".to_owned()))
                },
            ),
        )
    });
    builder.add_sink("sink", &[&processor], "out");
    Driver::new(&builder.build().unwrap(), &["in"])
}

#[test]
fn a_row_is_forgotten_by_stream_time_and_gets_a_tombstone() {
    let mut driver = task_with_time_to_live(Duration::from_millis(100));
    driver.pipe(0, "a", "1", 0).unwrap();
    driver.pipe(0, "b", "2", 60).unwrap();
    driver.commit();
    driver.apply();
    driver.lines();
    driver.pipe(0, "a", "get", 99).unwrap();
    driver.pipe(0, "c", "3", 100).unwrap();
    driver.pipe(0, "a", "get", 100).unwrap();
    driver.pipe(0, "b", "get", 100).unwrap();
    assert_eq!(driver.lines(), ["out:a=1@99", "out:a=none@100", "out:b=2@100"]);
    driver.commit();
    let store = "app-store-changelog";
    let c = format!("{store}:c=3@100");
    assert_eq!(driver.lines(), [c, format!("{store}:a=null@100")]);
    // Nobody asks for b: the commit comes across it.
    driver.pipe(0, "d", "4", 170).unwrap();
    let handle = driver.task.store_handle::<KeyValueStore<String, String>>("store").unwrap();
    let mut cursor = handle.all();
    let rows: Vec<_> = std::iter::from_fn(|| driver.task.next_row(&mut cursor).unwrap()).collect();
    assert_eq!(rows.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["c", "d"]);
    driver.commit();
    assert_eq!(driver.lines(), [format!("{store}:d=4@170"), format!("{store}:b=null@170")]);
}

#[test]
fn an_abort_takes_deletions_back_with_the_time_that_made_them() {
    let mut driver = task_with_time_to_live(Duration::from_millis(100));
    driver.pipe(0, "a", "1", 0).unwrap();
    driver.commit();
    driver.pipe(0, "x", "9", 500).unwrap();
    driver.seal();
    let mut driver = driver.abort(true);
    driver.lines();
    driver.pipe(0, "a", "get", 50).unwrap();
    assert_eq!(driver.lines(), ["out:a=1@50"]);
}

#[test]
fn many_expired_rows_go_in_several_commits() {
    let mut driver = task_with_time_to_live(Duration::from_millis(100));
    for n in 0..1_000 {
        driver.pipe(0, &format!("key-{n:04}"), "1", 0).unwrap();
    }
    driver.commit();
    driver.lines();
    let mut tombstones = Vec::new();
    for round in 0..5 {
        driver.pipe(0, "other", "1", 200 + round).unwrap();
        driver.commit();
        tombstones.push(driver.lines().iter().filter(|line| line.contains("=null@")).count());
    }
    assert_eq!(tombstones.iter().sum::<usize>(), 1_000);
    assert!(tombstones.iter().all(|count| *count < 300), "{tombstones:?}");
}
