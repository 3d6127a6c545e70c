//! Whether a case wrote what it had to: a fast case that is wrong is not fast.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::hash::BuildHasher;

use crate::Result;
use crate::broker::Broker;
use crate::cases::{Emission, Work, output_topic};
use crate::input::{Key, Keys, Records};
use crate::raw_kafka::RawConsumer;

/// Reads the output of a run and compares it with what follows from the input.
pub(crate) fn check(
    broker: &Broker,
    keys: Keys,
    work: Work,
    tag: &str,
    records: u64,
) -> Result<()> {
    let topic = output_topic(tag);
    // Transactions have markers besides records; who emits per commit writes fewer.
    let written = match work {
        Work::Count(Emission::Commit) => broker.records(&topic)?,
        _ => records,
    };
    let mut consumer = RawConsumer::new(&broker.bootstrap, "bench-check", &topic)?;
    match work {
        Work::Pass => {
            let mut found = 0_u64;
            let mut read = 0;
            while read < written {
                read += consumer.batch(|message| {
                    found = found.wrapping_add(digest(message.key, message.value, message.time));
                    Ok(())
                })? as u64;
            }
            let mut input = Records::new(keys);
            let wanted = (0..records).fold(0_u64, |sum, _| {
                let (key, value, time) = input.next();
                sum.wrapping_add(digest(&key, &value, time))
            });
            same(read == records && found == wanted, tag)
        }
        Work::Count(_) => {
            let mut found = HashMap::<Key, i64, FixedState>::default();
            let mut read = 0;
            while read < written {
                read += consumer.batch(|message| {
                    let count = i64::from_be_bytes(message.value.try_into()?);
                    found.insert(message.key.try_into()?, count);
                    Ok(())
                })? as u64;
            }
            let mut input = Records::new(keys);
            let mut wanted = HashMap::<Key, i64, FixedState>::default();
            (0..records).for_each(|_| *wanted.entry(input.next().0).or_default() += 1);
            same(read == written && found == wanted, tag)
        }
    }
}

fn same(same: bool, tag: &str) -> Result<()> {
    if same { Ok(()) } else { Err(format!("{tag} wrote something else than it had to").into()) }
}

/// Summed over records: their order does not matter.
fn digest(key: &[u8], value: &[u8], time: i64) -> u64 {
    FixedState::with_seed(7).hash_one((key, value, time))
}
