//! The most read articles of each minute: windows, suppressed until they close, so that each result
//! is final and is written once.
//!
//! `cargo run -p examples --example top_articles` runs on the embedded cluster. With
//! `STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:9092` it runs on a real Kafka.

use std::time::Duration;

use examples::{Cluster, init_logs};
use streams_dsl::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);

fn top_articles() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("views")
        .group_by_key()
        .windowed_by(TimeWindows::tumbling(MINUTE))
        .count("views-per-minute")
        .suppress(Suppressed::until_window_closes(Buffer::unbounded()))
        .to_stream()
        .drop_null_values()
        .map(|article, views| (article.window.start.as_millis() / 60_000, (article.key, views)))
        .group_by_key_with("views-by-minute")
        .aggregate(Vec::new, add_to_top, Materialized::with("top-articles", BigEndian, Json))
        .to_stream()
        .drop_null_values()
        .map(|minute, top| (minute, show(minute, &top)))
        .to("top-articles");
    builder.build()
}

fn add_to_top(_: &i64, (article, views): (String, i64), top: &mut Vec<(i64, String)>) {
    top.push((views, article));
    top.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    top.truncate(3);
}

fn show(minute: i64, top: &[(i64, String)]) -> String {
    let articles = top.iter().map(|(views, article)| format!("{article} {views}"));
    format!("minute {minute}: {}", articles.collect::<Vec<_>>().join(", "))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let cluster = Cluster::from_env("top-articles")?;
    cluster.create_topics(&["views", "top-articles"], 1).await?;
    // Article, reader, second. The last one is what closes the minutes before.
    let views = [
        ("rust", "ann", 1),
        ("kafka", "bob", 2),
        ("rust", "cem", 30),
        ("rust", "ann", 70),
        ("sql", "dea", 75),
        ("kafka", "bob", 200),
    ];
    cluster.write_at("views", views).await?;
    let streams = KafkaStreams::start(top_articles()?, cluster.config()).await?;
    cluster.print_values("top-articles", 4).await?;
    Ok(streams.close().await?)
}
