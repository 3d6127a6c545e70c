//! Who is asked about errors, and what goes on.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use super::Driver;
use crate::client::{ClientError, ClientErrorKind};
use crate::config::Handlers;
use crate::error::{BoxError, StreamsError};
use crate::processor::{ProcessorContext, process_fn};
use crate::reaction::{self, Reaction};
use crate::record::Headers;
use crate::task::{DropReason, TaskError};
use crate::topology::{Consumed, Node, Partitions, Produced, TimestampExtractor, Topology};

type Text = Node<String, String>;

/// source -> guard -> { fragile (fails on "bad", panics on "panic") -> out, sibling -> sibling }
fn topology() -> Topology {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let fragile: Text = builder.add_processor("fragile", &[&source], (), |(), _| {
        process_fn(
            (),
            Arc::new(
                |(): &(),
                 key: String,
                 value: String,
                 ctx: &mut ProcessorContext<'_, String, String>| {
                    match &*value {
                        "bad" => Err("this value is bad".into()),
                        "panic" => panic!("out of {}", "luck"),
                        _ => ctx.forward(key, value),
                    }
                },
            ),
        )
    });
    let careless: Text = builder.add_processor("careless", &[&source], (), |(), _| {
        process_fn(
            (),
            Arc::new(
                |(): &(),
                 key: String,
                 value: String,
                 ctx: &mut ProcessorContext<'_, String, String>|
                 -> Result<(), BoxError> {
                    let _ = ctx.forward(key, value);
                    Ok(())
                },
            ),
        )
    });
    builder.add_sink("sink", &[&fragile], "out");
    builder.add_sink("sibling", &[&careless], "sibling");
    builder.build().unwrap()
}

fn processing(
    handler: impl Fn(&crate::ErrorContext<'_>, &BoxError) -> Reaction + Send + Sync + 'static,
) -> Handlers {
    Handlers { processing: Arc::new(handler), ..Handlers::default() }
}

#[test]
fn a_failure_names_the_node_and_the_record() {
    let mut driver = Driver::new(&topology(), &["in"]);
    driver.pipe(0, "k", "good", 1).unwrap();
    let TaskError::Streams(StreamsError::Processing { at, source }) =
        driver.pipe(0, "k", "bad", 2).unwrap_err()
    else {
        panic!("expected a processing error")
    };
    assert_eq!(at.to_string(), "topic in, partition 0, offset 1, node fragile, task 0_0");
    assert_eq!(source.to_string(), "this value is bad");
}

#[test]
fn the_handler_is_asked_once_and_siblings_go_on() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let handlers = processing(move |cx, error| {
        let key = cx.raw_key.map(|key| String::from_utf8_lossy(key).into_owned());
        let entry =
            format!("{} {}-{}@{} {key:?}: {error}", cx.node, cx.topic, cx.partition, cx.offset);
        log.lock().unwrap().push(entry);
        Reaction::Skip
    });
    let mut driver = Driver::with(&topology(), &["in"], handlers);
    driver.pipe(0, "k", "bad", 1).unwrap();
    driver.pipe(0, "k", "good", 2).unwrap();
    assert_eq!(*asked.lock().unwrap(), ["fragile in-0@0 Some(\"k\"): this value is bad"]);
    assert_eq!(driver.lines(), ["sibling:k=bad@1", "out:k=good@2", "sibling:k=good@2"]);
    let dropped = driver.task.dropped();
    assert_eq!(dropped.len(), 1);
    assert_eq!((&*dropped[0].node, dropped[0].reason), ("fragile", DropReason::Processing));
}

#[test]
fn a_dead_letter_is_the_input_record() {
    let handlers = processing(reaction::dead_letter("dlq"));
    let mut driver = Driver::with(&topology(), &["in"], handlers);
    driver.push_with_headers(
        0,
        Some("k"),
        Some("bad"),
        9,
        Headers::from_iter([("trace", Some("1"))]),
    );
    driver.drain().unwrap();
    let sent = driver.sent();
    let letter = &sent[0];
    assert_eq!((&*letter.topic, letter.timestamp), ("dlq", 9));
    assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some("k"), Some("bad")));
    assert_eq!(letter.headers.get("trace"), Some(&b"1"[..]));
    assert_eq!(letter.headers.get("__streams.errors.offset"), Some(&b"0"[..]));
    assert_eq!(letter.headers.get("__streams.errors.message"), Some(&b"this value is bad"[..]));
}

#[test]
fn a_panic_is_an_error_with_its_place() {
    let mut driver = Driver::new(&topology(), &["in"]);
    let TaskError::Streams(StreamsError::Panicked { at, message }) =
        driver.pipe(0, "k", "panic", 2).unwrap_err()
    else {
        panic!("expected a panic")
    };
    assert_eq!(at.to_string(), "topic in, partition 0, offset 0, node fragile, task 0_0");
    assert_eq!(message, "out of luck");
}

#[test]
fn an_error_that_was_swallowed_on_its_way_ends_the_task_still() {
    let mut driver = Driver::new(&topology(), &["in"]);
    driver.pipe(0, "k", "good", 1).unwrap();
    let fenced = ClientError::new(ClientErrorKind::ProducerFenced, "fenced");
    *driver.output.fail.lock().unwrap() = Some(fenced.clone());
    // The processor `careless` ignores what `forward` returns; no handler is asked.
    let TaskError::Client(error) = driver.pipe(0, "k", "good", 2).unwrap_err() else {
        panic!("expected the client's error")
    };
    assert_eq!(error, fenced);
}

/// Keys as numbers: everything but eight bytes is an error.
fn numbers(consumed: impl Fn(Consumed<i64, String>) -> Consumed<i64, String>) -> Topology {
    let mut builder = Topology::builder();
    let source: Node<i64, String> = builder.add_source("source", consumed(Consumed::from("in")));
    builder.add_sink("sink", &[&source], "out");
    builder.build().unwrap()
}

#[test]
fn a_record_that_cannot_be_read_fails_the_task() {
    let mut driver = Driver::new(&numbers(|consumed| consumed), &["in"]);
    driver.push(0, Some("12345678"), Some("v"), 1);
    driver.push(0, Some("short"), Some("v"), 1);
    let TaskError::Streams(StreamsError::Deserialization { what, at, .. }) =
        driver.drain().unwrap_err()
    else {
        panic!("expected a deserialization error")
    };
    assert_eq!(what, "key");
    assert_eq!(at.to_string(), "topic in, partition 0, offset 1, node source, task 0_0");
}

#[test]
fn records_that_cannot_be_read_are_skipped_or_sent_away() {
    let handlers = Handlers {
        deserialization: Arc::new(|cx, _| match cx.offset {
            0 => Reaction::Skip,
            _ => Reaction::DeadLetter { topic: "dlq".into() },
        }),
        ..Handlers::default()
    };
    let mut driver = Driver::with(&numbers(|consumed| consumed), &["in"], handlers);
    driver.push(0, Some("short"), Some("v"), 1);
    driver.push(0, Some("short"), Some("v"), 2);
    driver.push(0, None, Some("v"), 3);
    driver.push(0, Some("12345678"), Some("v"), 4);
    driver.drain().unwrap();
    assert_eq!(driver.lines(), ["dlq:short=v@2", "dlq:null=v@3", "out:12345678=v@4"]);
    assert_eq!(driver.task.dropped()[0].count, 3);
    assert_eq!(driver.task.positions().next().unwrap().offset, 4);
}

#[test]
fn nulls_are_skipped_where_that_was_asked_for() {
    let topology = numbers(|consumed| consumed.skip_null_keys().skip_null_values());
    let mut driver = Driver::new(&topology, &["in"]);
    driver.push(0, None, Some("v"), 1);
    driver.push(0, Some("12345678"), None, 2);
    driver.drain().unwrap();
    assert_eq!(driver.lines(), Vec::<String>::new());
    let reasons: Vec<_> = driver.task.dropped().iter().map(|dropped| dropped.reason).collect();
    assert_eq!(reasons, [DropReason::NullKey, DropReason::NullValue]);
    assert_eq!(driver.task.positions().next().unwrap().offset, 2);
}

#[test]
fn a_record_without_a_time_is_an_error_unless_something_else_was_said() {
    let run = |extractor: Option<TimestampExtractor<i64, String>>| {
        let topology = numbers(move |consumed| match &extractor {
            Some(extractor) => consumed.timestamp_extractor(extractor.clone()),
            None => consumed,
        });
        let mut driver = Driver::new(&topology, &["in"]);
        driver.task.set_wall_clock(super::at(1000));
        driver.push(0, Some("12345678"), Some("a"), 50);
        driver.push(0, Some("12345678"), Some("b"), -1);
        let result = driver.drain();
        (result.is_ok(), driver.lines())
    };
    let (a, b) = ("out:12345678=a@50".to_owned(), |time: i64| format!("out:12345678=b@{time}"));
    assert_eq!(run(None), (false, vec![a.clone()]));
    assert_eq!(run(Some(TimestampExtractor::SkipOnInvalid)), (true, vec![a.clone()]));
    let partition_time = Some(TimestampExtractor::UsePartitionTimeOnInvalid);
    assert_eq!(run(partition_time), (true, vec![a.clone(), b(50)]));
    let wall_clock = run(Some(TimestampExtractor::WallClock));
    assert_eq!(wall_clock, (true, vec!["out:12345678=a@1000".to_owned(), b(1000)]));
    let custom = Some(TimestampExtractor::Custom(Arc::new(|record, so_far| {
        assert_eq!(record.value == "a", so_far.as_millis() == -1);
        if record.value == "a" { Ok(record.context.timestamp()) } else { Err("no time".into()) }
    })));
    assert_eq!(run(custom), (false, vec![a]));
}

#[test]
fn a_record_that_cannot_be_written_asks_the_production_handler() {
    let failing = |handlers: Handlers| {
        let mut builder = Topology::builder();
        let source: Text = builder.add_source("source", "in");
        let fragile = crate::SerdeRef::<String>::from_fns(
            |value, out| {
                if value == "bad" {
                    return Err("cannot be written".into());
                }
                out.extend_from_slice(value.as_bytes());
                Ok(())
            },
            |_| Err("never read".into()),
        );
        let produced = Produced::with("out", crate::serdes::Utf8, fragile);
        builder.add_sink("sink", &[&source], produced);
        let mut driver = Driver::with(&builder.build().unwrap(), &["in"], handlers);
        driver.push(0, Some("k"), Some("bad"), 1);
        driver.push(0, Some("k"), Some("good"), 2);
        let result = driver.drain();
        (result, driver.lines())
    };
    let (result, _) = failing(Handlers::default());
    let TaskError::Streams(StreamsError::Production { topic, at, .. }) = result.unwrap_err() else {
        panic!("expected a production error")
    };
    assert_eq!((&*topic, at.node.as_deref()), ("out", Some("sink")));
    let skip = Handlers { production: Arc::new(reaction::skip), ..Handlers::default() };
    let (result, lines) = failing(skip);
    result.unwrap();
    assert_eq!(lines, ["out:k=good@2"]);
}

#[test]
fn a_partition_that_does_not_exist_is_a_production_error() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let produced = Produced::<String, String>::from("out").partitioner(|_, n| Partitions::One(n));
    builder.add_sink("sink", &[&source], produced);
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    let error = driver.pipe(0, "k", "v", 1).unwrap_err();
    assert!(matches!(error, TaskError::Streams(StreamsError::Production { .. })), "{error:?}");
}

#[test]
fn a_supplier_that_panics_fails_the_making_of_the_task() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let _: Text =
        builder.add_processor("broken", &[&source], (), |(), _| {
            if true {
                panic!("no licence");
            }
            process_fn(
                (),
                Arc::new(
                    |(): &(),
                     _: String,
                     _: String,
                     _: &mut ProcessorContext<'_, String, String>| Ok(()),
                ),
            )
        });
    let topology = builder.build().unwrap();
    let handlers = Handlers::default();
    let inputs = [crate::client::TopicPartition::new("in", 0)];
    let made = super::make(&topology, crate::TaskId::new(0, 0), &inputs, &handlers, Vec::new());
    let Err(TaskError::Streams(StreamsError::Panicked { at, message })) = made else {
        panic!("expected a panic")
    };
    assert_eq!((at.node.as_deref(), &*message), (Some("broken"), "no licence"));
}
