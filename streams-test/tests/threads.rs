//! Several stream threads in a process, each with a transaction and a membership of its own: tasks
//! move between them, with their storage, and the committed output is exact.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use streams_core::StreamsConfig;
use streams_core::client::Isolation;
use streams_core::config::State;
use streams_test::{EmbeddedCluster, Simulation};

use common::{INPUT, OUTPUT, PARTITIONS, WORDS, Written, is_drained, topology};

fn config(threads: usize) -> StreamsConfig {
    StreamsConfig::new("app", "embedded")
        .exactly_once()
        .threads(threads)
        .set("session.timeout.ms", 6_000)
        .set("heartbeat.interval.ms", 1_000)
        .set("max.poll.interval.ms", 10_000)
        .set("state.flush.interval.ms", 500)
}

fn simulation(threads: usize, seed: u64) -> Simulation {
    common::show_logs();
    let simulation = Simulation::new(topology(), config(threads), seed);
    simulation.cluster().create_topic(INPUT, PARTITIONS).unwrap();
    simulation.cluster().create_topic(OUTPUT, PARTITIONS).unwrap();
    simulation
}

fn write(simulation: &Simulation, written: &mut Written, rounds: u64) {
    (0..WORDS * rounds).for_each(|word| written.write(simulation.cluster(), word % WORDS));
}

/// The committed counts of each key, in order.
fn counts(cluster: &EmbeddedCluster) -> BTreeMap<String, Vec<u64>> {
    let mut counts = BTreeMap::<_, Vec<_>>::new();
    for partition in 0..PARTITIONS {
        for (_, record) in cluster.read(OUTPUT, partition, 0, Isolation::ReadCommitted) {
            let text = |bytes: Box<[u8]>| String::from_utf8(bytes.into_vec()).unwrap();
            let key = text(record.key.clone().unwrap());
            let (count, numbers) = common::parse(&text(record.value.clone().unwrap()));
            assert_eq!(count, numbers.len() as u64, "{key}: a record was counted twice");
            counts.entry(key).or_default().push(count);
        }
    }
    counts
}

#[track_caller]
fn check(simulation: &Simulation, written: &Written, what: &str) {
    for (key, told) in counts(simulation.cluster()) {
        let exact: Vec<u64> = (1..=written.numbers[&key].len() as u64).collect();
        assert_eq!(told, exact, "{what}: {key}");
    }
}

/// Threads that stand still for longer than they may lose their tasks to others of the process.
#[test]
fn tasks_move_between_threads_of_a_process_and_the_output_is_exact() {
    for seed in 0..25 {
        let what = format!("seed {seed}");
        let mut simulation = simulation(2 + (seed % 3) as usize, seed);
        let instance = simulation.start_instance();
        let mut written = Written::default();
        for round in 0..12 {
            write(&simulation, &mut written, 3);
            let stalls = (round % 3 == 1).then_some((40, Duration::from_secs(25)));
            simulation.set_stalls(stalls);
            simulation.run_for(Duration::from_secs(4));
        }
        simulation.set_stalls(None);
        simulation.run_until("the input is processed", is_drained);
        simulation.run_for(Duration::from_secs(30));
        assert_eq!(simulation.state(instance), Some(State::Running), "{what}");
        check(&simulation, &written, &what);
    }
}

/// Each process has several threads, and processes come and go.
#[test]
fn processes_with_several_threads_come_and_go_and_the_output_is_exact() {
    for seed in 0..25 {
        let what = format!("seed {seed}");
        let mut simulation = simulation(3, seed);
        let mut written = Written::default();
        let first = simulation.start_instance();
        write(&simulation, &mut written, 5);
        simulation.run_for(Duration::from_millis(seed * 37));
        let second = simulation.start_instance();
        write(&simulation, &mut written, 5);
        for _ in 0..seed * 11 {
            simulation.step();
        }
        simulation.kill(first);
        write(&simulation, &mut written, 5);
        simulation.run_for(Duration::from_millis(seed * 53));
        simulation.restart(first);
        write(&simulation, &mut written, 5);
        for _ in 0..seed * 7 {
            simulation.step();
        }
        simulation.stop(second);
        simulation.run_for(Duration::from_secs(40));
        assert!(simulation.has_ended(second), "{what}");
        simulation.run_until("the input is processed", is_drained);
        simulation.run_for(Duration::from_secs(15));
        assert_eq!(simulation.state(first), Some(State::Running), "{what}");
        check(&simulation, &written, &what);
    }
}
