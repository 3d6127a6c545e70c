//! From a producer to a `read_committed` consumer: the maximal rate, then latency at half of it.
//!
//! One process: a producer, the application, a consumer. The time of a record is microseconds of
//! this process's clock, and the application keeps it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use streams_core::config::State;
use streams_core::partitioning::partition_for_key;
use streams_core::time::Instant;
use streams_core::{KafkaStreams, StreamsConfig};

use crate::Result;
use crate::broker::{Broker, PARTITIONS};
use crate::cases::{Guarantee, Task, Work};
use crate::commit_times::{CommitTimes, Observer};
use crate::input::{Key, key_of, value_of};
use crate::measure::now;
use crate::raw_kafka::{RawConsumer, RawProducer, RawTopic};
use crate::streams;

const KEYS: u64 = 100_000;
/// Records under way while the maximal rate is sought: more than one commit interval holds.
const WINDOW: u64 = 500_000;
const BURST: u64 = 500;
const WARM_UP: Duration = Duration::from_secs(2);
const FLOOD: Duration = Duration::from_secs(5);
const PACED: Duration = Duration::from_secs(6);
const DRAIN: Duration = Duration::from_secs(60);
const READ_WAIT_MS: i32 = 1;

/// What the table shows, in this order: records a second at most and as measured; latency in
/// milliseconds, median, 99th percentile and maximum; then of commits at both rates: how many a
/// second, milliseconds until everything was acknowledged and until the commit was answered, and
/// the share of time in which it was under way.
pub(crate) fn run(task: &Task, work: Work, guarantee: Guarantee, raw: bool) -> Result<String> {
    let observer = Observer::install()?;
    let broker = Broker::start_or_use(Some(&task.bootstrap))?;
    let task = Task { input: format!("{}-in", task.tag), ..task.clone() };
    broker.create_topic(&task.input)?;
    let reader = Reader { origin: now(), ..Reader::default() };
    let measure = || {
        let consumer = RawConsumer::new(&task.bootstrap, "bench-latency", &task.output())?;
        beside(&reader.stop, || reader.run(consumer), || drive(&task, &reader, &observer))
    };
    let ((max, paced), latencies) = if raw {
        let stop = AtomicBool::new(false);
        let ((), measured) = swap(beside(&stop, || copy_raw(&task, guarantee, &stop), measure)?);
        measured
    } else {
        let directory = tempfile::tempdir()?;
        let config = StreamsConfig::new(task.tag.as_str(), task.bootstrap.as_str())
            .state_dir(directory.path())
            .threads(1);
        let config = streams::settings(guarantee.apply(config))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let topology = streams::topology(&task, work)?;
        let streams = runtime.block_on(KafkaStreams::start(topology, config))?;
        runtime.block_on(streams.wait_for(State::Running))?;
        let measured = measure()?;
        runtime.block_on(streams.close())?;
        measured
    };
    broker.delete_topics(std::slice::from_ref(&task.input))?;
    Ok(line(&max, &paced, latencies))
}

/// Runs `main` here and `side` on a thread that is stopped afterwards.
fn beside<S: Send, M>(
    stop: &AtomicBool,
    side: impl FnOnce() -> Result<S> + Send,
    main: impl FnOnce() -> Result<M>,
) -> Result<(M, S)> {
    std::thread::scope(|scope| {
        #[allow(clippy::disallowed_methods, reason = "a part of the measurement")]
        let side = std::thread::Builder::new().spawn_scoped(scope, side)?;
        let result = main();
        stop.store(true, Ordering::Release);
        let side = side.join().map_err(|_| "a thread of the measurement failed")??;
        Ok((result?, side))
    })
}

fn swap<A, B>((a, b): (A, B)) -> (B, A) {
    (b, a)
}

/// The raw librdkafka loop.
fn copy_raw(task: &Task, guarantee: Guarantee, stop: &AtomicBool) -> Result<()> {
    let id = guarantee.is_exactly_once().then_some(task.tag.as_str());
    let linger_ms = if id.is_some() { "5" } else { "100" };
    let mut consumer = RawConsumer::new(&task.bootstrap, &task.tag, &task.input)?;
    let mut producer = RawProducer::lingering(&task.bootstrap, id, linger_ms)?;
    let out = producer.topic(&task.output())?;
    let interval = Duration::from_millis(guarantee.interval_ms().into());
    let mut next_commit = now() + interval;
    let mut dirty = false;
    while !stop.load(Ordering::Acquire) {
        dirty |= 0 < consumer.batch_within(READ_WAIT_MS, |record| {
            let partition = partition_for_key(record.key, PARTITIONS);
            producer.send(out, partition, record.time, record.key, Some(record.value))
        })?;
        producer.poll();
        if dirty && now() >= next_commit {
            next_commit = now() + interval;
            producer.commit(&consumer)?;
            dirty = false;
        }
    }
    Ok(())
}

/// A rate that was held, and the commits meanwhile.
struct Held {
    rate: f64,
    commits: CommitTimes,
}

fn drive(task: &Task, reader: &Reader, observer: &Observer) -> Result<(Held, Held)> {
    let mut producer = RawProducer::lingering(&task.bootstrap, None, "1")?;
    let topic = producer.topic(&task.input)?;
    let keys: Vec<_> = (0..KEYS)
        .map(|number| {
            let key = key_of(number);
            (key, partition_for_key(&key, PARTITIONS))
        })
        .collect();
    let mut source = Source { producer, topic, keys, sent: 0, random: 1 };

    source.flood(reader, WARM_UP)?;
    let (before, began, commits) = (reader.received(), now(), observer.taken());
    source.flood(reader, FLOOD)?;
    let max = Held {
        rate: (reader.received() - before) as f64 / now().since(began).as_secs_f64(),
        commits: observer.taken().since(&commits),
    };
    source.drain(reader)?;

    let rate = max.rate / 2.0;
    source.pace(reader, rate, WARM_UP)?;
    let (before, began, commits) = (reader.received(), now(), observer.taken());
    reader.measuring.store(true, Ordering::Release);
    source.pace(reader, rate, PACED)?;
    reader.measuring.store(false, Ordering::Release);
    let paced = Held {
        rate: (reader.received() - before) as f64 / now().since(began).as_secs_f64(),
        commits: observer.taken().since(&commits),
    };
    source.drain(reader)?;
    Ok((max, paced))
}

/// Where records come from.
struct Source {
    producer: RawProducer,
    topic: RawTopic,
    keys: Vec<(Key, i32)>,
    sent: u64,
    random: u64,
}

impl Source {
    /// As fast as the consumer takes them.
    fn flood(&mut self, reader: &Reader, time: Duration) -> Result<()> {
        let end = now() + time;
        while now() < end {
            if self.sent.saturating_sub(reader.received()) < WINDOW {
                self.send(reader, BURST)?;
            } else {
                pause();
            }
        }
        Ok(())
    }

    /// At a rate, whatever becomes of them.
    fn pace(&mut self, reader: &Reader, rate: f64, time: Duration) -> Result<()> {
        let (began, before) = (now(), self.sent);
        loop {
            let passed = now().since(began);
            if passed >= time {
                return Ok(());
            }
            let due = before + (passed.as_secs_f64() * rate) as u64;
            self.send(reader, due.saturating_sub(self.sent))?;
            pause();
        }
    }

    /// Until all have come.
    fn drain(&mut self, reader: &Reader) -> Result<()> {
        self.producer.flush()?;
        let deadline = now() + DRAIN;
        while reader.received() < self.sent {
            if now() >= deadline {
                let (sent, received) = (self.sent, reader.received());
                return Err(format!("{received} of {sent} records came").into());
            }
            pause();
        }
        Ok(())
    }

    fn send(&mut self, reader: &Reader, records: u64) -> Result<()> {
        let time = reader.now_us();
        for _ in 0..records {
            self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let (key, partition) = &self.keys[((self.random >> 33) % KEYS) as usize];
            let value = value_of(self.random);
            self.producer.send(self.topic, *partition, time, key, Some(&value))?;
        }
        self.sent += records;
        self.producer.poll();
        Ok(())
    }
}

/// The consumer's thread.
#[derive(Default)]
struct Reader {
    origin: Instant,
    received: AtomicU64,
    measuring: AtomicBool,
    stop: AtomicBool,
}

impl Reader {
    /// Latencies in microseconds.
    fn run(&self, mut consumer: RawConsumer) -> Result<Vec<u32>> {
        let mut latencies = Vec::new();
        while !self.stop.load(Ordering::Acquire) {
            let measuring = self.measuring.load(Ordering::Acquire);
            let read = consumer.batch_within(READ_WAIT_MS, |record| {
                if measuring {
                    let late = self.now_us() - record.time;
                    latencies.push(u32::try_from(late)?);
                }
                Ok(())
            })?;
            self.received.fetch_add(read as u64, Ordering::AcqRel);
        }
        Ok(latencies)
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    fn now_us(&self) -> i64 {
        now().since(self.origin).as_micros() as i64 + 1
    }
}

#[allow(clippy::disallowed_methods, reason = "the pace of the measurement")]
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

fn line(max: &Held, paced: &Held, mut latencies: Vec<u32>) -> String {
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies
            .get(index.min(latencies.len().saturating_sub(1)))
            .map_or(0.0, |us| f64::from(*us) / 1e3)
    };
    let mut numbers = vec![max.rate, paced.rate, at(0.5), at(0.99), at(1.0)];
    for held in [max, paced] {
        numbers.extend(held.commits.numbers());
    }
    numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}
