//! Writes entries at a steady rate for as long as wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use streams_core::time::{Clock, SystemClock};

use crate::ledger;

const TICK: Duration = Duration::from_millis(10);

/// A producer on a thread of its own. The entries are numbered from 0.
pub struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts to write so many entries a second.
    ///
    /// # Panics
    /// If the producer cannot be made.
    pub fn start(bootstrap: &str, topic: &str, per_second: u64) -> Self {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("partitioner", "murmur2_random")
            // Each once, in order, whatever happens to brokers.
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "300000")
            .set("linger.ms", "5")
            .set("log_level", "3")
            .create()
            .expect("a producer");
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count, topic) = (stop.clone(), written.clone(), topic.to_owned());
        #[allow(clippy::disallowed_methods, reason = "a test's own thread")]
        let thread = std::thread::spawn(move || {
            let began = SystemClock.now();
            let mut next = 0;
            while !stopped.load(Ordering::Acquire) {
                let ms = SystemClock.now().since(began).as_millis();
                let due = u64::try_from(ms).unwrap_or(u64::MAX) * per_second / 1000;
                while next < due && !stopped.load(Ordering::Acquire) {
                    send(&producer, &topic, next);
                    next += 1;
                    count.store(next, Ordering::Release);
                }
                producer.poll(TICK);
            }
            producer.flush(Duration::from_secs(120)).expect("all entries are taken");
        });
        Self { stop, written, thread: Some(thread) }
    }

    /// Entries that were handed to the producer.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Stops, and waits until Kafka has taken everything; how many entries there are.
    ///
    /// # Panics
    /// If Kafka does not take them.
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.take().expect("it is stopped once");
        thread.join().expect("the writer ends by itself");
        self.written()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn send(producer: &BaseProducer, topic: &str, number: u64) {
    let (key, value) = (ledger::key(number), number.to_string());
    let mut record = BaseRecord::to(topic).key(&key).payload(&value);
    while let Err((_, back)) = producer.send(record) {
        record = back;
        producer.poll(TICK);
    }
}
