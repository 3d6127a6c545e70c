//! What the application gets over by itself is told to whoever operates it.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_core::client::{MemoryRecord, NewTopic};
use streams_core::config::{RestorePhase, StreamsEvent};
use streams_core::processor::{ProcessorContext, process_fn};
use streams_core::stores::{Stores, WindowHandle};
use streams_core::{BoxError, StreamsConfig, TaskId, Timestamp, Topology};
use streams_test::Simulation;

use common::{CHANGELOG, INPUT, OUTPUT, PARTITIONS, WORDS, Written, is_drained, topology};

#[test]
fn a_store_that_is_rebuilt_is_told_with_the_reason_and_nothing_else_is() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let restored = Arc::new(Mutex::new(Vec::new()));
    let (told, progress) = (events.clone(), restored.clone());
    let config = StreamsConfig::new("app", "embedded")
        .exactly_once()
        .set("state.flush.interval.ms", 500)
        .on_event(move |event| told.lock().unwrap().push(event.clone()))
        .on_restore(move |restore| {
            if restore.phase == RestorePhase::Done {
                progress.lock().unwrap().push((restore.task, restore.store.clone()));
            }
        });
    let mut simulation = Simulation::new(topology(), config, 1);
    simulation.cluster().create_topic(INPUT, PARTITIONS).unwrap();
    simulation.cluster().create_topic(OUTPUT, PARTITIONS).unwrap();
    let instance = simulation.start_instance();
    let mut written = Written::default();
    (0..WORDS * 4).for_each(|word| written.write(simulation.cluster(), word % WORDS));
    simulation.run_until("the input is processed", is_drained);
    simulation.run_for(Duration::from_secs(5));
    simulation.flush_disk(instance);
    simulation.kill(instance);
    simulation.restart(instance);
    simulation.run_for(Duration::from_secs(20));
    assert!(events.lock().unwrap().is_empty(), "a kill is no reason: {:?}", events.lock().unwrap());

    simulation.kill(instance);
    let cluster = simulation.cluster();
    let configs = cluster.topic_configs(CHANGELOG).unwrap();
    cluster.delete_topic(CHANGELOG).unwrap();
    let name = CHANGELOG.into();
    let topic = NewTopic { name, partitions: PARTITIONS, replication_factor: -1, configs };
    cluster.create_topic_with(topic).unwrap();
    for word in 0..WORDS {
        common::append(cluster, CHANGELOG, &format!("word-{word}"), "500:7000");
    }
    simulation.restart(instance);
    simulation.run_for(Duration::from_secs(20));
    let mut rebuilt = Vec::new();
    for event in events.lock().unwrap().iter() {
        let StreamsEvent::StoreRebuilt { task, store, reason } = event else {
            panic!("{event:?}");
        };
        assert!(reason.contains("deleted and created again"), "{reason}");
        rebuilt.push((*task, store.clone()));
    }
    rebuilt.sort();
    let expected = [0, 1].map(|partition| (TaskId::new(1, partition), "seen".to_owned()));
    assert_eq!(rebuilt, expected);
    let restored = restored.lock().unwrap();
    assert!(expected.iter().all(|store| restored.contains(store)), "{restored:?}");
}

fn put(
    windows: &WindowHandle<String, i64>,
    key: String,
    _: String,
    cx: &mut ProcessorContext<'_, (), ()>,
) -> Result<(), BoxError> {
    let now = cx.timestamp();
    cx.store(windows).put(&key, now, 1).map(drop)
}

/// The broker deletes the changelogs of windows by the time of the records.
#[test]
fn windows_far_behind_the_clock_are_told_once() {
    let day = Duration::from_secs(86_400);
    for (age, expected) in [(day / 2, None), (day * 10, Some(day * 10))] {
        let mut builder = Topology::builder();
        let source = builder.add_source::<String, String>("in", "in");
        let windows = Stores::window::<String, i64>("windows", day, Duration::from_secs(1));
        builder.add_processor("put", &[&source], windows, |windows, _| {
            process_fn(windows, Arc::new(put))
        });
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = events.clone();
        let config = StreamsConfig::new("app", "embedded")
            .exactly_once()
            .on_event(move |event| told.lock().unwrap().push(event.clone()));
        let mut simulation = Simulation::new(builder.build().unwrap(), config, 1);
        simulation.cluster().create_topic("in", 1).unwrap();
        simulation.start_instance();
        for n in 0..5_i64 {
            let now = Timestamp::from_millis(1_700_000_000_000);
            let old = i64::try_from(age.as_millis()).unwrap();
            let timestamp = now.as_millis() - old + n;
            let (key, value) = (Some(b"k".as_slice().into()), Some(b"v".as_slice().into()));
            let record = MemoryRecord { timestamp, key, value, ..MemoryRecord::default() };
            simulation.cluster().append("in", 0, record).unwrap();
            simulation.run_for(Duration::from_secs(1));
        }
        let events = events.lock().unwrap();
        let behind = events.iter().map(|event| match event {
            StreamsEvent::WindowsBehindClock { behind, .. } => behind.as_secs() / 3_600,
            other => panic!("{other:?}"),
        });
        let expected = expected.map(|expected| expected.as_secs() / 3_600);
        assert_eq!(behind.collect::<Vec<_>>(), Vec::from_iter(expected), "{age:?}");
    }
}
