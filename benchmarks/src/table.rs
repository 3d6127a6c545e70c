//! What is printed.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cases::{Case, Kind};
use crate::measure::{Sample, min_and_median};
use crate::options::Options;

/// What was measured so far.
#[derive(Default)]
pub(crate) struct Results {
    /// By case, in rounds.
    pub(crate) samples: BTreeMap<&'static str, Vec<Sample>>,
    /// Of start-up and micro, by case, in rounds.
    pub(crate) numbers: BTreeMap<&'static str, Vec<Vec<f64>>>,
    /// CPU time of the fixed piece of work, around all runs.
    pub(crate) spins: Vec<f64>,
}

pub(crate) fn render(cases: &[Case], results: &Results, options: &Options) -> String {
    let mut text = conditions(results, options);
    let measured: Vec<&Case> =
        cases.iter().filter(|case| results.samples.contains_key(case.name)).collect();
    if !measured.is_empty() {
        text += "\n| case | runs | CPU s/M min / median | median ratio | records/s max \
                 | wall s min | RSS MiB | what |\n|---|---|---|---|---|---|---|---|\n";
        measured.iter().for_each(|case| sample_row(&mut text, case, results, options.records));
    }
    for case in cases {
        let Some(rounds) = results.numbers.get(case.name) else { continue };
        let column = |at: usize| {
            let (min, median) =
                min_and_median(rounds.iter().filter_map(|row| row.get(at).copied()));
            format!("{min:.1} / {median:.1}")
        };
        let (name, runs) = (case.name, rounds.len());
        let line = match case.kind {
            Kind::Latency(..) | Kind::LatencyFloor(_) => continue,
            Kind::Micro => format!(
                "per record without a sink {} ns, per hop {} ns, pass-through without Kafka {} ns, \
                 count and sink without Kafka {} ns, count in a tumbling window {} ns, in twelve \
                 hopping windows {} ns",
                column(0),
                column(1),
                column(2),
                column(3),
                column(4),
                column(5),
            ),
            Kind::Lookups => lookup_lines(&column),
            Kind::Restart => restart_lines(&column),
            Kind::ManyTasks => format!(
                "first start {} ms with {} descriptors, again {} ms with {}",
                column(0),
                column(2),
                column(1),
                column(3),
            ),
            _ => format!("first start {} ms, again with its state {} ms", column(0), column(1)),
        };
        let _ = writeln!(text, "\n{name} ({runs} runs, min / median): {line}");
    }
    latency_rows(&mut text, cases, results);
    text
}

fn conditions(results: &Results, options: &Options) -> String {
    let rocksdb = match option_env!("ROCKSDB_LIB_DIR") {
        Some(directory) => format!("prebuilt, from {directory}"),
        None => "compiled from its bundled source".to_owned(),
    };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let slowest = results.spins.iter().copied().fold(0.0, f64::max);
    let fastest = results.spins.iter().copied().fold(f64::MAX, f64::min);
    format!(
        "\n{} input records, {cores} cores shared with the broker, load {load}; RocksDB {rocksdb}.\n\
         A fixed loop took {fastest:.3} to {slowest:.3} s of CPU around the runs: the spread is noise.\n",
        options.records,
    )
}

fn lookup_lines(column: &dyn Fn(usize) -> String) -> String {
    let line = |from: usize| {
        let [local, global] = [column(from), column(from + 1)];
        let [local_missed, global_missed] = [column(from + 2), column(from + 3)];
        format!(
            "a cached row of the task's table {local} ns, of a global one {global} ns; one that is \
             not cached {local_missed} ns and {global_missed} ns"
        )
    };
    format!("in memory: {}; in RocksDB: {}", line(0), line(4))
}

fn restart_lines(column: &dyn Fn(usize) -> String) -> String {
    let mut text = format!("changelog of {} records", column(0));
    let starts = ["killed after late updates", "killed after a flush", "directory deleted"];
    for (at, start) in starts.into_iter().enumerate() {
        let at = 1 + 5 * at;
        let _ = write!(
            text,
            "\n- {start}: RUNNING after {} ms, first record after {} ms, {} records replayed, \
             directory {} MiB before, {} MiB after",
            column(at),
            column(at + 1),
            column(at + 2),
            column(at + 3),
            column(at + 4),
        );
    }
    text
}

fn latency_rows(text: &mut String, cases: &[Case], results: &Results) {
    let mut begun = false;
    for case in cases {
        let (Kind::Latency(..) | Kind::LatencyFloor(_), Some(rounds)) =
            (case.kind, results.numbers.get(case.name))
        else {
            continue;
        };
        if !begun {
            *text += "\n| case | runs | max rate k/s | rate k/s | p50 ms | p99 ms | max ms \
                      | commits/s | flush ms | commit ms | under way | the same at the max rate |\n\
                      |---|---|---|---|---|---|---|---|---|---|---|---|\n";
            begun = true;
        }
        let median =
            |at: usize| min_and_median(rounds.iter().filter_map(|row| row.get(at).copied())).1;
        let commits = |at: usize| {
            let (rate, flush, whole) = (median(at), median(at + 1), median(at + 2));
            let share = median(at + 3) * 100.0;
            format!("{rate:.1} | {flush:.1} | {whole:.1} | {share:.0} %")
        };
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {} | {} |",
            case.name,
            rounds.len(),
            median(0) / 1e3,
            median(1) / 1e3,
            median(2),
            median(3),
            median(4),
            commits(9),
            commits(5).replace(" | ", ", "),
        );
    }
}

fn sample_row(text: &mut String, case: &Case, results: &Results, records: u64) {
    let samples = &results.samples[case.name];
    let millions = records as f64 / 1e6;
    let (cpu_min, cpu_median) = min_and_median(samples.iter().map(|s| s.cpu_s / millions));
    let (wall_min, _) = min_and_median(samples.iter().map(|s| s.wall_s));
    let (_, rss) = min_and_median(samples.iter().map(|s| s.rss_mib));
    let ratios = case.against.iter().filter_map(|name| {
        let other = results.samples.get(name)?;
        // Of the same round: what disturbed one disturbed the other.
        let (_, ratio) = min_and_median(samples.iter().zip(other).map(|(s, o)| s.cpu_s / o.cpu_s));
        Some(format!("{ratio:.2} of {name}"))
    });
    let ratio = ratios.collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        text,
        "| {} | {} | {cpu_min:.2} / {cpu_median:.2} | {ratio} | {:.0} | {wall_min:.1} | {rss:.0} | {} |",
        case.name,
        samples.len(),
        records as f64 / wall_min,
        case.what,
    );
}
