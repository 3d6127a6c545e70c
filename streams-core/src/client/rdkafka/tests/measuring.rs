//! What a record costs its thread, in CPU time, so that other work on the machine does not count.
//!
//! `CARGO_PROFILE_TEST_OPT_LEVEL=3 cargo test -p streams-core --lib measuring -- --ignored --nocapture`

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::mock::{Bell, Mock, answer, options, until};
use crate::client::seam::{
    FetchSlot, FetchedBatch, Fetcher, Producer, ProducerOptions, ProducerRecord, Tag,
    TopicPartition,
};
use crate::record::Headers;

const RECORDS: usize = 500_000;
const PARTITIONS: i32 = 16;
const BATCH: usize = 1000;

#[allow(clippy::disallowed_methods, reason = "measures CPU time, which is no clock of the runtime")]
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn per_record(time: Duration) -> u128 {
    time.as_nanos() / RECORDS as u128
}

#[test]
#[ignore = "a measurement"]
fn a_record_costs() {
    let mock = Mock::start().with_topic("it", PARTITIONS);
    let clients = mock.clients_with(&[
        ("producer.queue.buffering.max.messages", "2000000"),
        ("producer.queue.buffering.max.kbytes", "1000000"),
    ]);
    let (bell, wake) = Bell::new();
    let mut producer = clients.producer(&ProducerOptions::plain(), wake.clone()).unwrap();
    let topic = producer.topic(&Arc::from("it")).unwrap();
    assert_eq!(producer.partitions(topic).unwrap(), PARTITIONS);
    let (key, value, headers) = ([7; 8], [9; 100], Headers::new());
    let start = cpu_time();
    for number in 0..RECORDS {
        let record = ProducerRecord {
            topic,
            partition: number as i32 % PARTITIONS,
            timestamp: number as i64,
            key: Some(&key),
            value: Some(&value),
            headers: &headers,
            tag: Tag(1 + number as u32 % PARTITIONS as u32),
        };
        producer.send(record).unwrap();
    }
    println!("send: {} ns of CPU a record", per_record(cpu_time() - start));
    let flushed = producer.flush();
    answer(&bell, flushed).unwrap();

    let mut options = options();
    options.buffer_bytes_per_partition = 64 << 20;
    let mut fetcher = clients.fetcher(&options, wake).unwrap();
    let slots: Vec<FetchSlot> = (0..PARTITIONS)
        .map(|partition| fetcher.assign(&TopicPartition::new("it", partition), 0).unwrap())
        .collect();
    let (mut taking, mut dropping, mut seen) = (Duration::ZERO, Duration::ZERO, 0);
    until(&bell, "all records", || {
        let mut batch = FetchedBatch::default();
        for slot in &slots {
            let start = cpu_time();
            fetcher.fetch(*slot, BATCH, &mut batch).unwrap();
            let taken = cpu_time();
            seen += batch.records.len();
            batch.records.clear();
            taking += taken - start;
            dropping += cpu_time() - taken;
        }
        (seen == RECORDS).then_some(())
    });
    println!("fetch: {} ns, drop: {} ns a record", per_record(taking), per_record(dropping));
}
