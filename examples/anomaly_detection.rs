//! Three failed logins of a user within any minute: sliding windows see each set of logins that lie
//! close together, wherever the clock's minutes begin.
//!
//! `cargo run -p examples --example anomaly_detection` runs on the embedded cluster. With
//! `STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:9092` it runs on a real Kafka.

use std::time::Duration;

use examples::{Cluster, init_logs};
use streams_dsl::prelude::*;

fn anomaly_detection() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let minute = Duration::from_secs(60);
    builder
        .stream::<String, String>("logins")
        .filter(|_, outcome| outcome == "failed")
        .group_by_key()
        .windowed_by(SlidingWindows::of(minute).grace(minute))
        .count("failed-logins")
        .to_stream()
        .drop_null_values()
        .filter(|_, failed| *failed == 3)
        .map(|user, failed| {
            let seconds = |time: Timestamp| time.as_millis() / 1000;
            let (from, to) = (seconds(user.window.start), seconds(user.window.end));
            let alert = format!("{} failed {failed} times from {from} to {to} s", user.key);
            (user.key, alert)
        })
        .to("anomalies");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("anomaly-detection")?;
    cluster.create_topics(&["logins", "anomalies"], 1).await?;
    let logins = [
        ("bob", "failed", 100),
        ("eve", "failed", 100),
        ("eve", "failed", 130),
        ("eve", "failed", 150),
        ("bob", "failed", 200),
        ("bob", "ok", 210),
        ("bob", "failed", 300),
    ];
    cluster.write_at("logins", logins).await?;
    let streams = KafkaStreams::start(anomaly_detection()?, cluster.config()).await?;
    cluster.print_values("anomalies", 1).await?;
    Ok(streams.close().await?)
}
