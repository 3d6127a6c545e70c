//! An application with a million keys is killed with SIGKILL and started again: how long until it
//! processes, how much it replays, and whether it keeps what lies on its disk.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use streams_core::config::{RestorePhase, State};
use streams_core::error::BoxError;
use streams_core::partitioning::partition_for_key;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::serdes::Bytes;
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::time::Instant;
use streams_core::{KafkaStreams, StreamsConfig, Topology};

use crate::Result;
use crate::broker::{Broker, PARTITIONS};
use crate::cases::{Guarantee, Task, changelog_topic};
use crate::input::{key_of, value_of};
use crate::measure::{log_if_asked, now};
use crate::raw_kafka::RawProducer;
use crate::streams::settings;

const KEYS: u64 = 1_000_000;
/// Updates after the last flush.
const LATE: u64 = 100_000;
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);
const COMMIT_TIMEOUT: Duration = Duration::from_secs(120);

/// Per start (killed after late updates, killed when all was flushed, closed and its directory
/// deleted): milliseconds to RUNNING and to the first record, records replayed, and MiB in the
/// directory before and after. First: records in the changelog.
pub(crate) fn run(task: &Task) -> Result<String> {
    let broker = Broker::start_or_use(Some(&task.bootstrap))?;
    let input = format!("{}-in", task.tag);
    broker.create_topic(&input)?;
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    let mut scene = Scene { broker: &broker, task, input: input.clone(), written: 0 };

    let mut app = scene.start(path)?;
    scene.write(KEYS)?;
    // Twice: layers go to the engine, then the engine to the disk.
    pause(FLUSH_INTERVAL * 2 + Duration::from_secs(3));
    scene.write(LATE)?;
    app.child.kill()?;
    app.child.wait()?;
    let changelog = broker.records(&changelog_topic(&task.tag))?;
    let mut numbers = vec![changelog as f64];
    numbers.extend(scene.restart(path, &mut app)?);

    pause(FLUSH_INTERVAL * 2 + Duration::from_secs(3));
    app.child.kill()?;
    app.child.wait()?;
    numbers.extend(scene.restart(path, &mut app)?);

    drop(app.child.stdin.take());
    app.child.wait()?;
    std::fs::remove_dir_all(path.join(&task.tag))?;
    numbers.extend(scene.restart(path, &mut app)?);
    drop(app.child.stdin.take());
    app.child.wait()?;
    broker.delete_topics(&[input])?;
    Ok(numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(" "))
}

struct Scene<'a> {
    broker: &'a Broker,
    task: &'a Task,
    input: String,
    written: u64,
}

impl Scene<'_> {
    /// Writes records of the keys from 0 on, and waits until they are committed.
    fn write(&mut self, records: u64) -> Result<()> {
        self.send(records)?;
        let positions = self.broker.positions(&self.task.tag)?;
        let deadline = now() + COMMIT_TIMEOUT;
        while positions.committed(&self.input)? < self.written {
            if now() >= deadline {
                return Err("the application does not commit".into());
            }
            pause(Duration::from_millis(5));
        }
        Ok(())
    }

    fn send(&mut self, records: u64) -> Result<()> {
        let mut producer = RawProducer::new(&self.task.bootstrap, None)?;
        let topic = producer.topic(&self.input)?;
        for number in 0..records {
            let (key, value) = (key_of(number), value_of(number));
            let time = i64::try_from(self.written + number)?;
            producer.send(topic, partition_for_key(&key, PARTITIONS), time, &key, Some(&value))?;
            if number % 1000 == 0 {
                producer.poll();
            }
        }
        self.written += records;
        producer.flush()
    }

    fn start(&self, directory: &Path) -> Result<App> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--restart-app", &self.task.bootstrap, &self.input, &self.task.tag])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("the application has no output")?;
        Ok(App { child, out: BufReader::new(out), running: 0.0, processing: 0.0, replayed: 0.0 })
    }

    /// The numbers of one start.
    fn restart(&mut self, directory: &Path, app: &mut App) -> Result<[f64; 5]> {
        let before = mebibytes(directory)?;
        // Something to be processed, which a clean run would have done before.
        self.send(1000)?;
        *app = self.start(directory)?;
        app.wait()?;
        Ok([app.running, app.processing, app.replayed, before, mebibytes(directory)?])
    }
}

struct App {
    child: Child,
    out: BufReader<ChildStdout>,
    running: f64,
    processing: f64,
    replayed: f64,
}

impl App {
    /// Until it runs and has processed.
    fn wait(&mut self) -> Result<()> {
        while self.running == 0.0 || self.processing == 0.0 {
            let mut line = String::new();
            if self.out.read_line(&mut line)? == 0 {
                return Err("the application has ended".into());
            }
            eprint!("restart: {line}");
            let mut words: VecDeque<&str> = line.split_whitespace().collect();
            let word = words.pop_front().unwrap_or_default();
            let mut number = || words.pop_front().unwrap_or("0").parse::<f64>();
            match word {
                "running" => self.running = number()?,
                "processing" => self.processing = number()?,
                "replayed" => self.replayed += number()?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// When `start` was called, for the processor.
static STARTED: OnceLock<Instant> = OnceLock::new();
static PROCESSED: OnceLock<()> = OnceLock::new();

/// `--restart-app BOOTSTRAP INPUT TAG DIRECTORY`: runs until its input is closed; prints what
/// happens when, in milliseconds since it was started.
pub(crate) fn run_app(arguments: &[String]) -> Result<()> {
    let [bootstrap, input, tag, directory] = arguments else {
        return Err("--restart-app is for the benchmark".into());
    };
    log_if_asked();
    let mut builder = Topology::builder();
    let source = builder.add_source::<Bytes, Bytes>("in", input.as_str());
    let stores = Stores::key_value::<Bytes, i64>("counts");
    let counts = builder.add_processor("count", &[&source], stores, |counts, _| Count { counts });
    builder.add_sink("out", &[&counts], format!("{tag}-out").as_str());
    let topology = builder.build()?;
    let config = StreamsConfig::new(tag.as_str(), bootstrap.as_str())
        .state_dir(directory)
        .threads(1)
        .set("state.flush.interval.ms", FLUSH_INTERVAL.as_millis())
        .on_restore(|progress| match progress.phase {
            RestorePhase::Started => println!("restoring {} {}", since_start(), progress.task),
            RestorePhase::Done => {
                println!("replayed {} {} {}", progress.records, since_start(), progress.task);
            }
            _ => {}
        })
        .on_state_change(|_, state| {
            if state == State::Running {
                println!("running {}", since_start());
            }
        });
    let config = Guarantee::ExactlyOnce(100).apply(config);
    let config = settings(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    STARTED.get_or_init(now);
    let streams = runtime.block_on(KafkaStreams::start(topology, config))?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    runtime.block_on(streams.close())?;
    Ok(())
}

fn since_start() -> f64 {
    let started = STARTED.get().copied().unwrap_or_default();
    now().since(started).as_secs_f64() * 1e3
}

struct Count {
    counts: KeyValueHandle<Bytes, i64>,
}

impl Processor for Count {
    type KIn = Bytes;
    type VIn = Bytes;
    type KOut = Bytes;
    type VOut = i64;

    fn process(
        &mut self,
        key: Bytes,
        _: Bytes,
        ctx: &mut ProcessorContext<'_, Bytes, i64>,
    ) -> std::result::Result<(), BoxError> {
        PROCESSED.get_or_init(|| println!("processing {}", since_start()));
        let count =
            ctx.store(&self.counts).update(&key, |count| *count.insert(count.unwrap_or(0) + 1))?;
        ctx.forward(key, count)
    }
}

/// Of all files below.
fn mebibytes(path: &Path) -> Result<f64> {
    let mut bytes = 0;
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            match metadata.is_dir() {
                true => directories.push(entry.path()),
                false => bytes += metadata.len(),
            }
        }
    }
    Ok(bytes as f64 / f64::from(1 << 20))
}

#[allow(clippy::disallowed_methods, reason = "time has to pass: flushes go by it")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
