//! The topics: what was piped into them, and what the tasks wrote.

use std::collections::BTreeMap;
use std::sync::Arc;

use streams_core::client::{ANY_PARTITION, MemoryRecord};

/// All topics by number. Made when they are first named.
#[derive(Default)]
pub(super) struct TopicLogs {
    topics: Vec<TopicLog>,
    by_name: BTreeMap<Arc<str>, usize>,
    /// Partition counts of topics; others have one partition.
    counts: BTreeMap<Arc<str>, i32>,
    /// What tasks wrote since the last commit: topic and place in it.
    open: Vec<(usize, usize)>,
}

/// One topic.
pub(super) struct TopicLog {
    pub(super) name: Arc<str>,
    /// Of all partitions, in the order of writing.
    entries: Vec<Entry>,
    /// By partition: places in `entries`.
    partitions: Vec<Vec<usize>>,
    /// Which partition takes the next record without a key.
    next_partition: i32,
}

/// One record and its place.
pub(super) struct Entry {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) record: Arc<MemoryRecord>,
    by_task: bool,
    outcome: Outcome,
}

/// What became of the commit that a record belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Committed,
    /// Keeps its offset, as in Kafka, and is never read.
    Aborted,
}

impl TopicLogs {
    pub(super) fn new(counts: BTreeMap<Arc<str>, i32>) -> Self {
        Self { counts, ..Self::default() }
    }

    /// The topic of that name, which is made if there is none.
    pub(super) fn topic(&mut self, name: &Arc<str>) -> usize {
        if let Some(&topic) = self.by_name.get(name) {
            return topic;
        }
        let count = self.counts.get(name).copied().unwrap_or(1);
        let count = usize::try_from(count).unwrap_or(0).max(1);
        self.topics.push(TopicLog {
            name: name.clone(),
            entries: Vec::new(),
            partitions: vec![Vec::new(); count],
            next_partition: 0,
        });
        self.by_name.insert(name.clone(), self.topics.len() - 1);
        self.topics.len() - 1
    }

    /// The topic of that name, if anything ever named it.
    pub(super) fn find(&self, name: &str) -> Option<&TopicLog> {
        self.by_name.get(name).map(|&topic| &self.topics[topic])
    }

    pub(super) fn get(&self, topic: usize) -> Option<&TopicLog> {
        self.topics.get(topic)
    }

    /// Appends a record to a partition that exists, or to any: each in turn. A task's record is
    /// not read before [`commit`](Self::commit).
    pub(super) fn append(
        &mut self,
        topic: usize,
        partition: i32,
        record: MemoryRecord,
        by_task: bool,
    ) {
        let log = &mut self.topics[topic];
        let count = log.partition_count();
        let partition = if partition == ANY_PARTITION {
            let next = log.next_partition;
            log.next_partition = (next + 1) % count;
            next
        } else {
            partition
        };
        let place = log.entries.len();
        let places = &mut log.partitions[usize::try_from(partition).unwrap_or(0)];
        let offset = i64::try_from(places.len()).unwrap_or(i64::MAX);
        places.push(place);
        let outcome = if by_task { Outcome::Open } else { Outcome::Committed };
        log.entries.push(Entry { partition, offset, record: Arc::new(record), by_task, outcome });
        if by_task {
            self.open.push((topic, place));
        }
    }

    /// What tasks wrote can be read from now on. To which topics and partitions that was, in the
    /// order of writing.
    pub(super) fn commit(&mut self) -> Vec<(Arc<str>, i32)> {
        let arrived = |&(topic, place): &(usize, usize)| {
            let log = &self.topics[topic];
            (log.name.clone(), log.entries[place].partition)
        };
        let arrived = self.open.iter().map(arrived).collect();
        self.close(Outcome::Committed);
        arrived
    }

    /// What tasks wrote is never read.
    pub(super) fn abort(&mut self) {
        self.close(Outcome::Aborted);
    }

    fn close(&mut self, outcome: Outcome) {
        for (topic, place) in self.open.drain(..) {
            self.topics[topic].entries[place].outcome = outcome;
        }
    }

    /// Topics with records of tasks, in order of their names.
    pub(super) fn produced(&self) -> Vec<String> {
        let produced = self.by_name.iter().filter(|&(_, &topic)| {
            let mut entries = self.topics[topic].entries.iter();
            entries.any(|entry| entry.by_task && entry.outcome == Outcome::Committed)
        });
        produced.map(|(name, _)| name.to_string()).collect()
    }
}

impl TopicLog {
    pub(super) fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// The offset of the next record of a partition.
    pub(super) fn end(&self, partition: i32) -> i64 {
        let places = usize::try_from(partition).ok().and_then(|p| self.partitions.get(p));
        places.map_or(0, |places| i64::try_from(places.len()).unwrap_or(i64::MAX))
    }

    /// The record at `offset` of a partition and those behind it, up to the first one that is
    /// not committed.
    pub(super) fn committed_from(
        &self,
        partition: i32,
        offset: i64,
    ) -> impl Iterator<Item = &Entry> {
        let places = usize::try_from(partition).ok().and_then(|p| self.partitions.get(p));
        let places = places.map_or(&[][..], Vec::as_slice);
        let offset = usize::try_from(offset).unwrap_or(0).min(places.len());
        places[offset..]
            .iter()
            .map(|&place| &self.entries[place])
            .take_while(|entry| entry.outcome != Outcome::Open)
    }

    /// The committed record at `place` or the next one behind it, with its place; records of all
    /// partitions in the order of writing.
    pub(super) fn next_committed(&self, place: usize) -> Option<(usize, &Entry)> {
        let entries = self.entries.iter().enumerate().skip(place);
        entries
            .take_while(|(_, entry)| entry.outcome != Outcome::Open)
            .find(|(_, entry)| entry.outcome == Outcome::Committed)
    }
}

impl Entry {
    pub(super) fn is_aborted(&self) -> bool {
        self.outcome == Outcome::Aborted
    }
}
