//! Whether the committed output of the ledger is that of an undisturbed run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::stage::Guarantee;
use crate::ledger::{Balance, LedgerTopics, account, amount};
use crate::topics::{LogRecord, read_partitions};

/// What is in the ledger's topics, by partition, committed records only.
#[derive(Clone, Debug)]
pub struct LedgerLogs {
    topics: LedgerTopics,
    entries: Vec<Vec<LogRecord>>,
    echo: Vec<Vec<LogRecord>>,
    balances: Vec<Vec<LogRecord>>,
}

/// What is wrong with the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Nothing, but something is missing at the end: it may still come.
    NotYet(String),
    /// It can no longer become right.
    Never(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet(what) => write!(f, "incomplete: {what}"),
            Self::Never(what) => write!(f, "wrong: {what}"),
        }
    }
}

impl LedgerLogs {
    /// As of now.
    ///
    /// # Panics
    /// If the topics cannot be read.
    pub fn read(bootstrap: &str, topics: &LedgerTopics, partitions: i32) -> Self {
        let read = |topic: &str| read_partitions(bootstrap, topic, partitions);
        Self {
            entries: read(&topics.entries),
            echo: read(&topics.echo),
            balances: read(&topics.balances),
            topics: topics.clone(),
        }
    }

    /// How many entries there are.
    pub fn entries(&self) -> usize {
        self.entries.iter().map(Vec::len).sum()
    }

    /// How many records were written more than once, of the echo and of the balances.
    pub fn repeated(&self) -> (usize, usize) {
        let records = |logs: &[Vec<LogRecord>]| logs.iter().map(Vec::len).sum::<usize>();
        let more = |logs| records(logs).saturating_sub(self.entries());
        (more(&self.echo), more(&self.balances))
    }
}

/// Under exactly-once: each partition's echo is its entries, and the updates of each account count
/// its entries one by one, in the order of each partition. Under at-least-once records may be
/// repeated; none may be lost.
///
/// # Errors
/// The first difference, with its place and what was expected there.
pub fn verify(logs: &LedgerLogs, guarantee: Guarantee) -> Result<(), Wrong> {
    for (partition, (entries, echo)) in logs.entries.iter().zip(&logs.echo).enumerate() {
        let place = format!("{}-{partition}", logs.topics.echo);
        match guarantee {
            Guarantee::ExactlyOnce => exact_echo(&place, entries, echo)?,
            Guarantee::AtLeastOnce => complete_echo(&place, entries, echo)?,
        }
    }
    let mut updates = updates(logs)?;
    for (account, entries) in entries_by_account(logs) {
        let updates = updates.remove(&account).unwrap_or_default();
        match guarantee {
            Guarantee::ExactlyOnce => exact_balances(&account, entries, &updates)?,
            Guarantee::AtLeastOnce => complete_balances(&account, &entries, &updates)?,
        }
    }
    match updates.keys().next() {
        Some(account) => Err(Wrong::Never(format!("{account} has balances but no entries"))),
        None => Ok(()),
    }
}

fn exact_echo(place: &str, entries: &[LogRecord], echo: &[LogRecord]) -> Result<(), Wrong> {
    for (at, found) in echo.iter().enumerate() {
        let expected = entries.get(at);
        let same = |entry: &LogRecord| entry.key == found.key && entry.value == found.value;
        if !expected.is_some_and(same) {
            let before = at.checked_sub(1).map(|at| show(&echo[at]));
            return Err(Wrong::Never(format!(
                "{place}: the echo's record {at} is {}, expected the entry {}; before it came {}",
                show(found),
                expected.map_or_else(|| "none: all are echoed".to_owned(), show),
                before.unwrap_or_else(|| "nothing".to_owned()),
            )));
        }
    }
    match entries.get(echo.len()) {
        Some(next) => Err(Wrong::NotYet(format!("{place}: the next echo is of {}", show(next)))),
        None => Ok(()),
    }
}

/// What appears for the first time is the next entry: a repetition begins at a position that was
/// committed, which is behind nothing that was not written.
fn complete_echo(place: &str, entries: &[LogRecord], echo: &[LogRecord]) -> Result<(), Wrong> {
    let mut seen = BTreeSet::new();
    for found in echo {
        let Some(next) = entries.get(seen.len()) else {
            if seen.contains(&found.value) {
                continue;
            }
            return Err(Wrong::Never(format!("{place}: {} is of no entry", show(found))));
        };
        if !seen.contains(&found.value) {
            if (&next.key, &next.value) != (&found.key, &found.value) {
                return Err(Wrong::Never(format!(
                    "{place}: {} came, the entry {} before it was lost",
                    show(found),
                    show(next)
                )));
            }
            seen.insert(found.value.clone());
        }
    }
    match entries.get(seen.len()) {
        Some(next) => Err(Wrong::NotYet(format!("{place}: the next echo is of {}", show(next)))),
        None => Ok(()),
    }
}

/// An entry, and where it lies.
struct Entry {
    key: String,
    number: String,
    place: String,
}

/// A balance, and where it lies.
struct Update {
    balance: Balance,
    place: String,
}

/// By account, and by partition: its entries in order.
fn entries_by_account(logs: &LedgerLogs) -> BTreeMap<String, Vec<VecDeque<Entry>>> {
    let mut accounts = BTreeMap::<_, Vec<VecDeque<_>>>::new();
    for (partition, entries) in logs.entries.iter().enumerate() {
        for entry in entries {
            let of_account = accounts.entry(account(&entry.key)).or_default();
            of_account.resize_with(logs.entries.len(), VecDeque::new);
            let place = format!("{}-{partition}: {}", logs.topics.entries, show(entry));
            let number = String::from_utf8_lossy(&entry.value).into_owned();
            of_account[partition].push_back(Entry { key: entry.key.clone(), number, place });
        }
    }
    accounts
}

fn updates(logs: &LedgerLogs) -> Result<BTreeMap<String, Vec<Update>>, Wrong> {
    let mut accounts = BTreeMap::<String, Vec<_>>::new();
    for (partition, updates) in logs.balances.iter().enumerate() {
        for update in updates {
            let place = format!("{}-{partition} at {}", logs.topics.balances, update.offset);
            let balance = serde_json::from_slice(&update.value)
                .map_err(|error| Wrong::Never(format!("{place}: no balance: {error}")))?;
            accounts.entry(update.key.clone()).or_default().push(Update { balance, place });
        }
    }
    Ok(accounts)
}

/// Amounts are unique, so the difference of two updates tells which entry was counted: it has to
/// be the next one of some partition.
fn exact_balances(
    account: &str,
    mut entries: Vec<VecDeque<Entry>>,
    updates: &[Update],
) -> Result<(), Wrong> {
    let mut before = Balance::NONE;
    for update in updates {
        let added = update.balance.sum.wrapping_sub(before.sum);
        let is_next = |queue: &&mut VecDeque<Entry>| {
            queue.front().is_some_and(|entry| amount(&entry.number) == added)
        };
        let next = entries.iter_mut().find(is_next).and_then(VecDeque::pop_front);
        let mut expected = before.clone();
        if let Some(next) = &next {
            expected.add(&next.key, &next.number);
        }
        if next.is_none() || expected != update.balance {
            let heads = entries.iter().filter_map(VecDeque::front).map(|head| head.place.as_str());
            let heads: Vec<_> = heads.collect();
            return Err(Wrong::Never(format!(
                "{account}, {}: {:?} follows {before:?}; expected {}; not counted yet: {heads:?}",
                update.place,
                update.balance,
                next.map_or_else(|| "one more entry".to_owned(), |_| format!("{expected:?}")),
            )));
        }
        before = expected;
    }
    match entries.iter().find_map(VecDeque::front) {
        Some(next) => Err(Wrong::NotYet(format!("{account} does not count {}", next.place))),
        None => Ok(()),
    }
}

/// The balance that counts most has counted everything.
fn complete_balances(
    account: &str,
    entries: &[VecDeque<Entry>],
    updates: &[Update],
) -> Result<(), Wrong> {
    let mut expected = Balance::NONE;
    for entry in entries.iter().flatten() {
        expected.add(&entry.key, &entry.number);
    }
    if let Some(update) = updates.iter().find(|update| update.balance.missed > 0) {
        let (place, balance) = (&update.place, &update.balance);
        return Err(Wrong::Never(format!("{account}, {place}: entries were lost: {balance:?}")));
    }
    let Some(most) = updates.iter().max_by_key(|update| update.balance.count) else {
        return Err(Wrong::NotYet(format!("{account} has no balance")));
    };
    let (found, place) = (&most.balance, &most.place);
    let extremes = |balance: &Balance| (balance.min, balance.max);
    let complete = found.count >= expected.count
        && found.sum >= expected.sum
        && found.last == expected.last
        && extremes(found) == extremes(&expected);
    if complete {
        return Ok(());
    }
    Err(Wrong::NotYet(format!("{account}, {place}: {found:?} is not yet at least {expected:?}")))
}

fn show(record: &LogRecord) -> String {
    let value = String::from_utf8_lossy(&record.value);
    format!("{} = {value} (offset {})", record.key, record.offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::key;

    fn record(offset: usize, key: &str, value: impl Into<Vec<u8>>) -> LogRecord {
        LogRecord { offset: offset as i64, key: key.to_owned(), value: value.into() }
    }

    /// An undisturbed run of two partitions and two keys of one account.
    fn undisturbed() -> LedgerLogs {
        let keys = [key(0), key(40)];
        assert_eq!(account(&keys[0]), account(&keys[1]));
        let numbers =
            |first: u64| (0..5).map(move |n| (first + n * crate::ledger::KEYS).to_string());
        let entries = [0, 40].map(|first| {
            let numbers = numbers(first).enumerate();
            numbers.map(|(at, number)| record(at, &key(first), number)).collect::<Vec<_>>()
        });
        let mut balance = Balance::NONE;
        let mut updates = Vec::new();
        for at in 0..5 {
            for partition in &entries {
                let entry: &LogRecord = &partition[at];
                balance.add(&entry.key, std::str::from_utf8(&entry.value).unwrap());
                let json = serde_json::to_vec(&balance).unwrap();
                updates.push(record(updates.len(), &account(&entry.key), json));
            }
        }
        LedgerLogs {
            topics: LedgerTopics::of("app"),
            echo: entries.to_vec(),
            entries: entries.to_vec(),
            balances: vec![updates],
        }
    }

    fn exactly(logs: &LedgerLogs) -> Result<(), Wrong> {
        verify(logs, Guarantee::ExactlyOnce)
    }

    fn at_least(logs: &LedgerLogs) -> Result<(), Wrong> {
        verify(logs, Guarantee::AtLeastOnce)
    }

    #[test]
    fn an_undisturbed_run_is_right() {
        assert_eq!(exactly(&undisturbed()), Ok(()));
        assert_eq!(at_least(&undisturbed()), Ok(()));
    }

    #[test]
    fn an_echo_that_is_not_there_yet_may_come() {
        let mut logs = undisturbed();
        logs.echo[1].pop();
        assert!(matches!(exactly(&logs), Err(Wrong::NotYet(_))));
        assert!(matches!(at_least(&logs), Err(Wrong::NotYet(_))));
    }

    #[test]
    fn an_echo_that_was_jumped_over_is_lost() {
        let mut logs = undisturbed();
        logs.echo[0].remove(2);
        assert!(matches!(exactly(&logs), Err(Wrong::Never(_))));
        assert!(matches!(at_least(&logs), Err(Wrong::Never(_))));
    }

    #[test]
    fn a_repeated_echo_is_right_only_at_least_once() {
        let mut logs = undisturbed();
        let again: Vec<_> = logs.echo[0][1..3].to_vec();
        logs.echo[0].splice(3..3, again);
        assert!(matches!(exactly(&logs), Err(Wrong::Never(_))));
        assert_eq!(at_least(&logs), Ok(()));
    }

    #[test]
    fn an_echo_in_another_order_is_wrong() {
        let mut logs = undisturbed();
        logs.echo[0].swap(1, 2);
        assert!(matches!(exactly(&logs), Err(Wrong::Never(_))));
        assert!(matches!(at_least(&logs), Err(Wrong::Never(_))));
    }

    #[test]
    fn a_balance_that_counts_an_entry_twice_is_right_only_at_least_once() {
        let mut logs = undisturbed();
        rewrite_balances(&mut logs, |numbers| numbers.insert(4, numbers[3].clone()));
        assert!(matches!(exactly(&logs), Err(Wrong::Never(_))));
        assert_eq!(at_least(&logs), Ok(()));
    }

    #[test]
    fn a_balance_that_leaves_an_entry_out_is_wrong_even_if_another_counts_twice() {
        let mut logs = undisturbed();
        rewrite_balances(&mut logs, |numbers| numbers[4] = numbers[2].clone());
        assert!(matches!(exactly(&logs), Err(Wrong::Never(_))));
        assert!(matches!(at_least(&logs), Err(Wrong::Never(_))));
    }

    #[test]
    fn a_partition_that_is_counted_out_of_order_is_wrong() {
        let mut logs = undisturbed();
        rewrite_balances(&mut logs, |numbers| numbers.swap(2, 4));
        assert!(matches!(exactly(&logs), Err(Wrong::Never(_))));
    }

    #[test]
    fn a_missing_last_balance_may_come() {
        let mut logs = undisturbed();
        logs.balances[0].pop();
        assert!(matches!(exactly(&logs), Err(Wrong::NotYet(_))));
        assert!(matches!(at_least(&logs), Err(Wrong::NotYet(_))));
    }

    /// The balances of a run that counts these entries.
    fn rewrite_balances(logs: &mut LedgerLogs, change: impl Fn(&mut Vec<(String, String)>)) {
        let text = |entry: &LogRecord| String::from_utf8(entry.value.clone()).unwrap();
        let mut numbers = Vec::new();
        for at in 0..5 {
            let both = logs.entries.iter().map(|entries| &entries[at]);
            numbers.extend(both.map(|entry| (entry.key.clone(), text(entry))));
        }
        change(&mut numbers);
        let mut balance = Balance::NONE;
        let updates = numbers.iter().enumerate().map(|(at, (key, number))| {
            balance.add(key, number);
            record(at, &account(key), serde_json::to_vec(&balance).unwrap())
        });
        logs.balances = vec![updates.collect()];
    }
}
