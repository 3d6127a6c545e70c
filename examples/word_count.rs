//! Counts words: the most frequent ones of some text files, or of standard input.
//!
//! `cargo run -p examples --example word_count -- README.md` runs on the embedded cluster. With
//! `STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:9092` it runs on a real Kafka; start it several times at
//! once, and the instances share the work.

use std::collections::BTreeMap;

use examples::{Cluster, init_logs, print_table, read_lines, words};
use streams_core::time::{Clock, SystemClock};
use streams_dsl::prelude::*;

fn word_count() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    builder
        .stream_values::<String>("lines")
        .flat_map_values(|line, out| out.extend(words(&line)))
        .group_by(|_, word| word.clone(), "words")
        .count("counts")
        .to("word-counts");
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    init_logs();
    let lines = read_lines(std::env::args().skip(1))?;
    let total: i64 = lines.iter().map(|line| words(line).count() as i64).sum();
    let cluster = Cluster::from_env("word-count")?;
    cluster.create_topics(&["lines", "word-counts"], 4).await?;
    cluster.write("lines", lines.iter().map(|line| ("", line.as_str()))).await?;

    let started = SystemClock.now();
    let streams = KafkaStreams::start(word_count()?, cluster.config()).await?;
    let mut counts = BTreeMap::<String, i64>::new();
    let mut counted = 0;
    // The table's changes: the last one of each word is its count.
    cluster
        .read("word-counts", |change| {
            let word = String::from_utf8_lossy(change.key().unwrap_or_default()).into_owned();
            let bytes = change.value().and_then(|value| value.try_into().ok()).unwrap_or_default();
            let count = i64::from_be_bytes(bytes);
            counted += count - counts.insert(word, count).unwrap_or(0);
            counted >= total
        })
        .await?;
    let seconds = SystemClock.now().since(started).as_secs_f64();
    streams.close().await?;

    let mut most: Vec<_> = counts.iter().collect();
    most.sort_by_key(|(word, count)| (-**count, (*word).clone()));
    print_table(("word", "count"), most.into_iter().take(20));
    println!(
        "\n{} lines, {total} words, {} different ones, on {}: {seconds:.2} s, {:.0} words/s",
        lines.len(),
        counts.len(),
        cluster.name,
        total as f64 / seconds
    );
    Ok(())
}
