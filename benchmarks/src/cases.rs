//! What is measured. Each case runs in a process of its own, told by its command line.

use crate::Result;
use crate::input::Keys;
use crate::measure::Sample;
use crate::{floor, micro, start_up, streams};

/// One row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
    /// The case that it is compared with.
    pub(crate) against: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The raw librdkafka loop.
    Floor(Keys, Work),
    /// The library, by its Processor API.
    Streams(Keys, Work),
    /// The library, by its DSL: a count.
    Dsl(Keys),
    StartUp(Cluster),
    Micro,
}

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

const fn floor(name: &'static str, what: &'static str, keys: Keys, work: Work) -> Case {
    Case { name, what, kind: Kind::Floor(keys, work), against: None }
}

const fn streams(
    name: &'static str,
    what: &'static str,
    (keys, work): (Keys, Work),
    against: &'static str,
) -> Case {
    Case { name, what, kind: Kind::Streams(keys, work), against: Some(against) }
}

const DIRTY: &str = "raw loop and hash map; changelog and output once per key and commit";
const UPDATE: &str = "raw loop and hash map; output per record, changelog once per key and commit";
const EVERY: &str = "raw loop and hash map; changelog and output per record";
const COUNT: &str = "count in a persistent store, every update forwarded, at-least-once";

/// In the order in which a round runs them.
pub(crate) const ALL: &[Case] = &[
    floor("pass-floor", "raw loop, copies 100 %", Keys::U100k, Work::Pass),
    streams(
        "pass-streams",
        "source -> sink, raw bytes, at-least-once",
        (Keys::U100k, Work::Pass),
        "pass-floor",
    ),
    floor("count-u100k-floor-dirty", DIRTY, Keys::U100k, Work::Count(Emission::Commit)),
    floor("count-u100k-floor-update", UPDATE, Keys::U100k, Work::Count(Emission::Update)),
    floor("count-u100k-floor-every", EVERY, Keys::U100k, Work::Count(Emission::Every)),
    streams(
        "count-u100k-streams",
        COUNT,
        (Keys::U100k, Work::Count(Emission::Update)),
        "count-u100k-floor-update",
    ),
    Case {
        name: "count-u100k-dsl",
        what: "the same by the DSL: group_by_key().count(..).to(..)",
        kind: Kind::Dsl(Keys::U100k),
        against: Some("count-u100k-floor-update"),
    },
    floor("count-z1m-floor-dirty", DIRTY, Keys::Z1m, Work::Count(Emission::Commit)),
    floor("count-z1m-floor-update", UPDATE, Keys::Z1m, Work::Count(Emission::Update)),
    floor("count-z1m-floor-every", EVERY, Keys::Z1m, Work::Count(Emission::Every)),
    streams(
        "count-z1m-streams",
        COUNT,
        (Keys::Z1m, Work::Count(Emission::Update)),
        "count-z1m-floor-update",
    ),
    Case {
        name: "count-z1m-dsl",
        what: "the same by the DSL: group_by_key().count(..).to(..)",
        kind: Kind::Dsl(Keys::Z1m),
        against: Some("count-z1m-floor-update"),
    },
    Case {
        name: "start-embedded",
        what: "start() to RUNNING with a store, embedded cluster",
        kind: Kind::StartUp(Cluster::Embedded),
        against: None,
    },
    Case {
        name: "start-kafka",
        what: "start() to RUNNING with a store, real Kafka",
        kind: Kind::StartUp(Cluster::Kafka),
        against: None,
    },
    Case {
        name: "micro",
        what: "a task driven on records in memory",
        kind: Kind::Micro,
        against: None,
    },
];

/// What a case's process is told.
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
    match case.kind {
        Kind::Floor(_, work) => floor::run(&task, work)?,
        Kind::Streams(_, work) => streams::run(&task, streams::topology(&task, work)?)?,
        Kind::Dsl(_) => streams::run(&task, streams::count_by_dsl(&task.input, &task.output())?)?,
        Kind::StartUp(cluster) => {
            print_line(&start_up::run(&task, cluster)?);
            return Ok(());
        }
        Kind::Micro => {
            print_line(&micro::run()?);
            return Ok(());
        }
    }
    print_line(&Sample::of_this_process()?.to_line());
    Ok(())
}

fn print_line(line: &str) {
    println!("result {line}");
}
