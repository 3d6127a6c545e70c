//! A task with one store, what may happen to it, and the store's changelog: for comparisons with plain
//! maps.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;
use state_stores::StoreMetadata;

use super::{Driver, RawSent, at, make};
use crate::error::BoxError;
use crate::processor::{ProcessorContext, process_fn};
use crate::record::{Headers, RecordContext};
use crate::runtime::StoreLoad;
use crate::stores::{Cursor, Store, StoreBuilder, StoreHandle, StoreName};
use crate::topology::{Node, Topology};

type Text = Node<String, String>;

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
