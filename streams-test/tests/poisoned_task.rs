//! A task that fails again and again does not keep the others from their work.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_core::client::{ClientError, ClientErrorKind, Isolation, MemoryRecord};
use streams_core::config::{State, StreamsEvent};
use streams_core::error::BoxError;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::reaction::Reaction;
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::time::Instant;
use streams_core::{StreamsConfig, TaskId, Topology};
use streams_test::embedded::{Fault, FaultPlan, Operation, Step};
use streams_test::{EmbeddedCluster, InstanceId, Simulation};

/// Each has its task, all are on one thread.
const PARTITIONS: i32 = 3;
const POISONED: i32 = 1;

/// How the poisoned task fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ill {
    Error,
    Panic,
    /// The broker refuses what it writes.
    Refused,
}

/// Counts; fails at the value "poison" as long as `ill`.
struct Count {
    counts: KeyValueHandle<String, i64>,
    ill: Arc<AtomicBool>,
    how: Ill,
    attempts: Arc<AtomicUsize>,
}

impl Processor for Count {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        key: String,
        value: String,
        cx: &mut ProcessorContext<'_, String, i64>,
    ) -> Result<(), BoxError> {
        let count = cx.store(&self.counts).get(&key)?.copied().unwrap_or(0) + 1;
        cx.store(&self.counts).put(&key, count)?;
        cx.forward(key, count)?;
        if value == "poison" && self.ill.load(Ordering::SeqCst) {
            self.attempts.fetch_add(1, Ordering::SeqCst);
            match self.how {
                Ill::Error => return Err("as planned".into()),
                Ill::Panic => panic!("as planned"),
                Ill::Refused => {}
            }
        }
        Ok(())
    }
}

/// Refuses each record to the poisoned partition as long as `ill`.
struct Refuse {
    ill: Arc<AtomicBool>,
    attempts: Arc<AtomicUsize>,
}

impl FaultPlan for Refuse {
    fn decide(&self, operation: &Operation<'_>, _: Instant) -> Fault {
        let refused = operation.step == Step::Produce
            && operation.partition == Some(("out", POISONED))
            && self.ill.load(Ordering::SeqCst);
        if !refused {
            return Fault::None;
        }
        self.attempts.fetch_add(1, Ordering::SeqCst);
        Fault::Fail(ClientError::new(ClientErrorKind::RecordTooLarge, "as planned"))
    }
}

struct Run {
    simulation: Simulation,
    instance: InstanceId,
    ill: Arc<AtomicBool>,
    attempts: Arc<AtomicUsize>,
    events: Arc<Mutex<Vec<StreamsEvent>>>,
    written: usize,
}

impl Run {
    fn new(how: Ill, exactly_once: bool, seed: u64) -> Self {
        let ill = Arc::new(AtomicBool::new(true));
        let attempts = Arc::new(AtomicUsize::new(0));
        let events = Arc::new(Mutex::new(Vec::new()));
        let mut builder = Topology::builder();
        let source = builder.add_source::<String, String>("source", "in");
        let stores = Stores::key_value::<String, i64>("counts");
        let (poisoned, counted) = (ill.clone(), attempts.clone());
        let counts = builder.add_processor("count", &[&source], stores, move |counts, _| Count {
            counts,
            ill: poisoned.clone(),
            how,
            attempts: counted.clone(),
        });
        // What comes from a partition goes to the same one.
        builder.add_sink("out", &[&counts], "out");
        let told = events.clone();
        let config = StreamsConfig::new("app", "embedded")
            .set("session.timeout.ms", 6_000)
            .set("heartbeat.interval.ms", 1_000)
            .on_processing_error(|_, _| Reaction::Retry)
            .on_production_error(|_, _| Reaction::Retry)
            .on_event(move |event| told.lock().unwrap().push(event.clone()));
        let config = if exactly_once {
            config.exactly_once()
        } else {
            config.set("commit.interval.ms", 100)
        };
        let mut simulation = Simulation::new(builder.build().unwrap(), config, seed);
        simulation.cluster().create_topic("in", PARTITIONS).unwrap();
        simulation.cluster().create_topic("out", PARTITIONS).unwrap();
        if how == Ill::Refused {
            let plan = Refuse { ill: ill.clone(), attempts: attempts.clone() };
            simulation.cluster().set_faults(Some(Arc::new(plan)));
        }
        let instance = simulation.start_instance();
        Self { simulation, instance, ill, attempts, events, written: 0 }
    }

    /// As many records to each partition; the poisoned one has its poison in the middle.
    fn write(&mut self, count: usize, poison: bool) {
        for partition in 0..PARTITIONS {
            for at in 0..count {
                let poisoned = poison && partition == POISONED && at == count / 2;
                let value: &[u8] = if poisoned { b"poison" } else { b"x" };
                let record = MemoryRecord {
                    timestamp: 1,
                    key: Some(key(partition).into_bytes().into()),
                    value: Some(value.into()),
                    ..MemoryRecord::default()
                };
                self.simulation.cluster().append("in", partition, record).unwrap();
            }
        }
        self.written += count;
    }

    fn run_until_the_others_have(&mut self, count: usize) {
        self.simulation.run_until("the other tasks have committed all", |cluster| {
            (0..PARTITIONS).filter(|partition| *partition != POISONED).all(|partition| {
                let committed = cluster.committed("app", "in", partition);
                committed.is_some_and(|committed| committed.offset == count as i64)
            })
        });
    }

    fn count_events(&self, is: impl Fn(&StreamsEvent) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| is(event)).count()
    }
}

/// A key that the default partitioner sends to its partition.
fn key(partition: i32) -> String {
    (0..)
        .map(|n| format!("key-{n}"))
        .find(|key| {
            let chosen = streams_core::partitioning::partition_for_key(key.as_bytes(), PARTITIONS);
            chosen == partition
        })
        .unwrap()
}

fn counts(cluster: &EmbeddedCluster) -> BTreeMap<i32, Vec<i64>> {
    let mut counts = BTreeMap::<_, Vec<_>>::new();
    for partition in 0..PARTITIONS {
        for (_, record) in cluster.read("out", partition, 0, Isolation::ReadCommitted) {
            let bytes = <[u8; 8]>::try_from(&*record.value.clone().unwrap()).unwrap();
            counts.entry(partition).or_default().push(i64::from_be_bytes(bytes));
        }
    }
    counts
}

/// Shows what the runtime says, if `RUST_LOG` asks for it.
fn show_logs() {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().without_time().with_env_filter(filter).try_init();
    }
}

fn poisoned_run(how: Ill, exactly_once: bool, seed: u64) {
    let what = format!("{how:?}, exactly-once {exactly_once}, seed {seed}");
    let poisoned = TaskId::new(0, POISONED);
    show_logs();
    let mut run = Run::new(how, exactly_once, seed);
    run.write(20, true);
    run.run_until_the_others_have(20);
    // The others go on while the task is tried again and again.
    for _ in 0..5 {
        let before = run.attempts.load(Ordering::SeqCst);
        run.simulation.run_for(Duration::from_secs(11));
        assert!(run.attempts.load(Ordering::SeqCst) > before, "{what}: it is not tried again");
        run.write(20, false);
        let began = run.simulation.now();
        run.run_until_the_others_have(run.written);
        let took = run.simulation.now().since(began);
        assert!(took < Duration::from_secs(2), "{what}: the others took {took:?}");
    }
    let isolated = |event: &StreamsEvent| matches!(event, StreamsEvent::TaskIsolated { task, .. } if *task == poisoned);
    assert_eq!(run.count_events(isolated), 1, "{what}");
    assert_eq!(run.events.lock().unwrap().len(), 1, "{what}: no other task is isolated");
    // Healed, it runs with the others again.
    run.ill.store(false, Ordering::SeqCst);
    let written = run.written as i64;
    run.simulation.run_until("the task has got over it", |cluster| {
        let committed = cluster.committed("app", "in", POISONED);
        committed.is_some_and(|committed| committed.offset == written)
    });
    run.simulation.run_for(Duration::from_millis(500));
    let healed = StreamsEvent::TaskHealed { task: poisoned };
    assert_eq!(run.events.lock().unwrap().last(), Some(&healed), "{what}");
    run.write(20, false);
    run.run_until_the_others_have(run.written);
    run.simulation.run_for(Duration::from_secs(5));
    assert_eq!(run.events.lock().unwrap().len(), 2, "{what}: nobody is in trouble any more");
    assert_eq!(run.simulation.state(run.instance), Some(State::Running), "{what}");
    let counts = counts(run.simulation.cluster());
    for partition in 0..PARTITIONS {
        let of_partition = &counts[&partition];
        if exactly_once {
            let exact: Vec<i64> = (1..=run.written as i64).collect();
            assert_eq!(*of_partition, exact, "{what}: partition {partition}");
        } else {
            assert_eq!(of_partition.last(), Some(&(run.written as i64)), "{what}: {partition}");
        }
    }
}

#[test]
fn the_others_go_on_while_one_task_fails_and_it_is_released_when_it_is_well() {
    for seed in 0..10 {
        for how in [Ill::Error, Ill::Panic, Ill::Refused] {
            poisoned_run(how, true, seed);
        }
    }
}

#[test]
fn under_at_least_once_a_task_that_fails_takes_nobody_back() {
    for seed in 0..10 {
        for how in [Ill::Error, Ill::Panic, Ill::Refused] {
            poisoned_run(how, false, seed);
        }
    }
}

#[test]
fn a_task_that_does_not_get_well_fails_for_good_after_its_timeout() {
    let mut run = Run::new(Ill::Error, true, 1);
    run.write(20, true);
    let began = run.simulation.now();
    let mut failure = None;
    while failure.is_none() {
        assert!(run.simulation.step());
        failure = run.simulation.take_failure(run.instance);
    }
    let took = run.simulation.now().since(began);
    assert!(took > Duration::from_secs(300), "task.timeout.ms is 5 minutes: {took:?}");
    let failure = format!("{:?}", failure.unwrap());
    assert!(failure.contains("as planned") && failure.contains("topic in"), "{failure}");
}
