//! Measures the library against the raw librdkafka loop: `scripts/bench --help`.
//!
//! One process, the *coordinator*, starts Kafka, fills the input topics, runs each case in a
//! process of its own (this binary again), checks what the case wrote, and prints the table.
//!
//! Reading order: `cases` (what is measured), `coordinator`, then one file per kind of case:
//! `floor`, `streams`, `latency`, `restart`, `start_up`, `many_tasks`, `micro`, `lookups`.

mod broker;
mod cases;
mod check;
mod commit_times;
mod coordinator;
mod floor;
mod input;
mod latency;
mod lookups;
mod many_tasks;
mod measure;
mod micro;
mod options;
mod raw_kafka;
mod restart;
mod start_up;
mod streams;
mod table;

use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("--case") => cases::run_child(&arguments[1..]),
        Some("--restart-app") => restart::run_app(&arguments[1..]),
        _ => options::Options::parse(&arguments).and_then(|options| match options {
            Some(options) => coordinator::run(&options),
            None => Ok(()),
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
