//! Global stores on threads over the embedded cluster: complete before the instance runs, kept on
//! disk, followed, and what can go wrong with them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_core::client::{Isolation, MemoryRecord};
use streams_core::config::{RestorePhase, State, StreamsEvent};
use streams_core::error::BoxError;
use streams_core::partitioning::partition_for_key;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::reaction::ThreadReaction;
use streams_core::stores::{KeyValueHandle, ReadOnlyHandle, Stores};
use streams_core::{KafkaStreams, StreamsConfig, Topology};
use streams_test::EmbeddedCluster;

const LIMIT: Duration = Duration::from_secs(20);
const PARTITIONS: i32 = 3;

/// Puts each name as it is, but for bad ones.
struct Names(KeyValueHandle<String, String>);

impl Processor for Names {
    type KIn = String;
    type VIn = String;
    type KOut = ();
    type VOut = ();

    fn process(
        &mut self,
        key: String,
        value: String,
        ctx: &mut ProcessorContext<'_, (), ()>,
    ) -> Result<(), BoxError> {
        if value == "bad" {
            return Err("a bad name".into());
        }
        ctx.store(&self.0).put(&key, value)
    }
}

/// Adds the name of each order's customer.
struct Enrich(ReadOnlyHandle<String, String>);

impl Processor for Enrich {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        customer: String,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        let name = ctx.store(&self.0).get(&customer)?.cloned();
        ctx.forward(key, name.unwrap_or_else(|| "nobody".to_owned()))
    }
}

fn topology() -> Topology {
    let mut builder = Topology::builder();
    let store = Stores::key_value::<String, String>("names");
    let names = builder.add_global_store("names", "names", "put", store, |s, _| Names(s));
    let orders = builder.add_source::<String, String>("orders", "orders");
    let enrich = builder.add_processor("enrich", &[&orders], names, |names, _| Enrich(names));
    builder.add_sink("out", &[&enrich], "out");
    builder.build().unwrap()
}

fn cluster() -> EmbeddedCluster {
    let cluster = EmbeddedCluster::new();
    for topic in ["names", "orders", "out"] {
        cluster.create_topic(topic, PARTITIONS).unwrap();
    }
    cluster
}

fn write(cluster: &EmbeddedCluster, topic: &str, key: &str, value: &str) {
    let record = MemoryRecord {
        timestamp: 1,
        key: Some(key.as_bytes().into()),
        value: Some(value.as_bytes().into()),
        ..MemoryRecord::default()
    };
    let partition = partition_for_key(key.as_bytes(), PARTITIONS);
    cluster.append(topic, partition, record).unwrap();
}

fn write_names(cluster: &EmbeddedCluster, range: std::ops::Range<usize>, suffix: &str) {
    range.for_each(|n| write(cluster, "names", &format!("c{n}"), &format!("name-{n}{suffix}")));
}

/// What the order got, if it was answered.
fn answer(cluster: &EmbeddedCluster, order: &str) -> Option<String> {
    let partition = partition_for_key(order.as_bytes(), PARTITIONS);
    let records = cluster.read("out", partition, 0, Isolation::ReadCommitted);
    let of =
        |(_, record): &(i64, Arc<MemoryRecord>)| record.key.as_deref() == Some(order.as_bytes());
    let value = records.into_iter().rev().find(of)?.1.value.clone()?;
    Some(String::from_utf8(value.into_vec()).unwrap())
}

/// What the application tells.
#[derive(Clone, Default)]
struct Told {
    events: Arc<Mutex<Vec<String>>>,
    /// Records that were read of the global topic until it was complete.
    read: Arc<Mutex<Vec<u64>>>,
    failures: Arc<Mutex<Vec<String>>>,
}

fn config(cluster: &EmbeddedCluster, dir: &Path, told: &Told) -> StreamsConfig {
    let Told { events, read, failures } = told.clone();
    StreamsConfig::new("app", "embedded")
        .client(Arc::new(cluster.clone()))
        .state_dir(dir)
        .threads(2)
        .commit_interval(Duration::from_millis(20))
        .on_event(move |event| match event {
            StreamsEvent::StoreRebuilt { task, store, reason } => {
                events.lock().unwrap().push(format!("{task} {store}: {reason}"));
            }
            other => events.lock().unwrap().push(format!("{other:?}")),
        })
        .on_restore(move |progress| {
            if progress.phase == RestorePhase::Done {
                read.lock().unwrap().push(progress.records);
            }
        })
        .on_thread_error(move |error| {
            failures.lock().unwrap().push(format!("{error:?}"));
            ThreadReaction::ReplaceThread
        })
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(LIMIT, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within {LIMIT:?}: {what}");
}

async fn start(config: &StreamsConfig) -> KafkaStreams {
    let streams = KafkaStreams::start(topology(), config.clone()).await.unwrap();
    tokio::time::timeout(LIMIT, streams.wait_for(State::Running)).await.unwrap().unwrap();
    streams
}

/// Runs until it fails; the error with its causes.
async fn failure(streams: KafkaStreams) -> String {
    let ended = tokio::time::timeout(LIMIT, streams.run_until(std::future::pending::<()>()));
    format!("{:?}", ended.await.expect("it hangs").expect_err("it should have failed"))
}

#[tokio::test]
async fn a_store_is_complete_before_its_instance_runs_and_is_not_read_again() {
    let (dir, cluster, told) = (tempfile::tempdir().unwrap(), cluster(), Told::default());
    write_names(&cluster, 0..3_000, "");
    (0..30).for_each(|n| write(&cluster, "orders", &format!("o{n}"), &format!("c{}", n * 100)));
    let config = config(&cluster, dir.path(), &told);
    let streams = start(&config).await;
    until("all orders are answered", || {
        (0..30).all(|n| answer(&cluster, &format!("o{n}")).is_some())
    })
    .await;
    for n in 0..30 {
        assert_eq!(answer(&cluster, &format!("o{n}")), Some(format!("name-{}", n * 100)));
    }
    assert_eq!(*told.read.lock().unwrap(), [3_000]);
    // It follows the topic: what was cached is looked up again.
    write_names(&cluster, 0..1, "-new");
    let mut order = 100;
    until("a change is seen", || {
        order += 1;
        write(&cluster, "orders", &format!("o{order}"), "c0");
        (100..order).any(|n| answer(&cluster, &format!("o{n}")).as_deref() == Some("name-0-new"))
    })
    .await;
    streams.close().await.unwrap();
    // Only what came meanwhile is read.
    write_names(&cluster, 3_000..3_010, "");
    let streams = start(&config).await;
    write(&cluster, "orders", "last", "c3005");
    write(&cluster, "orders", "old", "c7");
    until("orders after the restart", || {
        answer(&cluster, "last").is_some() && answer(&cluster, "old").is_some()
    })
    .await;
    assert_eq!(answer(&cluster, "last").unwrap(), "name-3005");
    assert_eq!(answer(&cluster, "old").unwrap(), "name-7");
    streams.close().await.unwrap();
    assert_eq!(*told.read.lock().unwrap(), [3_000, 10]);
    assert_eq!(told.events.lock().unwrap().len(), 0, "nothing is rebuilt");
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_read_from_its_beginning() {
    let (dir, cluster, told) = (tempfile::tempdir().unwrap(), cluster(), Told::default());
    write_names(&cluster, 0..100, "");
    let config = config(&cluster, dir.path(), &told);
    start(&config).await.close().await.unwrap();
    cluster.delete_topic("names").unwrap();
    cluster.create_topic("names", PARTITIONS).unwrap();
    write_names(&cluster, 50..200, "-again");
    let streams = start(&config).await;
    write(&cluster, "orders", "gone", "c10");
    write(&cluster, "orders", "there", "c60");
    until("the orders", || {
        answer(&cluster, "gone").is_some() && answer(&cluster, "there").is_some()
    })
    .await;
    assert_eq!(answer(&cluster, "gone").unwrap(), "nobody");
    assert_eq!(answer(&cluster, "there").unwrap(), "name-60-again");
    let events = told.events.lock().unwrap().clone();
    assert_eq!(events, ["0_global names: its changelog was deleted and created again"]);
    streams.close().await.unwrap();
}

#[tokio::test]
async fn a_missing_topic_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = EmbeddedCluster::new();
    cluster.create_topic("orders", 1).unwrap();
    cluster.create_topic("out", 1).unwrap();
    let config = config(&cluster, dir.path(), &Told::default());
    let streams = KafkaStreams::start(topology(), config).await.unwrap();
    let error = failure(streams).await;
    assert!(error.contains("a topic of a global store does not exist (of names)"), "{error}");
}

#[tokio::test]
async fn a_topic_that_is_deleted_while_it_is_read_ends_the_instance() {
    let (dir, cluster, told) = (tempfile::tempdir().unwrap(), cluster(), Told::default());
    write_names(&cluster, 0..10, "");
    let config = config(&cluster, dir.path(), &told);
    let streams = start(&config).await;
    cluster.delete_topic("names").unwrap();
    let error = failure(streams).await;
    assert!(error.contains("topic names of global store names was deleted"), "{error}");
    assert!(error.contains("create it again and start the instance again"), "{error}");
    assert_eq!(told.failures.lock().unwrap().len(), 1, "the handler was told");
    // It is as the message says.
    cluster.create_topic("names", PARTITIONS).unwrap();
    write_names(&cluster, 5..6, "-again");
    let streams = start(&config).await;
    write(&cluster, "orders", "gone", "c1");
    write(&cluster, "orders", "there", "c5");
    until("the orders", || {
        answer(&cluster, "gone").is_some() && answer(&cluster, "there").is_some()
    })
    .await;
    assert_eq!(answer(&cluster, "gone").unwrap(), "nobody");
    assert_eq!(answer(&cluster, "there").unwrap(), "name-5-again");
    streams.close().await.unwrap();
}

#[tokio::test]
async fn a_topic_that_is_made_anew_while_it_is_read_is_not_taken_for_the_old_one() {
    let (dir, cluster, told) = (tempfile::tempdir().unwrap(), cluster(), Told::default());
    write_names(&cluster, 0..10, "");
    let config = config(&cluster, dir.path(), &told).set("metadata.max.age.ms", "300");
    let streams = start(&config).await;
    cluster.delete_topic("names").unwrap();
    cluster.create_topic("names", PARTITIONS).unwrap();
    write_names(&cluster, 0..30, "-again");
    let error = failure(streams).await;
    assert!(error.contains("was deleted and created again while it was read"), "{error}");
}

#[tokio::test]
async fn a_failing_processor_ends_the_instance_whatever_the_handler_says() {
    let (dir, cluster, told) = (tempfile::tempdir().unwrap(), cluster(), Told::default());
    let config = config(&cluster, dir.path(), &told);
    let streams = start(&config).await;
    write(&cluster, "names", "c1", "bad");
    let error = failure(streams).await;
    assert!(error.contains("a bad name") && error.contains("topic names"), "{error}");
    assert_eq!(told.failures.lock().unwrap().len(), 1, "the handler was told");
    // It is not processed half: the next start fails as well, and with a handler it goes on.
    let streams = KafkaStreams::start(topology(), config.clone()).await.unwrap();
    failure(streams).await;
    let skipping = config
        .set("processing.exception.handler", "skip")
        .set("processing.exception.handler.global.enabled", "true");
    let streams = start(&skipping).await;
    write(&cluster, "names", "c2", "good");
    let mut order = 0;
    until("a good name", || {
        order += 1;
        write(&cluster, "orders", &format!("o{order}"), "c2");
        (0..order).any(|n| answer(&cluster, &format!("o{n}")).as_deref() == Some("good"))
    })
    .await;
    streams.close().await.unwrap();
}

#[tokio::test]
async fn an_application_may_consist_of_a_global_store() {
    let (dir, cluster, told) = (tempfile::tempdir().unwrap(), cluster(), Told::default());
    write_names(&cluster, 0..50, "");
    let mut builder = Topology::builder();
    let store = Stores::key_value::<String, String>("names");
    builder.add_global_store("names", "names", "put", store, |store, _| Names(store));
    let topology = builder.build().unwrap();
    let config = config(&cluster, dir.path(), &told);
    for _ in 0..2 {
        let streams = KafkaStreams::start(topology.clone(), config.clone()).await.unwrap();
        tokio::time::timeout(LIMIT, streams.wait_for(State::Running)).await.unwrap().unwrap();
        streams.close().await.unwrap();
    }
    assert_eq!(*told.read.lock().unwrap(), [50, 0]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_skipped_at_the_start_too() {
    let (dir, cluster, told) = (tempfile::tempdir().unwrap(), cluster(), Told::default());
    let poison = || {
        let record = MemoryRecord {
            timestamp: 1,
            key: Some(b"c1".as_slice().into()),
            value: Some([0xff, 0xfe].as_slice().into()),
            ..MemoryRecord::default()
        };
        let partition = partition_for_key(b"c1", PARTITIONS);
        cluster.append("names", partition, record).unwrap();
    };
    write_names(&cluster, 0..5, "");
    poison();
    let config = config(&cluster, dir.path(), &told);
    let streams = KafkaStreams::start(topology(), config.clone()).await.unwrap();
    let error = failure(streams).await;
    assert!(error.contains("cannot read the value"), "{error}");
    let skipping = config.set("deserialization.exception.handler", "skip");
    for round in 0..2 {
        let streams = start(&skipping).await;
        let order = format!("o{round}");
        write(&cluster, "orders", &order, "c1");
        until("the order", || answer(&cluster, &order).is_some()).await;
        assert_eq!(answer(&cluster, &order).unwrap(), "name-1");
        streams.close().await.unwrap();
        if round == 0 {
            poison();
            std::fs::remove_dir_all(dir.path().join("app")).unwrap();
        }
    }
}

#[tokio::test]
async fn partitions_that_are_new_are_read_after_a_restart() {
    let (dir, cluster, told) = (tempfile::tempdir().unwrap(), cluster(), Told::default());
    write_names(&cluster, 0..50, "");
    let config = config(&cluster, dir.path(), &told);
    start(&config).await.close().await.unwrap();
    cluster.grow_topic("names", PARTITIONS + 1).unwrap();
    let record = MemoryRecord {
        timestamp: 1,
        key: Some(b"new".as_slice().into()),
        value: Some(b"name-new".as_slice().into()),
        ..MemoryRecord::default()
    };
    cluster.append("names", PARTITIONS, record).unwrap();
    let streams = start(&config).await;
    write(&cluster, "orders", "o", "new");
    until("the order", || answer(&cluster, "o").is_some()).await;
    assert_eq!(answer(&cluster, "o").unwrap(), "name-new");
    streams.close().await.unwrap();
    assert_eq!(*told.read.lock().unwrap(), [50, 1]);
}
