//! Stores of a task: reads, writes, cursors, seals, aborts, and changelogs.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Driver, at};
use crate::error::BoxError;
use crate::processor::{Processor, ProcessorContext, process_fn};
use crate::record::{Headers, RecordContext};
use crate::stores::{Held, KeyValueHandle, KeyValueStore, StoreBuilder, StoreName, Stores};
use crate::topology::{Node, Topology};

type Text = Node<String, String>;
type Handle = KeyValueHandle<String, String>;

const STORE: StoreName<KeyValueStore<String, String>> = StoreName::new("store");

/// A task whose only processor runs `f` per record, with one store.
fn with_store(
    store: StoreBuilder<KeyValueStore<String, String>>,
    f: impl Fn(
        &Handle,
        String,
        String,
        &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError>
    + Send
    + Sync
    + 'static,
) -> Driver {
    let f = Arc::new(f);
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let processor: Text = builder.add_processor("processor", &[&source], store, move |store, _| {
        process_fn(store, f.clone())
    });
    builder.add_sink("sink", &[&processor], "out");
    Driver::new(&builder.build().unwrap(), &["in"])
}

/// Values are commands: `put x`, `delete`, `get`, `absent x`.
fn commands(store: StoreBuilder<KeyValueStore<String, String>>) -> Driver {
    with_store(store, |handle, key, command, ctx| {
        let answer = match command.split_once(' ') {
            Some(("put", value)) => {
                ctx.store(handle).put(&key, value.to_owned())?;
                return Ok(());
            }
            Some(("absent", value)) => ctx.store(handle).put_if_absent(&key, value.to_owned())?,
            _ if command == "delete" => ctx.store(handle).delete(&key)?,
            _ => {
                let mut store = ctx.store(handle);
                let found = store.get_with_timestamp(&key)?;
                found.map(|(value, time)| format!("{value}@{}", time.as_millis()))
            }
        };
        ctx.forward(key, answer.unwrap_or_else(|| "none".to_owned()))
    })
}

fn store() -> StoreBuilder<KeyValueStore<String, String>> {
    Stores::key_value("store")
}

fn answers(driver: &Driver) -> Vec<String> {
    driver.sent().into_iter().filter(|sent| sent.topic == "out").map(|s| s.value.unwrap()).collect()
}

#[test]
fn what_was_put_is_found_before_and_after_each_layer() {
    let mut driver = commands(store());
    driver.pipe(0, "k", "put a", 3).unwrap();
    driver.pipe(0, "k", "get", 4).unwrap();
    driver.seal();
    driver.pipe(0, "k", "get", 5).unwrap();
    driver.task.evict(0);
    assert_eq!(driver.task.cached_bytes(), 0);
    driver.pipe(0, "k", "get", 5).unwrap();
    driver.commit();
    driver.task.evict(0);
    driver.pipe(0, "k", "get", 5).unwrap();
    driver.apply();
    driver.task.evict(0);
    driver.pipe(0, "k", "get", 5).unwrap();
    assert_eq!(answers(&driver), ["a@3"; 5]);
    driver.pipe(0, "k", "absent b", 6).unwrap();
    driver.pipe(0, "k", "delete", 7).unwrap();
    driver.pipe(0, "k", "delete", 8).unwrap();
    driver.pipe(0, "k", "absent c", 9).unwrap();
    driver.pipe(0, "k", "get", 10).unwrap();
    assert_eq!(answers(&driver), ["a", "a", "none", "none", "c@9"]);
}

#[test]
fn a_changelog_has_one_record_per_key_and_commit_in_the_order_of_first_writes() {
    let mut driver = commands(store());
    for (key, command, time) in [
        ("b", "put 1", 1),
        ("a", "put 2", 2),
        ("b", "put 3", 3),
        ("gone", "put 4", 4),
        ("gone", "delete", 5),
        ("never", "delete", 6),
    ] {
        driver.pipe(0, key, command, time).unwrap();
    }
    driver.lines();
    driver.commit();
    let sent = driver.sent();
    assert!(sent.iter().all(|s| s.topic == "app-store-changelog" && s.partition == 0));
    assert!(sent.iter().all(|s| s.tag == crate::client::Tag(1)));
    let records: Vec<_> =
        sent.iter().map(|s| (s.key.as_deref().unwrap(), s.value.as_deref(), s.timestamp)).collect();
    // `gone` was put without a look below: a tombstone is written, there may have been something.
    assert_eq!(records, [("b", Some("3"), 3), ("a", Some("2"), 2), ("gone", None, 5)]);
    driver.pipe(0, "gone", "delete", 7).unwrap();
    driver.pipe(0, "gone", "absent 8", 8).unwrap();
    driver.pipe(0, "gone", "delete", 9).unwrap();
    driver.pipe(0, "a", "delete", 10).unwrap();
    driver.lines();
    driver.commit();
    // Known to be absent below, so there is nothing to take back.
    assert_eq!(driver.lines(), ["app-store-changelog:a=null@10"]);
    driver.commit();
    assert_eq!(driver.lines(), Vec::<String>::new());
}

#[test]
fn a_store_without_a_changelog_of_its_own_writes_none() {
    for store in [store().logging_disabled(), store().source_topic_changelog("in")] {
        let mut driver = commands(store);
        driver.pipe(0, "k", "put a", 1).unwrap();
        driver.commit();
        assert_eq!(driver.lines(), Vec::<String>::new());
        driver.task.evict(0);
        driver.pipe(0, "k", "get", 2).unwrap();
        assert_eq!(answers(&driver), ["a@1"]);
    }
}

#[test]
fn after_an_abort_everything_is_as_it_was_committed() {
    let mut driver = commands(store());
    driver.pipe(0, "k", "put committed", 1).unwrap();
    driver.commit();
    driver.pipe(0, "k", "put active", 2).unwrap();
    let mut driver = driver.abort(false);
    driver.pipe(0, "k", "get", 3).unwrap();
    driver.pipe(0, "k", "put sealed", 4).unwrap();
    driver.seal();
    driver.pipe(0, "k", "put after", 5).unwrap();
    driver.lines();
    let mut driver = driver.abort(true);
    driver.pipe(0, "k", "get", 6).unwrap();
    assert_eq!(answers(&driver), ["committed@1"]);
}

#[test]
fn a_new_owner_finds_what_was_applied() {
    let mut driver = commands(store());
    driver.pipe(0, "k", "put a", 1).unwrap();
    driver.commit();
    driver.apply();
    let Driver { topology, directory, storage, task, id, inputs, handlers, .. } = driver;
    drop(task.into_layers());
    drop(storage);
    let storage = directory.lease(state_stores::TaskKey::new(0, 0)).unwrap();
    let layers = super::open_layers(&topology, &storage);
    let mut task = super::make(&topology, id, &inputs, &handlers, layers).unwrap();
    let context = RecordContext::new(at(0), Headers::new());
    let found =
        task.with_store(STORE, &context, |mut store| store.get(&"k".into()).unwrap().cloned());
    assert_eq!(found, Some(Some("a".to_owned())));
    let wrong: StoreName<KeyValueStore<String, i64>> = StoreName::new("store");
    assert!(task.with_store(wrong, &context, |_| ()).is_none(), "the types are checked");
}

/// On any record: deletes all rows and forwards each, putting a row behind and one ahead of it.
#[test]
fn a_cursor_yields_while_its_user_forwards_writes_and_deletes() {
    let mut driver = with_store(store(), |handle, key, value, ctx| {
        if value != "sweep" {
            return ctx.store(handle).put(&key, value);
        }
        let mut rows = handle.all();
        while let Some((key, value)) = ctx.next(&mut rows)? {
            ctx.store(handle).delete(&key)?;
            ctx.store(handle).put(&format!("0-{key}"), "behind".to_owned())?;
            ctx.forward(key, value)?;
        }
        Ok(())
    });
    let keys: Vec<String> = (0..1500).map(|n| format!("k{n:04}")).collect();
    for (n, key) in keys.iter().enumerate() {
        driver.pipe(0, key, &n.to_string(), 0).unwrap();
        match n {
            400 => driver.commit(),
            800 => {
                driver.commit();
                driver.apply();
            }
            1200 => driver.seal(),
            _ => {}
        }
    }
    driver.lines();
    driver.pipe(0, "", "sweep", 1).unwrap();
    let swept: Vec<_> = driver.sent().into_iter().map(|sent| sent.key.unwrap()).collect();
    assert_eq!(swept, keys);
    driver.pipe(0, "", "sweep", 2).unwrap();
    assert_eq!(driver.sent().len(), keys.len(), "the rows that were put behind the first sweep");
}

/// An aggregate as table operators write it.
struct Concat(Handle, bool);

impl Processor for Concat {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        value: String,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        let now = ctx.timestamp();
        let (old, new, time) = ctx.store(&self.0).update_held(&key, |held, time| {
            let old = held.clone();
            if value == "delete" {
                *held = None;
            } else {
                held.get_or_insert_with(|| Held::new(String::new())).make_mut().push_str(&value);
            }
            *time = (*time).max(now);
            (old, held.clone(), *time)
        })?;
        if self.1 {
            return ctx.store(&self.0).emit_on_commit(&key, old);
        }
        let show = |held: Option<Held<String>>| held.map_or("-".to_owned(), Held::into_inner);
        ctx.forward_at(key, format!("{}>{}", show(old), show(new)), time)
    }

    fn flush(&mut self, ctx: &mut ProcessorContext<'_, String, String>) -> Result<(), BoxError> {
        while let Some(emission) = ctx.store(&self.0).take_emission()? {
            let show = |held: Option<Held<String>>| held.map_or("-".to_owned(), Held::into_inner);
            let value = format!("{}>{}", show(emission.change.old), show(emission.change.new));
            let record = emission.record.with_timestamp(emission.timestamp);
            ctx.forward_in(emission.key, value, &record)?;
        }
        Ok(())
    }
}

fn concat(emit_on_commit: bool) -> Driver {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let concat = builder.add_processor("concat", &[&source], store(), move |store, _| {
        Concat(store, emit_on_commit)
    });
    builder.add_sink("sink", &[&concat], "out");
    Driver::new(&builder.build().unwrap(), &["in"])
}

#[test]
fn an_aggregate_forwards_old_and_new_and_keeps_the_later_time() {
    let mut driver = concat(false);
    for (value, time) in [("a", 5), ("b", 3), ("c", 9), ("delete", 10), ("d", 11)] {
        driver.pipe(0, "k", value, time).unwrap();
    }
    assert_eq!(
        driver.lines(),
        ["out:k=->a@5", "out:k=a>ab@5", "out:k=ab>abc@9", "out:k=abc>-@10", "out:k=->d@11"]
    );
}

#[test]
fn an_emission_is_one_change_per_key_and_commit_with_the_last_emitted_value_as_old() {
    let mut driver = concat(true);
    for (key, value, time) in [("k", "a", 1), ("other", "x", 2), ("k", "b", 3)] {
        driver.pipe(0, key, value, time).unwrap();
    }
    assert_eq!(driver.lines(), Vec::<String>::new());
    driver.commit();
    assert_eq!(
        driver.lines(),
        [
            // In the order of their last writes.
            "out:other=->x@2",
            "out:k=->ab@3",
            "app-store-changelog:k=ab@3",
            "app-store-changelog:other=x@2"
        ]
    );
    driver.pipe(0, "k", "c", 4).unwrap();
    driver.pipe(0, "k", "delete", 5).unwrap();
    driver.pipe(0, "fleeting", "y", 6).unwrap();
    driver.pipe(0, "fleeting", "delete", 7).unwrap();
    // Held back changes are never evicted, and eviction forwards nothing (I10).
    driver.task.evict(0);
    driver.commit();
    assert_eq!(driver.lines(), ["out:k=ab>-@5", "app-store-changelog:k=null@5"]);
}

#[test]
fn stores_whose_changes_cause_each_other_are_told() {
    let mut driver = with_store(store(), |handle, key, _, ctx| {
        ctx.store(handle).put(&key, "x".to_owned())?;
        ctx.store(handle).emit_on_commit(&key, None)
    });
    driver.pipe(0, "k", "v", 1).unwrap();
    // Nobody takes the emission.
    let error = driver.task.flush(&mut driver.collector).unwrap_err();
    assert!(error.to_string().contains("store"), "{error}");
}

#[test]
fn dirty_bytes_follow_the_size_of_values() {
    let mut driver = commands(store());
    let large = format!("put {}", "x".repeat(100_000));
    for n in 0..100 {
        driver.pipe(0, &n.to_string(), &large, 0).unwrap();
    }
    let dirty = driver.task.dirty_bytes();
    assert!((9_000_000..12_000_000).contains(&dirty), "{dirty}");
    driver.commit();
    assert_eq!(driver.task.dirty_bytes(), 0);
    let cached = driver.task.cached_bytes();
    assert!((10_000_000..11_000_000).contains(&cached), "{cached}");
    driver.task.evict(5_000_000);
    assert!((4_800_000..5_000_001).contains(&driver.task.cached_bytes()));
    driver.pipe(0, "5", "put small", 0).unwrap();
    driver.commit();
    driver.task.evict(0);
    assert_eq!(driver.task.cached_bytes(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Get(u8),
    Absent(u8, u8),
    Range(u8, u8, bool),
    Evict(u16),
    Seal,
    Commit,
    Apply,
    AbortActive,
    AbortSealed,
    /// The process begins again with what the engine has.
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0_u8..24;
    let step = prop_oneof![
        6 => (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Put(k, v)),
        3 => key.clone().prop_map(Step::Delete),
        4 => key.clone().prop_map(Step::Get),
        2 => (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Absent(k, v)),
        3 => (key.clone(), key, any::<bool>()).prop_map(|(a, b, r)| Step::Range(a, b, r)),
        2 => any::<u16>().prop_map(Step::Evict),
        1 => Just(Step::Seal),
        2 => Just(Step::Commit),
        1 => Just(Step::Apply),
        1 => Just(Step::AbortActive),
        1 => Just(Step::AbortSealed),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..120)
}

type Model = BTreeMap<String, String>;

/// What the store must be, at each point that one can return to.
#[derive(Default)]
struct Oracle {
    now: Model,
    sealed: Vec<Model>,
    committed: Model,
    /// What was written to the changelog, by attempt; aborted ones are taken out.
    changelog: Vec<Vec<(String, Option<String>)>>,
}

impl Oracle {
    fn write_changelog(&mut self, driver: &Driver) {
        let records = driver.sent().into_iter().map(|sent| (sent.key.unwrap(), sent.value));
        self.changelog.push(records.collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_store_is_an_ordered_map(
        steps in steps(),
        on_disk in prop::bool::weighted(0.15),
    ) {
        let mut driver = commands(store());
        if on_disk {
            driver = driver.anew(true);
        }
        let mut oracle = Oracle::default();
        let context = RecordContext::new(at(1), Headers::new());
        for step in steps {
            driver = apply(driver, &mut oracle, step, &context);
        }
        prop_assert_eq!(rows(&mut driver, None, false), oracle.now.clone().into_iter().collect::<Vec<_>>());
        driver.commit();
        oracle.write_changelog(&driver);
        let replayed = oracle.changelog.into_iter().flatten().fold(Model::new(), |mut all, record| {
            match record {
                (key, Some(value)) => all.insert(key, value),
                (key, None) => all.remove(&key),
            };
            all
        });
        prop_assert_eq!(rows(&mut driver, None, false), replayed.into_iter().collect::<Vec<_>>());
    }
}

fn apply(mut driver: Driver, oracle: &mut Oracle, step: Step, context: &RecordContext) -> Driver {
    let key = |k: u8| format!("key-{k:02}");
    let store =
        |driver: &mut Driver,
         f: &mut dyn FnMut(crate::stores::KeyValueAccess<'_, String, String>)| {
            driver.task.with_store(STORE, context, &mut *f).unwrap();
        };
    match step {
        Step::Put(k, v) => {
            store(&mut driver, &mut |mut s| s.put(&key(k), v.to_string()).unwrap());
            oracle.now.insert(key(k), v.to_string());
        }
        Step::Delete(k) => {
            let expected = oracle.now.remove(&key(k));
            store(&mut driver, &mut |mut s| assert_eq!(s.delete(&key(k)).unwrap(), expected));
        }
        Step::Get(k) => {
            let expected = oracle.now.get(&key(k));
            store(&mut driver, &mut |mut s| assert_eq!(s.get(&key(k)).unwrap(), expected));
        }
        Step::Absent(k, v) => {
            let there = oracle.now.get(&key(k)).cloned();
            store(&mut driver, &mut |mut s| {
                assert_eq!(s.put_if_absent(&key(k), v.to_string()).unwrap(), there);
            });
            oracle.now.entry(key(k)).or_insert(v.to_string());
        }
        Step::Range(a, b, reverse) => {
            let (from, to) = (key(a.min(b)), key(a.max(b)));
            let mut expected: Vec<_> = oracle
                .now
                .range(from.clone()..to.clone())
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            if reverse {
                expected.reverse();
            }
            assert_eq!(rows(&mut driver, Some((from, to)), reverse), expected);
        }
        Step::Evict(bytes) => driver.task.evict(usize::from(bytes)),
        Step::Seal => {
            driver.seal();
            oracle.write_changelog(&driver);
            oracle.sealed.push(oracle.now.clone());
        }
        Step::Commit => {
            driver.commit();
            oracle.write_changelog(&driver);
            oracle.sealed.clear();
            oracle.committed = oracle.now.clone();
        }
        Step::Apply => driver.apply(),
        Step::AbortActive => {
            driver = driver.abort(false);
            oracle.now = oracle.sealed.last().unwrap_or(&oracle.committed).clone();
        }
        Step::AbortSealed if !oracle.sealed.is_empty() => {
            driver = driver.abort(true);
            oracle.sealed.pop();
            oracle.changelog.pop();
            oracle.now = oracle.sealed.last().unwrap_or(&oracle.committed).clone();
        }
        Step::AbortSealed => {}
        Step::Reopen => {
            driver.apply();
            driver = driver.reopen();
            let kept = oracle.changelog.len() - oracle.sealed.len();
            oracle.changelog.truncate(kept);
            oracle.sealed.clear();
            oracle.now = oracle.committed.clone();
        }
    }
    driver
}

fn rows(
    driver: &mut Driver,
    range: Option<(String, String)>,
    reverse: bool,
) -> Vec<(String, String)> {
    let handle = driver.task.store_handle::<KeyValueStore<String, String>>("store").unwrap();
    let mut cursor = match range {
        Some((from, to)) => handle.range(from..to),
        None => handle.all(),
    };
    if reverse {
        cursor = cursor.rev();
    }
    std::iter::from_fn(|| driver.task.next_row(&mut cursor).unwrap()).collect()
}

#[test]
fn too_much_that_is_dirty_ends_a_turn() {
    let mut driver = commands(store());
    for (key, command) in [("a", "get"), ("b", "put x"), ("c", "put y")] {
        driver.push(0, Some(key), Some(command), 1);
    }
    let mut turn = || driver.task.process_many(0, 100, 0, &mut driver.collector).unwrap();
    assert_eq!((turn(), turn(), turn()), (2, 1, 0));
}
