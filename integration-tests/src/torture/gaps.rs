//! Watches committed output as a reader sees it, and notes how long nothing came.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use streams_core::time::{Clock, Instant, SystemClock};

/// Shorter pauses are those of commits.
const NOTED: Duration = Duration::from_millis(500);

/// A time in which a partition got no committed output, although there was input.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Where.
    pub partition: String,
    /// When the last record came before.
    pub from: Instant,
    /// When the next record came.
    pub to: Instant,
}

impl Gap {
    /// Its length.
    pub fn length(&self) -> Duration {
        self.to.since(self.from)
    }
}

/// A reader of committed records on a thread of its own.
pub struct GapWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    gaps: Mutex<Vec<Gap>>,
    records: Mutex<u64>,
}

impl GapWatch {
    /// Watches all partitions of these topics.
    ///
    /// # Panics
    /// If they cannot be read.
    pub fn start(bootstrap: &str, topics: &[&str], partitions: i32) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "gap-watch")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "50")
            .set("log_level", "3")
            .create()
            .expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        let all = topics.iter().flat_map(|topic| (0..partitions).map(move |p| (*topic, p)));
        for (topic, partition) in all {
            let from = Offset::Beginning;
            assignment.add_partition_offset(topic, partition, from).expect("an offset");
        }
        consumer.assign(&assignment).expect("an assignment");
        let shared = Arc::new(Shared::default());
        let watching = shared.clone();
        #[allow(clippy::disallowed_methods, reason = "a test's own thread")]
        let thread = std::thread::spawn(move || watching.watch(&consumer));
        Self { shared, thread: Some(thread) }
    }

    /// Records that came so far.
    pub fn records(&self) -> u64 {
        *lock(&self.shared.records)
    }

    /// The longest gap around so many of these moments: it lasted when they came, or began right
    /// after.
    pub fn longest_around(&self, moments: &[Instant], count: RangeInclusive<usize>) -> Option<Gap> {
        let margin = Duration::from_secs(1);
        let around = |gap: &&Gap| {
            let is_in = |moment: &&Instant| **moment + margin >= gap.from && **moment <= gap.to;
            count.contains(&moments.iter().filter(is_in).count())
        };
        lock(&self.shared.gaps).iter().filter(around).max_by_key(|gap| gap.length()).cloned()
    }
}

impl Drop for GapWatch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn watch(&self, consumer: &BaseConsumer) {
        let mut last = std::collections::BTreeMap::<(String, i32), Instant>::new();
        while !self.stop.load(Ordering::Acquire) {
            // Errors pass: brokers are killed.
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let now = SystemClock.now();
            *lock(&self.records) += 1;
            let at = (message.topic().to_owned(), message.partition());
            if let Some(from) = last.insert(at, now)
                && now.since(from) > NOTED
            {
                let partition = format!("{}-{}", message.topic(), message.partition());
                lock(&self.gaps).push(Gap { partition, from, to: now });
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
