//! The engine of the example `own_engine`: by itself, and below an application that is killed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use examples::Cluster;
use streams_core::config::{RestorePhase, StreamsEvent};
use streams_core::time::{Clock, SystemClock};
use streams_dsl::prelude::*;
use streams_dsl::stores::engine::{EngineSupplier, KeyRange, StorageEngine};
use streams_test::conformance::{Conformance, Survives};

#[path = "../own_engine/log_engine.rs"]
mod log_engine;

use log_engine::LogEngine;

#[test]
fn it_is_an_engine() {
    Conformance::of(LogEngine::open).survives(Survives::TornFiles).check();
}

const CUSTOMERS: usize = 20;
const STORE: &str = "purchases-by-customer";

fn purchases() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("purchases")
        .group_by_key()
        .count(STORE)
        .to_stream()
        .to("purchase-counts");
    builder.build().unwrap()
}

/// The engine that was opened last, and how many rows it had then.
type Opened = Arc<Mutex<Option<(Arc<LogEngine>, u64)>>>;

fn supplier(opened: &Opened) -> EngineSupplier {
    let opened = opened.clone();
    EngineSupplier::new("log", move |directory: &Path| {
        let engine = Arc::new(LogEngine::open(directory)?);
        let rows = rows(&engine);
        *opened.lock().unwrap() = Some((engine.clone(), rows));
        Ok::<_, std::io::Error>(engine)
    })
}

fn rows(engine: &LogEngine) -> u64 {
    engine.approximate_len(&KeyRange::all()).unwrap()
}

/// Writes that many purchases, and waits until all that were ever made are counted.
async fn buy(cluster: &Cluster, purchases: usize, total: &mut usize) {
    let customers: Vec<_> = (0..purchases).map(|n| format!("c{}", n % CUSTOMERS)).collect();
    let records = customers.iter().map(|customer| (customer.as_str(), "a thing"));
    cluster.write("purchases", records).await.unwrap();
    *total += purchases;
    let mut counts = BTreeMap::new();
    let counted = cluster.read("purchase-counts", |change| {
        let count = i64::from_be_bytes(change.value().unwrap().try_into().unwrap());
        let before = counts.insert(change.key().unwrap().to_vec(), count).unwrap_or(0);
        assert!(before <= count, "a count goes back");
        counts.values().sum::<i64>() >= *total as i64
    });
    tokio::time::timeout(Duration::from_secs(30), counted).await.unwrap().unwrap();
    assert_eq!(counts.values().sum::<i64>(), *total as i64, "exactly once");
    assert!(counts.values().all(|count| *count == (*total / CUSTOMERS) as i64), "{counts:?}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(path, target).unwrap();
        }
    }
}

/// What a kill leaves is what lies on the disk at that moment; the application goes on meanwhile,
/// so that its changelog is ahead of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_application_goes_on_with_what_its_engine_has() {
    let disk = std::env::temp_dir().join(format!("own-engine-test-{}", std::process::id()));
    let (first, second) = (disk.join("first"), disk.join("second"));
    let cluster = Cluster::from_env("own-engine-test").unwrap();
    cluster.create_topics(&["purchases", "purchase-counts"], 2).await.unwrap();
    let opened = Opened::default();
    let config = cluster
        .config()
        .exactly_once()
        .set("state.flush.interval.ms", 200)
        .engine_of(STORE, supplier(&opened));
    let mut total = 0;

    let streams = KafkaStreams::start(purchases(), config.clone().state_dir(&first)).await.unwrap();
    buy(&cluster, CUSTOMERS * 50, &mut total).await;
    // A row for each customer; for each of two tasks, how far it is, and where its store lies.
    let all = CUSTOMERS as u64 + 4;
    let deadline = SystemClock.now() + Duration::from_secs(30);
    while opened.lock().unwrap().as_ref().is_none_or(|(engine, _)| rows(engine) < all) {
        assert!(SystemClock.now() < deadline, "the state does not come to the engine");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    copy(&first, &second);
    buy(&cluster, CUSTOMERS * 30, &mut total).await;
    streams.close().await.unwrap();

    let restored = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::new(Mutex::new(Vec::<StreamsEvent>::new()));
    let (progress, told) = (restored.clone(), events.clone());
    let config = config
        .state_dir(&second)
        .on_event(move |event| told.lock().unwrap().push(event.clone()))
        .on_restore(move |restore| {
            if restore.phase == RestorePhase::Started {
                progress.lock().unwrap().push(restore.records_left);
            }
        });
    let streams = KafkaStreams::start(purchases(), config).await.unwrap();
    buy(&cluster, CUSTOMERS * 20, &mut total).await;
    streams.close().await.unwrap();

    let rebuilt = events.lock().unwrap();
    assert!(rebuilt.is_empty(), "nothing is wrong with the state: {rebuilt:?}");
    let found = opened.lock().unwrap().take().unwrap().1;
    assert!(found >= all, "only {found} rows were there after the kill");
    assert!(!restored.lock().unwrap().is_empty(), "the changelog was ahead of the engine");
    fs::remove_dir_all(disk).unwrap();
}

#[tokio::test]
async fn what_is_said_about_stores_that_have_no_engine_is_a_mistake() {
    let cluster = Cluster::from_env("own-engine-mistakes").unwrap();
    let builder = StreamsBuilder::new();
    let purchases = builder.stream::<String, String>("purchases").group_by_key();
    purchases.count("on-disk").to_stream().to("purchase-counts");
    let in_memory = Materialized::with("in-memory", Utf8, BigEndian).in_memory();
    purchases.count(in_memory).to_stream().to("purchase-counts");
    let engine = supplier(&Opened::default());
    let config =
        cluster.config().engine_of("in-memory", engine.clone()).engine_of("on-dsk", engine);
    let error = KafkaStreams::start(builder.build().unwrap(), config).await.err().unwrap();
    let text = error.to_string();
    assert!(text.contains("store \"in-memory\" is in memory and has no engine"), "{text}");
    assert!(text.contains("there is no store \"on-dsk\"; those with an engine are: on-disk"));
}
