//! The log against a naive one that computes everything anew from all that ever happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use streams_core::client::{Isolation, MemoryRecord};

use crate::embedded::log::{Identity, Log};

#[derive(Clone, Debug)]
enum Action {
    Append {
        key: Option<u8>,
        tombstone: bool,
    },
    Write {
        producer: u32,
        key: Option<u8>,
        tombstone: bool,
    },
    End {
        producer: u32,
        committed: bool,
    },
    Compact {
        remove_tombstones: bool,
    },
    /// Percent of the log.
    DeleteBefore(i64),
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Plain,
    Open(u32),
    Committed,
    Aborted,
    Marker,
}

/// What was written, by offset.
#[derive(Default)]
struct Oracle {
    entries: BTreeMap<i64, (State, Option<Arc<MemoryRecord>>)>,
    /// First offsets of open transactions.
    first: BTreeMap<u32, i64>,
    start: i64,
    end: i64,
}

impl Oracle {
    fn push(&mut self, state: State, record: Option<Arc<MemoryRecord>>) {
        self.entries.insert(self.end, (state, record));
        self.end += 1;
    }

    fn bound(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.end,
            Isolation::ReadCommitted => {
                self.first.values().copied().min().unwrap_or(self.end).max(self.start)
            }
        }
    }

    fn visible(&self, from: i64, isolation: Isolation) -> Vec<(i64, Arc<MemoryRecord>)> {
        let seen = |state: State| match state {
            State::Marker => false,
            State::Plain | State::Committed => true,
            State::Open(_) | State::Aborted => isolation == Isolation::ReadUncommitted,
        };
        let bound = self.bound(isolation);
        self.entries
            .iter()
            .filter(|&(&offset, (state, _))| offset >= from && offset < bound && seen(*state))
            .map(|(&offset, (_, record))| (offset, record.clone().unwrap()))
            .collect()
    }

    fn apply(&mut self, action: &Action) {
        match *action {
            Action::Append { key, tombstone } => self.push(State::Plain, record(key, tombstone)),
            Action::Write { producer, key, tombstone } => {
                self.first.entry(producer).or_insert(self.end);
                self.push(State::Open(producer), record(key, tombstone));
            }
            Action::End { producer, committed } => {
                let ended = if committed { State::Committed } else { State::Aborted };
                for (state, _) in self.entries.values_mut() {
                    if *state == State::Open(producer) {
                        *state = ended;
                    }
                }
                self.first.remove(&producer);
                self.push(State::Marker, None);
            }
            Action::Compact { remove_tombstones } => self.compact(remove_tombstones),
            Action::DeleteBefore(percent) => {
                self.start = self.start.max(self.end * percent / 100);
                self.entries.retain(|&offset, _| offset >= self.start);
            }
        }
    }

    fn compact(&mut self, remove_tombstones: bool) {
        let bound = self.bound(Isolation::ReadCommitted);
        let below = self.visible(self.start, Isolation::ReadCommitted);
        let shadowed = |offset: i64, record: &MemoryRecord| {
            below.iter().any(|(other, newer)| *other > offset && newer.key == record.key)
        };
        self.entries.retain(|&offset, (state, record)| match (state, record) {
            _ if offset >= bound => true,
            (State::Marker, _) => !remove_tombstones,
            (State::Aborted, _) => false,
            (_, Some(record)) => {
                record.key.is_some()
                    && !shadowed(offset, record)
                    && !(remove_tombstones && record.value.is_none())
            }
            (_, None) => true,
        });
    }
}

fn record(key: Option<u8>, tombstone: bool) -> Option<Arc<MemoryRecord>> {
    Some(Arc::new(MemoryRecord {
        timestamp: 0,
        key: key.map(|key| Box::from([key])),
        value: (!tombstone).then(|| Box::from(*b"v")),
        headers: Default::default(),
    }))
}

fn apply(log: &mut Log, action: &Action) {
    let identity = |id: u32| Identity { id, epoch: 0 };
    match *action {
        Action::Append { key, tombstone } => {
            log.append(record(key, tombstone).unwrap());
        }
        Action::Write { producer, key, tombstone } => {
            let record = record(key, tombstone).unwrap();
            log.append_transactional(identity(producer), record).unwrap();
        }
        Action::End { producer, committed } => log.end_transaction(identity(producer), committed),
        Action::Compact { remove_tombstones } => log.compact(remove_tombstones),
        Action::DeleteBefore(percent) => {
            let end = log.end(Isolation::ReadUncommitted);
            log.delete_before(end * percent / 100).unwrap();
        }
    }
}

/// Reads to the end in steps, and checks that each one makes progress or is at the end.
fn read_in_steps(
    log: &Log,
    from: i64,
    step: usize,
    isolation: Isolation,
) -> (Vec<(i64, Arc<MemoryRecord>)>, i64) {
    let (mut records, mut position) = (Vec::new(), from);
    loop {
        let before = records.len();
        let next = log
            .read(position, step, isolation, |offset, record| {
                assert!(offset >= position, "before the position");
                records.push((offset, record.clone()));
            })
            .unwrap();
        assert!(records.len() - before <= step);
        assert!(records.last().is_none_or(|last| last.0 < next), "past the position");
        if next >= log.end(isolation) {
            return (records, next);
        }
        assert!(next > position, "stuck at {position}");
        position = next;
    }
}

fn check(log: &Log, oracle: &Oracle, step: usize, from_percent: i64) {
    assert_eq!(log.start(), oracle.start);
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
        let bound = oracle.bound(isolation);
        assert_eq!(log.end(isolation), bound);
        let from = oracle.start + (oracle.end - oracle.start) * from_percent / 100;
        let (records, position) = read_in_steps(log, from, step, isolation);
        assert_eq!(records, oracle.visible(from, isolation));
        assert_eq!(position, bound.max(from));
        assert!(log.read(oracle.end + 1, 1, isolation, |_, _| ()).is_err());
        assert!(log.read(oracle.start - 1, 1, isolation, |_, _| ()).is_err());
    }
}

fn action() -> impl Strategy<Value = Action> {
    let key = || prop::option::weighted(0.9, 0u8..4);
    prop_oneof![
        4 => (key(), prop::bool::weighted(0.2))
            .prop_map(|(key, tombstone)| Action::Append { key, tombstone }),
        6 => (0u32..3, key(), prop::bool::weighted(0.2))
            .prop_map(|(producer, key, tombstone)| Action::Write { producer, key, tombstone }),
        4 => (0u32..3, any::<bool>())
            .prop_map(|(producer, committed)| Action::End { producer, committed }),
        1 => any::<bool>().prop_map(|remove_tombstones| Action::Compact { remove_tombstones }),
        1 => (0i64..=100).prop_map(Action::DeleteBefore),
    ]
}

proptest! {
    #[test]
    fn the_log_is_what_its_history_says(
        actions in prop::collection::vec(action(), 0..60),
        step in 1usize..5,
        from_percent in 0i64..=100,
    ) {
        let (mut log, mut oracle) = (Log::new(), Oracle::default());
        for action in &actions {
            apply(&mut log, action);
            oracle.apply(action);
            check(&log, &oracle, step, from_percent);
        }
    }
}
