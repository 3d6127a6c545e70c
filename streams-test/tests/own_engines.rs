//! An application over an engine of its own that fails now and then.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use streams_core::client::{Isolation, MemoryRecord};
use streams_core::error::BoxError;
use streams_core::processor::{ProcessorContext, process_fn};
use streams_core::stores::engine::{
    Batch, Direction, EngineError, EngineSupplier, KeyRange, StorageEngine,
};
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::{KafkaStreams, StreamsConfig, ThreadReaction, Topology};
use streams_test::EmbeddedCluster;
use streams_test::conformance::{Conformance, Survives};

/// Rows in memory that outlive the engine, and the number of calls that are going to fail.
#[derive(Clone, Default)]
struct Remote {
    rows: Arc<RwLock<BTreeMap<Vec<u8>, Vec<u8>>>>,
    failing: Arc<AtomicUsize>,
}

impl Remote {
    fn call(&self) -> Result<(), EngineError> {
        let less = |calls: usize| calls.checked_sub(1);
        match self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(_) => Err("the connection was lost".into()),
            Err(_) => Ok(()),
        }
    }
}

impl StorageEngine for Remote {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.call()?;
        Ok(self.rows.read().unwrap().get(key).cloned())
    }

    fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        self.call()?;
        let rows = self.rows.read().unwrap();
        let mut rows: Vec<_> = rows.range::<[u8], _>(range.bounds()).collect();
        if direction == Direction::Backward {
            rows.reverse();
        }
        let _ = rows.into_iter().try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn write(&self, mut batch: Batch<'_>) -> Result<(), EngineError> {
        self.call()?;
        let mut rows = self.rows.write().unwrap();
        while let Some((key, value)) = batch.next_row() {
            match value {
                Some(value) => rows.insert(key.to_vec(), value.to_vec()),
                None => rows.remove(key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.call()
    }
}

#[test]
fn the_suite_is_here_too() {
    let open = |_: &Path| Ok::<_, EngineError>(Remote::default());
    Conformance::of(open).survives(Survives::Nothing).seeds(0..2).check();
}

fn count(
    counts: &KeyValueHandle<String, i64>,
    key: String,
    _: String,
    cx: &mut ProcessorContext<'_, String, i64>,
) -> Result<(), BoxError> {
    let count = cx.store(counts).get(&key)?.map_or(1, |count| *count + 1);
    cx.store(counts).put(&key, count)?;
    cx.forward(key, count)
}

fn topology() -> Topology {
    let mut builder = Topology::builder();
    let words = builder.add_source::<String, String>("words", "words");
    let stores = Stores::key_value::<String, i64>("counts");
    let counts = builder
        .add_processor("count", &[&words], stores, |counts, _| process_fn(counts, Arc::new(count)));
    builder.add_sink("out", &[&counts], "counts-out");
    builder.build().unwrap()
}

const KEYS: usize = 30;

fn write_words(cluster: &EmbeddedCluster, words: std::ops::Range<usize>) {
    for n in words {
        let key = format!("word-{}", n % KEYS).into_bytes();
        let partition = streams_core::partitioning::partition_for_key(&key, 2);
        let record = MemoryRecord {
            timestamp: n as i64,
            key: Some(key.into()),
            value: Some(b"x".as_slice().into()),
            ..MemoryRecord::default()
        };
        cluster.append("words", partition, record).unwrap();
    }
}

/// Every count that was ever written, which under exactly-once are 1, 2, 3, ... for each word.
fn total(cluster: &EmbeddedCluster) -> usize {
    let mut counts = BTreeMap::<Vec<u8>, i64>::new();
    for partition in 0..2 {
        for (_, record) in cluster.read("counts-out", partition, 0, Isolation::ReadCommitted) {
            let bytes = <[u8; 8]>::try_from(&*record.value.clone().unwrap()).unwrap();
            let before = counts.entry(record.key.clone().unwrap().into_vec()).or_default();
            *before += 1;
            assert_eq!(*before, i64::from_be_bytes(bytes), "a word was lost or counted twice");
        }
    }
    usize::try_from(counts.values().sum::<i64>()).unwrap()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within 30 s: {what}");
}

#[tokio::test]
async fn nothing_is_lost_or_counted_twice_when_the_engine_fails() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = EmbeddedCluster::new();
    cluster.create_topic("words", 2).unwrap();
    cluster.create_topic("counts-out", 2).unwrap();
    let remote = Remote::default();
    let failures = Arc::new(Mutex::new(Vec::new()));
    let (engine, told) = (remote.clone(), failures.clone());
    let config = StreamsConfig::new("app", "embedded")
        .client(Arc::new(cluster.clone()))
        .state_dir(dir.path())
        .exactly_once()
        .commit_interval(Duration::from_millis(20))
        .set("state.flush.interval.ms", 50)
        .engine(EngineSupplier::new("remote", move |_: &Path| Ok::<_, EngineError>(engine.clone())))
        .on_thread_error(move |error| {
            told.lock().unwrap().push(format!("{error:?}"));
            ThreadReaction::ReplaceThread
        });
    let mut words = 0;
    let streams = KafkaStreams::start(topology(), config.clone()).await.unwrap();
    // The last round is a quiet one: who is closed while a thread dies says why it died.
    for round in 0..7 {
        write_words(&cluster, words..words + 100);
        words += 100;
        until("the words are counted", || total(&cluster) == words).await;
        if round % 2 == 1 {
            // Layers are applied, or lost with their thread; the inventory may fail, too.
            remote.failing.fetch_add(2, Ordering::SeqCst);
            write_words(&cluster, words..words + 100);
            words += 100;
            until("the engine has failed", || remote.failing.load(Ordering::SeqCst) == 0).await;
        }
    }
    streams.close().await.unwrap();
    let failed = failures.lock().unwrap().join("\n");
    assert!(failed.contains("the connection was lost"), "no thread noticed: {failed}");

    write_words(&cluster, words..words + 100);
    let streams = KafkaStreams::start(topology(), config).await.unwrap();
    until("they are counted after a restart", || total(&cluster) == words + 100).await;
    streams.close().await.unwrap();
}

#[tokio::test]
async fn an_engine_that_does_not_open_ends_the_application_with_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = EmbeddedCluster::new();
    cluster.create_topic("words", 2).unwrap();
    cluster.create_topic("counts-out", 2).unwrap();
    let never = EngineSupplier::new("never", |_: &Path| Err::<Remote, _>("a damaged page"));
    let config = StreamsConfig::new("app", "embedded")
        .client(Arc::new(cluster))
        .state_dir(dir.path())
        .engine(never);
    let streams = KafkaStreams::start(topology(), config).await.unwrap();
    let ended = streams.run_until(std::future::pending::<()>());
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it hangs");
    let error = format!("{:?}", ended.unwrap_err());
    assert!(
        error.contains("cannot open (never in ") && error.contains("a damaged page"),
        "{error}"
    );
    assert!(error.contains("engine-never") && error.contains("remove that directory"), "{error}");
}
