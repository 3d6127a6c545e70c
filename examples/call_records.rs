//! Bills phone calls: what each subscriber owes for a day, written once when the day is over.
//! Exactly once: a call is never billed twice, whatever fails.
//!
//! `cargo run -p examples --example call_records` runs on the embedded cluster. With
//! `STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:9092` it runs on a real Kafka.

use std::time::Duration;

use examples::{Cluster, init_logs};
use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

#[derive(Clone, Debug, Serialize, Deserialize, DefaultSerde)]
struct Call {
    seconds: i64,
    cents_per_minute: i64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, DefaultSerde)]
struct Bill {
    calls: i64,
    cents: i64,
}

const DAY: Duration = Duration::from_secs(86_400);

fn billing() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, Call>("calls")
        .group_by_key()
        // Switches report calls up to six hours late.
        .windowed_by(TimeWindows::tumbling(DAY).grace(DAY / 4))
        .aggregate(Bill::default, bill, "bills-per-day")
        .suppress(Suppressed::until_window_closes(Buffer::unbounded()))
        .to_stream()
        .drop_null_values()
        .map(|subscriber, Bill { calls, cents }| {
            let day = subscriber.window.start.as_millis() / 86_400_000;
            let line =
                format!("{} owes {cents} cents for {calls} calls of day {day}", subscriber.key);
            (subscriber.key, line)
        })
        .to("bills");
    builder.build()
}

/// Minutes that began are paid for.
fn bill(_: &String, call: Call, bill: &mut Bill) {
    bill.calls += 1;
    bill.cents += (call.seconds + 59) / 60 * call.cents_per_minute;
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("call-records")?;
    cluster.create_topics(&["calls", "bills"], 1).await?;
    let calls = [
        ("ann", r#"{"seconds":90,"cents_per_minute":10}"#, 3_600),
        ("bob", r#"{"seconds":60,"cents_per_minute":20}"#, 90_000),
        ("ann", r#"{"seconds":30,"cents_per_minute":10}"#, 7_200),
        ("cem", r#"{"seconds":10,"cents_per_minute":10}"#, 300_000),
    ];
    cluster.write_at("calls", calls).await?;
    let streams = KafkaStreams::start(billing()?, cluster.config().exactly_once()).await?;
    cluster.print_values("bills", 2).await?;
    Ok(streams.close().await?)
}
