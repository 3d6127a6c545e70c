//! The floor: one thread, a loop, librdkafka and a hash map. Nothing that is general.

use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use streams_core::partitioning::partition_for_key;

use crate::Result;
use crate::broker::PARTITIONS;
use crate::cases::{Emission, Guarantee, Task, Work, changelog_topic};
use crate::input::Key;
use crate::measure::now;
use crate::raw_kafka::{RawConsumer, RawProducer, RawTopic};

pub(crate) fn run(task: &Task, work: Work, guarantee: Guarantee) -> Result<()> {
    let id = guarantee.is_exactly_once().then_some(task.tag.as_str());
    let kafka = Kafka {
        consumer: RawConsumer::new(&task.bootstrap, &task.tag, &task.input)?,
        producer: RawProducer::new(&task.bootstrap, id)?,
    };
    let interval = Duration::from_millis(guarantee.interval_ms().into());
    match work {
        Work::Pass => pass(task, kafka, interval),
        Work::Count(emission) => count(task, kafka, interval, emission),
    }
}

struct Kafka {
    consumer: RawConsumer,
    producer: RawProducer,
}

fn pass(task: &Task, kafka: Kafka, interval: Duration) -> Result<()> {
    let Kafka { mut consumer, mut producer } = kafka;
    let out = producer.topic(&task.output())?;
    let mut read = 0;
    let mut next_commit = now() + interval;
    while read < task.records {
        read += consumer.batch(|record| {
            let partition = partition_for_key(record.key, PARTITIONS);
            producer.send(out, partition, record.time, record.key, Some(record.value))
        })? as u64;
        producer.poll();
        if now() >= next_commit {
            producer.commit(&consumer)?;
            next_commit = now() + interval;
        }
    }
    producer.commit(&consumer)
}

#[derive(Default)]
struct Count {
    count: i64,
    time: i64,
    partition: i32,
    dirty: bool,
}

struct Counter {
    producer: RawProducer,
    out: RawTopic,
    changelog: RawTopic,
    emission: Emission,
    counts: HashMap<Key, Count, FixedState>,
    dirty: Vec<Key>,
}

fn count(task: &Task, kafka: Kafka, interval: Duration, emission: Emission) -> Result<()> {
    let Kafka { mut consumer, mut producer } = kafka;
    let mut counter = Counter {
        out: producer.topic(&task.output())?,
        changelog: producer.topic(&changelog_topic(&task.tag))?,
        producer,
        emission,
        counts: HashMap::default(),
        dirty: Vec::new(),
    };
    let mut read = 0;
    let mut next_commit = now() + interval;
    while read < task.records {
        read += consumer.batch(|record| {
            let key: Key = record.key.try_into()?;
            counter.process(key, record.partition, record.time)
        })? as u64;
        counter.producer.poll();
        if now() >= next_commit {
            counter.commit(&consumer)?;
            next_commit = now() + interval;
        }
    }
    counter.commit(&consumer)
}

impl Counter {
    #[inline]
    fn process(&mut self, key: Key, partition: i32, time: i64) -> Result<()> {
        let count = self.counts.entry(key).or_default();
        count.count += 1;
        count.time = time;
        let value = count.count.to_be_bytes();
        if self.emission != Emission::Every && !count.dirty {
            count.dirty = true;
            count.partition = partition;
            self.dirty.push(key);
        }
        if self.emission == Emission::Every {
            self.producer.send(self.changelog, partition, time, &key, Some(&value))?;
        }
        if self.emission != Emission::Commit {
            let partition = partition_for_key(&key, PARTITIONS);
            self.producer.send(self.out, partition, time, &key, Some(&value))?;
        }
        Ok(())
    }

    fn commit(&mut self, consumer: &RawConsumer) -> Result<()> {
        for key in self.dirty.drain(..) {
            let Some(count) = self.counts.get_mut(&key) else { continue };
            count.dirty = false;
            let (value, time) = (count.count.to_be_bytes(), count.time);
            self.producer.send(self.changelog, count.partition, time, &key, Some(&value))?;
            if self.emission == Emission::Commit {
                let partition = partition_for_key(&key, PARTITIONS);
                self.producer.send(self.out, partition, time, &key, Some(&value))?;
            }
        }
        self.producer.commit(consumer)
    }
}
