//! Under at-least-once: records that could not be written are written again. The tasks go back to
//! their last commit, and nobody has to restart anything.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use streams_core::StreamsConfig;
use streams_core::client::{ClientError, ClientErrorKind};
use streams_core::config::State;
use streams_core::time::Instant;
use streams_test::Simulation;
use streams_test::embedded::{Fault, FaultPlan, Operation, Step};

use common::{CHANGELOG, INPUT, OUTPUT, PARTITIONS, WORDS, Written, is_drained, table, topology};

/// Each `one_in`-th operation fails, until it is switched off.
struct Lose {
    step: Step,
    kind: ClientErrorKind,
    one_in: u64,
    count: AtomicU64,
    on: AtomicBool,
}

impl FaultPlan for Lose {
    fn decide(&self, operation: &Operation<'_>, _: Instant) -> Fault {
        if operation.step != self.step || !self.on.load(Ordering::SeqCst) {
            return Fault::None;
        }
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if count.is_multiple_of(self.one_in) {
            Fault::Fail(ClientError::new(self.kind, "as planned"))
        } else {
            Fault::None
        }
    }
}

fn lossy_run(step: Step, kind: ClientErrorKind, one_in: u64, seed: u64) {
    common::show_logs();
    let what = format!("{step:?} {kind:?} one in {one_in}, seed {seed}");
    let config = StreamsConfig::new("app", "embedded").set("commit.interval.ms", 100);
    let mut simulation = Simulation::new(topology(), config, seed);
    simulation.cluster().create_topic(INPUT, PARTITIONS).unwrap();
    simulation.cluster().create_topic(OUTPUT, PARTITIONS).unwrap();
    let (count, on) = (AtomicU64::new(0), AtomicBool::new(true));
    let plan = Arc::new(Lose { step, kind, one_in, count, on });
    simulation.cluster().set_faults(Some(plan.clone()));
    let instance = simulation.start_instance();
    let mut written = Written::default();
    for round in 0..10 {
        (0..WORDS * 3).for_each(|word| written.write(simulation.cluster(), word % WORDS));
        plan.on.store(round < 8, Ordering::SeqCst);
        simulation.run_for(Duration::from_millis(700));
    }
    simulation.run_until("the input is processed", is_drained);
    simulation.run_for(Duration::from_secs(1));
    assert!(plan.count.load(Ordering::SeqCst) > one_in, "{what}: nothing was lost");
    assert_eq!(simulation.state(instance), Some(State::Running), "{what}");
    let output = table(simulation.cluster(), OUTPUT);
    for (word, numbers) in &written.numbers {
        assert_eq!(output[word].1, *numbers, "{what}: {word}");
    }
    assert_eq!(output, table(simulation.cluster(), CHANGELOG), "{what}");
}

#[test]
fn a_record_that_could_not_be_written_is_written_again() {
    for seed in 0..3 {
        lossy_run(Step::Produce, ClientErrorKind::Retriable, 131, seed);
    }
}

#[test]
fn a_producer_that_died_is_replaced() {
    for seed in 0..3 {
        lossy_run(Step::Produce, ClientErrorKind::Fatal, 97, seed);
        lossy_run(Step::Flush, ClientErrorKind::ProducerFenced, 7, seed);
    }
}
