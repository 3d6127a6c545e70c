//! At-least-once where chance would seldom lead. What chance leads to is in `seeds.rs`.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use streams_core::StreamsConfig;
use streams_core::client::{ClientError, ClientErrorKind};
use streams_core::config::State;
use streams_core::time::Instant;
use streams_test::embedded::{Fault, FaultPlan, Operation, Step};
use streams_test::{EmbeddedCluster, InstanceId, Simulation, for_each_seed};

use common::{
    CHANGELOG, INPUT, OUTPUT, PARTITIONS, REPARTITION, Seen, WORDS, Written, end, is_drained,
    positions, table, topology,
};

/// For a session, a rebalance and a restore or two.
const RECOVERY_MAX: Duration = Duration::from_secs(400);

fn config(seed: u64) -> StreamsConfig {
    StreamsConfig::new("app", "embedded")
        .commit_interval(Duration::from_millis(if seed.is_multiple_of(3) { 1_000 } else { 100 }))
        .set("session.timeout.ms", 6_000)
        .set("heartbeat.interval.ms", 1_000)
        .set("state.flush.interval.ms", if seed.is_multiple_of(4) { 30_000 } else { 500 })
}

/// Three instances and what was written for them.
struct Application {
    simulation: Simulation,
    instances: [InstanceId; 3],
    written: Written,
}

impl Application {
    fn new(seed: u64) -> Self {
        Self::with(config(seed), seed)
    }

    fn with(config: StreamsConfig, seed: u64) -> Self {
        common::show_logs();
        let mut simulation = Simulation::new(topology(), config, seed);
        simulation.cluster().create_topic(INPUT, PARTITIONS).unwrap();
        simulation.cluster().create_topic(OUTPUT, PARTITIONS).unwrap();
        let instances = std::array::from_fn(|_| simulation.start_instance());
        Self { simulation, instances, written: Written::default() }
    }

    fn cluster(&self) -> &EmbeddedCluster {
        self.simulation.cluster()
    }

    fn write(&mut self, records: u64) {
        for n in 0..records {
            self.written.write(self.simulation.cluster(), n * n % WORDS);
        }
    }

    fn run_until_settled(&mut self) {
        let limit = self.simulation.now() + RECOVERY_MAX;
        while !self.is_settled() {
            let goes_on = self.simulation.step() && self.simulation.now() < limit;
            assert!(goes_on, "not settled after {RECOVERY_MAX:?}:{}", positions(self.cluster()));
        }
    }

    fn is_settled(&self) -> bool {
        let running = |id: &InstanceId| self.simulation.state(*id) == Some(State::Running);
        self.instances.iter().all(running) && is_drained(self.cluster())
    }

    /// Nothing is lost, and the output and the state of a key have the same history.
    fn check(&self) -> BTreeMap<String, Seen> {
        let output = table(self.cluster(), OUTPUT);
        for (key, numbers) in &self.written.numbers {
            let (count, seen) = &output.get(key).cloned().unwrap_or_default();
            assert_eq!(seen, numbers, "{key}: records were skipped, or come from nowhere");
            assert!(*count >= numbers.len() as u64, "{key}: {count} of {}", numbers.len());
        }
        assert_eq!(output, table(self.cluster(), CHANGELOG));
        output
    }

    fn output_ends(&self) -> Vec<i64> {
        (0..PARTITIONS).map(|partition| end(self.cluster(), OUTPUT, partition)).collect()
    }
}

/// Changelogs are read late.
struct SlowRestore;

impl FaultPlan for SlowRestore {
    fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
        if operation.step == Step::Fetch && operation.client.ends_with("-restore-consumer") {
            Fault::Delay(now + Duration::from_secs(30))
        } else {
            Fault::None
        }
    }
}

/// A task is taken away while it is restored, and comes back before the restorer, which waits for
/// its disk, has heard of the first: what is restored by then is not its state.
#[test]
fn a_task_that_comes_back_while_its_restore_is_cancelled_is_restored() {
    for_each_seed(0..20, |seed| {
        let mut app = Application::new(seed * 2);
        let [first, second, third] = app.instances;
        app.write(100);
        app.run_until_settled();
        app.simulation.kill(second);
        app.simulation.kill(third);
        app.simulation.run_for(Duration::from_secs(10));
        app.simulation.kill(first);
        app.simulation.wipe_disk(first);
        app.cluster().set_faults(Some(Arc::new(SlowRestore)));
        app.simulation.restart(first);
        app.simulation.run_for(Duration::from_secs(10));
        app.simulation.stall_restorer(first, Duration::from_secs(25));
        app.simulation.wipe_disk(second);
        app.simulation.restart(second);
        app.simulation.run_for(Duration::from_millis(1_500 + seed * 100));
        app.simulation.kill(second);
        app.simulation.run_for(Duration::from_secs(30));
        app.cluster().set_faults(None);
        app.write(20);
        app.simulation.restart(second);
        app.simulation.restart(third);
        app.run_until_settled();
        app.check();
    });
}

/// I3: all disks lost, the counts go on exactly where they were, for nothing was uncommitted; and
/// after an orderly stop nothing is processed again.
#[test]
fn counts_go_on_from_changelogs_and_after_an_orderly_stop() {
    for_each_seed(0..20, |seed| {
        let mut app = Application::new(seed);
        app.write(60 + seed);
        app.run_until_settled();
        for instance in app.instances {
            app.simulation.kill(instance);
            app.simulation.wipe_disk(instance);
        }
        app.write(30);
        app.instances.iter().for_each(|&instance| app.simulation.restart(instance));
        app.run_until_settled();
        for (key, (count, numbers)) in app.check() {
            assert_eq!(count, numbers.len() as u64, "{key}: restored from the changelog alone");
        }
        let ends = app.output_ends();
        app.instances.iter().for_each(|&instance| app.simulation.stop(instance));
        let has_ended = |app: &Application| {
            app.instances.iter().all(|&instance| app.simulation.has_ended(instance))
        };
        while !has_ended(&app) {
            assert!(app.simulation.step());
        }
        app.instances.iter().for_each(|&instance| app.simulation.restart(instance));
        app.simulation.run_for(Duration::from_secs(5));
        app.run_until_settled();
        assert_eq!(app.output_ends(), ends);
    });
}

/// What is sent to changelogs is late; or, but for that of partition 1, it fails.
struct ChangelogTrouble {
    late: Duration,
    failure: Option<ClientError>,
    heartbeats_are_lost: bool,
    /// A record is late.
    sent: AtomicBool,
}

impl ChangelogTrouble {
    fn late(late: Duration) -> Self {
        let sent = AtomicBool::new(false);
        Self { late, failure: None, heartbeats_are_lost: false, sent }
    }

    fn or_failing(late: Duration, kind: ClientErrorKind) -> Self {
        let failure = Some(ClientError::new(kind, "failed on purpose"));
        Self { failure, ..Self::late(late) }
    }
}

impl FaultPlan for ChangelogTrouble {
    fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
        match (operation.step, operation.partition, &self.failure) {
            (Step::Produce, Some((CHANGELOG, 0)), Some(failure)) => Fault::Fail(failure.clone()),
            (Step::Produce, Some((CHANGELOG, _)), _) => {
                self.sent.store(true, Ordering::SeqCst);
                Fault::Delay(now + self.late)
            }
            (Step::Heartbeat, ..) if self.heartbeats_are_lost => Fault::LoseRequest,
            _ => Fault::None,
        }
    }
}

/// One instance has all tasks, and something under way to a changelog. Then the faults have ended.
fn one_has_sent(app: &mut Application, trouble: ChangelogTrouble) {
    let [_, second, third] = app.instances;
    app.write(60);
    app.run_until_settled();
    app.simulation.kill(second);
    app.simulation.kill(third);
    app.simulation.run_for(Duration::from_secs(30));
    let trouble = Arc::new(trouble);
    app.cluster().set_faults(Some(trouble.clone()));
    if trouble.heartbeats_are_lost {
        // Most of a session of 20 s.
        app.simulation.run_for(Duration::from_secs(15));
    }
    // Whoever reads the input commits at once, which is as good as a heartbeat.
    for word in 0..WORDS {
        app.written.write_to(REPARTITION, app.simulation.cluster(), word);
    }
    let limit = app.simulation.now() + Duration::from_secs(5);
    while !trouble.sent.load(Ordering::SeqCst) && app.simulation.now() < limit {
        assert!(app.simulation.step());
    }
}

/// The others take the tasks over, and what was sent before has time to arrive.
fn others_go_on(app: &mut Application) {
    let [_, second, third] = app.instances;
    app.cluster().set_faults(None);
    app.write(20);
    app.simulation.restart(second);
    app.simulation.restart(third);
    app.simulation.run_for(Duration::from_secs(30));
}

/// Nobody fences a record without a transaction: one that waited in its client until the session
/// was over would put its old value over what the new owner of the task has written.
#[test]
fn a_record_that_comes_later_than_its_session_is_not_written() {
    for_each_seed(0..20, |seed| {
        let mut app = Application::new(seed);
        one_has_sent(&mut app, ChangelogTrouble::late(Duration::from_secs(9)));
        app.simulation.freeze(app.instances[0]);
        others_go_on(&mut app);
        app.simulation.thaw(app.instances[0]);
        app.run_until_settled();
        app.check();
    });
}

/// What is left of the session when heartbeats are not answered is too short for a record that is
/// late, though not too late for its client.
#[test]
fn nothing_is_written_when_the_session_may_end_before_it_arrives() {
    for_each_seed(0..20, |seed| {
        let config = config(seed).set("session.timeout.ms", 20_000);
        let mut app = Application::with(config, seed);
        let mut trouble = ChangelogTrouble::late(Duration::from_secs(9));
        trouble.heartbeats_are_lost = true;
        one_has_sent(&mut app, trouble);
        app.simulation.freeze(app.instances[0]);
        others_go_on(&mut app);
        app.simulation.thaw(app.instances[0]);
        app.run_until_settled();
        app.check();
    });
}

/// A commit fails in one record while another is under way, and with it ends what a task waited
/// for that is to be handed over: not before that record has arrived.
#[test]
fn a_task_is_not_handed_over_with_records_under_way() {
    for_each_seed(0..100, |seed| {
        let mut app = Application::new(seed);
        let late = Duration::from_millis(2_400);
        let trouble = ChangelogTrouble::or_failing(late, ClientErrorKind::Retriable);
        one_has_sent(&mut app, trouble);
        app.simulation.restart(app.instances[1]);
        app.simulation.run_for(Duration::from_millis(1_000 + 2 * seed));
        app.cluster().set_faults(None);
        app.write(20);
        app.simulation.restart(app.instances[2]);
        app.run_until_settled();
        app.check();
    });
}

/// A thread that fails leaves the group, so that the others need not wait for its session; but not
/// with records under way.
#[test]
fn a_failed_thread_does_not_leave_with_records_under_way() {
    for_each_seed(0..20, |seed| {
        let mut app = Application::new(seed);
        let late = Duration::from_millis(2_400);
        let trouble = ChangelogTrouble::or_failing(late, ClientErrorKind::RecordTooLarge);
        one_has_sent(&mut app, trouble);
        let first = app.instances[0];
        while app.simulation.take_failure(first).is_none() {
            assert!(app.simulation.step());
        }
        others_go_on(&mut app);
        app.simulation.kill(first);
        app.simulation.restart(first);
        app.run_until_settled();
        app.check();
    });
}
