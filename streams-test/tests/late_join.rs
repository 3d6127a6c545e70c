//! A killed process comes back under its old member id, and then a JoinGroup that it sent before
//! it was killed arrives: the coordinator takes it for ours. It costs a rebalance and nothing
//! else, for our next heartbeat hears of it, and joins again with what is true.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_core::StreamsConfig;
use streams_core::client::Isolation;
use streams_core::config::State;
use streams_core::time::Instant;
use streams_test::embedded::{Fault, FaultPlan, Operation, Step};
use streams_test::{EmbeddedCluster, Simulation};

use common::{INPUT, OUTPUT, PARTITIONS, WORDS, Written, is_drained, topology};

/// The next joins arrive late.
#[derive(Default)]
struct LateJoins {
    late: Mutex<Option<Duration>>,
    count: AtomicUsize,
}

impl FaultPlan for LateJoins {
    fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
        match (operation.step, *self.late.lock().unwrap()) {
            (Step::Join, Some(late)) => {
                self.count.fetch_add(1, Ordering::SeqCst);
                Fault::Delay(now + late)
            }
            _ => Fault::None,
        }
    }
}

fn write(simulation: &Simulation, written: &mut Written) {
    (0..WORDS * 4).for_each(|word| written.write(simulation.cluster(), word % WORDS));
}

fn counts(cluster: &EmbeddedCluster) -> BTreeMap<String, Vec<u64>> {
    let mut counts = BTreeMap::<_, Vec<_>>::new();
    for partition in 0..PARTITIONS {
        for (_, record) in cluster.read(OUTPUT, partition, 0, Isolation::ReadCommitted) {
            let text = |bytes: Box<[u8]>| String::from_utf8(bytes.into_vec()).unwrap();
            let key = text(record.key.clone().unwrap());
            let value = text(record.value.clone().unwrap());
            counts.entry(key).or_default().push(common::parse(&value).0);
        }
    }
    counts
}

fn late_join(seed: u64, late: Duration) {
    common::show_logs();
    let what = format!("seed {seed}, late by {late:?}");
    let config = StreamsConfig::new("app", "embedded")
        .exactly_once()
        .set("session.timeout.ms", 6_000)
        .set("heartbeat.interval.ms", 1_000);
    let mut simulation = Simulation::new(topology(), config, seed);
    simulation.cluster().create_topic(INPUT, PARTITIONS).unwrap();
    simulation.cluster().create_topic(OUTPUT, PARTITIONS).unwrap();
    let plan = Arc::new(LateJoins::default());
    simulation.cluster().set_faults(Some(plan.clone()));
    let mut written = Written::default();
    let first = simulation.start_instance();
    write(&simulation, &mut written);
    simulation.run_until("the input is processed", is_drained);
    // The second process makes the group rebalance: the first one joins, late, and is killed.
    let second = simulation.start_instance();
    simulation.run_for(Duration::from_millis(50));
    *plan.late.lock().unwrap() = Some(late);
    let limit = simulation.now() + Duration::from_secs(5);
    while plan.count.load(Ordering::SeqCst) == 0 && simulation.now() < limit {
        simulation.step();
    }
    assert!(plan.count.load(Ordering::SeqCst) > 0, "{what}: nobody joined");
    *plan.late.lock().unwrap() = None;
    simulation.kill(first);
    write(&simulation, &mut written);
    simulation.restart(first);
    simulation.run_until("the input is processed", is_drained);
    // Whatever comes late has come, and is got over within a rebalance.
    simulation.run_for(late + Duration::from_secs(8));
    write(&simulation, &mut written);
    let began = simulation.now();
    simulation.run_until("the input is processed again", is_drained);
    let took = simulation.now().since(began);
    assert!(took < Duration::from_secs(1), "{what}: still rebalancing after {took:?}");
    for instance in [first, second] {
        assert_eq!(simulation.state(instance), Some(State::Running), "{what}");
    }
    for (key, told) in counts(simulation.cluster()) {
        let exact: Vec<u64> = (1..=written.numbers[&key].len() as u64).collect();
        assert_eq!(told, exact, "{what}: {key}");
    }
}

#[test]
fn a_late_join_of_a_dead_process_costs_a_rebalance_and_nothing_else() {
    for seed in 0..10 {
        for late_ms in [1, 100, 700, 1_500, 4_000, 9_000] {
            late_join(seed, Duration::from_millis(late_ms));
        }
    }
}
