//! An application with something of everything: a repartition hop, stores on disk and in memory, a
//! table whose changelog is its topic, a join, timers on stream time and on the wall clock, late
//! records, records that are null or not to be read, and a processor that remembers what only its
//! store knows for certain.
//!
//! What it writes does not depend on who is faster, so that two runs can be compared: orders of
//! one customer are for one item, so that each item's orders come from one partition.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::time::Duration;

use streams_core::client::MemoryRecord;
use streams_core::error::BoxError;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::topology::Consumed;
use streams_core::{Timestamp, Topology, reaction};
use streams_test::{SeededSimulation, Simulation};

const ORDERS: &str = "orders";
const PRICES: &str = "prices";
/// Orders by item, what was paid for them so far.
pub const TOTALS: &str = "totals";
/// By hour (of 40 ms) and partition, how many orders there were.
pub const HOURS: &str = "hours";
/// Orders that came too late for their hour.
pub const LATE: &str = "late";
const HOUR_MS: i64 = 40;
pub const PARTITIONS: i32 = 2;

type Context<'a> = ProcessorContext<'a, String, i64>;

/// Counts orders by hour; tells the count when the hour is over.
struct Hours {
    counts: KeyValueHandle<String, i64>,
    /// The hour that was counted last and its count: what the store has, without looking.
    current: Option<(String, i64)>,
}

impl Hours {
    fn tell(&mut self, now: Timestamp, cx: &mut Context<'_>) -> Result<(), BoxError> {
        let now = hour_of(now.as_millis(), cx);
        let mut rows = self.counts.all();
        while let Some((hour, count)) = cx.next(&mut rows)? {
            if hour < now {
                cx.store(&self.counts).delete(&hour)?;
                cx.forward(format!("hour {hour}"), count)?;
            }
        }
        self.current = None;
        Ok(())
    }
}

impl Processor for Hours {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn process(&mut self, key: String, value: i64, cx: &mut Context<'_>) -> Result<(), BoxError> {
        let stream_time = cx.stream_time().as_millis();
        let hour = hour_of(cx.timestamp().as_millis(), cx);
        if hour < hour_of(stream_time, cx) {
            return cx.forward(format!("late {key} {stream_time}"), value);
        }
        let known = match self.current.take() {
            Some((of, count)) if of == hour => count,
            _ => cx.store(&self.counts).get(&hour)?.copied().unwrap_or(0),
        };
        cx.store(&self.counts).put(&hour, known + 1)?;
        self.current = Some((hour, known + 1));
        cx.forward(key.replace("customer", "item"), value)
    }
}

/// Sorted as text; each partition has its own.
fn hour_of(ms: i64, cx: &Context<'_>) -> String {
    format!("{:06}/{}", ms / HOUR_MS, cx.task_id().partition)
}

/// Forwards what begins so, without that beginning.
struct Only(&'static str);

impl Processor for Only {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn process(&mut self, key: String, value: i64, cx: &mut Context<'_>) -> Result<(), BoxError> {
        match key.strip_prefix(self.0) {
            Some(rest) => cx.forward(rest.to_owned(), value),
            None => Ok(()),
        }
    }
}

struct Prices(KeyValueHandle<String, i64>);

impl Processor for Prices {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn process(&mut self, key: String, value: i64, cx: &mut Context<'_>) -> Result<(), BoxError> {
        cx.store(&self.0).put(&key, value)
    }
}

/// What was paid so far for an item, with the price of the table, and more for each order that
/// came before.
struct Totals {
    prices: KeyValueHandle<String, i64>,
    totals: KeyValueHandle<String, i64>,
    orders: KeyValueHandle<String, i64>,
    ticks: KeyValueHandle<String, i64>,
}

impl Totals {
    /// State without any input.
    fn tick(&mut self, _: Timestamp, cx: &mut Context<'_>) -> Result<(), BoxError> {
        cx.store(&self.ticks).update(&"ticks".to_owned(), |ticks| Some(ticks.unwrap_or(0) + 1))?;
        Ok(())
    }
}

impl Processor for Totals {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn process(&mut self, key: String, value: i64, cx: &mut Context<'_>) -> Result<(), BoxError> {
        let price = cx.store(&self.prices).get(&key)?.copied().unwrap_or(1);
        let orders = cx.store(&self.orders).get(&key)?.copied().unwrap_or(0) + 1;
        let total = cx.store(&self.totals).get(&key)?.copied().unwrap_or(0);
        let total = total + value * price + orders;
        cx.store(&self.orders).put(&key, orders)?;
        // Every tenth order the item starts anew: its row is deleted.
        if orders % 10 == 0 {
            cx.store(&self.totals).delete(&key)?;
        } else {
            cx.store(&self.totals).put(&key, total)?;
        }
        cx.forward(key, total)
    }
}

pub fn topology() -> Topology {
    let mut builder = Topology::builder();
    let orders = Consumed::<String, i64>::from(ORDERS).skip_null_keys().skip_null_values();
    let orders = builder.add_source("orders", orders);
    let counts = Stores::key_value::<String, i64>("counts").in_memory();
    let hours = builder.add_processor("by-hour", &[&orders], counts, |counts, init| {
        init.every_stream_time(Duration::from_millis(HOUR_MS as u64), Hours::tell);
        Hours { counts, current: None }
    });
    for (topic, beginning) in [(HOURS, "hour "), (LATE, "late ")] {
        let name = format!("only-{topic}");
        let only = builder.add_processor(&name, &[&hours], (), move |(), _| Only(beginning));
        builder.add_sink(topic, &[&only], topic);
    }
    let items = builder.add_processor("items", &[&hours], (), |(), _| Only("item"));
    builder.add_repartition_topic("by-item-repartition", None);
    builder.add_sink("by-item-sink", &[&items], "by-item-repartition");

    let by_item = builder.add_source::<String, i64>("by-item", "by-item-repartition");
    let prices = builder.add_source::<String, i64>("prices", PRICES);
    let table = Stores::key_value::<String, i64>("prices").source_topic_changelog(PRICES);
    builder
        .add_processor::<_, Prices>("price-table", &[&prices], &table, |prices, _| Prices(prices));
    let stores = (
        &table,
        Stores::key_value::<String, i64>("totals"),
        Stores::key_value::<String, i64>("orders").in_memory(),
        Stores::key_value::<String, i64>("ticks"),
    );
    let totals = builder.add_processor("totals", &[&by_item], stores, |stores, init| {
        init.every_wall_clock(Duration::from_secs(3), Totals::tick);
        let (prices, totals, orders, ticks) = stores;
        Totals { prices, totals, orders, ticks }
    });
    builder.add_sink("totals-sink", &[&totals], TOTALS);
    builder.copartition([PRICES, "by-item-repartition"]);
    builder.build().unwrap()
}

/// Of a few customers; some late, some null, some not to be read.
fn orders() -> Vec<MemoryRecord> {
    let order = |n: i64| {
        let key = Some(format!("customer-{}", n * n % 11).into_bytes().into());
        let late = if n % 17 == 0 { 60 } else { n % 3 };
        let timestamp = (n * 2 - late).max(0);
        let value: Box<[u8]> = (n % 5).to_be_bytes().into();
        let (key, value) = match n {
            n if n % 29 == 0 => (None, Some(value)),
            n if n % 23 == 0 => (key, None),
            n if n % 31 == 0 => (key, Some(b"not a number".as_slice().into())),
            _ => (key, Some(value)),
        };
        MemoryRecord { timestamp, key, value, ..MemoryRecord::default() }
    };
    (1..=240).map(order).collect()
}

pub fn simulation() -> SeededSimulation {
    Simulation::of(topology)
        .config(|config| config.on_deserialization_error(reaction::skip))
        .table(PRICES, PARTITIONS, (0..9_i64).map(|n| (format!("-{n}"), n + 2, 0)))
        .input(ORDERS, PARTITIONS, orders())
        .output(TOTALS, PARTITIONS)
        .output(HOURS, PARTITIONS)
        .output(LATE, PARTITIONS)
}
