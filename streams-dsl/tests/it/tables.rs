//! Tables: sources, `filter`, `map_values`, old values, `to_table`.

use streams_dsl::prelude::*;

use crate::driver;

#[test]
fn a_table_forwards_every_update() {
    let driver = driver(|b| {
        b.table::<String, i64>("in", "store").to("stored");
    });
    let rows = driver.input::<String, i64>("in");
    rows.pipe_at("a", 1, 10);
    // The same value, an older record, a deletion, and one of what is not there.
    rows.pipe_at("a", 1, 11);
    rows.pipe_at("a", 2, 5);
    rows.pipe_null_at("a", 12);
    rows.pipe_null_at("b", 13);
    let stored = driver.output::<String, Option<i64>>("stored");
    let updates = [
        ("a", Some(1), 10),
        ("a", Some(1), 11),
        ("a", Some(2), 5),
        ("a", None, 12),
        ("b", None, 13),
    ];
    assert_eq!(stored.read_timed(), updates);
}

#[test]
fn records_without_a_key_are_dropped_by_a_table() {
    let driver = driver(|b| b.table::<String, i64>("in", "store").to("out"));
    driver.input::<Option<String>, i64>("in").pipe(None, 1);
    driver.input::<Option<String>, i64>("in").pipe("a", 2);
    assert_eq!(driver.output::<String, i64>("out").read_all(), [("a", 2)]);
    assert_eq!(driver.dropped_records().len(), 1);
}

#[test]
fn a_row_that_fails_a_filter_is_deleted() {
    let driver = driver(|b| {
        let table = b.table::<String, i64>("in", "store");
        table.filter(|_, n| n % 2 == 0).to("even");
        table.filter_not(|_, n| n % 2 == 0).materialize("odd").to("odd");
    });
    let rows = driver.input::<String, i64>("in");
    rows.pipe_all([("a", 1), ("a", 2), ("a", 3)]);
    rows.pipe_null("a");
    // As in the JVM: the table has a store, so the filter knows which rows it has let through.
    let even = driver.output::<String, Option<i64>>("even");
    assert_eq!(even.read_values(), [Some(2), None]);
    let odd = driver.output::<String, Option<i64>>("odd");
    assert_eq!(odd.read_values(), [Some(1), None, Some(3), None]);
    const ODD: StoreName<KeyValueStore<String, i64>> = StoreName::new("odd");
    assert_eq!(driver.store(ODD).get("a"), None);
}

#[test]
fn a_filter_that_knows_old_values_deletes_only_what_was_there() {
    let driver = driver(|b| {
        let even = b.table::<String, i64>("in", "store").filter(|_, n| n % 2 == 0);
        // A grouping asks for old values all the way up.
        even.group_by(|_, n| ("all".to_owned(), *n), "group").count("count").to("count");
        even.to("even");
    });
    let rows = driver.input::<String, i64>("in");
    rows.pipe_all([("a", 1), ("a", 3), ("a", 2), ("a", 5), ("a", 7)]);
    let even = driver.output::<String, Option<i64>>("even");
    assert_eq!(even.read_values(), [Some(2), None]);
    assert_eq!(driver.output::<String, i64>("count").read_values(), [1, 0]);
}

#[test]
fn values_are_mapped_and_deletions_stay() {
    let driver = driver(|b| {
        let table = b.table::<String, i64>("in", auto());
        table.map_values(|n| n.to_string()).to("texts");
        table.map_values_with_key(|k, n| format!("{k}{n}")).materialize("keyed").to("keyed");
    });
    let rows = driver.input::<String, i64>("in");
    rows.pipe("a", 1);
    rows.pipe_null("a");
    let texts = driver.output::<String, Option<String>>("texts");
    assert_eq!(texts.read_values(), [Some("1".to_owned()), None]);
    let keyed = driver.output::<String, Option<String>>("keyed");
    assert_eq!(keyed.read_values(), [Some("a1".to_owned()), None]);
}

#[test]
fn a_stream_becomes_a_table() {
    let driver = driver(|b| {
        b.stream::<String, Option<i64>>("updates").to_table_from_updates("updates").to("a");
        b.stream::<String, i64>("values").to_table("values").to("b");
        b.stream::<String, i64>("swapped")
            .map(|k, n| (n, k))
            .to_table(auto())
            .map_values(String::len)
            .map_values(|n| *n as i64)
            .to("c");
    });
    let updates = driver.input::<String, Option<i64>>("updates");
    updates.pipe("a", 1);
    updates.pipe("a", None);
    assert_eq!(driver.output::<String, Option<i64>>("a").read_values(), [Some(1), None]);
    driver.input::<String, i64>("values").pipe("a", 1);
    assert_eq!(driver.output::<String, i64>("b").read_values(), [1]);
    driver.input::<String, i64>("swapped").pipe("abc", 1);
    assert_eq!(driver.output::<i64, i64>("c").read_all(), [(1, 3)]);
}

#[test]
fn a_processor_reads_a_table() {
    let driver = driver(|b| {
        let limits = b.table::<String, i64>("limits", auto()).map_values(|n| n * 10);
        let limits = limits.materialize("limits");
        b.stream::<String, i64>("amounts")
            .process_values_fn(&limits, |limits, key, amount, ctx| {
                let limit = ctx.store(limits).get(&key)?.copied().unwrap_or(0);
                if amount <= limit { ctx.forward(key, amount) } else { Ok(()) }
            })
            .to("allowed");
    });
    driver.input::<String, i64>("limits").pipe("a", 1);
    driver.input::<String, i64>("amounts").pipe_all([("a", 10), ("a", 11), ("b", 1)]);
    assert_eq!(driver.output::<String, i64>("allowed").read_all(), [("a", 10)]);
}

#[test]
fn a_table_takes_its_times_from_its_values() {
    let driver = driver(|b| {
        let rows = Consumed::<String, i64>::from("in")
            .timestamps(|record, _| Ok(Timestamp::from_millis(*record.value)));
        b.table(rows, "store").to("out");
    });
    let rows = driver.input::<String, i64>("in");
    rows.pipe_at("a", 7, 100);
    rows.pipe_null_at("a", 101);
    let out = driver.output::<String, Option<i64>>("out");
    assert_eq!(out.read_timed(), [("a", Some(7), 7), ("a", None, 101)]);
}
