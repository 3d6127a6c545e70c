//! An application in a process of its own, to be killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::until;

/// A child process whose output lines are collected. Killed when dropped.
pub struct Application {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Application {
    /// Starts `program` with these environment variables.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(program: &str, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the application starts");
        let stdout = child.stdout.take().expect("its output is piped");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let collected = lines.clone();
        #[allow(clippy::disallowed_methods, reason = "a test reads a pipe")]
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                collected.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, lines }
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
    pub fn wait_for(&self, beginning: &str) -> String {
        let find = || self.lines().into_iter().find(|line| line.starts_with(beginning));
        until(&format!("the application says {beginning}"), Duration::from_secs(60), || {
            find().is_some()
        });
        find().expect("it was just there")
    }

    /// Kills it: no destructor runs, nothing is flushed.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success(), "SIGTERM could not be sent to {pid}");
        let mut status = None;
        until("the application ends", Duration::from_secs(60), || {
            status = self.child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()), "it ended with {status:?}");
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.kill();
    }
}
