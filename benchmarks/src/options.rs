//! The command line of the coordinator.

use crate::Result;
use crate::cases::{ALL, Case};

const USAGE: &str = "\
usage: scripts/bench [case...] [option...]

  case              a case, or a part of the names of some; without one, all of them
  --runs N          rounds; each runs every case once (default 3)
  --records N       input records of each topic (default 2000000)
  --bootstrap H:P   a running Kafka, in place of one that is started for the run
  --build-rocksdb   compile the bundled RocksDB instead of fetching a prebuilt one
  --list            the names of the cases
";

/// What is to be run.
pub(crate) struct Options {
    pub(crate) cases: Vec<Case>,
    pub(crate) runs: usize,
    pub(crate) records: u64,
    pub(crate) bootstrap: Option<String>,
}

impl Options {
    /// `None` if only help was asked for, which is printed.
    pub(crate) fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Self { cases: Vec::new(), runs: 3, records: 2_000_000, bootstrap: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--runs" => options.runs = value()?.parse::<usize>()?.max(1),
                "--records" => options.records = value()?.parse()?,
                "--bootstrap" => options.bootstrap = Some(value()?.clone()),
                "--list" => {
                    ALL.iter().for_each(|case| println!("{:24} {}", case.name, case.what));
                    return Ok(None);
                }
                "--help" | "-h" => {
                    print!("{USAGE}");
                    return Ok(None);
                }
                option if option.starts_with('-') => {
                    return Err(format!("unknown option {option}\n{USAGE}").into());
                }
                part => options.choose(part)?,
            }
        }
        if options.cases.is_empty() {
            options.cases = ALL.to_vec();
        }
        Ok(Some(options))
    }

    fn choose(&mut self, part: &str) -> Result<()> {
        let before = self.cases.len();
        let exact = ALL.iter().any(|case| case.name == part);
        let chosen = ALL
            .iter()
            .filter(|case| if exact { case.name == part } else { case.name.contains(part) });
        for case in chosen {
            if !self.cases.iter().any(|known| known.name == case.name) {
                self.cases.push(*case);
            }
        }
        if self.cases.len() == before && !exact {
            return Err(format!("no case is named like {part}; see --list").into());
        }
        Ok(())
    }
}
