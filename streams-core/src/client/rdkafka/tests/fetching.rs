use std::sync::Arc;

use super::mock::{Bell, Mock, answer, options, until};
use crate::client::error::ClientErrorKind;
use crate::client::rdkafka::{RdkafkaClients, RdkafkaFetcher};
use crate::client::seam::{
    FetchRole, FetchSlot, FetchedBatch, Fetcher, FetcherOptions, Producer, ProducerOptions,
    ProducerRecord, Tag, TopicPartition,
};
use crate::record::Headers;

/// Writes `count` records whose values are their numbers.
fn fill(clients: &RdkafkaClients, topic: &str, partition: i32, numbers: std::ops::Range<usize>) {
    let (bell, wake) = Bell::new();
    let mut producer = clients.producer(&ProducerOptions::plain(), wake).unwrap();
    let topic = producer.topic(&Arc::from(topic)).unwrap();
    for number in numbers {
        let value = number.to_string();
        let record = ProducerRecord {
            topic,
            partition,
            timestamp: 1_000 + number as i64,
            key: Some(b"k"),
            value: Some(value.as_bytes()),
            headers: &Headers::new(),
            tag: Tag::NONE,
        };
        producer.send(record).unwrap();
    }
    let flushed = producer.flush();
    answer(&bell, flushed).unwrap();
    assert!(producer.failure().is_none());
}

fn number(batch: &FetchedBatch, index: usize) -> usize {
    std::str::from_utf8(batch.records[index].value().unwrap()).unwrap().parse().unwrap()
}

/// Fetches what is ready until `enough`.
fn fetch_until(
    bell: &Bell,
    fetcher: &mut RdkafkaFetcher,
    slot: FetchSlot,
    records_max: usize,
    enough: impl Fn(&FetchedBatch) -> bool,
) -> FetchedBatch {
    let mut batch = FetchedBatch::default();
    let mut ready = Vec::new();
    until(bell, "records", || {
        ready.clear();
        fetcher.ready(&mut ready);
        if ready.contains(&slot) {
            fetcher.fetch(slot, records_max, &mut batch).unwrap();
        }
        enough(&batch).then_some(())
    });
    batch
}

#[test]
fn records_come_in_order_with_everything_they_had_and_the_end_is_known() {
    let mock = Mock::start().with_topic("in", 1);
    let clients = mock.clients();
    fill(&clients, "in", 0, 0..1000);
    let (bell, wake) = Bell::new();
    let mut fetcher = clients.fetcher(&options(), wake).unwrap();
    let slot = fetcher.assign(&TopicPartition::new("in", 0), 10).unwrap();
    let batch = fetch_until(&bell, &mut fetcher, slot, 100, FetchedBatch::at_end);
    assert_eq!(batch.records.len(), 990);
    for (index, record) in batch.records.iter().enumerate() {
        assert_eq!(record.offset(), index as i64 + 10);
        assert_eq!(number(&batch, index), index + 10);
        assert_eq!(record.key(), Some(&b"k"[..]));
        assert_eq!(record.timestamp(), 1_010 + index as i64);
        assert!(record.headers().is_empty());
    }
    assert_eq!((batch.next_position, batch.end_offset), (1000, Some(1000)));
    assert!(bell.count() > 0, "the fetcher was never woken");
}

#[test]
fn after_the_end_the_next_record_wakes_and_is_not_skipped() {
    let mock = Mock::start().with_topic("in", 1);
    let clients = mock.clients();
    let (bell, wake) = Bell::new();
    let mut fetcher = clients.fetcher(&options(), wake).unwrap();
    let slot = fetcher.assign(&TopicPartition::new("in", 0), 0).unwrap();
    let batch = fetch_until(&bell, &mut fetcher, slot, 10, FetchedBatch::at_end);
    assert_eq!((batch.records.len(), batch.next_position), (0, 0));
    // Each time the end was told before, which is where librdkafka's position is off by one.
    for round in 0..5 {
        let woken = bell.count();
        fill(&clients, "in", 0, round..round + 1);
        let end = round as i64 + 1;
        let batch = fetch_until(&bell, &mut fetcher, slot, 10, |batch| {
            batch.at_end() && batch.next_position == end
        });
        assert_eq!(batch.records.len(), 1);
        assert_eq!(number(&batch, 0), round);
        assert!(bell.count() > woken);
    }
}

#[test]
fn a_partition_that_is_not_fetched_stops_at_its_budget_and_others_go_on() {
    let mock = Mock::start().with_topic("in", 2);
    let clients = mock.clients_with(&[("producer.batch.num.messages", "100")]);
    fill(&clients, "in", 0, 0..50_000);
    fill(&clients, "in", 1, 0..50_000);
    let (bell, wake) = Bell::new();
    let mut options = options();
    options.buffer_bytes_per_partition = 64 << 10;
    let mut fetcher = clients.fetcher(&options, wake).unwrap();
    let held = fetcher.assign(&TopicPartition::new("in", 0), 0).unwrap();
    let read = fetcher.assign(&TopicPartition::new("in", 1), 0).unwrap();
    let batch = fetch_until(&bell, &mut fetcher, read, 500, FetchedBatch::at_end);
    assert_eq!(batch.records.len(), 50_000);
    let mut ready = Vec::new();
    fetcher.ready(&mut ready);
    assert!(ready.contains(&held), "what has records is named until it is fetched");
    let mut first = FetchedBatch::default();
    fetcher.fetch(held, 50_000, &mut first).unwrap();
    assert!(first.records.len() < 25_000, "{} were fetched ahead", first.records.len());
    let rest = fetch_until(&bell, &mut fetcher, held, 500, FetchedBatch::at_end);
    assert_eq!(first.records.len() + rest.records.len(), 50_000);
    assert_eq!(number(&rest, 0), first.records.len());
}

#[test]
fn seek_drops_what_was_fetched_ahead() {
    let mock = Mock::start().with_topic("in", 1);
    let clients = mock.clients();
    fill(&clients, "in", 0, 0..1000);
    let (bell, wake) = Bell::new();
    let mut fetcher = clients.fetcher(&options(), wake).unwrap();
    let slot = fetcher.assign(&TopicPartition::new("in", 0), 0).unwrap();
    for position in [500, 20, 999, 3, 1000] {
        let batch = fetch_until(&bell, &mut fetcher, slot, 7, |batch| batch.next_position > 0);
        drop(batch);
        fetcher.seek(slot, position).unwrap();
        let mut batch = FetchedBatch::default();
        fetcher.fetch(slot, 1, &mut batch).unwrap();
        let batch = match batch.records.first() {
            Some(_) => batch,
            None => fetch_until(&bell, &mut fetcher, slot, 1, |batch| {
                !batch.records.is_empty() || batch.at_end()
            }),
        };
        match batch.records.first() {
            Some(record) => assert_eq!(record.offset(), position),
            None => assert_eq!((position, batch.next_position), (1000, 1000)),
        }
    }
}

#[test]
fn an_offset_out_of_range_is_told_and_seek_helps() {
    let mock = Mock::start().with_topic("in", 1);
    let clients = mock.clients();
    fill(&clients, "in", 0, 0..10);
    let (bell, wake) = Bell::new();
    let mut fetcher = clients.fetcher(&options(), wake).unwrap();
    let slot = fetcher.assign(&TopicPartition::new("in", 0), 5000).unwrap();
    let mut batch = FetchedBatch::default();
    let error = until(&bell, "error", || fetcher.fetch(slot, 10, &mut batch).err());
    assert_eq!(error.kind, ClientErrorKind::OffsetOutOfRange);
    assert!(error.message.contains("in-0"), "{error}");
    fetcher.seek(slot, 4).unwrap();
    let batch = fetch_until(&bell, &mut fetcher, slot, 10, FetchedBatch::at_end);
    assert_eq!(batch.records.len(), 6);
    assert!(fetcher.seek(slot, -1).is_err());
    assert!(fetcher.assign(&TopicPartition::new("in", 0), -2).is_err());
}

#[test]
fn a_topic_that_may_not_be_read_is_told() {
    let mock = Mock::start().with_topic("in", 1);
    let denied = rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    let clients = mock.clients();
    let (bell, wake) = Bell::new();
    let mut fetcher = clients.fetcher(&options(), wake).unwrap();
    mock.fail(1, &[denied; 20]);
    let slot = fetcher.assign(&TopicPartition::new("in", 0), 0).unwrap();
    let mut batch = FetchedBatch::default();
    let error = until(&bell, "error", || fetcher.fetch(slot, 10, &mut batch).err());
    assert_eq!(error.kind, ClientErrorKind::Authorization, "{error}");
}

#[test]
fn a_missing_partition_is_told() {
    let mock = Mock::start().with_topic("in", 1);
    let clients = mock.clients();
    let (bell, wake) = Bell::new();
    let mut fetcher = clients.fetcher(&options(), wake).unwrap();
    let slot = fetcher.assign(&TopicPartition::new("in", 7), 0).unwrap();
    let mut batch = FetchedBatch::default();
    let error = until(&bell, "error", || fetcher.fetch(slot, 10, &mut batch).err());
    assert_eq!(error.kind, ClientErrorKind::UnknownTopic, "{error}");
}

#[test]
fn handles_share_a_consumer_and_a_partition_goes_from_one_to_the_other() {
    let mock = Mock::start().with_topic("in", 2);
    let clients = mock.clients();
    fill(&clients, "in", 0, 0..100);
    fill(&clients, "in", 1, 0..100);
    let ((bell_a, wake_a), (bell_b, wake_b)) = (Bell::new(), Bell::new());
    let mut a = clients.fetcher(&options(), wake_a).unwrap();
    let mut b = clients.fetcher(&options(), wake_b).unwrap();
    let zero = a.assign(&TopicPartition::new("in", 0), 0).unwrap();
    let one = b.assign(&TopicPartition::new("in", 1), 0).unwrap();
    let batch_a = fetch_until(&bell_a, &mut a, zero, 10, FetchedBatch::at_end);
    let batch_b = fetch_until(&bell_b, &mut b, one, 10, FetchedBatch::at_end);
    assert_eq!((batch_a.records.len(), batch_b.records.len()), (100, 100));
    a.unassign(zero);
    let mut nothing = FetchedBatch::default();
    assert!(a.fetch(zero, 1, &mut nothing).is_err());
    let zero = b.assign(&TopicPartition::new("in", 0), 50).unwrap();
    let batch_b = fetch_until(&bell_b, &mut b, zero, 10, FetchedBatch::at_end);
    assert_eq!(batch_b.records[0].offset(), 50);
    // Records stay readable when everything that fetched them is gone.
    drop((a, b, clients));
    assert_eq!(number(&batch_a, 99), 99);
    assert_eq!(number(&batch_b, 0), 50);
}

#[test]
fn roles_share_a_consumer_unless_settings_tell_them_apart() {
    let mock = Mock::start();
    let (_, wake) = Bell::new();
    let pools = |more: &[(&str, &str)]| {
        let clients = mock.clients_with(more);
        let of = |role| clients.fetcher(&FetcherOptions { role, ..options() }, wake.clone());
        let readers = [FetchRole::Main, FetchRole::Restore, FetchRole::Global].map(of);
        assert!(readers.iter().all(Result::is_ok));
        clients.pools.lock().unwrap().len()
    };
    assert_eq!(pools(&[("consumer.fetch.min.bytes", "2")]), 1);
    assert_eq!(pools(&[("restore.consumer.fetch.min.bytes", "2")]), 2);
}

#[test]
fn two_handles_may_read_the_same_partition() {
    let mock = Mock::start().with_topic("in", 1);
    let clients = mock.clients();
    fill(&clients, "in", 0, 0..100);
    let (bell, wake) = Bell::new();
    let mut a = clients.fetcher(&options(), wake.clone()).unwrap();
    let mut b = clients.fetcher(&options(), wake).unwrap();
    let slot_a = a.assign(&TopicPartition::new("in", 0), 0).unwrap();
    let slot_b = b.assign(&TopicPartition::new("in", 0), 90).unwrap();
    assert_eq!(fetch_until(&bell, &mut a, slot_a, 9, FetchedBatch::at_end).records.len(), 100);
    assert_eq!(fetch_until(&bell, &mut b, slot_b, 9, FetchedBatch::at_end).records.len(), 10);
}

#[test]
fn unassigning_and_dropping_while_records_arrive_is_safe() {
    let mock = Mock::start().with_topic("in", 4);
    let clients = mock.clients();
    for partition in 0..4 {
        fill(&clients, "in", partition, 0..5000);
    }
    let (_, wake) = Bell::new();
    for round in 0..60 {
        let mut fetcher = clients.fetcher(&options(), wake.clone()).unwrap();
        let slots: Vec<_> = (0..4)
            .map(|partition| fetcher.assign(&TopicPartition::new("in", partition), 0).unwrap())
            .collect();
        for _ in 0..round {
            let mut batch = FetchedBatch::default();
            let mut ready = Vec::new();
            fetcher.ready(&mut ready);
            for slot in &ready {
                fetcher.fetch(*slot, 100, &mut batch).unwrap();
            }
            std::thread::yield_now();
        }
        fetcher.unassign(slots[round % 4]);
        fetcher.unassign(slots[round % 4]);
    }
}

#[test]
fn brokers_that_are_all_gone_are_told_and_reading_goes_on_when_they_are_back() {
    let mock = Mock::start().with_topic("in", 1);
    let clients = mock.clients();
    fill(&clients, "in", 0, 0..10);
    let (bell, wake) = Bell::new();
    let mut fetcher = clients.fetcher(&options(), wake).unwrap();
    let slot = fetcher.assign(&TopicPartition::new("in", 0), 0).unwrap();
    drop(fetch_until(&bell, &mut fetcher, slot, 10, FetchedBatch::at_end));
    mock.set_down(true);
    let mut batch = FetchedBatch::default();
    let mut ready = Vec::new();
    let error = until(&bell, "error", || {
        ready.clear();
        fetcher.ready(&mut ready);
        ready.first().and_then(|slot| fetcher.fetch(*slot, 10, &mut batch).err())
    });
    assert_eq!(error.kind, ClientErrorKind::Retriable, "{error}");
    mock.set_down(false);
    fill(&clients, "in", 0, 10..20);
    until(&bell, "records", || {
        let _ = fetcher.fetch(slot, 10, &mut batch);
        (batch.records.len() == 10).then_some(())
    });
    assert_eq!(number(&batch, 0), 10);
}
