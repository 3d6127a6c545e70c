//! The input topics: deterministic, so that what a case has to write is known.

use streams_core::partitioning::partition_for_key;

use crate::Result;
use crate::broker::{Broker, PARTITIONS};
use crate::raw_kafka::RawProducer;

const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 100;
const FIRST_TIME_MS: i64 = 1_700_000_000_000;
/// Of event time.
const RECORDS_PER_MS: u64 = 10;

/// How keys are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Keys {
    /// Uniform over 100 k.
    U100k,
    /// Zipf with exponent 1.0 over 1 M.
    Z1m,
}

pub(crate) type Key = [u8; KEY_BYTES];
pub(crate) type Value = [u8; VALUE_BYTES];

impl Keys {
    pub(crate) fn topic(self, records: u64) -> String {
        let name = match self {
            Self::U100k => "u100k",
            Self::Z1m => "z1m",
        };
        format!("bench-{name}-{records}")
    }
}

/// The records of a topic, in order.
pub(crate) struct Records {
    random: SplitMix,
    next: u64,
    distribution: Distribution,
}

enum Distribution {
    Uniform(u64),
    /// Cumulated weights by rank.
    Zipf(Vec<f64>),
}

impl Records {
    pub(crate) fn new(keys: Keys) -> Self {
        let distribution = match keys {
            Keys::U100k => Distribution::Uniform(100_000),
            Keys::Z1m => Distribution::Zipf(zipf(1_000_000)),
        };
        Self { random: SplitMix(42), next: 0, distribution }
    }

    /// Key, value and time.
    pub(crate) fn next(&mut self) -> (Key, Value, i64) {
        let number = self.next;
        self.next += 1;
        let random = self.random.next();
        let key = match &self.distribution {
            Distribution::Uniform(keys) => random % keys,
            Distribution::Zipf(cumulated) => {
                let total = cumulated[cumulated.len() - 1];
                let point = random as f64 / u64::MAX as f64 * total;
                cumulated.partition_point(|&weight| weight < point) as u64
            }
        };
        let time = FIRST_TIME_MS + (number / RECORDS_PER_MS).cast_signed();
        (key_of(key), value_of(number), time)
    }
}

/// Fills a topic unless an earlier run did.
pub(crate) fn fill(broker: &Broker, keys: Keys, records: u64) -> Result<()> {
    let topic = keys.topic(records);
    if broker.records(&topic).is_ok_and(|there| there == records) {
        return Ok(());
    }
    eprintln!("bench: writing {records} records to {topic}");
    broker.delete_topics(std::slice::from_ref(&topic))?;
    broker.create_topic(&topic)?;
    let mut producer = RawProducer::new(&broker.bootstrap, None)?;
    let slot = producer.topic(&topic)?;
    let mut input = Records::new(keys);
    for number in 0..records {
        let (key, value, time) = input.next();
        producer.send(slot, partition_for_key(&key, PARTITIONS), time, &key, Some(&value))?;
        if number % 1000 == 0 {
            producer.poll();
        }
    }
    producer.flush()
}

/// Scattered, so that hot keys are no neighbours in byte order.
pub(crate) fn key_of(number: u64) -> Key {
    let mut key = [0; KEY_BYTES];
    let text = format!("k{:015x}", SplitMix(number).next() >> 4);
    key.copy_from_slice(text.as_bytes());
    key
}

pub(crate) fn value_of(number: u64) -> Value {
    let mut value = [0; VALUE_BYTES];
    let mut random = SplitMix(number);
    for chunk in value.chunks_mut(8) {
        let bytes = random.next().to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
    value
}

fn zipf(keys: u32) -> Vec<f64> {
    let mut total = 0.0;
    let weigh = |rank| {
        total += 1.0 / f64::from(rank);
        total
    };
    (1..=keys).map(weigh).collect()
}

/// Sebastiano Vigna's generator: a number and a mix.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_the_same_in_each_run_and_zipf_is_skewed() {
        let (mut one, mut other) = (Records::new(Keys::Z1m), Records::new(Keys::Z1m));
        let mut hottest = 0;
        for _ in 0..10_000 {
            let record = one.next();
            assert_eq!(record, other.next());
            hottest += u32::from(record.0 == key_of(0));
        }
        // 1 / H(1e6) = 6.9 %.
        assert!((500..900).contains(&hottest), "{hottest}");
    }
}
