//! Punctuators.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::{Driver, at};
use crate::error::BoxError;
use crate::processor::{Processor, ProcessorContext};
use crate::record::Timestamp;
use crate::topology::{Node, Topology};

/// Forwards when its timers fire.
struct Ticker;

impl Ticker {
    fn stream(
        &mut self,
        now: Timestamp,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        assert!(ctx.metadata().is_none(), "no record is being processed");
        assert_eq!(ctx.timestamp(), now);
        ctx.forward("stream".into(), now.as_millis().to_string())
    }

    fn wall(
        &mut self,
        now: Timestamp,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        assert_eq!(ctx.wall_clock(), now);
        ctx.forward("wall".into(), now.as_millis().to_string())
    }
}

impl Processor for Ticker {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        value: String,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        ctx.request_commit();
        ctx.forward(key, value)
    }
}

fn ticking() -> Driver {
    let mut builder = Topology::builder();
    let source: Node<String, String> = builder.add_source("source", "in");
    let ticker = builder.add_processor("ticker", &[&source], (), |(), init| {
        init.every_stream_time(Duration::from_millis(100), Ticker::stream);
        init.every_wall_clock(Duration::from_millis(10), Ticker::wall);
        init.every_wall_clock_from(at(3), Duration::from_millis(50), |_, now, ctx| {
            ctx.forward("anchored".into(), now.as_millis().to_string())
        });
        Ticker
    });
    builder.add_sink("sink", &[&ticker], "out");
    Driver::new(&builder.build().unwrap(), &["in"])
}

#[test]
fn stream_time_fires_at_the_first_record_and_then_aligned() {
    let mut driver = ticking();
    assert_eq!(driver.task.punctuate_stream_time(&mut driver.collector).unwrap(), 0);
    for time in [30, 99, 101, 450, 460, 500] {
        driver.pipe(0, "k", "", time).unwrap();
    }
    let fired: Vec<_> =
        driver.lines().into_iter().filter(|line| line.starts_with("out:stream")).collect();
    assert_eq!(
        fired,
        ["out:stream=30@30", "out:stream=101@101", "out:stream=450@450", "out:stream=500@500"]
    );
}

#[test]
fn wall_clock_fires_when_the_interval_has_passed() {
    let mut driver = ticking();
    assert_eq!(driver.task.next_wall_clock_punctuation(), Some(at(3)));
    for now in [2, 9, 10, 60, 61] {
        driver.task.punctuate_wall_clock(at(now), &mut driver.collector).unwrap();
    }
    assert_eq!(
        driver.lines(),
        ["out:anchored=9@9", "out:wall=10@10", "out:wall=60@60", "out:anchored=60@60"]
    );
    assert_eq!(driver.task.next_wall_clock_punctuation(), Some(at(70)));
}

#[test]
fn a_commit_is_asked_for_once() {
    let mut driver = ticking();
    assert!(!driver.task.take_commit_request());
    driver.pipe(0, "k", "", 1).unwrap();
    assert!(driver.task.take_commit_request());
    assert!(!driver.task.take_commit_request());
}

#[test]
fn a_timer_makes_the_task_dirty() {
    let mut driver = ticking();
    assert!(!driver.task.is_dirty());
    driver.task.punctuate_wall_clock(at(10), &mut driver.collector).unwrap();
    assert!(driver.task.is_dirty());
    driver.seal();
    assert!(!driver.task.is_dirty());
}

/// Forwards, and asks for a commit when it is told to.
struct Asking;

impl Processor for Asking {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        value: String,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        if value == "commit" {
            ctx.request_commit();
        }
        ctx.forward(key, value)
    }
}

/// Several records at a time: timers are called in between, and a commit that was asked for ends the
/// turn.
#[test]
fn many_records_are_processed_as_one_by_one() {
    let mut builder = Topology::builder();
    let source: Node<String, String> = builder.add_source("source", "in");
    let ticker = builder.add_processor("ticker", &[&source], (), |(), init| {
        init.every_stream_time(Duration::from_millis(100), |_, now, ctx| {
            ctx.forward("stream".into(), now.as_millis().to_string())
        });
        Asking
    });
    builder.add_sink("sink", &[&ticker], "out");
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    for (value, time) in [("1", 30), ("2", 120), ("commit", 130), ("4", 140), ("5", 150)] {
        driver.push(0, Some("k"), Some(value), time);
    }
    let turn = |driver: &mut Driver, records_max| {
        driver.task.process_many(0, records_max, usize::MAX, &mut driver.collector).unwrap()
    };
    assert_eq!(turn(&mut driver, 100), 3);
    assert!(driver.task.take_commit_request());
    assert_eq!(
        driver.lines(),
        ["out:k=1@30", "out:stream=30@30", "out:k=2@120", "out:stream=120@120", "out:k=commit@130"]
    );
    assert_eq!((turn(&mut driver, 1), turn(&mut driver, 9), turn(&mut driver, 9)), (1, 1, 0));
}
