//! Page views of each region in the last two minutes, told anew every minute: a stream joins the
//! table of its users, is grouped by their region, and counted in windows that overlap.
//!
//! `cargo run -p examples --example page_views_by_region` runs on the embedded cluster. With
//! `STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:9092` it runs on a real Kafka.

use std::time::Duration;

use examples::{Cluster, init_logs};
use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

#[derive(Clone, Debug, Serialize, Deserialize, DefaultSerde)]
struct User {
    region: String,
}

const MINUTE: Duration = Duration::from_secs(60);

fn page_views() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let users = builder.table::<String, User>("users", "users-by-name");
    builder
        .stream::<String, String>("views")
        .left_join_table(&users, |_, _page, user| {
            user.map_or("elsewhere".to_owned(), |user| user.region.clone())
        })
        .group_by(|_, region| region.clone(), "views-by-region")
        .windowed_by(TimeWindows::hopping(2 * MINUTE, MINUTE))
        .count("views-per-region")
        .to_stream()
        .drop_null_values()
        .map(|region, views| {
            let from = region.window.start.as_millis() / 60_000;
            let line = format!("{}: {views} views in minutes {from} and {}", region.key, from + 1);
            (region.key, line)
        })
        .to("views-per-region");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("page-views-by-region")?;
    cluster.create_topics(&["users", "views", "views-per-region"], 1).await?;
    let users = [
        ("ann", r#"{"region":"Europe"}"#, 0),
        ("bob", r#"{"region":"Asia"}"#, 0),
        ("cem", r#"{"region":"Europe"}"#, 0),
    ];
    cluster.write_at("users", users).await?;
    // Reader, page, second.
    let views =
        [("ann", "rust", 10), ("bob", "kafka", 20), ("cem", "rust", 70), ("dea", "sql", 130)];
    cluster.write_at("views", views).await?;
    let streams = KafkaStreams::start(page_views()?, cluster.config()).await?;
    cluster.print_values("views-per-region", 6).await?;
    Ok(streams.close().await?)
}
