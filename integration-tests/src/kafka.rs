//! A real Apache Kafka for a test: started by `scripts/kafka`, ended with the value.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// How a [`Kafka`] is started.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// `4.3` for the newest patch of it, or all three numbers.
    pub version: String,
    /// 1 or 3.
    pub brokers: usize,
    /// Lines for each broker's `server.properties`: `name=value`.
    pub settings: Vec<String>,
    /// Further listeners: `NAME:PROTOCOL`. See [`Kafka::listener`].
    pub listeners: Vec<String>,
    /// Users, as `kafka-storage` takes them: `SCRAM-SHA-256=[name=u,password=p]`.
    pub scram: Vec<String>,
}

impl Default for KafkaOptions {
    /// One broker of the version that the environment variable `KAFKA_VERSION` names, else the
    /// script's.
    fn default() -> Self {
        let version = std::env::var("KAFKA_VERSION").unwrap_or_default();
        Self { version, brokers: 1, settings: vec![], listeners: vec![], scram: vec![] }
    }
}

/// Brokers on this machine. Dropped, they are killed and their files deleted; so they are if the
/// test's process dies.
#[derive(Debug)]
pub struct Kafka {
    dir: PathBuf,
    addresses: Vec<(String, String)>,
}

impl Kafka {
    /// Starts brokers and waits until they answer.
    ///
    /// # Panics
    /// If they do not; with what the script said.
    #[track_caller]
    pub fn start(options: &KafkaOptions) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("streams-kafka-")
            .tempdir()
            .expect("a temporary directory can be made")
            .keep();
        let mut command = script("start", &dir);
        command.args(["--quick", "--port", "0", "--brokers", &options.brokers.to_string()]);
        command.args(["--while-pid", &std::process::id().to_string()]);
        if !options.version.is_empty() {
            command.args(["--version", &options.version]);
        }
        for (name, values) in [
            ("--set", &options.settings),
            ("--listener", &options.listeners),
            ("--add-scram", &options.scram),
        ] {
            values.iter().for_each(|value| {
                command.args([name, value]);
            });
        }
        let output = run(command);
        let text = String::from_utf8_lossy(&output.stdout);
        let line = |line: &str| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        Self { dir, addresses: text.lines().filter_map(line).collect() }
    }

    /// The value for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.address("bootstrap.servers")
    }

    /// The address of a further listener.
    pub fn listener(&self, name: &str) -> String {
        self.address(&format!("listener.{name}"))
    }

    /// Kills a broker, as a crash does. Counted from 1.
    pub fn kill_broker(&self, broker: usize) {
        let mut command = script("stop", &self.dir);
        command.args(["--kill", "--broker", &broker.to_string()]);
        run(command);
    }

    /// Stops a broker in an orderly way. Counted from 1.
    pub fn stop_broker(&self, broker: usize) {
        let mut command = script("stop", &self.dir);
        command.args(["--broker", &broker.to_string()]);
        run(command);
    }

    /// Starts a broker again, with its data and ports, and waits until it answers.
    pub fn restart_broker(&self, broker: usize) {
        let mut command = script("start", &self.dir);
        command.args(["--broker", &broker.to_string()]);
        run(command);
    }

    /// Runs one of Kafka's tools; what it printed. `name` as `scripts/kafka tool` has it.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(script_path());
        command.args(["tool", name]).args(arguments);
        String::from_utf8_lossy(&run(command).stdout).into_owned()
    }

    fn address(&self, name: &str) -> String {
        let found = self.addresses.iter().find(|(key, _)| key == name);
        found.map(|(_, address)| address.clone()).unwrap_or_else(|| panic!("there is no {name}"))
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let mut command = script("stop", &self.dir);
        command.args(["--kill", "--delete"]);
        // What goes wrong here must not hide why the test ends.
        let _ = command.output();
    }
}

fn script(command: &str, dir: &Path) -> Command {
    let mut script = Command::new(script_path());
    script.arg(command).arg("--dir").arg(dir);
    script
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka")
}

#[track_caller]
fn run(mut command: Command) -> Output {
    let output = command.output().expect("scripts/kafka can be run");
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
