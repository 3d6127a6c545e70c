//! How records travel: depth first, in the order in which children were added.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Driver;
use crate::error::BoxError;
use crate::processor::{
    ChildHandle, FixedKeyFn, Processor, ProcessorContext, ProcessorFn, SharedHandle, process_fn,
    process_values_fn,
};
use crate::record::Record;
use crate::stores::{KeyValueHandle, Stores};
use crate::topology::{Node, Topology, TopologyBuilder};

type Text = Node<String, String>;

/// A processor that appends to the value.
fn append(
    builder: &mut TopologyBuilder,
    name: &str,
    parents: &[&Text],
    suffix: &'static str,
) -> Text {
    builder.add_processor(name, parents, (), move |(), _| -> ProcessorFn<_, _, _, _, _, _> {
        process_fn(
            (),
            Arc::new(
                move |(): &(),
                      key: String,
                      value: String,
                      ctx: &mut ProcessorContext<'_, String, String>| {
                    ctx.forward(key, value + suffix)
                },
            ),
        )
    })
}

#[test]
fn branches_and_merges() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let left = append(&mut builder, "left", &[&source], "<");
    let right = append(&mut builder, "right", &[&source], ">");
    let merged = append(&mut builder, "merged", &[&left, &right], "=");
    builder.add_sink("sink", &[&merged], "out");
    builder.add_sink("early", &[&left], "early");
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    driver.pipe(0, "k", "v", 5).unwrap();
    assert_eq!(driver.lines(), ["out:k=v<=@5", "early:k=v<@5", "out:k=v>=@5"]);
}

/// Counts its clones.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

#[test]
fn a_fan_out_clones_once_per_extra_child() {
    let clones = Arc::new(AtomicUsize::new(0));
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let count = clones.clone();
    let made: Node<String, Counted> =
        builder.add_processor("make", &[&source], (), move |(), _| {
            let count = count.clone();
            process_fn(
                (),
                Arc::new(
                    move |(): &(),
                          key: String,
                          _: String,
                          ctx: &mut ProcessorContext<'_, String, Counted>| {
                        ctx.forward(key, Counted(count.clone()))
                    },
                ),
            )
        });
    for name in ["a", "b", "c"] {
        let _: Node<String, ()> = builder.add_processor(name, &[&made], (), |(), _| {
            process_fn(
                (),
                Arc::new(
                    |(): &(),
                     _: String,
                     _: Counted,
                     _: &mut ProcessorContext<'_, String, ()>|
                     -> Result<(), BoxError> { Ok(()) },
                ),
            )
        });
    }
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    driver.pipe(0, "k", "v", 0).unwrap();
    assert_eq!(clones.load(Ordering::Relaxed), 2);
}

/// Counts per key in a store that others may share.
struct Count(KeyValueHandle<String, i64>);

impl Processor for Count {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        _: String,
        ctx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        let count = ctx.store(&self.0).update(&key, |count| {
            let count = count.get_or_insert(0);
            *count += 1;
            *count
        })?;
        ctx.forward(key, count.to_string())
    }
}

#[test]
fn two_nodes_share_a_store() {
    let counts = Stores::key_value::<String, i64>("counts");
    let mut builder = Topology::builder();
    let a: Text = builder.add_source("a", "a");
    let b: Text = builder.add_source("b", "b");
    let count_a = builder.add_processor("count-a", &[&a], &counts, |store, _| Count(store));
    let count_b = builder.add_processor("count-b", &[&b], counts.clone(), |store, _| Count(store));
    builder.add_sink("sink", &[&count_a, &count_b], "out");
    let topology = builder.build().unwrap();
    assert_eq!(topology.subtopologies().count(), 1);
    let mut driver = Driver::new(&topology, &["a", "b"]);
    driver.pipe(0, "k", "", 1).unwrap();
    driver.pipe(1, "k", "", 2).unwrap();
    driver.pipe(0, "other", "", 3).unwrap();
    assert_eq!(driver.lines(), ["out:k=1@1", "out:k=2@2", "out:other=1@3"]);
}

/// Sends long values to one child, short ones to the other, and everything that was asked for by
/// an unknown name nowhere.
struct Split {
    long: ChildHandle<String, String>,
    short: ChildHandle<String, String>,
    seen: SharedHandle<usize>,
}

impl Processor for Split {
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
        *ctx.shared(&self.seen) += 1;
        let child = if value.len() > 3 { self.long } else { self.short };
        ctx.forward_to(child, key, value)
    }
}

#[test]
fn one_child_is_chosen_by_its_name() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let split = builder.add_processor("split", &[&source], (), |(), init| Split {
        long: init.child("long"),
        short: init.child("short"),
        seen: init.shared("seen", || 0),
    });
    builder.add_sink("long", &[&split], "long");
    builder.add_sink("short", &[&split], "short");
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    driver.pipe(0, "k", "abc", 0).unwrap();
    driver.pipe(0, "k", "abcd", 0).unwrap();
    assert_eq!(driver.lines(), ["short:k=abc@0", "long:k=abcd@0"]);
}

#[test]
fn a_missing_child_is_an_error_of_the_processor() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let split = builder.add_processor("split", &[&source], (), |(), init| Split {
        long: init.child("lang"),
        short: init.child("short"),
        seen: init.shared("seen", || 0),
    });
    builder.add_sink("short", &[&split], "short");
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    let error = driver.pipe(0, "k", "abcd", 0).unwrap_err();
    assert!(format!("{error:?}").contains("no child"), "{error:?}");
}

#[test]
fn shared_state_belongs_to_one_task_and_one_type() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let counter = |builder: &mut TopologyBuilder, name: &str, parent: &Text| {
        builder.add_processor(name, &[parent], (), |(), init| {
            let count = init.shared("count", || 0_usize);
            let _other: SharedHandle<String> = init.shared("count", String::new);
            process_fn(
                count,
                Arc::new(
                    |count: &SharedHandle<usize>,
                     key: String,
                     _: String,
                     ctx: &mut ProcessorContext<'_, String, String>| {
                        let now = {
                            let count = ctx.shared(count);
                            *count += 1;
                            *count
                        };
                        ctx.forward(key, now.to_string())
                    },
                ),
            )
        })
    };
    let first = counter(&mut builder, "first", &source);
    let second = counter(&mut builder, "second", &source);
    builder.add_sink("sink", &[&first, &second], "out");
    let topology = builder.build().unwrap();
    for _ in 0..2 {
        let mut driver = Driver::new(&topology, &["in"]);
        driver.pipe(0, "k", "", 0).unwrap();
        assert_eq!(driver.lines(), ["out:k=1@0", "out:k=2@0"]);
    }
}

#[test]
fn time_and_headers_change_for_what_lies_below() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let stamped: Text = builder.add_processor("stamp", &[&source], (), |(), _| {
        process_fn(
            (),
            Arc::new(
                |(): &(),
                 key: String,
                 value: String,
                 ctx: &mut ProcessorContext<'_, String, String>| {
                    assert_eq!(ctx.metadata().unwrap().to_string(), "in-0@0");
                    ctx.forward_at(key.clone(), value.clone(), super::at(77))?;
                    ctx.forward_record(Record::new(key.clone(), value.clone(), super::at(9)))?;
                    assert!(
                        ctx.forward_at(key.clone(), value.clone(), super::at(-1)).is_err(),
                        "a time is never negative"
                    );
                    ctx.forward(key, value)
                },
            ),
        )
    });
    let same = append(&mut builder, "same", &[&stamped], "");
    builder.add_sink("sink", &[&same], "out");
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    let headers = crate::record::Headers::from_iter([("h", Some("1"))]);
    driver.push_with_headers(0, Some("k"), Some("v"), 5, headers);
    driver.drain().unwrap();
    let sent = driver.sent();
    let seen: Vec<_> = sent.iter().map(|sent| (sent.timestamp, sent.headers.len())).collect();
    assert_eq!(seen, [(77, 1), (9, 0), (5, 1)]);
    assert_eq!(driver.task.stream_time(), super::at(5));
}

#[test]
fn a_fixed_key_travels_through() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let lengths: Node<String, i64> = builder.add_fixed_key_processor(
        "lengths",
        &[&source],
        (),
        |(), _| -> FixedKeyFn<_, _, _, _, _> {
            process_values_fn(
                (),
                Arc::new(
                    |(): &(),
                     key: crate::processor::FixedKey<String>,
                     value: String,
                     ctx: &mut crate::processor::FixedKeyContext<'_, String, i64>| {
                        let len = i64::try_from(value.len() + key.len())?;
                        ctx.forward(key, len)
                    },
                ),
            )
        },
    );
    let text: Text = builder.add_processor("text", &[&lengths], (), |(), _| {
        process_fn(
            (),
            Arc::new(
                |(): &(), key: String, len: i64, ctx: &mut ProcessorContext<'_, String, String>| {
                    ctx.forward(key, len.to_string())
                },
            ),
        )
    });
    builder.add_sink("sink", &[&text], "out");
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    driver.pipe(0, "kk", "vvv", 1).unwrap();
    assert_eq!(driver.lines(), ["out:kk=5@1"]);
}

#[test]
fn a_task_moves_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<super::ProcessorTask>();
    fn is_sync<T: Send + Sync + Clone>() {}
    is_sync::<Topology>();
}

#[test]
fn the_deepest_topology_fits_a_threads_stack() {
    // Values are large, and this is an unoptimised build.
    type Large = Node<String, [u64; 16]>;
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let mut last: Large = builder.add_processor("first", &[&source], (), |(), _| {
        process_fn(
            (),
            Arc::new(
                |(): &(),
                 key: String,
                 _: String,
                 ctx: &mut ProcessorContext<'_, String, [u64; 16]>| {
                    ctx.forward(key, [0; 16])
                },
            ),
        )
    });
    for depth in 0..396 {
        last = builder.add_processor(&format!("n{depth}"), &[&last], (), |(), _| {
            process_fn(
                (),
                Arc::new(
                    |(): &(),
                     key: String,
                     value: [u64; 16],
                     ctx: &mut ProcessorContext<'_, String, [u64; 16]>| {
                        ctx.forward(key, value.map(|n| n + 1))
                    },
                ),
            )
        });
    }
    let text: Text = builder.add_processor("text", &[&last], (), |(), _| {
        process_fn(
            (),
            Arc::new(
                |(): &(),
                 key: String,
                 value: [u64; 16],
                 ctx: &mut ProcessorContext<'_, String, String>| {
                    ctx.forward(key, value[0].to_string())
                },
            ),
        )
    });
    builder.add_sink("sink", &[&text], "out");
    let topology = builder.build().unwrap();
    let mut driver = Driver::new(&topology, &["in"]);
    driver.pipe(0, "k", "v", 0).unwrap();
    assert_eq!(driver.lines(), ["out:k=396@0"]);
}
