//! Joins of a stream with a table.

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use crate::driver;

#[test]
fn a_record_meets_the_row_of_its_key() {
    let driver = driver(|b| {
        let names = b.table::<String, String>("names", "names");
        let orders = b.stream::<String, i64>("orders");
        orders.join_table(&names, |k, n, name| format!("{k}{n}{name}")).to("inner");
        orders
            .left_join_table(&names, |_, n, name| format!("{n}{}", name.map_or("?", |n| n)))
            .to("left");
    });
    let names = driver.input::<String, String>("names");
    let orders = driver.input::<String, i64>("orders");
    orders.pipe_at("a", 1, 10);
    names.pipe_at("a", "ann", 50);
    orders.pipe_at("a", 2, 20);
    names.pipe_null("a");
    orders.pipe_at("a", 3, 30);
    // The time is the record's, not the row's.
    assert_eq!(driver.output::<String, String>("inner").read_timed(), [("a", "a2ann", 20)]);
    let left = driver.output::<String, String>("left");
    assert_eq!(left.read_timed(), [("a", "1?", 10), ("a", "2ann", 20), ("a", "3?", 30)]);
}

#[test]
fn a_rekeyed_stream_meets_its_table_in_every_partition() {
    let builder = StreamsBuilder::new();
    let names = builder.table::<String, String>("names", "names");
    builder
        .stream::<String, String>("orders")
        .select_key(|_, customer| customer.clone())
        .join_table_with(&names, |_, customer, name| format!("{customer}={name}"), "by-customer")
        .to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).partitions("names", 3);
    let names = driver.input::<String, String>("names");
    let orders = driver.input::<String, String>("orders");
    for n in 0..10 {
        names.pipe(format!("c{n}"), format!("n{n}"));
    }
    for n in 0..10 {
        orders.pipe("o", format!("c{n}"));
    }
    let out = driver.output::<String, String>("out").read_map();
    let wanted = (0..10).map(|n| (format!("c{n}"), format!("c{n}=n{n}"))).collect();
    assert_eq!(out, wanted);
}

#[test]
fn a_join_reads_a_filtered_table() {
    let driver = driver(|b| {
        let limits = b.table::<String, i64>("limits", auto());
        let high = limits.filter(|_, n| *n > 10).map_values(|n| n * 2);
        b.stream::<String, i64>("s").left_join_table(&high, |_, n, h| n + h.unwrap_or(&0)).to("o");
    });
    driver.input::<String, i64>("limits").pipe_all([("a", 5), ("b", 20)]);
    driver.input::<String, i64>("s").pipe_all([("a", 1), ("b", 1)]);
    assert_eq!(driver.output::<String, i64>("o").read_all(), [("a", 1), ("b", 41)]);
}
