//! The JVM's side: a process that runs scenarios, `integration-tests/jvm`.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, fs};

use super::Scenario;

/// A running JVM. Ends with the value.
pub struct Jvm {
    child: Child,
    requests: Option<BufWriter<ChildStdin>>,
    answers: BufReader<ChildStdout>,
    /// The titles of those that are not answered.
    asked: VecDeque<String>,
}

impl Jvm {
    /// Starts one, after compiling the program if that was not done before. Needs `java`, `javac`
    /// and `mvn`: `scripts/test` installs them.
    ///
    /// # Panics
    /// If that fails; with what was said.
    pub fn start() -> Self {
        let mut child = java("oracle.Main")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("java is installed: scripts/test installs it");
        let requests = child.stdin.take().map(BufWriter::new);
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        Self { child, requests, answers, asked: VecDeque::new() }
    }

    /// Runs one scenario.
    ///
    /// # Panics
    /// If the process has died.
    pub fn run(&mut self, scenario: &Scenario) -> String {
        self.send(scenario);
        self.receive()
    }

    /// Asks for a scenario's result. A few may be asked for before the first is received: as many
    /// as fit into a pipe.
    ///
    /// # Panics
    /// If the process has died.
    pub fn send(&mut self, scenario: &Scenario) {
        let requests = self.requests.as_mut().expect("it is open until the end");
        let sent = writeln!(requests, "{scenario}end").and_then(|()| requests.flush());
        sent.expect("the JVM is alive");
        self.asked.push_back(scenario.title.clone());
    }

    /// The result of the oldest scenario that was asked for.
    ///
    /// # Panics
    /// If the process has died.
    pub fn receive(&mut self) -> String {
        let mut text = String::new();
        loop {
            let before = text.len();
            let read = self.answers.read_line(&mut text).expect("the JVM writes UTF-8");
            assert!(
                read > 0,
                "the JVM died at the scenario {:?}; it had said: {text}",
                self.asked.front()
            );
            if &text[before..] == "end\n" {
                self.asked.pop_front();
                text.truncate(before);
                return text;
            }
        }
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        // At the end of its input it ends.
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

/// A class of `integration-tests/jvm`, to be run. Compiles all of them if that was not done before.
///
/// # Panics
/// If that fails; with what was said.
pub fn java(class: &str) -> Command {
    let directory = compiled();
    let classes = format!("{0}/classes:{0}/lib/*", directory.display());
    let mut command = Command::new("java");
    // One of few threads, that starts fast, and ends when it has no memory.
    command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.args(["-Xmx1g", "-XX:+ExitOnOutOfMemoryError", "-cp", &classes, class]);
    command
}

/// Where the compiled program is: in the cache, by the hash of its sources.
fn compiled() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("jvm");
    let directory = cache().join(format!("oracle-{:016x}", hash_of(&project)));
    if directory.join("lib").exists() {
        return directory;
    }
    fs::create_dir_all(cache()).expect("the cache can be written");
    let work = tempfile::Builder::new().prefix("oracle-").tempdir_in(cache());
    let work = work.expect("the cache can be written").keep();
    let output = Command::new("mvn")
        .args(["-q", "-B", "compile", "dependency:copy-dependencies"])
        .arg(format!("-Doracle.directory={}", work.display()))
        .arg(format!("-DoutputDirectory={}", work.join("lib").display()))
        .current_dir(&project)
        .output()
        .expect("mvn is installed: scripts/test installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "integration-tests/jvm does not compile:\n{said}");
    // Another process may have been faster.
    if fs::rename(&work, &directory).is_err() {
        let _ = fs::remove_dir_all(&work);
    }
    directory
}

fn cache() -> PathBuf {
    let from = |name: &str| env::var_os(name).map(PathBuf::from);
    from("STREAMS_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|cache| cache.join("streams-rs")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/streams-rs")))
        .unwrap_or_else(env::temp_dir)
}

/// FNV-1a over all files.
fn hash_of(directory: &Path) -> u64 {
    let mut paths = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("the repository can be read");
            open.extend(entries.flatten().map(|entry| entry.path()));
        } else if path.extension().is_some_and(|e| e == "java" || e == "xml") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for path in paths {
        for byte in fs::read(&path).expect("the repository can be read") {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}
