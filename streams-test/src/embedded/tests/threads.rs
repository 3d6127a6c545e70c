//! Producers and readers on several threads, on the machine's clock.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use streams_core::client::{
    ClientSupplier, CommitOutcome, FetchedBatch, Isolation, TopicPartition, Wake,
};

use super::support::*;
use crate::embedded::EmbeddedCluster;

const RECORDS: usize = 2_000;
const PRODUCERS: usize = 3;

/// Remembers a wake that comes before the wait.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// False when nothing came in a time in which everything should have come.
    fn wait(&self) -> bool {
        let rung = self.rung.lock().unwrap();
        let limit = Duration::from_secs(20);
        let (mut rung, _) = self.changed.wait_timeout_while(rung, limit, |rung| !*rung).unwrap();
        std::mem::take(&mut rung)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

/// Reads a partition until it has that many records, waiting only for wakes.
fn read(cluster: &EmbeddedCluster, isolation: Isolation, records: usize) {
    let bell = Arc::new(Bell::default());
    let mut fetcher = cluster.fetcher(options(isolation), bell.clone()).unwrap();
    fetcher.assign(&TopicPartition::new("t", 0), 0).unwrap();
    let (mut ready, mut batch, mut seen) = (Vec::new(), FetchedBatch::default(), 0);
    while seen < records {
        ready.clear();
        fetcher.ready(&mut ready);
        if ready.is_empty() {
            assert!(bell.wait(), "a wake was lost at record {seen}");
        }
        for &slot in &ready {
            batch.records.clear();
            fetcher.fetch(slot, 7, &mut batch).unwrap();
            seen += batch.records.len();
        }
    }
    assert_eq!(seen, records);
}

#[test]
fn no_wake_is_lost_and_no_record() {
    let cluster = EmbeddedCluster::new();
    cluster.create_topic("t", 1).unwrap();
    let member = sole_member(&cluster, "g");
    thread::scope(|scope| {
        for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
            let cluster = &cluster;
            scope.spawn(move || read(cluster, isolation, PRODUCERS * RECORDS));
        }
        for id in 0..PRODUCERS {
            let (cluster, member) = (&cluster, &member);
            scope.spawn(move || {
                let mut producer = transactional(cluster, &format!("x{id}"));
                for chunk in 0..RECORDS / 10 {
                    producer.begin().unwrap();
                    for _ in 0..10 {
                        send(&mut *producer, "t", 0, "v");
                    }
                    let position = i64::try_from(chunk).unwrap();
                    let outcome = done(producer.commit(&[offset("t", 0, position)], member));
                    assert_eq!(outcome.unwrap(), CommitOutcome::Committed);
                }
            });
        }
    });
    let end = cluster.end_offset("t", 0, Isolation::ReadCommitted).unwrap();
    assert_eq!(end, i64::try_from(PRODUCERS * (RECORDS + RECORDS / 10)).unwrap());
}
