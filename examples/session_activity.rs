//! How long visitors stay: sessions grow with their clicks, and merge when a late click lies between
//! two of them.
//!
//! `cargo run -p examples --example session_activity` runs on the embedded cluster. With
//! `STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:9092` it runs on a real Kafka.

use std::time::Duration;

use examples::{Cluster, init_logs};
use streams_dsl::prelude::*;

fn session_activity() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let half_a_minute = Duration::from_secs(30);
    builder
        .stream::<String, String>("clicks")
        .group_by_key()
        .windowed_by(SessionWindows::gap(half_a_minute).grace(Duration::from_secs(600)))
        .count("sessions")
        .to_stream()
        // A session that grew is deleted under its old window.
        .drop_null_values()
        .map(|visitor, clicks| {
            let seconds = |time: Timestamp| time.as_millis() / 1000;
            let (from, to) = (seconds(visitor.window.start), seconds(visitor.window.end));
            let line = format!("{} clicked {clicks} times from {from} to {to} s", visitor.key);
            (visitor.key, line)
        })
        .to("activity");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("session-activity")?;
    cluster.create_topics(&["clicks", "activity"], 1).await?;
    // Visitor, page, second. The last click comes late, and merges two sessions of Ann.
    let clicks = [
        ("ann", "/", 0),
        ("bob", "/", 10),
        ("ann", "/cart", 20),
        ("ann", "/pay", 70),
        ("ann", "/help", 45),
    ];
    cluster.write_at("clicks", clicks).await?;
    let streams = KafkaStreams::start(session_activity()?, cluster.config()).await?;
    cluster.print_values("activity", clicks.len()).await?;
    Ok(streams.close().await?)
}
