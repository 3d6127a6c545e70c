//! Alerts from logs: three errors of a service within a minute. Windows overlap, so that it does not
//! matter when the minute begins.
//!
//! `cargo run -p examples --example log_levels` runs on the embedded cluster. With
//! `STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:9092` it runs on a real Kafka.

use std::time::Duration;

use examples::{Cluster, init_logs};
use streams_dsl::prelude::*;

const ERRORS: i64 = 3;

fn log_levels() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let (minute, half) = (Duration::from_secs(60), Duration::from_secs(30));
    builder
        .stream::<String, String>("logs")
        .filter(|_, line| line.starts_with("ERROR"))
        .group_by_key()
        .windowed_by(TimeWindows::hopping(minute, half).grace(minute))
        .count("errors-per-minute")
        .to_stream()
        .drop_null_values()
        // One alert when the window reaches the limit, not one for each error after it.
        .filter(|_, errors| *errors == ERRORS)
        .map(|service, errors| {
            let seconds = |time: Timestamp| time.as_millis() / 1000;
            let (from, to) = (seconds(service.window.start), seconds(service.window.end));
            let alert = format!("{}: {errors} errors from {from} to {to} s", service.key);
            (service.key, alert)
        })
        .to("alerts");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("log-levels")?;
    cluster.create_topics(&["logs", "alerts"], 1).await?;
    let logs = [
        ("api", "ERROR no connection", 10),
        ("db", "ERROR disk", 15),
        ("api", "ERROR no connection", 20),
        ("api", "INFO connected", 30),
        ("api", "ERROR timeout", 40),
        ("api", "ERROR timeout", 65),
        ("api", "ERROR timeout", 80),
    ];
    cluster.write_at("logs", logs).await?;
    let streams = KafkaStreams::start(log_levels()?, cluster.config()).await?;
    cluster.print_values("alerts", 2).await?;
    Ok(streams.close().await?)
}
