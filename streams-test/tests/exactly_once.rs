//! Exactly-once in the simulator, each step and each error in turn. What chance leads to is in
//! `seeds.rs`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_core::client::{ClientError, ClientErrorKind, GroupError, Isolation, MemoryRecord};
use streams_core::config::State;
use streams_core::error::BoxError;
use streams_core::partitioning::partition_for_key;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::time::Instant;
use streams_core::{StreamsConfig, Topology};
use streams_test::embedded::{Fault, FaultPlan, Operation, Step};
use streams_test::{EmbeddedCluster, InstanceId, Simulation, for_each_seed};

const PARTITIONS: i32 = 2;
const CHANGELOG: &str = "app-counts-changelog";
const REPARTITION: &str = "app-again-repartition";
const WORDS: usize = 7;

/// Counts in its store; fails at a count if it is told to.
struct Count {
    counts: KeyValueHandle<String, i64>,
    fail_at: Option<i64>,
}

impl Processor for Count {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        key: String,
        _: String,
        cx: &mut ProcessorContext<'_, String, i64>,
    ) -> Result<(), BoxError> {
        let count = cx.store(&self.counts).get(&key)?.copied().unwrap_or(0) + 1;
        cx.store(&self.counts).put(&key, count)?;
        cx.forward(key, count)?;
        if self.fail_at == Some(count) { Err("as planned".into()) } else { Ok(()) }
    }
}

fn topology(fail_at: Option<i64>) -> Topology {
    let mut builder = Topology::builder();
    let words = builder.add_source::<String, String>("words", "words");
    builder.add_repartition_topic("again-repartition", None);
    builder.add_sink("again-sink", &[&words], "again-repartition");
    let again = builder.add_source::<String, String>("again-source", "again-repartition");
    let stores = Stores::key_value::<String, i64>("counts");
    let counts = builder
        .add_processor("count", &[&again], stores, move |counts, _| Count { counts, fail_at });
    builder.add_sink("out", &[&counts], "out");
    builder.build().unwrap()
}

fn config() -> StreamsConfig {
    StreamsConfig::new("app", "embedded")
        .exactly_once()
        .set("session.timeout.ms", 6_000)
        .set("heartbeat.interval.ms", 1_000)
        .set("state.flush.interval.ms", 300)
}

fn simulation_of(topology: Topology, config: StreamsConfig, seed: u64) -> Simulation {
    let simulation = Simulation::new(topology, config, seed);
    simulation.cluster().create_topic("words", PARTITIONS).unwrap();
    simulation.cluster().create_topic("out", PARTITIONS).unwrap();
    simulation
}

fn simulation(seed: u64) -> Simulation {
    simulation_of(topology(None), config(), seed)
}

fn word(n: usize) -> String {
    format!("word-{}", n % WORDS)
}

fn write(cluster: &EmbeddedCluster, range: Range<usize>) {
    for n in range {
        let key = word(n).into_bytes();
        let partition = partition_for_key(&key, PARTITIONS);
        let record = MemoryRecord {
            timestamp: n as i64,
            key: Some(key.into()),
            value: Some(b"x".as_slice().into()),
            ..MemoryRecord::default()
        };
        cluster.append("words", partition, record).unwrap();
    }
}

/// The committed values of each key, in order.
fn values(cluster: &EmbeddedCluster, topic: &str) -> BTreeMap<String, Vec<i64>> {
    let mut values = BTreeMap::<_, Vec<_>>::new();
    for partition in 0..PARTITIONS {
        for (_, record) in cluster.read(topic, partition, 0, Isolation::ReadCommitted) {
            let key = String::from_utf8(record.key.clone().unwrap().into_vec()).unwrap();
            let bytes = <[u8; 8]>::try_from(&*record.value.clone().unwrap()).unwrap();
            values.entry(key).or_default().push(i64::from_be_bytes(bytes));
        }
    }
    values
}

/// What an undisturbed run gives: each key counts from 1, without gaps and repetitions.
fn undisturbed(records: usize) -> BTreeMap<String, Vec<i64>> {
    let mut values = BTreeMap::<_, Vec<_>>::new();
    for n in 0..records {
        let of_key = values.entry(word(n)).or_default();
        of_key.push(of_key.len() as i64 + 1);
    }
    values
}

fn last(values: BTreeMap<String, Vec<i64>>) -> BTreeMap<String, i64> {
    values.into_iter().map(|(key, values)| (key, *values.last().unwrap())).collect()
}

fn end(cluster: &EmbeddedCluster, topic: &str, partition: i32, isolation: Isolation) -> i64 {
    cluster.end_offset(topic, partition, isolation).unwrap_or(0)
}

/// Whether every input record was processed, and its position committed.
fn is_drained(cluster: &EmbeddedCluster) -> bool {
    ["words", REPARTITION].iter().all(|topic| {
        (0..PARTITIONS).all(|partition| {
            let end = end(cluster, topic, partition, Isolation::ReadUncommitted);
            let committed = cluster.committed("app", topic, partition);
            end == 0 || committed.is_some_and(|committed| committed.offset == end)
        })
    })
}

#[track_caller]
fn check(simulation: &Simulation, records: usize, what: &str) {
    let cluster = simulation.cluster();
    assert_eq!(values(cluster, "out"), undisturbed(records), "{what}: the output");
    let state = last(values(cluster, CHANGELOG));
    assert_eq!(state, last(undisturbed(records)), "{what}: the changelog");
    for topic in ["out", CHANGELOG, REPARTITION] {
        for partition in 0..PARTITIONS {
            let stable = end(cluster, topic, partition, Isolation::ReadCommitted);
            let all = end(cluster, topic, partition, Isolation::ReadUncommitted);
            assert_eq!(stable, all, "{what}: an open transaction in {topic}-{partition}");
        }
    }
}

/// I1: what an engine has was committed.
#[track_caller]
fn check_engines(simulation: &Simulation, instances: &[InstanceId], what: &str) {
    for &instance in instances {
        for partition in 0..PARTITIONS {
            if let Some(applied) = simulation.applied_offset(instance, (1, partition), "counts") {
                let cluster = simulation.cluster();
                let stable = end(cluster, CHANGELOG, partition, Isolation::ReadCommitted);
                assert!(applied <= stable, "{what}: {applied} is applied, {stable} is committed");
            }
        }
    }
}

/// Steps, looking at the engines now and then.
fn steps(simulation: &mut Simulation, instances: &[InstanceId], count: u64, what: &str) {
    for step in 0..count {
        simulation.step();
        if step % 8 == 0 {
            check_engines(simulation, instances, what);
        }
    }
    for &instance in instances {
        if let Some(failure) = simulation.take_failure(instance) {
            panic!("{what}: {failure:?}");
        }
    }
}

#[test]
fn undisturbed_each_record_counts_once() {
    let mut simulation = simulation(1);
    simulation.start_instance();
    write(simulation.cluster(), 0..200);
    simulation.run_until("the input is processed", is_drained);
    simulation.run_for(Duration::from_secs(1));
    check(&simulation, 200, "undisturbed");
}

/// I3: a crash at any instruction.
#[test]
fn killed_at_any_step_the_output_is_exact() {
    for count in (0..1200).step_by(4) {
        let what = format!("killed after {count} steps");
        let mut simulation = simulation(count);
        let instances = [simulation.start_instance(), simulation.start_instance()];
        write(simulation.cluster(), 0..60);
        steps(&mut simulation, &instances, count, &what);
        simulation.kill(instances[0]);
        write(simulation.cluster(), 60..120);
        simulation.run_for(Duration::from_millis(500));
        simulation.restart(instances[0]);
        simulation.run_until("the input is processed", is_drained);
        simulation.run_for(Duration::from_secs(15));
        check_engines(&simulation, &instances, &what);
        check(&simulation, 120, &what);
    }
}

/// I6: what a thawed instance had open is not committed.
#[test]
fn a_frozen_instance_commits_nothing_when_it_is_thawed() {
    for seed in 0..60 {
        let what = format!("seed {seed}");
        let mut simulation = simulation(seed);
        let instances = [simulation.start_instance(), simulation.start_instance()];
        write(simulation.cluster(), 0..100);
        simulation.run_until("both run", |cluster| !values(cluster, "out").is_empty());
        write(simulation.cluster(), 100..200);
        steps(&mut simulation, &instances, seed * 3, &what);
        simulation.freeze(instances[0]);
        simulation.run_for(Duration::from_secs(20));
        simulation.run_until("the other one has all tasks", is_drained);
        simulation.thaw(instances[0]);
        simulation.run_for(Duration::from_secs(30));
        check(&simulation, 200, &what);
        assert_eq!(simulation.state(instances[0]), Some(State::Running), "{what}");
    }
}

/// Fails one kind of operation once, the `skip`-th time.
struct Once {
    step: Step,
    skip: AtomicU64,
    fault: Mutex<Option<Fault>>,
}

impl FaultPlan for Once {
    fn decide(&self, operation: &Operation<'_>, _: Instant) -> Fault {
        if operation.step != self.step {
            return Fault::None;
        }
        let skipped =
            self.skip.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if skipped.is_ok() {
            return Fault::None;
        }
        self.fault.lock().unwrap().take().unwrap_or_default()
    }
}

/// Each error at each step of a transaction: either the output is exact, or the thread ends with
/// that error, aborts, and its successor's output is exact.
#[test]
fn each_error_at_each_step_is_survived_or_told() {
    use ClientErrorKind as Kind;
    let survived = [
        Kind::Retriable,
        Kind::Group(GroupError::IllegalGeneration),
        Kind::Group(GroupError::UnknownMember),
        Kind::Group(GroupError::FencedInstance),
        Kind::Group(GroupError::RebalanceInProgress),
        Kind::ProducerFenced,
        Kind::AbortTransaction,
        Kind::Fatal,
    ];
    let told = [
        Kind::OffsetOutOfRange,
        Kind::UnknownTopic,
        Kind::TopicExists,
        Kind::RecordTooLarge,
        Kind::Authentication,
        Kind::Authorization,
        Kind::Invalid,
        Kind::Unsupported,
    ];
    let steps = [
        Step::InitTransactions,
        Step::Produce,
        Step::Flush,
        Step::TransactionOffsets,
        Step::Commit,
    ];
    for step in steps {
        let fails = |kind| Fault::Fail(ClientError::new(kind, "as planned"));
        let faults = survived.iter().map(|&kind| (fails(kind), false));
        let faults = faults.chain(told.iter().map(|&kind| (fails(kind), true)));
        let faults = faults.chain([(Fault::LoseAnswer, false), (Fault::LoseRequest, false)]);
        // librdkafka may never answer a commit.
        let never = Instant::default() + Duration::from_secs(1_000_000);
        let unanswered =
            [Fault::Delay(never), Fault::DelayAnswer(never)].map(|fault| (fault, false));
        let commits = matches!(step, Step::TransactionOffsets | Step::Commit);
        let faults = faults.chain(unanswered.into_iter().filter(|_| commits));
        for (fault, is_told) in faults {
            let what = format!("{step:?} {fault:?}");
            let mut simulation = simulation(7);
            let skip = AtomicU64::new(u64::from(step != Step::InitTransactions));
            let plan = Arc::new(Once { step, skip, fault: Mutex::new(Some(fault)) });
            simulation.cluster().set_faults(Some(plan.clone()));
            let instance = simulation.start_instance();
            write(simulation.cluster(), 0..50);
            let mut failure = None;
            for _ in 0..20_000 {
                simulation.step();
                failure = failure.or_else(|| simulation.take_failure(instance));
            }
            assert!(plan.fault.lock().unwrap().is_none(), "{what}: it never came to that");
            assert_eq!(failure.is_some(), is_told, "{what}: {failure:?}");
            if is_told {
                simulation.kill(instance);
                simulation.restart(instance);
            }
            simulation.run_until("the input is processed", is_drained);
            simulation.run_for(Duration::from_secs(15));
            check(&simulation, 50, &what);
        }
    }
}

/// All join the group at once, and never again. The commit of one producer comes late once it is
/// told so, and so does whoever takes its place.
struct LateCommit {
    transactional_id: Mutex<Option<String>>,
    until: Mutex<Option<Instant>>,
}

const LATE: Duration = Duration::from_millis(8_400);
const LATER: Duration = Duration::from_millis(9_400);

impl FaultPlan for LateCommit {
    fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
        let together = Instant::default() + Duration::from_secs(1);
        if operation.step == Step::Join && now < together {
            return Fault::Delay(together);
        }
        let id = self.transactional_id.lock().unwrap();
        if id.as_deref() != Some(operation.client) {
            return Fault::None;
        }
        let mut until = self.until.lock().unwrap();
        match (operation.step, *until) {
            (Step::TransactionOffsets, None) => {
                *until = Some(now);
                Fault::Delay(now + LATE)
            }
            (Step::InitTransactions, Some(since)) => Fault::Delay(since + LATER),
            _ => Fault::None,
        }
    }
}

/// A member whose proof has run out, while the group still has it, is back in the same generation.
/// Its last commit is still on its way, and nobody but the new producer's start can keep it from
/// arriving: only after that the committed positions are the last word.
#[test]
fn tasks_are_created_when_no_commit_can_arrive_any_more() {
    for_each_seed(0..20, |seed| {
        // Nothing is on disk, so that the member says the same when it joins again.
        let config = config().set("state.flush.interval.ms", 300_000);
        let mut simulation = simulation_of(topology(None), config, seed);
        let plan = Arc::new(LateCommit { transactional_id: None.into(), until: None.into() });
        simulation.cluster().set_faults(Some(plan.clone()));
        simulation.start_instance();
        let follower = simulation.start_instance();
        write(simulation.cluster(), 0..100);
        simulation.run_until("the input is processed", is_drained);
        simulation.run_for(Duration::from_secs(5));
        let process = simulation.process_id(follower);
        *plan.transactional_id.lock().unwrap() = Some(format!("app-{process}-1"));
        write(simulation.cluster(), 100..200);
        let begins = |_: &EmbeddedCluster| plan.until.lock().unwrap().is_some();
        simulation.run_until("a commit is late", begins);
        simulation.freeze(follower);
        simulation.run_for(Duration::from_secs(2));
        // Whoever coordinates next gives every member a session.
        simulation.cluster().move_coordinators(Duration::from_millis(1));
        let frozen = plan.until.lock().unwrap().unwrap() + Duration::from_millis(6_200);
        while simulation.now() < frozen {
            assert!(simulation.step());
        }
        simulation.thaw(follower);
        simulation.run_for(LATER);
        simulation.run_until("the input is processed", is_drained);
        simulation.run_for(Duration::from_secs(15));
        check(&simulation, 200, &format!("seed {seed}"));
    });
}

/// The end of one transaction of this producer is late: whoever takes its tasks over meanwhile asks
/// for positions that a transaction holds.
struct LateEnd {
    transactional_id: Mutex<Option<String>>,
    arrives: Mutex<Option<Instant>>,
}

impl FaultPlan for LateEnd {
    fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
        let id = self.transactional_id.lock().unwrap();
        let mut arrives = self.arrives.lock().unwrap();
        let meant = id.as_deref() == Some(operation.client) && arrives.is_none();
        if !meant || operation.step != Step::Commit {
            return Fault::None;
        }
        *arrives = Some(now + LATE);
        Fault::Delay(now + LATE)
    }
}

/// A frozen instance loses its tasks while the end of its transaction is on its way; it arrives
/// after others were asked where the tasks were left, and counts.
#[test]
fn a_position_that_a_transaction_holds_is_waited_for() {
    for_each_seed(0..20, |seed| {
        let mut simulation = simulation(seed);
        let plan = Arc::new(LateEnd { transactional_id: None.into(), arrives: None.into() });
        simulation.cluster().set_faults(Some(plan.clone()));
        let owner = simulation.start_instance();
        simulation.start_instance();
        write(simulation.cluster(), 0..100);
        simulation.run_until("the input is processed", is_drained);
        simulation.run_for(Duration::from_secs(5));
        let process = simulation.process_id(owner);
        *plan.transactional_id.lock().unwrap() = Some(format!("app-{process}-1"));
        write(simulation.cluster(), 100..200);
        let ends = |_: &EmbeddedCluster| plan.arrives.lock().unwrap().is_some();
        simulation.run_until("the end of a transaction is on its way", ends);
        simulation.freeze(owner);
        simulation.run_for(LATE + Duration::from_secs(1));
        simulation.run_until("the other one has all tasks", is_drained);
        simulation.thaw(owner);
        simulation.run_for(Duration::from_secs(15));
        check(&simulation, 200, &format!("seed {seed}"));
    });
}

/// I4: an application that fails aborts what it has sent, at once: nobody waits for a timeout.
#[test]
fn a_failing_processor_leaves_nothing_behind() {
    let mut simulation = simulation_of(topology(Some(3)), config(), 4);
    let instance = simulation.start_instance();
    write(simulation.cluster(), 0..50);
    let mut failure = None;
    while failure.is_none() {
        assert!(simulation.step());
        failure = simulation.take_failure(instance);
    }
    for partition in 0..PARTITIONS {
        let stable = end(simulation.cluster(), "out", partition, Isolation::ReadCommitted);
        let all = end(simulation.cluster(), "out", partition, Isolation::ReadUncommitted);
        assert_eq!(stable, all, "a transaction is open");
    }
    let out = values(simulation.cluster(), "out");
    assert!(out.values().all(|values| values.iter().all(|&value| value < 3)), "{out:?}");
}
