//! Runs the cases in rounds, each in a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::Result;
use crate::broker::Broker;
use crate::cases::{
    ALL, Case, Cluster, Emission, Guarantee, Kind, Work, changelog_topic, output_topic,
};
use crate::check::check;
use crate::input::{self, Keys};
use crate::measure::{Sample, now, spin};
use crate::options::Options;
use crate::table::{self, Results};

const WATCH_INTERVAL: Duration = Duration::from_millis(20);
const CASE_TIMEOUT: Duration = Duration::from_secs(600);

pub(crate) fn run(options: &Options) -> Result<()> {
    let broker = match options.cases.iter().any(needs_kafka) {
        true => Some(Broker::start_or_use(options.bootstrap.as_deref())?),
        false => None,
    };
    if let Some(broker) = &broker {
        for keys in [Keys::U100k, Keys::Z1m] {
            let used = |case: &Case| reads_input(case.kind) && keys_of(case.kind) == keys;
            if options.cases.iter().any(used) {
                input::fill(broker, keys, options.records)?;
            }
        }
    }
    let mut results = Results::default();
    for round in 0..options.runs {
        // Forth and back, so that a slow drift of the machine meets all cases.
        let mut cases: Vec<&Case> = options.cases.iter().collect();
        if round % 2 == 1 {
            cases.reverse();
        }
        for case in cases {
            results.spins.push(spin().as_secs_f64());
            eprintln!("bench: round {}, {}", round + 1, case.name);
            let run = Run { case, round, records: options.records, broker: broker.as_ref() };
            run.run(&mut results)?;
        }
    }
    results.spins.push(spin().as_secs_f64());
    let order: BTreeMap<_, _> = ALL.iter().enumerate().map(|(at, case)| (case.name, at)).collect();
    let mut cases = options.cases.clone();
    cases.sort_by_key(|case| order[case.name]);
    print!("{}", table::render(&cases, &results, options));
    Ok(())
}

fn needs_kafka(case: &Case) -> bool {
    !matches!(
        case.kind,
        Kind::Micro | Kind::Lookups | Kind::ManyTasks | Kind::StartUp(Cluster::Embedded)
    )
}

/// Whether it reads a topic that all its rounds share.
fn reads_input(kind: Kind) -> bool {
    work_of(kind).is_some() || kind == Kind::StartUp(Cluster::Kafka)
}

fn keys_of(kind: Kind) -> Keys {
    match kind {
        Kind::Floor(keys, ..) | Kind::Streams(keys, ..) | Kind::Dsl(keys) => keys,
        _ => Keys::U100k,
    }
}

/// What a case that reads the input writes, for the check.
fn work_of(kind: Kind) -> Option<(Work, Guarantee)> {
    match kind {
        Kind::Floor(_, work, guarantee) | Kind::Streams(_, work, guarantee) => {
            Some((work, guarantee))
        }
        Kind::Dsl(_) => Some((Work::Count(Emission::Update), Guarantee::AtLeastOnce(30_000))),
        _ => None,
    }
}

/// One run of one case.
struct Run<'a> {
    case: &'a Case,
    round: usize,
    records: u64,
    broker: Option<&'a Broker>,
}

impl Run<'_> {
    fn run(&self, results: &mut Results) -> Result<()> {
        let name = self.case.name;
        let tag = format!("bench-{name}-{}-{}", std::process::id(), self.round);
        let topics = self.make_topics(&tag)?;
        let began = now();
        let mut child = self.spawn(&tag)?;
        if matches!(self.case.kind, Kind::Streams(..) | Kind::Dsl(_)) {
            self.watch(&mut child, &tag)?;
        }
        drop(child.stdin.take());
        let line = result_line(&mut child)?;
        let wall = now().since(began);
        match work_of(self.case.kind) {
            Some((work, _)) => {
                results.samples.entry(name).or_default().push(Sample::from_line(&line, wall)?);
                if let (0, Some(broker)) = (self.round, self.broker) {
                    check(broker, keys_of(self.case.kind), work, &tag, self.records)?;
                }
            }
            None => {
                let numbers = line.split(' ').map(str::parse::<f64>);
                let numbers = numbers.collect::<std::result::Result<Vec<_>, _>>()?;
                results.numbers.entry(name).or_default().push(numbers);
            }
        }
        if let Some(broker) = self.broker {
            broker.delete_topics(&topics)?;
        }
        Ok(())
    }

    /// Makes what the case writes; what is to be deleted afterwards.
    fn make_topics(&self, tag: &str) -> Result<Vec<String>> {
        let (Some(broker), true) = (self.broker, needs_kafka(self.case)) else {
            return Ok(Vec::new());
        };
        let (output, changelog) = (output_topic(tag), changelog_topic(tag));
        broker.create_topic(&output)?;
        // The library makes its own.
        if let Kind::Floor(_, Work::Count(_), _) = self.case.kind {
            broker.create_topic(&changelog)?;
        }
        Ok(vec![output, changelog])
    }

    fn spawn(&self, tag: &str) -> Result<Child> {
        let bootstrap = self.broker.map_or("none:1", |broker| broker.bootstrap.as_str());
        let input = keys_of(self.case.kind).topic(self.records);
        let records = self.records.to_string();
        let child = Command::new(std::env::current_exe()?)
            .args(["--case", self.case.name, bootstrap, &input, tag, &records])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(child)
    }

    /// Waits until everything was written, or committed: on our CPU time, not the case's.
    fn watch(&self, child: &mut Child, tag: &str) -> Result<()> {
        let broker = self.broker.ok_or("a case of the library needs a Kafka")?;
        let deadline = now() + CASE_TIMEOUT;
        let exactly_once = work_of(self.case.kind).is_some_and(|(_, g)| g.is_exactly_once());
        let input = keys_of(self.case.kind).topic(self.records);
        let (output, positions) = (output_topic(tag), broker.positions(tag)?);
        let done = || match exactly_once {
            // The output has markers besides its records.
            true => positions.committed(&input),
            false => broker.records(&output),
        };
        while done()? < self.records {
            if child.try_wait()?.is_some() {
                return Err(format!("{} ended before its work was done", self.case.name).into());
            }
            if now() >= deadline {
                child.kill()?;
                return Err(format!("{} takes more than 10 minutes", self.case.name).into());
            }
            pause();
        }
        Ok(())
    }
}

#[allow(clippy::disallowed_methods, reason = "a measuring process that looks now and then")]
fn pause() {
    std::thread::sleep(WATCH_INTERVAL);
}

fn result_line(child: &mut Child) -> Result<String> {
    let out: Option<ChildStdout> = child.stdout.take();
    let mut result = None;
    for line in BufReader::new(out.ok_or("a case has no output")?).lines() {
        let line = line?;
        match line.strip_prefix("result ") {
            Some(told) => result = Some(told.to_owned()),
            None => eprintln!("{line}"),
        }
    }
    if !child.wait()?.success() {
        return Err("a case failed".into());
    }
    result.ok_or_else(|| "a case told no result".into())
}
