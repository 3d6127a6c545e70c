//! Exactly-once in the simulator: whatever is killed, frozen or lost on the way, the committed
//! output is the one of an undisturbed run.
//!
//! More seeds, or a single one: `EXACTLY_ONCE_SEEDS=0..10000 cargo test -p streams-test --test
//! exactly_once seeds`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
use streams_test::{EmbeddedCluster, InstanceId, Simulation};

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

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Faults by chance, until it is switched off.
struct Chaos {
    random: Mutex<Random>,
    on: AtomicBool,
    count: AtomicU64,
}

impl Chaos {
    fn new(seed: u64) -> Arc<Self> {
        let random = Mutex::new(Random(seed ^ 0xc4a0_5c4a));
        Arc::new(Self { random, on: AtomicBool::new(true), count: AtomicU64::new(0) })
    }

    fn fault(&self, random: &mut Random, step: Step, now: Instant) -> Fault {
        let fail = |kind| Fault::Fail(ClientError::new(kind, "as planned"));
        let late = now + Duration::from_millis(1 + random.below(3_000));
        match (step, random.below(10)) {
            (Step::Fetch, 0..5) => fail(ClientErrorKind::Retriable),
            (Step::Fetch, _) => Fault::LoseAnswer,
            (Step::Produce, 0..3) => Fault::LoseAnswer,
            (Step::Produce, 3..6) => Fault::DelayAnswer(late),
            (_, 0..3) => Fault::LoseAnswer,
            (_, 3..5) => Fault::LoseRequest,
            (_, 5) => Fault::DelayAnswer(late),
            (_, 6) => Fault::Delay(late),
            (Step::TransactionOffsets | Step::Commit, 7) => {
                fail(ClientErrorKind::Group(GroupError::IllegalGeneration))
            }
            (Step::TransactionOffsets | Step::Commit, 8) => fail(ClientErrorKind::AbortTransaction),
            (
                Step::TransactionOffsets
                | Step::Commit
                | Step::Abort
                | Step::Produce
                | Step::Flush
                | Step::InitTransactions,
                9,
            ) => fail(ClientErrorKind::ProducerFenced),
            _ => fail(ClientErrorKind::Retriable),
        }
    }
}

impl FaultPlan for Chaos {
    fn decide(&self, operation: &Operation<'_>, now: Instant) -> Fault {
        if !self.on.load(Ordering::SeqCst) {
            return Fault::None;
        }
        let one_in = match operation.step {
            Step::TransactionOffsets | Step::Commit => 5,
            Step::Abort | Step::InitTransactions | Step::Flush => 8,
            Step::ListOffsets | Step::CommittedOffsets => 6,
            Step::Fetch => 20,
            Step::Produce => 300,
            _ => return Fault::None,
        };
        let mut random = self.random.lock().unwrap();
        if random.below(one_in) > 0 {
            return Fault::None;
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        self.fault(&mut random, operation.step, now)
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

/// Kills, freezes, joins and leaves by chance, with faults in between.
fn disturbed_run(seed: u64) -> u64 {
    let what = format!("seed {seed}");
    let mut random = Random(seed);
    let mut simulation = simulation(seed);
    let chaos = Chaos::new(seed);
    simulation.cluster().set_faults(Some(chaos.clone()));
    let mut instances = vec![simulation.start_instance(), simulation.start_instance()];
    let mut dead = [false; 3];
    let mut records = 40;
    write(simulation.cluster(), 0..records);
    for _ in 0..8 {
        let count = 50 + random.below(400);
        steps(&mut simulation, &instances, count, &what);
        let more = random.below(30) as usize;
        write(simulation.cluster(), records..records + more);
        records += more;
        let at = random.below(instances.len() as u64) as usize;
        let instance = instances[at];
        match random.below(8) {
            _ if dead[at] => {
                simulation.restart(instance);
                dead[at] = false;
            }
            0..3 => {
                if random.below(2) == 0 {
                    simulation.flush_disk(instance);
                }
                simulation.kill(instance);
                dead[at] = true;
                if random.below(5) == 0 {
                    simulation.wipe_disk(instance);
                }
                if random.below(2) == 0 {
                    simulation.restart(instance);
                    dead[at] = false;
                }
            }
            3 | 4 => {
                simulation.freeze(instance);
                let while_frozen = Duration::from_millis(random.below(16_000));
                simulation.run_for(while_frozen);
                simulation.thaw(instance);
            }
            5 if instances.len() < 3 => instances.push(simulation.start_instance()),
            5 | 6 => {
                simulation.stop(instance);
                simulation.run_for(Duration::from_secs(40));
                dead[at] = true;
            }
            _ => simulation.run_for(Duration::from_millis(random.below(2_000))),
        }
    }
    chaos.on.store(false, Ordering::SeqCst);
    for (at, &instance) in instances.iter().enumerate() {
        if dead[at] {
            simulation.restart(instance);
        }
    }
    simulation.run_until("the input is processed", is_drained);
    simulation.run_for(Duration::from_secs(15));
    check_engines(&simulation, &instances, &what);
    check(&simulation, records, &what);
    // What the stores have shows when they count on.
    instances.iter().for_each(|&instance| simulation.kill(instance));
    simulation.restart(instances[0]);
    write(simulation.cluster(), records..records + WORDS);
    simulation.run_until("the input is processed again", is_drained);
    simulation.run_for(Duration::from_secs(15));
    check(&simulation, records + WORDS, &what);
    chaos.count.load(Ordering::SeqCst)
}

fn seeds() -> Range<u64> {
    let given = std::env::var("EXACTLY_ONCE_SEEDS").unwrap_or("0..300".to_owned());
    let (from, to) = given.split_once("..").expect("EXACTLY_ONCE_SEEDS is like 0..300");
    from.parse().unwrap()..to.parse().unwrap()
}

/// I1, I3, I4: the committed output of any run is that of an undisturbed one.
#[test]
fn whatever_happens_the_output_is_exact_for_many_seeds() {
    let faults: u64 = seeds().map(disturbed_run).sum();
    assert!(faults > seeds().count() as u64, "hardly any faults: {faults}");
    println!("{} seeds, {faults} faults", seeds().count());
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
