//! What a test says of its application, and the runs that follow from it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use streams_core::client::Isolation;
use streams_core::config::State;
use streams_core::stores::ChangelogKind;
use streams_core::{StreamsConfig, Topology};

use super::input::{Fed, Input, SimulatedRecord, feed};
use super::outcome::{Compare, Outcome};
use super::seeds::for_each_seed;
use super::simulation::Simulation;
use super::storm::Storm;
use crate::embedded::EmbeddedCluster;

/// The application id of simulated applications.
pub(super) const APPLICATION: &str = "simulated";
/// For a session, a rebalance and a restore or two after the faults have ended.
pub(super) const RECOVERY_MAX: Duration = Duration::from_secs(400);

type Check = Box<dyn Fn(&Outcome, &Outcome)>;

/// A test that runs an application many times, each time with other faults, and compares what it
/// has committed with one undisturbed run. Made by [`Simulation::of`].
pub struct SeededSimulation {
    topology: Box<dyn Fn() -> Topology>,
    configure: Vec<Box<dyn Fn(StreamsConfig) -> StreamsConfig>>,
    pub(super) exactly_once: bool,
    pub(super) instances: usize,
    inputs: Vec<Input>,
    outputs: BTreeMap<String, i32>,
    comparisons: BTreeMap<String, Compare>,
    seeds: Range<u64>,
    checks: Vec<Check>,
}

/// What a run came to. Equal for equal seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// Of every step that was made.
    pub event_hash: u64,
    /// How many.
    pub steps: u64,
    /// Operations that failed, came late, came twice, or lost their request or answer.
    pub faults: u64,
    /// Instances that were killed, frozen, stopped, or failed.
    pub strikes: u64,
}

impl SeededSimulation {
    pub(super) fn new(topology: impl Fn() -> Topology + 'static) -> Self {
        Self {
            topology: Box::new(topology),
            configure: Vec::new(),
            exactly_once: false,
            instances: 3,
            inputs: Vec::new(),
            outputs: BTreeMap::new(),
            comparisons: BTreeMap::new(),
            seeds: 0..100,
            checks: Vec::new(),
        }
    }

    /// Runs under exactly-once: the committed output has to be that of an undisturbed run.
    #[must_use]
    pub fn exactly_once(mut self) -> Self {
        self.exactly_once = true;
        self
    }

    /// Changes the configuration. Each seed has its own number of threads, commit interval, and
    /// so on, as long as nothing is set here.
    #[must_use]
    pub fn config(mut self, set: impl Fn(StreamsConfig) -> StreamsConfig + 'static) -> Self {
        self.configure.push(Box::new(set));
        self
    }

    /// How many instances of the application there are at most; 3 if nothing is said.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    #[track_caller]
    pub fn instances(mut self, instances: usize) -> Self {
        assert!(instances > 0, "a simulation needs an instance");
        self.instances = instances;
        self
    }

    /// An input topic and its records, which arrive bit by bit. Records without a time of their
    /// own are one millisecond apart.
    #[must_use]
    pub fn input<R: SimulatedRecord>(
        self,
        topic: &str,
        partitions: i32,
        records: impl IntoIterator<Item = R>,
    ) -> Self {
        self.add_input(topic, partitions, records, false)
    }

    /// An input topic whose records are all processed before the [`input`](Self::input)s come:
    /// the side of a join that must not depend on who is faster.
    #[must_use]
    pub fn table<R: SimulatedRecord>(
        self,
        topic: &str,
        partitions: i32,
        records: impl IntoIterator<Item = R>,
    ) -> Self {
        self.add_input(topic, partitions, records, true)
    }

    /// A topic that the application writes, and that is compared.
    #[must_use]
    pub fn output(mut self, topic: &str, partitions: i32) -> Self {
        self.outputs.insert(topic.to_owned(), partitions);
        self
    }

    /// How an output topic, or a store, is compared with the undisturbed run.
    #[must_use]
    pub fn compare(mut self, topic_or_store: &str, how: Compare) -> Self {
        self.comparisons.insert(topic_or_store.to_owned(), how);
        self
    }

    /// Which seeds are run, if the environment does not say otherwise (see
    /// [`for_each_seed`](super::for_each_seed)); 0..100 if nothing is said.
    #[must_use]
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// What else has to hold: `check` gets what a run has committed, and what the undisturbed run
    /// has, and panics if the first is wrong.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&Outcome, &Outcome) + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Runs all seeds.
    ///
    /// # Panics
    /// If a seed fails. The command that shows it again is printed.
    pub fn run(&self) {
        let undisturbed = self.undisturbed();
        let mut total = Run::default();
        for_each_seed(self.seeds.clone(), |seed| {
            let run = self.run_seed(seed, &undisturbed);
            total.steps += run.steps;
            total.faults += run.faults;
            total.strikes += run.strikes;
        });
        let Run { steps, faults, strikes, .. } = total;
        println!("{steps} steps, {faults} faults, {strikes} strikes at instances");
    }

    /// Runs one seed, compared with what [`undisturbed`](Self::undisturbed) gave.
    ///
    /// # Panics
    /// If it fails.
    pub fn run_seed(&self, seed: u64, undisturbed: &Outcome) -> Run {
        let (outcome, run) = Storm::new(self, seed).run();
        let default = |lasting| match (self.exactly_once, lasting) {
            (false, _) => Compare::Keys,
            (true, true) => Compare::LastValues,
            (true, false) => Compare::Records,
        };
        let how = |name: &str, lasting| {
            self.comparisons.get(name).copied().unwrap_or_else(|| default(lasting))
        };
        outcome.check(undisturbed, |topic| how(topic, false), |store| how(store, true));
        self.checks.iter().for_each(|check| check(&outcome, undisturbed));
        run
    }

    /// What one instance commits that nothing ever happens to.
    ///
    /// # Panics
    /// If it does not process its input.
    pub fn undisturbed(&self) -> Outcome {
        let mut simulation = self.simulation(0, |config| config.threads(1));
        let instance = simulation.start_instance();
        let (tables, streams) = self.feed();
        for records in [tables, streams] {
            write(simulation.cluster(), &records);
            let limit = simulation.now() + RECOVERY_MAX;
            while !self.is_settled(&simulation) {
                let goes_on = simulation.step() && simulation.now() < limit;
                let failure = simulation.take_failure(instance);
                assert!(failure.is_none(), "the undisturbed run fails: {failure:?}");
                let positions = self.positions(simulation.cluster());
                assert!(goes_on, "the undisturbed run never commits all input:{positions}");
            }
        }
        self.outcome(&simulation)
    }

    fn add_input<R: SimulatedRecord>(
        mut self,
        topic: &str,
        partitions: i32,
        records: impl IntoIterator<Item = R>,
        is_table: bool,
    ) -> Self {
        let records = records.into_iter().zip(0..);
        let records = records.map(|(record, time)| record.into_record(topic, time)).collect();
        self.inputs.push(Input { topic: topic.to_owned(), partitions, is_table, records });
        self
    }

    pub(super) fn feed(&self) -> (Vec<Fed>, Vec<Fed>) {
        feed(&self.inputs)
    }

    /// A cluster with the topics, and no instance.
    pub(super) fn simulation(
        &self,
        seed: u64,
        vary: impl FnOnce(StreamsConfig) -> StreamsConfig,
    ) -> Simulation {
        let config = StreamsConfig::new(APPLICATION, "embedded")
            .set("session.timeout.ms", 6_000)
            .set("heartbeat.interval.ms", 1_000)
            .set("repartition.purge.interval.ms", 2_000);
        let config = vary(config);
        let config = if self.exactly_once { config.exactly_once() } else { config };
        let config = self.configure.iter().fold(config, |config, set| set(config));
        let simulation = Simulation::new((self.topology)(), config, seed);
        let inputs = self.inputs.iter().map(|input| (&input.topic, input.partitions));
        let outputs = self.outputs.iter().map(|(topic, &partitions)| (topic, partitions));
        for (topic, partitions) in inputs.chain(outputs) {
            let created = simulation.cluster().create_topic(topic, partitions);
            created.unwrap_or_else(|error| panic!("topic `{topic}`: {error}"));
        }
        simulation
    }

    pub(super) fn outcome(&self, simulation: &Simulation) -> Outcome {
        let changelogs = own_changelogs(simulation.topology());
        let topics = self.outputs.keys().cloned();
        Outcome::read(simulation.cluster(), topics, changelogs.into_iter())
    }

    /// Whether everything is processed and committed, and no transaction is open.
    pub(super) fn is_settled(&self, simulation: &Simulation) -> bool {
        let cluster = simulation.cluster();
        let inputs = simulation.topology();
        let is_stable = |topic: &str, partition| {
            let end = |isolation| cluster.end_offset(topic, partition, isolation).unwrap_or(0);
            end(Isolation::ReadCommitted) == end(Isolation::ReadUncommitted)
        };
        is_drained(cluster, inputs)
            && simulation.have_read_globals()
            && cluster.topics().iter().all(|topic| {
                (0..topic.partitions).all(|partition| is_stable(&topic.name, partition))
            })
            && simulation.states().all(|state| state.is_none_or(|state| state == State::Running))
    }

    /// Where the inputs are, and where they end.
    pub(super) fn positions(&self, cluster: &EmbeddedCluster) -> String {
        let mut text = String::new();
        for topic in cluster.topics() {
            for partition in 0..topic.partitions {
                let name = &topic.name;
                let end = cluster.end_offset(name, partition, Isolation::ReadUncommitted);
                let committed = cluster.committed(APPLICATION, name, partition);
                if let (Some(committed), Ok(end)) = (committed, end) {
                    text += &format!(" {name}-{partition}: {} of {end}", committed.offset);
                }
                let end = |isolation| cluster.end_offset(name, partition, isolation).unwrap_or(0);
                let all = end(Isolation::ReadUncommitted);
                let stable = end(Isolation::ReadCommitted);
                if stable < all {
                    text += &format!(" {name}-{partition}: open from {stable} to {all}");
                }
            }
        }
        text
    }
}

pub(super) fn write(cluster: &EmbeddedCluster, records: &[Fed]) {
    for Fed { topic, partition, record } in records {
        let appended = cluster.append(topic, *partition, record.clone());
        appended.unwrap_or_else(|error| panic!("input topic `{topic}`: {error}"));
    }
}

/// Every input record was processed, and its position committed.
fn is_drained(cluster: &EmbeddedCluster, topology: &Topology) -> bool {
    let sources = topology.subtopologies().flat_map(|n| topology.source_topics(n, APPLICATION));
    let topics = cluster.topics();
    sources.into_iter().all(|source| {
        let partitions = topics.iter().find(|t| t.name == source).map_or(0, |t| t.partitions);
        (0..partitions).all(|partition| {
            let end = cluster.end_offset(&source, partition, Isolation::ReadUncommitted);
            let end = end.unwrap_or(0);
            let committed = cluster.committed(APPLICATION, &source, partition);
            end == 0 || committed.is_some_and(|committed| committed.offset == end)
        })
    })
}

/// The stores that have a changelog of their own, each with its name.
pub(super) fn own_changelogs(topology: &Topology) -> Vec<(String, String)> {
    let stores = topology.subtopologies().flat_map(|number| topology.stores(number));
    let own = stores.filter(|store| *store.changelog() == ChangelogKind::Own);
    let named = own.filter_map(|store| {
        Some((store.name().to_string(), store.changelog_topic(APPLICATION)?.to_string()))
    });
    named.collect()
}
