//! The application of `tests/windows.rs`: of `numbers` it makes counts in tumbling windows, at each
//! update; final counts of hopping windows; pairs of a join of streams; final sums of sessions. A
//! number is its time, in steps of 10 ms from `BEGIN_MS` on. Configured by the environment (`STREAMS_..`).

use std::time::Duration;

use integration_tests::say;
use streams_dsl::prelude::*;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let config = StreamsConfig::from_env()?
        .on_state_change(|_, state| say(&format!("STATE {state:?}")))
        .on_restore(|progress| {
            let (store, task, phase) = (&progress.store, progress.task, progress.phase);
            say(&format!("RESTORE {store} {task} {phase:?} {}", progress.records));
        });
    KafkaStreams::run(windows()?, config).await?;
    say("ENDED");
    Ok(())
}

fn windows() -> Result<Topology, TopologyError> {
    let begin_ms = begin_ms();
    let builder = StreamsBuilder::new();
    let numbers = Consumed::<String, String>::from("numbers")
        .timestamps(move |n, _| Ok(Timestamp::from_millis(begin_ms + 10 * parse(n.value))));
    let numbers = builder.stream(numbers);
    let grouped = numbers.group_by_key();

    let second = Duration::from_secs(1);
    let tumbling = grouped.windowed_by(TimeWindows::tumbling(second)).count("tumbling");
    tumbling.to_stream().map(in_text).to("counts");

    let hopping = TimeWindows::hopping(second, second / 4);
    let finals = grouped.windowed_by(hopping).emit(EmitStrategy::OnWindowClose).count("hopping");
    finals.to_stream().map(in_text).to("finals");

    let sessions = SessionWindows::gap(second * 2);
    let sums = grouped.windowed_by(sessions).emit(EmitStrategy::OnWindowClose).aggregate(
        || 0,
        |_, number, sum| *sum += parse(&number),
        |_, a, b| a + b,
        "sessions",
    );
    sums.to_stream().map(in_text).to("sums");

    let (even, odd) = (turn(&numbers, 0), turn(&numbers, 1));
    let within = JoinWindows::within(second / 2);
    even.join(&odd, |_, even, odd| format!("{even} {odd}"), within, "pairs").to("pairs");
    builder.build()
}

/// Each key has a number every 50; these are every other.
fn turn(numbers: &KStream<String, String>, turn: i64) -> KStream<String, String> {
    numbers.filter(move |_, number| parse(number) / 50 % 2 == turn)
}

fn in_text<W: Window>(key: Windowed<String, W>, value: Option<i64>) -> (String, String) {
    let start = key.window.start().as_millis() - begin_ms();
    (format!("{} {start}", key.key), value.unwrap_or(-1).to_string())
}

fn begin_ms() -> i64 {
    std::env::var("BEGIN_MS").map_or(0, |begin| parse(&begin))
}

fn parse(number: &str) -> i64 {
    number.parse().unwrap_or(-1)
}
