//! One application of several processes, its topics, and what can be done to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use streams_core::time::{Clock, Instant, SystemClock};

use super::verify::{LedgerLogs, Wrong, verify};
use crate::ledger::LedgerTopics;
use crate::topics::LogRecord;
use crate::{Application, topics, until};

/// Of the instances: the shortest that Kafka allows by default.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// Of the instances: readers of committed records wait so long for a dead one that does not come
/// back.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Until all input is processed, after the last mishap.
const SETTLED: Duration = Duration::from_secs(120);
/// Lines of each log that a failure shows.
const LAST_LINES: usize = 12;

/// What the application promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// `exactly_once_v2`.
    ExactlyOnce,
    /// `at_least_once`.
    AtLeastOnce,
}

/// How a [`Stage`] is set up.
#[derive(Clone, Debug)]
pub struct StageOptions<'a> {
    /// The executable.
    pub program: &'a str,
    /// Where Kafka is.
    pub bootstrap: &'a str,
    /// Of the application; its topics are named after it.
    pub application_id: &'a str,
    /// What it promises.
    pub guarantee: Guarantee,
    /// Of each topic.
    pub partitions: i32,
}

/// An application that is tortured. On failure its directory stays, with the logs of the
/// processes.
pub struct Stage {
    program: String,
    bootstrap: String,
    application_id: String,
    guarantee: Guarantee,
    partitions: i32,
    topics: LedgerTopics,
    dir: PathBuf,
    settings: Vec<(String, String)>,
    running: BTreeMap<String, Application>,
}

impl Stage {
    /// Makes the topics. Nothing runs yet.
    ///
    /// # Panics
    /// If Kafka refuses, or there is no temporary directory.
    pub async fn new(options: StageOptions<'_>) -> Self {
        let topics = LedgerTopics::of(options.application_id);
        topics::create_topics(options.bootstrap, &topics.names(), options.partitions).await;
        let prefix = format!("torture-{}-", options.application_id);
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir();
        // For long runs, while the repository is being built.
        let program = std::env::var("TORTURE_PROGRAM").unwrap_or(options.program.to_owned());
        Self {
            program,
            bootstrap: options.bootstrap.to_owned(),
            application_id: options.application_id.to_owned(),
            guarantee: options.guarantee,
            partitions: options.partitions,
            topics,
            dir: dir.expect("a temporary directory can be made").keep(),
            settings: Vec::new(),
            running: BTreeMap::new(),
        }
    }

    /// A setting (`STREAMS_..`) of all instances that are started from now on.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.push((name.to_owned(), value.to_string()));
    }

    /// The application's topics.
    pub fn topics(&self) -> &LedgerTopics {
        &self.topics
    }

    /// Starts an instance.
    ///
    /// # Panics
    /// If it runs already.
    pub fn start(&mut self, instance: &str) {
        self.start_with(instance, &[]);
    }

    /// Starts an instance with further environment variables.
    ///
    /// # Panics
    /// If it runs already.
    pub fn start_with(&mut self, instance: &str, environment: &[(&str, &str)]) {
        assert!(!self.runs(instance), "{instance} runs already");
        let state_dir = self.state_dir(instance).display().to_string();
        let ms = |duration: Duration| duration.as_millis().to_string();
        let (session, transaction) = (ms(SESSION_TIMEOUT), ms(TRANSACTION_TIMEOUT));
        let guarantee = match self.guarantee {
            Guarantee::ExactlyOnce => "exactly_once_v2",
            Guarantee::AtLeastOnce => "at_least_once",
        };
        let mut all = vec![
            ("STREAMS_APPLICATION_ID", self.application_id.as_str()),
            ("STREAMS_BOOTSTRAP_SERVERS", &self.bootstrap),
            ("STREAMS_STATE_DIR", &state_dir),
            ("STREAMS_PROCESSING_GUARANTEE", guarantee),
            ("STREAMS_COMMIT_INTERVAL_MS", "100"),
            ("STREAMS_STATE_FLUSH_INTERVAL_MS", "200"),
            ("STREAMS_SESSION_TIMEOUT_MS", &session),
            ("STREAMS_HEARTBEAT_INTERVAL_MS", "500"),
            ("STREAMS_TRANSACTION_TIMEOUT_MS", &transaction),
        ];
        all.extend(self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        all.extend_from_slice(environment);
        let application = Application::start_logged(&self.program, &all, &self.log(instance));
        self.running.insert(instance.to_owned(), application);
    }

    /// Whether it was started, and not ended by the test.
    pub fn runs(&self, instance: &str) -> bool {
        self.running.contains_key(instance)
    }

    /// A running instance.
    ///
    /// # Panics
    /// If it does not run.
    pub fn instance(&mut self, name: &str) -> &mut Application {
        self.running.get_mut(name).unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// Those that run.
    pub fn running(&self) -> Vec<String> {
        self.running.keys().cloned().collect()
    }

    /// Kills an instance; when.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self, instance: &str) -> Instant {
        self.instance(instance).kill();
        self.running.remove(instance);
        SystemClock.now()
    }

    /// What is left to do after an instance was seen to have ended by itself.
    pub fn forget(&mut self, instance: &str) {
        self.running.remove(instance);
    }

    /// Deletes the state directory of an instance that does not run.
    ///
    /// # Panics
    /// If it runs, or the directory cannot be deleted.
    pub fn wipe(&self, instance: &str) {
        assert!(!self.runs(instance), "{instance} runs");
        match std::fs::remove_dir_all(self.state_dir(instance)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                panic!("cannot delete the state of {instance}: {error}")
            }
            _ => {}
        }
    }

    /// Its state directory.
    pub fn state_dir(&self, instance: &str) -> PathBuf {
        self.dir.join(instance)
    }

    /// Of an instance's first thread, once it has been started.
    pub fn transactional_id(&self, instance: &str) -> Option<String> {
        let file = self.state_dir(instance).join(&self.application_id).join("process-id");
        let text = std::fs::read_to_string(file).ok()?;
        Some(format!("{}-{}-1", self.application_id, text.lines().next()?))
    }

    /// What it logged, in all its lives.
    pub fn log(&self, instance: &str) -> PathBuf {
        self.dir.join(format!("{instance}.log"))
    }

    /// No instance has ended by itself.
    ///
    /// # Panics
    /// If one has.
    #[track_caller]
    pub fn check_alive(&mut self) {
        for (name, application) in &mut self.running {
            if let Some(status) = application.ended() {
                panic!("{name} has ended by itself: {status}");
            }
        }
    }

    /// Whether the output is that of so many entries.
    ///
    /// # Errors
    /// What is missing, or wrong.
    pub fn check(&self, entries: u64) -> Result<LedgerLogs, Wrong> {
        let logs = LedgerLogs::read(&self.bootstrap, &self.topics, self.partitions);
        let found = logs.entries();
        if found as u64 != entries {
            return Err(Wrong::NotYet(format!("{found} of {entries} entries are in the input")));
        }
        verify(&logs, self.guarantee).map(|()| logs)
    }

    /// Waits until the output is that of so many entries.
    ///
    /// # Panics
    /// If it can no longer become so, or does not in time.
    #[track_caller]
    pub fn wait_until_right(&mut self, entries: u64) -> LedgerLogs {
        let mut last = None;
        let deadline = SystemClock.now() + SETTLED;
        until("the output is complete or wrong", SETTLED * 2, || {
            self.check_alive();
            let checked = self.check(entries);
            let late = SystemClock.now() >= deadline;
            let ends = late || !matches!(checked, Err(Wrong::NotYet(_)));
            last = Some(checked);
            ends
        });
        match last.expect("it was checked") {
            Ok(logs) => logs,
            Err(wrong) => self.fail(entries, &wrong),
        }
    }

    /// Keeps what the topics hold, beside the logs of the processes; and where these stand, if
    /// there is a debugger.
    #[track_caller]
    fn fail(&self, entries: u64, wrong: &Wrong) -> ! {
        for (name, application) in &self.running {
            let arguments = ["-batch", "-ex", "thread apply all bt 24", "-p"];
            let pid = application.id().to_string();
            let stacks = Command::new("gdb").args(arguments).arg(pid).output();
            if let Ok(stacks) = stacks {
                let _ = std::fs::write(self.dir.join(format!("{name}.stacks")), stacks.stdout);
            }
        }
        let internal = ["entries-by-account-repartition", "balance-store-changelog"];
        let internal = internal.map(|name| format!("{}-{name}", self.application_id));
        let own = self.topics.names().map(str::to_owned);
        for topic in own.into_iter().chain(internal) {
            let (bootstrap, partitions) = (&self.bootstrap, self.partitions);
            let committed = topics::read_partitions(bootstrap, &topic, partitions);
            self.keep(&format!("{topic}.records"), &committed);
            let all = topics::read_uncommitted(bootstrap, &topic, partitions);
            self.keep(&format!("{topic}.records-and-aborted"), &all);
        }
        let again = match self.check(entries) {
            Ok(_) => "another reader finds nothing wrong: was the first one wrong?".to_owned(),
            Err(again) => format!("another reader says: {again}"),
        };
        panic!("{wrong}; {again}; all records are in {}", self.dir.display());
    }

    fn keep(&self, file: &str, logs: &[Vec<LogRecord>]) {
        let mut text = String::new();
        for (partition, records) in logs.iter().enumerate() {
            for record in records {
                let value = String::from_utf8_lossy(&record.value);
                let (offset, key) = (record.offset, &record.key);
                text.push_str(&format!("{partition} {offset} {key} {value}\n"));
            }
        }
        std::fs::write(self.dir.join(file), text).expect("what the topics hold can be written");
    }

    /// Waits for the output, stops all instances, and checks once more, and that no transaction is
    /// left open.
    ///
    /// # Panics
    /// If anything is wrong.
    #[track_caller]
    pub fn finish(mut self, entries: u64) -> LedgerLogs {
        let began = SystemClock.now();
        self.wait_until_right(entries);
        let right = SystemClock.now();
        for instance in self.running() {
            self.instance(&instance).terminate();
            self.running.remove(&instance);
        }
        let logs = match self.check(entries) {
            Ok(logs) => logs,
            Err(wrong) => self.fail(entries, &wrong),
        };
        let stopped = SystemClock.now();
        let own = format!("{}*", self.application_id);
        let mut open = Vec::new();
        until(&format!("no transaction is open; see {}", self.dir.display()), SETTLED, || {
            let all = [own.as_str(), "__consumer_offsets"];
            let now = topics::partitions_with_open_transactions(&self.bootstrap, &all);
            if now != open {
                println!("open transactions: {now:?}");
            }
            open = now;
            open.is_empty()
        });
        println!(
            "{}: right after {:.1?}, stopped after {:.1?}, no open transaction after {:.1?}",
            self.application_id,
            right.since(began),
            stopped.since(right),
            SystemClock.now().since(stopped)
        );
        logs
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.running.clear();
        if !std::thread::panicking() && std::env::var_os("TORTURE_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
            return;
        }
        eprintln!("logs and state of {} are in {}", self.application_id, self.dir.display());
        let logs = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for path in logs.map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "log") {
                show_end(&path);
            }
        }
    }
}

fn show_end(log: &Path) {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    eprintln!("--- the end of {}", log.display());
    for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
        eprintln!("{line}");
    }
}
