//! What is measured. Each case runs in a process of its own, told by its command line.

use streams_core::StreamsConfig;

use crate::Result;
use crate::input::Keys;
use crate::measure::Sample;
use crate::{floor, latency, lookups, many_tasks, micro, restart, start_up, streams};

/// One row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
    /// The cases that it is compared with, the first one by a column of its own.
    pub(crate) against: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The raw librdkafka loop.
    Floor(Keys, Work, Guarantee),
    /// The library, by its Processor API.
    Streams(Keys, Work, Guarantee),
    /// The library, by its DSL: a count.
    Dsl(Keys),
    StartUp(Cluster),
    /// From a producer to a `read_committed` consumer.
    Latency(Work, Guarantee),
    /// The same with the raw loop.
    LatencyFloor(Guarantee),
    /// After a kill, with state.
    Restart,
    ManyTasks,
    Micro,
    /// Lookups in tables, without Kafka.
    Lookups,
}

/// What is promised, and how often it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guarantee {
    /// At-least-once, with this commit interval in milliseconds.
    AtLeastOnce(u32),
    /// Exactly-once, the same.
    ExactlyOnce(u32),
}

impl Guarantee {
    pub(crate) fn interval_ms(self) -> u32 {
        match self {
            Self::AtLeastOnce(ms) | Self::ExactlyOnce(ms) => ms,
        }
    }

    pub(crate) fn is_exactly_once(self) -> bool {
        matches!(self, Self::ExactlyOnce(_))
    }

    /// The library's settings for it.
    pub(crate) fn apply(self, config: StreamsConfig) -> StreamsConfig {
        let config = if self.is_exactly_once() { config.exactly_once() } else { config };
        config.set("commit.interval.ms", self.interval_ms())
    }
}

/// At-least-once by the library's default.
const ALO: Guarantee = Guarantee::AtLeastOnce(30_000);
/// As often as exactly-once.
const ALO_OFTEN: Guarantee = Guarantee::AtLeastOnce(100);
/// Exactly-once by the library's default.
const EOS: Guarantee = Guarantee::ExactlyOnce(100);

/// What is done with the records.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Key and value are copied to the output topic.
    Pass,
    /// Counts by key, and when they are written.
    Count(Emission),
}

/// When a count is written. The library's default is `Update`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Emission {
    /// Changelog and output once per changed key and commit.
    Commit,
    /// Output for each record, changelog once per changed key and commit.
    Update,
    /// Changelog and output for each record.
    Every,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cluster {
    Embedded,
    Kafka,
}

const fn case(
    name: &'static str,
    what: &'static str,
    kind: Kind,
    against: &'static [&'static str],
) -> Case {
    Case { name, what, kind, against }
}

const fn latency(name: &'static str, work: Work, guarantee: Guarantee) -> Case {
    case(name, "latency at half the maximal rate", Kind::Latency(work, guarantee), &[])
}

const fn floor_latency(name: &'static str, guarantee: Guarantee) -> Case {
    case(name, "latency of the raw loop", Kind::LatencyFloor(guarantee), &[])
}

const DIRTY: &str = "raw loop and hash map; changelog and output once per key and commit";
const UPDATE: &str = "raw loop and hash map; output per record, changelog once per key and commit";
const EVERY: &str = "raw loop and hash map; changelog and output per record";
const COUNT: &str = "count in a persistent store, every update forwarded, at-least-once";
const COUNT_OFTEN: &str = "the same, commit each 100 ms";
const COUNT_EOS: &str = "the same, exactly-once, commit each 100 ms";
const DSL: &str = "the same by the DSL: group_by_key().count(..).to(..)";
const COMMIT: Work = Work::Count(Emission::Commit);
const EACH: Work = Work::Count(Emission::Every);
const COUNTS: Work = Work::Count(Emission::Update);

/// In the order in which a round runs them.
pub(crate) const ALL: &[Case] = &[
    case("pass-floor", "raw loop, copies 100 %", Kind::Floor(Keys::U100k, Work::Pass, ALO), &[]),
    case(
        "pass-floor-eos",
        "the same in a transaction each 100 ms",
        Kind::Floor(Keys::U100k, Work::Pass, EOS),
        &["pass-floor"],
    ),
    case(
        "pass-streams",
        "source -> sink, raw bytes, at-least-once",
        Kind::Streams(Keys::U100k, Work::Pass, ALO),
        &["pass-floor"],
    ),
    case(
        "pass-streams-100ms",
        "the same, commit each 100 ms",
        Kind::Streams(Keys::U100k, Work::Pass, ALO_OFTEN),
        &["pass-floor", "pass-streams"],
    ),
    case(
        "pass-streams-eos",
        "the same, exactly-once, commit each 100 ms",
        Kind::Streams(Keys::U100k, Work::Pass, EOS),
        &["pass-floor-eos", "pass-streams", "pass-streams-100ms"],
    ),
    case("count-u100k-floor-dirty", DIRTY, Kind::Floor(Keys::U100k, COMMIT, ALO), &[]),
    case("count-u100k-floor-update", UPDATE, Kind::Floor(Keys::U100k, COUNTS, ALO), &[]),
    case("count-u100k-floor-every", EVERY, Kind::Floor(Keys::U100k, EACH, ALO), &[]),
    case(
        "count-u100k-floor-eos",
        "raw loop and hash map in a transaction each 100 ms; output per record, changelog per key",
        Kind::Floor(Keys::U100k, COUNTS, EOS),
        &["count-u100k-floor-update"],
    ),
    case(
        "count-u100k-streams",
        COUNT,
        Kind::Streams(Keys::U100k, COUNTS, ALO),
        &["count-u100k-floor-update"],
    ),
    case(
        "count-u100k-streams-100ms",
        COUNT_OFTEN,
        Kind::Streams(Keys::U100k, COUNTS, ALO_OFTEN),
        &["count-u100k-floor-eos", "count-u100k-streams"],
    ),
    case(
        "count-u100k-streams-eos",
        COUNT_EOS,
        Kind::Streams(Keys::U100k, COUNTS, EOS),
        &["count-u100k-floor-eos", "count-u100k-streams", "count-u100k-streams-100ms"],
    ),
    case("count-u100k-dsl", DSL, Kind::Dsl(Keys::U100k), &["count-u100k-floor-update"]),
    case("count-z1m-floor-dirty", DIRTY, Kind::Floor(Keys::Z1m, COMMIT, ALO), &[]),
    case("count-z1m-floor-update", UPDATE, Kind::Floor(Keys::Z1m, COUNTS, ALO), &[]),
    case("count-z1m-floor-every", EVERY, Kind::Floor(Keys::Z1m, EACH, ALO), &[]),
    case(
        "count-z1m-streams",
        COUNT,
        Kind::Streams(Keys::Z1m, COUNTS, ALO),
        &["count-z1m-floor-update"],
    ),
    case("count-z1m-dsl", DSL, Kind::Dsl(Keys::Z1m), &["count-z1m-floor-update"]),
    floor_latency("latency-floor-eos-10", Guarantee::ExactlyOnce(10)),
    floor_latency("latency-floor-eos-30", Guarantee::ExactlyOnce(30)),
    floor_latency("latency-floor-eos-100", Guarantee::ExactlyOnce(100)),
    latency("latency-pass-eos-10", Work::Pass, Guarantee::ExactlyOnce(10)),
    latency("latency-pass-eos-30", Work::Pass, Guarantee::ExactlyOnce(30)),
    latency("latency-pass-eos-100", Work::Pass, Guarantee::ExactlyOnce(100)),
    latency("latency-pass-eos-1000", Work::Pass, Guarantee::ExactlyOnce(1000)),
    latency("latency-pass-alo-10", Work::Pass, Guarantee::AtLeastOnce(10)),
    latency("latency-pass-alo-30", Work::Pass, Guarantee::AtLeastOnce(30)),
    latency("latency-pass-alo-100", Work::Pass, Guarantee::AtLeastOnce(100)),
    latency("latency-pass-alo-1000", Work::Pass, Guarantee::AtLeastOnce(1000)),
    latency("latency-count-eos-10", COUNTS, Guarantee::ExactlyOnce(10)),
    latency("latency-count-eos-30", COUNTS, Guarantee::ExactlyOnce(30)),
    latency("latency-count-eos-100", COUNTS, Guarantee::ExactlyOnce(100)),
    latency("latency-count-eos-1000", COUNTS, Guarantee::ExactlyOnce(1000)),
    case(
        "start-embedded",
        "start() to RUNNING with a store, embedded cluster",
        Kind::StartUp(Cluster::Embedded),
        &[],
    ),
    case(
        "start-kafka",
        "start() to RUNNING with a store, real Kafka",
        Kind::StartUp(Cluster::Kafka),
        &[],
    ),
    case(
        "restart-1m",
        "kill -9 with 1 M keys of state, exactly-once, and start again",
        Kind::Restart,
        &[],
    ),
    case(
        "start-many-tasks",
        "start() to RUNNING with 200 tasks of 3 stores, embedded cluster",
        Kind::ManyTasks,
        &[],
    ),
    case("micro", "a task driven on records in memory", Kind::Micro, &[]),
    case("lookups", "a stream that looks rows up in a table", Kind::Lookups, &[]),
];

/// What a case's process is told.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) bootstrap: String,
    pub(crate) input: String,
    /// Unique: names the group, the output topic and the changelog.
    pub(crate) tag: String,
    pub(crate) records: u64,
}

impl Task {
    pub(crate) fn output(&self) -> String {
        output_topic(&self.tag)
    }
}

pub(crate) fn output_topic(tag: &str) -> String {
    format!("{tag}-out")
}

/// As the library names it.
pub(crate) fn changelog_topic(tag: &str) -> String {
    format!("{tag}-counts-changelog")
}

/// `--case NAME BOOTSTRAP INPUT TAG RECORDS`: runs the case, prints its sample.
pub(crate) fn run_child(arguments: &[String]) -> Result<()> {
    let [name, bootstrap, input, tag, records] = arguments else {
        return Err("--case is for the coordinator".into());
    };
    let case = ALL.iter().find(|case| case.name == name).ok_or("no such case")?;
    let task = Task {
        bootstrap: bootstrap.clone(),
        input: input.clone(),
        tag: tag.clone(),
        records: records.parse()?,
    };
    let line = match case.kind {
        Kind::Floor(_, work, guarantee) => {
            floor::run(&task, work, guarantee)?;
            Sample::of_this_process()?.to_line()
        }
        Kind::Streams(_, work, guarantee) => {
            streams::run(&task, streams::topology(&task, work)?, guarantee)?;
            Sample::of_this_process()?.to_line()
        }
        Kind::Dsl(_) => {
            streams::run(&task, streams::count_by_dsl(&task.input, &task.output())?, ALO)?;
            Sample::of_this_process()?.to_line()
        }
        Kind::StartUp(cluster) => start_up::run(&task, cluster)?,
        Kind::Latency(work, guarantee) => latency::run(&task, work, guarantee, false)?,
        Kind::LatencyFloor(guarantee) => latency::run(&task, Work::Pass, guarantee, true)?,
        Kind::Restart => restart::run(&task)?,
        Kind::ManyTasks => many_tasks::run()?,
        Kind::Micro => micro::run()?,
        Kind::Lookups => lookups::run()?,
    };
    print_line(&line);
    Ok(())
}

fn print_line(line: &str) {
    println!("result {line}");
}
