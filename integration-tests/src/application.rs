//! An application in a process of its own, to be killed.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::until;

/// What such an application tells the test that started it: a line, also in its log.
pub fn say(line: &str) {
    tracing::info!("{line}");
    let mut out = std::io::stdout().lock();
    // A test that has gone away reads nothing more.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A child process whose output lines are collected. Killed when dropped.
pub struct Application {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    log: Option<PathBuf>,
}

impl Application {
    /// Starts `program` with these environment variables.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(program: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_with(program, environment, None)
    }

    /// As [`start`](Self::start); what it logs (its standard error) is appended to a file.
    ///
    /// # Panics
    /// If it cannot be started, or the file not be written.
    pub fn start_logged(program: &str, environment: &[(&str, &str)], log: &Path) -> Self {
        Self::start_with(program, environment, Some(log))
    }

    fn start_with(program: &str, environment: &[(&str, &str)], log: Option<&Path>) -> Self {
        let mut command = Command::new(program);
        command.envs(environment.iter().copied());
        Self::run(command, log)
    }

    /// Starts a command; its standard input stays open until [`close_input`](Self::close_input).
    ///
    /// # Panics
    /// If it cannot be started, or the log not be written.
    pub fn run(mut command: Command, log: Option<&Path>) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(log) = log {
            let file = OpenOptions::new().create(true).append(true).open(log);
            command.stderr(file.expect("the log of the application can be written"));
        }
        let mut child = command.spawn().expect("the application starts");
        let stdout = child.stdout.take().expect("its output is piped");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let collected = lines.clone();
        #[allow(clippy::disallowed_methods, reason = "a test reads a pipe")]
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                collected.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, lines, log: log.map(Path::to_owned) }
    }

    /// Tells a program that reads its standard input that there is no more.
    pub fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it prints a line with that beginning; the line.
    ///
    /// # Panics
    /// If it does not within a minute.
    #[track_caller]
    pub fn wait_for(&self, beginning: &str) -> String {
        let find = || self.lines().into_iter().find(|line| line.starts_with(beginning));
        let what = format!("the application says {beginning} {}", self.place_of_log());
        until(&what, Duration::from_secs(60), || find().is_some());
        find().expect("it was just there")
    }

    /// How it ended, if it did.
    ///
    /// # Panics
    /// If it is no longer a child of this process.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits until it ends; how.
    ///
    /// # Panics
    /// If it does not within the limit.
    #[track_caller]
    pub fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        until(&format!("the application ends {}", self.place_of_log()), limit, || {
            status = self.ended();
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Kills it: no destructor runs, nothing is flushed.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Takes all its time from it, as a long pause of a virtual machine does.
    ///
    /// # Panics
    /// If it does not live.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a frozen one go on.
    ///
    /// # Panics
    /// If it does not live.
    #[track_caller]
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Panics
    /// If it does not within a minute, or ends with an error.
    #[track_caller]
    pub fn terminate(&mut self) {
        self.signal("-TERM");
        let status = self.wait_for_end(Duration::from_secs(60));
        assert!(status.success(), "it ended with {status} {}", self.place_of_log());
    }

    #[track_caller]
    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success(), "{signal} could not be sent to {pid} {}", self.place_of_log());
    }

    fn place_of_log(&self) -> String {
        self.log.as_ref().map_or_else(String::new, |log| format!("(its log: {})", log.display()))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.kill();
    }
}
