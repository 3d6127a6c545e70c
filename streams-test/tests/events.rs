//! What the application gets over by itself is told to whoever operates it.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_core::client::NewTopic;
use streams_core::config::{RestorePhase, StreamsEvent};
use streams_core::{StreamsConfig, TaskId};
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
