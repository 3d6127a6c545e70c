//! The librdkafka clients against a real broker: what the mock cluster cannot show, because it has
//! no transaction markers, no fencing and no last stable offset.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use integration_tests::{Kafka, KafkaOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use streams_core::Headers;
use streams_core::client::rdkafka::{RdkafkaFetcher, RdkafkaProducer};
use streams_core::client::{
    Call, ClientError, ClientErrorKind, CommitOutcome, FetchRole, FetchSlot, FetchedBatch, Fetcher,
    FetcherOptions, GroupError, GroupMetadata, Isolation, OffsetToCommit, Producer,
    ProducerOptions, ProducerRecord, RdkafkaClients, RdkafkaSettings, Tag, TopicPartition, Wake,
    WakeRef,
};
use streams_core::time::{Clock, SystemClock};

const DEADLINE: Duration = Duration::from_secs(40);
/// Ends itself when this process does.
static KAFKA: LazyLock<Kafka> = LazyLock::new(|| {
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    Kafka::start(&KafkaOptions {
        listeners: vec!["SASL:SASL_PLAINTEXT".to_owned()],
        scram: vec!["SCRAM-SHA-256=[name=u,password=p]".to_owned()],
        settings: vec![
            "listener.name.sasl.sasl.enabled.mechanisms=SCRAM-SHA-256".to_owned(),
            format!("listener.name.sasl.scram-sha-256.sasl.jaas.config={scram}"),
        ],
        ..KafkaOptions::default()
    })
});

#[derive(Default)]
struct Bell(Mutex<bool>, Condvar);

impl Wake for Bell {
    fn wake(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

impl Bell {
    fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let start = SystemClock.now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(SystemClock.now().since(start) < DEADLINE, "no {what} in time");
            let woken = self.0.lock().unwrap();
            let wait = Duration::from_millis(20);
            *self.1.wait_timeout_while(woken, wait, |woken| !*woken).unwrap().0 = false;
        }
    }

    fn answer<T>(&self, mut call: Call<T>) -> Result<T, ClientError> {
        self.until("answer", || call.try_take())
    }
}

/// A broker, and names that no other test uses.
struct World {
    servers: String,
    run: u128,
    clients: RdkafkaClients,
    bell: Arc<Bell>,
}

impl World {
    fn new(more: &[(&str, &str)]) -> Self {
        let servers = KAFKA.bootstrap();
        let mut settings = vec![("bootstrap.servers", servers.as_str())];
        settings.extend_from_slice(more);
        let clients = RdkafkaClients::new(RdkafkaSettings::new(settings).unwrap());
        let run = SystemClock.now().since_origin().as_nanos();
        Self { servers, run, clients, bell: Arc::default() }
    }

    fn wake(&self) -> WakeRef {
        self.bell.clone()
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        config
    }

    fn topic(&self, name: &str) -> Arc<str> {
        let name = format!("client-{}-{name}", self.run);
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        let made = admin.create_topics([&topic], &options);
        for result in tokio_block_on(made).unwrap() {
            result.unwrap();
        }
        name.into()
    }

    fn fetcher(&self, isolation: Isolation) -> RdkafkaFetcher {
        let options = FetcherOptions {
            client_id: "test".to_owned(),
            role: FetchRole::Main,
            isolation,
            buffer_bytes_per_partition: 1 << 20,
        };
        self.clients.fetcher(&options, self.wake()).unwrap()
    }

    fn producer(&self, id: &str) -> RdkafkaProducer {
        let id = format!("{id}-{}", self.run);
        let mut producer =
            self.clients.producer(&ProducerOptions::transactional(&id), self.wake()).unwrap();
        let ready = producer.init_transactions();
        self.bell.answer(ready).unwrap();
        producer
    }

    fn member(&self, group: &str) -> Member {
        Member::join(self, format!("{group}-{}", self.run))
    }

    fn commit(
        &self,
        producer: &mut RdkafkaProducer,
        input: &Arc<str>,
        offset: i64,
        group: &GroupMetadata,
    ) -> CommitOutcome {
        let offsets = [OffsetToCommit {
            partition: TopicPartition::new(input.clone(), 0),
            offset,
            leader_epoch: -1,
            metadata: "AgAAAZ".to_owned(),
        }];
        let call = producer.commit(&offsets, group);
        self.bell.answer(call).unwrap()
    }

    fn flush(&self, producer: &mut RdkafkaProducer) {
        let call = producer.flush();
        self.bell.answer(call).unwrap();
    }

    fn abort(&self, producer: &mut RdkafkaProducer) {
        let call = producer.abort();
        self.bell.answer(call).unwrap();
    }

    /// Everything from `position` to the end.
    fn read(&self, isolation: Isolation, topic: &Arc<str>, position: i64) -> FetchedBatch {
        let mut fetcher = self.fetcher(isolation);
        let slot = fetcher.assign(&TopicPartition::new(topic.clone(), 0), position).unwrap();
        self.read_on(&mut fetcher, slot)
    }

    fn read_on(&self, fetcher: &mut RdkafkaFetcher, slot: FetchSlot) -> FetchedBatch {
        let mut batch = FetchedBatch::default();
        self.bell.until("end of the log", || {
            fetcher.fetch(slot, 100, &mut batch).unwrap();
            batch.at_end().then_some(())
        });
        batch
    }
}

fn tokio_block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A member of a fresh classic group. It is the only one, so its generation is the first.
struct Member {
    consumer: BaseConsumer,
    group: String,
    member_id: String,
}

impl Member {
    fn join(world: &World, group: String) -> Self {
        let mut config = world.config();
        config.set("group.id", &group).set("session.timeout.ms", "45000");
        let consumer: BaseConsumer = config.create().unwrap();
        let topic = world.topic("joined");
        consumer.subscribe(&[&topic]).unwrap();
        let member_id = world.bell.until("membership", || {
            assert!(consumer.poll(Duration::from_millis(100)).is_none_or(|m| m.is_ok()));
            // Not while the coordinator loads the group, for example.
            let groups = consumer.fetch_group_list(Some(&group), DEADLINE).ok()?;
            let stable = groups.groups().iter().find(|found| found.state() == "Stable")?;
            Some(stable.members().first()?.id().to_owned())
        });
        Self { consumer, group, member_id }
    }

    fn metadata(&self, generation: i32) -> GroupMetadata {
        GroupMetadata {
            group: self.group.as_str().into(),
            member_id: self.member_id.as_str().into(),
            generation,
        }
    }

    fn committed(&self, topic: &str) -> Offset {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, 0);
        let list = self.consumer.committed_offsets(list, DEADLINE).unwrap();
        list.elements()[0].offset()
    }
}

fn send(producer: &mut RdkafkaProducer, topic: &Arc<str>, value: &str) {
    let topic = producer.topic(topic).unwrap();
    let record = ProducerRecord {
        topic,
        partition: 0,
        timestamp: 1,
        key: None,
        value: Some(value.as_bytes()),
        headers: &Headers::new(),
        tag: Tag(1),
    };
    producer.send(record).unwrap();
}

fn values(batch: &FetchedBatch) -> Vec<&str> {
    batch.records.iter().map(|it| std::str::from_utf8(it.value().unwrap()).unwrap()).collect()
}

#[test]
fn positions_pass_commit_markers_abort_markers_and_stop_at_open_transactions() {
    let world = World::new(&[]);
    let (input, output) = (world.topic("in"), world.topic("out"));
    let member = world.member("positions");
    let mut producer = world.producer("positions");

    producer.begin().unwrap();
    send(&mut producer, &output, "a");
    send(&mut producer, &output, "b");
    assert_eq!(
        world.commit(&mut producer, &input, 1, &member.metadata(1)),
        CommitOutcome::Committed
    );
    for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        let batch = world.read(isolation, &output, 0);
        assert_eq!(values(&batch), ["a", "b"]);
        assert_eq!((batch.next_position, batch.end_offset), (3, Some(3)), "{isolation:?}");
    }

    producer.begin().unwrap();
    send(&mut producer, &output, "aborted");
    world.flush(&mut producer);
    world.abort(&mut producer);
    let committed = world.read(Isolation::ReadCommitted, &output, 0);
    assert_eq!((values(&committed), committed.next_position), (vec!["a", "b"], 5));
    let all = world.read(Isolation::ReadUncommitted, &output, 0);
    assert_eq!((values(&all), all.next_position), (vec!["a", "b", "aborted"], 5));
    let tail = world.read(Isolation::ReadCommitted, &output, 3);
    assert_eq!((tail.records.len(), tail.next_position, tail.end_offset), (0, 5, Some(5)));

    producer.begin().unwrap();
    send(&mut producer, &output, "open");
    world.flush(&mut producer);
    let committed = world.read(Isolation::ReadCommitted, &output, 0);
    assert_eq!((committed.next_position, committed.end_offset), (5, Some(5)));
    let all = world.read(Isolation::ReadUncommitted, &output, 0);
    assert_eq!((all.next_position, all.end_offset), (6, Some(6)));
    world.abort(&mut producer);
}

#[test]
fn a_reader_at_the_end_follows_one_transaction_after_the_other() {
    let world = World::new(&[("consumer.fetch.wait.max.ms", "50")]);
    let (input, output) = (world.topic("in"), world.topic("out"));
    let member = world.member("following");
    let mut producer = world.producer("following");
    let mut readers: Vec<_> = [Isolation::ReadCommitted, Isolation::ReadUncommitted]
        .into_iter()
        .map(|isolation| {
            let mut fetcher = world.fetcher(isolation);
            let slot = fetcher.assign(&TopicPartition::new(output.clone(), 0), 0).unwrap();
            let batch = world.read_on(&mut fetcher, slot);
            assert_eq!((batch.records.len(), batch.next_position), (0, 0));
            (fetcher, slot)
        })
        .collect();
    for round in 0..6i64 {
        producer.begin().unwrap();
        let value = round.to_string();
        send(&mut producer, &output, &value);
        let aborts = round % 3 == 2;
        if aborts {
            world.flush(&mut producer);
            world.abort(&mut producer);
        } else {
            let outcome = world.commit(&mut producer, &input, round, &member.metadata(1));
            assert_eq!(outcome, CommitOutcome::Committed);
        }
        // The record, and the marker behind it.
        let end = 2 * (round + 1);
        for (index, (fetcher, slot)) in readers.iter_mut().enumerate() {
            let mut batch = FetchedBatch::default();
            world.bell.until("position", || {
                fetcher.fetch(*slot, 100, &mut batch).unwrap();
                assert!(batch.next_position <= end, "{} > {end}", batch.next_position);
                (batch.at_end() && batch.next_position == end).then_some(())
            });
            let seen = if aborts && index == 0 { vec![] } else { vec![value.as_str()] };
            assert_eq!(values(&batch), seen, "round {round}, reader {index}");
        }
    }
}

#[test]
fn offsets_are_committed_and_an_old_identity_aborts_but_the_producer_goes_on() {
    let world = World::new(&[]);
    let (input, output) = (world.topic("in"), world.topic("out"));
    let member = world.member("offsets");
    let mut producer = world.producer("offsets");
    let current = member.metadata(1);
    producer.begin().unwrap();
    send(&mut producer, &output, "a");
    assert_eq!(world.commit(&mut producer, &input, 7, &current), CommitOutcome::Committed);
    assert_eq!(producer.acknowledged(Tag(1)), Some(0));
    assert_eq!(member.committed(&input), Offset::Offset(7));

    let ghost = GroupMetadata { member_id: "nobody".into(), ..current.clone() };
    let wrong = [
        (member.metadata(2), GroupError::IllegalGeneration),
        (member.metadata(0), GroupError::IllegalGeneration),
        (ghost, GroupError::UnknownMember),
    ];
    for (identity, error) in wrong {
        producer.begin().unwrap();
        send(&mut producer, &output, "never");
        let outcome = world.commit(&mut producer, &input, 99, &identity);
        let CommitOutcome::Aborted(told) = outcome else { panic!("{outcome:?}") };
        assert_eq!(told.kind, ClientErrorKind::Group(error), "{told}");
        world.abort(&mut producer);
    }
    assert_eq!(member.committed(&input), Offset::Offset(7));
    producer.begin().unwrap();
    send(&mut producer, &output, "b");
    assert_eq!(world.commit(&mut producer, &input, 8, &current), CommitOutcome::Committed);
    assert_eq!(member.committed(&input), Offset::Offset(8));
    assert_eq!(values(&world.read(Isolation::ReadCommitted, &output, 0)), ["a", "b"]);
}

#[test]
fn a_second_producer_fences_the_first_and_what_it_had_open_is_gone() {
    let world = World::new(&[]);
    let (input, output) = (world.topic("in"), world.topic("out"));
    let member = world.member("fencing");
    let mut first = world.producer("fencing");
    first.begin().unwrap();
    send(&mut first, &output, "of the first");
    world.flush(&mut first);
    let mut second = world.producer("fencing");
    let outcome = world.commit(&mut first, &input, 1, &member.metadata(1));
    let CommitOutcome::Fatal(error) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.kind, ClientErrorKind::ProducerFenced, "{error}");
    assert_eq!(first.begin().unwrap_err().kind, ClientErrorKind::ProducerFenced);
    second.begin().unwrap();
    send(&mut second, &output, "of the second");
    assert_eq!(world.commit(&mut second, &input, 2, &member.metadata(1)), CommitOutcome::Committed);
    assert_eq!(values(&world.read(Isolation::ReadCommitted, &output, 0)), ["of the second"]);
    assert_eq!(member.committed(&input), Offset::Offset(2));
}

#[test]
fn a_transaction_that_outlived_its_timeout_is_not_committed() {
    let world = World::new(&[("transaction.timeout.ms", "1500")]);
    let (input, output) = (world.topic("in"), world.topic("out"));
    let member = world.member("timeout");
    let mut producer = world.producer("timeout");
    producer.begin().unwrap();
    send(&mut producer, &output, "late");
    world.flush(&mut producer);
    // The broker looks for such transactions every ten seconds, and writes an abort marker.
    let mut fetcher = world.fetcher(Isolation::ReadCommitted);
    let slot = fetcher.assign(&TopicPartition::new(output.clone(), 0), 0).unwrap();
    let mut batch = FetchedBatch::default();
    world.bell.until("abort by the broker", || {
        fetcher.fetch(slot, 10, &mut batch).unwrap();
        (batch.next_position == 2).then_some(())
    });
    assert!(batch.records.is_empty());
    let outcome = world.commit(&mut producer, &input, 1, &member.metadata(1));
    assert!(matches!(outcome, CommitOutcome::Fatal(_) | CommitOutcome::Aborted(_)), "{outcome:?}");
    assert_eq!(member.committed(&input), Offset::Invalid);
}

#[test]
fn deleted_records_are_out_of_range() {
    let world = World::new(&[]);
    let output = world.topic("out");
    let mut producer = world.clients.producer(&ProducerOptions::plain(), world.wake()).unwrap();
    for number in 0..10 {
        send(&mut producer, &output, &number.to_string());
    }
    world.flush(&mut producer);
    let admin: AdminClient<DefaultClientContext> = world.config().create().unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&output, 0, Offset::Offset(6)).unwrap();
    let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
    tokio_block_on(admin.delete_records(&before, &options)).unwrap();
    let mut fetcher = world.fetcher(Isolation::ReadCommitted);
    let slot = fetcher.assign(&TopicPartition::new(output, 0), 2).unwrap();
    let mut batch = FetchedBatch::default();
    let error = world.bell.until("error", || fetcher.fetch(slot, 10, &mut batch).err());
    assert_eq!(error.kind, ClientErrorKind::OffsetOutOfRange, "{error}");
    fetcher.seek(slot, 6).unwrap();
    assert_eq!(values(&world.read_on(&mut fetcher, slot)), ["6", "7", "8", "9"]);
}

#[test]
fn a_commit_takes_milliseconds() {
    let world = World::new(&[]);
    let (input, output) = (world.topic("in"), world.topic("out"));
    let member = world.member("latency");
    let mut producer = world.producer("latency");
    let (mut flushes, mut commits) = (Vec::new(), Vec::new());
    for round in 0..100 {
        producer.begin().unwrap();
        for _ in 0..10 {
            send(&mut producer, &output, "x");
        }
        let start = SystemClock.now();
        world.flush(&mut producer);
        let flushed = SystemClock.now();
        let outcome = world.commit(&mut producer, &input, round, &member.metadata(1));
        assert_eq!(outcome, CommitOutcome::Committed);
        flushes.push(flushed.since(start));
        commits.push(SystemClock.now().since(flushed));
    }
    for (name, times) in [("flush", &mut flushes), ("commit", &mut commits)] {
        times.sort();
        println!("{name}: p50 {:?}, p90 {:?}, max {:?}", times[50], times[90], times[99]);
        assert!(times[50] < Duration::from_millis(100), "{name} takes {:?}", times[50]);
    }
}

/// `scripts/kafka start --listener SASL:SASL_PLAINTEXT --add-scram 'SCRAM-SHA-256=[name=u,password=p]'`
#[test]
fn a_wrong_password_is_told_by_every_call() {
    let servers = KAFKA.listener("SASL");
    let clients = |password: &str| {
        let settings = [
            ("bootstrap.servers", servers.as_str()),
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanisms", "SCRAM-SHA-256"),
            ("sasl.username", "u"),
            ("sasl.password", password),
        ];
        RdkafkaClients::new(RdkafkaSettings::new(settings).unwrap())
    };
    let bell = Arc::new(Bell::default());
    let ready = clients("p")
        .producer(&ProducerOptions::transactional("sasl"), bell.clone())
        .unwrap()
        .init_transactions();
    drop(ready);
    let mut right =
        clients("p").producer(&ProducerOptions::transactional("sasl"), bell.clone()).unwrap();
    let ready = right.init_transactions();
    bell.answer(ready).unwrap();

    let wrong = clients("wrong");
    let mut plain = wrong.producer(&ProducerOptions::plain(), bell.clone()).unwrap();
    let topic = plain.topic(&Arc::from("any")).unwrap();
    let error = plain.partitions(topic).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Authentication, "{error}");
    let mut transactional =
        wrong.producer(&ProducerOptions::transactional("sasl-wrong"), bell.clone()).unwrap();
    let ready = transactional.init_transactions();
    let error = bell.answer(ready).unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Authentication, "{error}");
    let options = FetcherOptions {
        client_id: "test".to_owned(),
        role: FetchRole::Main,
        isolation: Isolation::ReadUncommitted,
        buffer_bytes_per_partition: 1 << 20,
    };
    let mut fetcher = wrong.fetcher(&options, bell.clone()).unwrap();
    let slot = fetcher.assign(&TopicPartition::new("any", 0), 0).unwrap();
    let (mut ready, mut batch) = (Vec::new(), FetchedBatch::default());
    let error = bell.until("error", || {
        ready.clear();
        fetcher.ready(&mut ready);
        // That the broker hung up may be told too, now and then.
        let error = fetcher.fetch(slot, 10, &mut batch).err();
        error.filter(|error| !error.is_retriable())
    });
    assert_eq!(error.kind, ClientErrorKind::Authentication, "{error}");
}
