//! Topics that a test writes.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use streams_core::client::MemoryRecord;
use streams_core::serdes::{SerdeContext, SerdeRef};
use streams_core::topology::Consumed;
use streams_core::{Data, Headers, Record, StreamsError, Timestamp};

use super::driver::TopologyTestDriver;
use super::fixture::Fixture;

/// Writes to an input topic of a [`TopologyTestDriver`].
///
/// Records have the driver's time of day unless another time is given: with each of them, or for
/// this handle by [`starting_at`](Self::starting_at) or [`advance_time`](Self::advance_time).
pub struct TestInputTopic<K, V> {
    driver: TopologyTestDriver,
    topic: Arc<str>,
    /// `None`: that of its key.
    partition: Option<i32>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    /// `None`: the driver's time of day.
    time: Cell<Option<Timestamp>>,
    auto_advance: Duration,
}

impl<K: Data, V: Data> TestInputTopic<K, V> {
    #[track_caller]
    pub(super) fn new(driver: TopologyTestDriver, consumed: Consumed<K, V>) -> Self {
        let topic = driver.one_topic(&consumed);
        {
            let running = driver.running();
            let sources = running.sources();
            if !sources.contains(&topic) {
                let known: Vec<&str> = sources.iter().map(|topic| &**topic).collect();
                let known = known.join(", ");
                drop(running);
                panic!("no source of the topology reads topic `{topic}`; it reads: {known}");
            }
        }
        let serdes = (consumed.key_serde().resolve(None), consumed.value_serde().resolve(None));
        let (Some(key), Some(value)) = serdes else {
            panic!("test topic `{topic}` has nobody to inherit serdes from");
        };
        let (time, auto_advance) = (Cell::new(None), Duration::ZERO);
        Self { driver, topic, partition: None, key, value, time, auto_advance }
    }

    /// The next record has this time (ms since 1970, or a [`Timestamp`]), and so have the later
    /// ones until time is advanced.
    #[must_use]
    pub fn starting_at(self, time: impl Fixture<Timestamp>) -> Self {
        self.time.set(Some(time.fixture()));
        self
    }

    /// The time of this handle advances by so much after each record that is piped without a time
    /// of its own.
    #[must_use]
    pub fn auto_advance(mut self, by: Duration) -> Self {
        self.auto_advance = by;
        self
    }

    /// Records go to this partition, whatever their keys.
    ///
    /// # Panics
    /// If the topic has no such partition.
    #[track_caller]
    #[must_use]
    pub fn to_partition(mut self, partition: i32) -> Self {
        let count = {
            let running = self.driver.running();
            let mut logs = running.logs.lock();
            let topic = logs.topic(&self.topic);
            logs.get(topic).map_or(1, |log| log.partition_count())
        };
        let topic = &self.topic;
        assert!((0..count).contains(&partition), "topic `{topic}` has {count} partitions");
        self.partition = Some(partition);
        self
    }

    /// Advances the time of this handle. From then on it does not follow the time of day.
    pub fn advance_time(&self, by: Duration) {
        self.time.set(Some(self.time() + by));
    }

    /// The time of the next record.
    pub fn time(&self) -> Timestamp {
        self.time.get().unwrap_or_else(|| self.driver.wall_clock())
    }

    /// Writes a record and processes it.
    ///
    /// # Panics
    /// If it cannot be processed.
    #[track_caller]
    pub fn pipe(&self, key: impl Fixture<K>, value: impl Fixture<V>) {
        told(self.try_pipe(key, value));
    }

    /// Writes a record of this time (ms since 1970, or a [`Timestamp`]) and processes it.
    ///
    /// # Panics
    /// If it cannot be processed.
    #[track_caller]
    pub fn pipe_at(
        &self,
        key: impl Fixture<K>,
        value: impl Fixture<V>,
        time: impl Fixture<Timestamp>,
    ) {
        told(self.try_pipe_record(Record::new(key.fixture(), value.fixture(), time.fixture())));
    }

    /// Writes records, each as [`pipe`](Self::pipe) does.
    ///
    /// # Panics
    /// If one of them cannot be processed.
    #[track_caller]
    pub fn pipe_all<A: Fixture<K>, B: Fixture<V>>(
        &self,
        records: impl IntoIterator<Item = (A, B)>,
    ) {
        for (key, value) in records {
            told(self.try_pipe(key, value));
        }
    }

    /// Writes a record with its own time and headers, and processes it.
    ///
    /// # Panics
    /// If it cannot be processed.
    #[track_caller]
    pub fn pipe_record(&self, record: Record<K, V>) {
        told(self.try_pipe_record(record));
    }

    /// Writes null as the value, whatever the type says, and processes it.
    ///
    /// # Panics
    /// If it cannot be processed.
    #[track_caller]
    pub fn pipe_null(&self, key: impl Fixture<K>) {
        let time = self.take_time();
        self.pipe_null_at(key, time);
    }

    /// Writes null as the value of a record of this time, and processes it.
    ///
    /// # Panics
    /// If it cannot be processed.
    #[track_caller]
    pub fn pipe_null_at(&self, key: impl Fixture<K>, time: impl Fixture<Timestamp>) {
        let mut headers = Headers::new();
        let key = self.key_bytes(&key.fixture(), &mut headers);
        told(self.try_pipe_bytes(key, None, time.fixture(), headers));
    }

    /// Writes a record of these bytes, whatever the types say, and processes it.
    ///
    /// # Errors
    /// As [`try_pipe`](Self::try_pipe).
    #[track_caller]
    pub fn try_pipe_raw(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), StreamsError> {
        let time = self.take_time();
        self.try_pipe_bytes(key.map(Into::into), value.map(Into::into), time, Headers::new())
    }

    /// As [`pipe`](Self::pipe).
    ///
    /// # Errors
    /// Of processing: of serdes, handlers and the application's code, panics included. Everything
    /// since the last commit is given up then, and the record on which a task failed is passed
    /// over, so that the test can go on.
    #[track_caller]
    pub fn try_pipe(
        &self,
        key: impl Fixture<K>,
        value: impl Fixture<V>,
    ) -> Result<(), StreamsError> {
        let time = self.take_time();
        self.try_pipe_record(Record::new(key.fixture(), value.fixture(), time))
    }

    /// As [`pipe_record`](Self::pipe_record).
    ///
    /// # Errors
    /// As [`try_pipe`](Self::try_pipe).
    #[track_caller]
    pub fn try_pipe_record(&self, record: Record<K, V>) -> Result<(), StreamsError> {
        let Record { key, value, timestamp, mut headers } = record;
        let key = self.key_bytes(&key, &mut headers);
        let mut cx = SerdeContext::value(&self.topic, &mut headers);
        let value = to_bytes(&self.value, &value, &mut cx);
        self.try_pipe_bytes(key, value, timestamp, headers)
    }

    #[track_caller]
    fn try_pipe_bytes(
        &self,
        key: Option<Box<[u8]>>,
        value: Option<Box<[u8]>>,
        timestamp: Timestamp,
        headers: Headers,
    ) -> Result<(), StreamsError> {
        let timestamp = timestamp.as_millis();
        let record = MemoryRecord { timestamp, key, value, headers };
        self.driver.running().pipe(&self.topic, self.partition, record)
    }

    #[track_caller]
    fn key_bytes(&self, key: &K, headers: &mut Headers) -> Option<Box<[u8]>> {
        to_bytes(&self.key, key, &mut SerdeContext::key(&self.topic, headers))
    }

    fn take_time(&self) -> Timestamp {
        let time = self.time();
        if !self.auto_advance.is_zero() {
            self.time.set(Some(time + self.auto_advance));
        }
        time
    }
}

#[track_caller]
fn told(piped: Result<(), StreamsError>) {
    if let Err(error) = piped {
        panic!("{error:?}");
    }
}

#[track_caller]
fn to_bytes<T: 'static>(
    serde: &SerdeRef<T>,
    value: &T,
    cx: &mut SerdeContext<'_>,
) -> Option<Box<[u8]>> {
    let mut bytes = Vec::new();
    match serde.serialize_or_null(value, &mut bytes, cx) {
        Ok(is_there) => is_there.then(|| bytes.into()),
        Err(error) => {
            let what = if cx.is_key { "key" } else { "value" };
            panic!("cannot write the {what} of a record to topic `{}`: {error}", cx.topic);
        }
    }
}
