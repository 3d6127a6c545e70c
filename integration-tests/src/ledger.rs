//! The application of the torture, `ledger`: what it reads and writes, so that a test can say what
//! is right.
//!
//! It copies each entry to a topic of the same partitions, and keeps a balance per account, one
//! repartition hop further. Accounts mix entries of all partitions. Every amount is written only
//! once, so each update of a balance tells which entry it counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

/// Keys of entries.
pub const KEYS: u64 = 240;
/// Accounts over which they are spread.
const ACCOUNTS: u64 = 40;
const PRIME: u64 = 4_294_967_291;

/// The topics of one application, named after it.
#[derive(Clone, Debug)]
pub struct LedgerTopics {
    /// What is read.
    pub entries: String,
    /// Each entry, as it is.
    pub echo: String,
    /// Each new balance.
    pub balances: String,
}

/// Of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DefaultSerde)]
pub struct Balance {
    /// Entries.
    pub count: u64,
    /// Of all amounts.
    pub sum: u64,
    /// The smallest amount.
    pub min: u64,
    /// The largest amount.
    pub max: u64,
    /// By key, the highest number that was counted.
    pub last: BTreeMap<u64, u64>,
    /// Entries that were jumped over: what was lost, even where others were counted twice.
    pub missed: u64,
}

impl LedgerTopics {
    /// Of the application with this id.
    pub fn of(application_id: &str) -> Self {
        let name = |name: &str| format!("{application_id}.{name}");
        Self { entries: name("entries"), echo: name("echo"), balances: name("balances") }
    }

    /// Those that have to exist.
    pub fn names(&self) -> [&str; 3] {
        [&self.entries, &self.echo, &self.balances]
    }
}

impl Balance {
    /// Before the first entry.
    pub const NONE: Self =
        Self { count: 0, sum: 0, min: u64::MAX, max: 0, last: BTreeMap::new(), missed: 0 };

    /// With one more entry.
    pub fn add(&mut self, key: &str, number: &str) {
        let (amount, number) = (amount(number), number.parse().unwrap_or(0));
        self.count += 1;
        self.sum += amount;
        self.min = self.min.min(amount);
        self.max = self.max.max(amount);
        // Entries of one key follow each other at a distance of `KEYS`.
        let expected = self.last.get(&key_number(key)).map_or(number % KEYS, |last| last + KEYS);
        self.missed += number.saturating_sub(expected) / KEYS;
        let last = self.last.entry(key_number(key)).or_insert(number);
        *last = number.max(*last);
    }
}

/// The key of the entry with this number.
pub fn key(number: u64) -> String {
    format!("key-{}", number * 7 % KEYS)
}

/// The account to which entries with this key belong.
pub fn account(key: &str) -> String {
    format!("account-{}", key_number(key) * 11 % ACCOUNTS)
}

fn key_number(key: &str) -> u64 {
    key.trim_start_matches("key-").parse().unwrap_or(0)
}

/// The amount of the entry with this number: no other entry has it.
pub fn amount(number: &str) -> u64 {
    let number: u64 = number.parse().unwrap_or(0);
    number.wrapping_mul(2_654_435_761) % PRIME
}

/// The topology.
///
/// # Errors
/// None that can happen.
pub fn topology(application_id: &str) -> Result<Topology, TopologyError> {
    let topics = LedgerTopics::of(application_id);
    let builder = StreamsBuilder::new();
    let entries = builder.stream::<String, String>(topics.entries.as_str());
    entries.to(topics.echo.as_str());
    entries
        .map_values_with_key(|key, number| format!("{key} {number}"))
        .group_by(|key, _| account(key), "entries-by-account")
        .aggregate(
            || Balance::NONE,
            |_, entry, balance| {
                if let Some((key, number)) = entry.split_once(' ') {
                    balance.add(key, number);
                }
            },
            "balance-store",
        )
        .to(topics.balances.as_str());
    builder.build()
}
