//! Versioned tables: what a value was at a time in the past, and what those below make of updates
//! that change it.

use std::time::Duration;

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

use crate::driver;

const HISTORY: Duration = Duration::from_millis(100);

fn versioned(name: &str) -> Materialized<String, String, streams_dsl::KeyValueKind> {
    Materialized::from(name).versioned(HISTORY)
}

/// What came out: key, value, time; `-` for a deletion.
#[track_caller]
fn assert_records(driver: &TopologyTestDriver, topic: &str, expected: &[(&str, &str, i64)]) {
    let found = driver.output::<String, Option<String>>(topic).read_records();
    let found: Vec<_> = found
        .iter()
        .map(|record| {
            let value = record.value.as_deref().unwrap_or("-");
            (record.key.as_str(), value, record.timestamp.as_millis())
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_stream_meets_the_value_of_its_time() {
    let driver = driver(|b| {
        let prices = b.table::<String, String>("prices", versioned("prices"));
        let high = prices.filter(|_, price| price.as_str() != "x").map_values(|p| p.to_uppercase());
        let orders = b.stream::<String, String>("orders");
        orders.left_join_table(&prices, |_, o, p| format!("{o}{}", p.map_or("-", |p| p))).to("o");
        orders.join_table(&high, |_, o, p| format!("{o}{p}")).to("high");
    });
    let prices = driver.input::<String, String>("prices");
    let orders = driver.input::<String, String>("orders");
    prices.pipe_at("k", "a", 100);
    prices.pipe_at("k", "c", 150);
    prices.pipe_at("k", "b", 120);
    prices.pipe_null_at("k", 140);
    for (order, at) in [("1", 90), ("2", 100), ("3", 119), ("4", 130), ("5", 145), ("6", 160)] {
        orders.pipe_at("k", order, at);
    }
    let expected = [("1-", 90), ("2a", 100), ("3a", 119), ("4b", 130), ("5-", 145), ("6c", 160)];
    assert_records(&driver, "o", &expected.map(|(value, at)| ("k", value, at)));
    let expected = [("2A", 100), ("3A", 119), ("4B", 130), ("6C", 160)];
    assert_records(&driver, "high", &expected.map(|(value, at)| ("k", value, at)));
}

#[test]
fn an_update_that_is_too_old_is_dropped_and_counted() {
    let driver = driver(|b| b.table::<String, String>("in", versioned("rows")).to("out"));
    let input = driver.input::<String, String>("in");
    input.pipe_at("k", "a", 500);
    input.pipe_at("k", "late", 399);
    input.pipe_at("other", "late", 399);
    input.pipe_at("k", "old", 400);
    assert_records(&driver, "out", &[("k", "a", 500), ("k", "old", 400)]);
    let dropped: u64 = driver.dropped_records().iter().map(|dropped| dropped.count).sum();
    assert_eq!(dropped, 2);
}

#[test]
fn aggregates_of_a_versioned_table_leave_the_past_out() {
    let driver = driver(|b| {
        let rows = b.table::<String, String>("in", versioned("rows"));
        let filtered = rows.filter(|_, row| row.as_str() != "x");
        filtered.to("filtered");
        filtered
            .group_by(|_, row| ("all".to_owned(), row.clone()), "by")
            .aggregate(
                String::new,
                |_, row, all: &mut String| *all = format!("{all}+{row}"),
                |_, row, all: &mut String| *all = format!("{all}-{row}"),
                "sums",
            )
            .to("sums");
    });
    let input = driver.input::<String, String>("in");
    input.pipe_at("k", "a", 100);
    input.pipe_at("k", "past", 90);
    input.pipe_at("k", "b", 110);
    input.pipe_at("k", "x", 105);
    let past = [("k", "a", 100), ("k", "past", 90), ("k", "b", 110), ("k", "-", 105)];
    assert_records(&driver, "filtered", &past);
    assert_records(&driver, "sums", &[("all", "+a", 100), ("all", "+a-a+b", 110)]);
}

#[test]
fn joins_of_tables_leave_the_past_out() {
    let driver = driver(|b| {
        let left = b.table::<String, String>("left", versioned("left"));
        let right = b.table::<String, String>("right", versioned("right"));
        let join = |_: &String, l: Option<&String>, r: Option<&String>| {
            format!("{}{}", l.map_or("-", |l| l), r.map_or("-", |r| r))
        };
        left.outer_join(&right, join).to("out");
    });
    let (left, right) =
        (driver.input::<String, String>("left"), driver.input::<String, String>("right"));
    left.pipe_at("k", "a", 100);
    left.pipe_at("k", "past", 90);
    right.pipe_at("k", "1", 95);
    right.pipe_null_at("k", 80);
    left.pipe_at("k", "b", 110);
    let expected = [("k", "a-", 100), ("k", "a1", 100), ("k", "b1", 110)];
    assert_records(&driver, "out", &expected);
    assert_eq!(driver.dropped_records().iter().map(|dropped| dropped.count).sum::<u64>(), 2);
}

#[test]
fn foreign_key_joins_leave_the_past_out() {
    let driver = driver(|b| {
        let orders = b.table::<String, String>("orders", versioned("orders"));
        let customers = b.table::<String, String>("customers", versioned("customers"));
        orders
            .join_on(
                &customers,
                |_, order| Some(order[..1].to_owned()),
                |_, order, customer| format!("{order}{customer}"),
                "named",
            )
            .to("out");
    });
    let orders = driver.input::<String, String>("orders");
    let customers = driver.input::<String, String>("customers");
    customers.pipe_at("a", "ann", 100);
    customers.pipe_at("a", "anna", 90);
    orders.pipe_at("o", "a1", 50);
    orders.pipe_at("o", "a0", 40);
    customers.pipe_at("a", "anne", 120);
    assert_records(&driver, "out", &[("o", "a1ann", 100), ("o", "a1anne", 120)]);
}

#[test]
fn an_aggregation_keeps_its_history() {
    let driver = driver(|b| {
        let counts = b
            .stream::<String, String>("in")
            .group_by_key()
            .count(Materialized::from("counts").versioned(HISTORY));
        b.stream::<String, String>("ask")
            .join_table(&counts, |_, v, n| format!("{v}{n}"))
            .to("out");
    });
    let input = driver.input::<String, String>("in");
    [10, 20, 30].into_iter().for_each(|at| input.pipe_at("k", "x", at));
    let ask = driver.input::<String, String>("ask");
    [25, 9, 30].into_iter().for_each(|at| ask.pipe_at("k", "?", at));
    assert_records(&driver, "out", &[("k", "?2", 25), ("k", "?3", 30)]);
}

#[test]
fn what_a_stream_says_late_may_be_the_latest_of_its_key() {
    let driver = driver(|b| {
        let table = b.stream::<String, String>("in").to_table(versioned("rows"));
        table
            .group_by(|_, row| (row.clone(), row.clone()), "by")
            .count("counts")
            .to_stream()
            .map_values(|n| n.map(|n| n.to_string()))
            .to("out");
    });
    let input = driver.input::<String, String>("in");
    input.pipe_at("k", "a", 100);
    input.pipe_at("other", "a", 50);
    input.pipe_at("k", "a", 50);
    assert_records(&driver, "out", &[("a", "1", 100), ("a", "2", 100)]);
}

#[test]
fn a_deletion_with_the_time_of_the_value_is_known() {
    let driver = driver(|b| {
        let rows = b.table::<String, String>("in", versioned("rows"));
        rows.to("changes");
        let counts = rows.group_by(|_, row| (row.clone(), row.clone()), "by").count("counts");
        counts.to_stream().map_values(|n| n.map(|n| n.to_string())).to("out");
        b.stream::<String, String>("ask")
            .left_join_table(&rows, |_, _, row| row.cloned())
            .to("then");
    });
    let input = driver.input::<String, String>("in");
    input.pipe_at("k", "a", 20);
    input.pipe_null_at("k", 20);
    input.pipe_at("k", "b", 10);
    assert_records(&driver, "changes", &[("k", "a", 20), ("k", "-", 20), ("k", "b", 10)]);
    assert_records(&driver, "out", &[("a", "1", 20), ("a", "0", 20)]);
    let ask = driver.input::<String, String>("ask");
    [15, 20].into_iter().for_each(|at| ask.pipe_at("k", "?", at));
    assert_records(&driver, "then", &[("k", "b", 15), ("k", "-", 20)]);
}

// ---- grace ----------------------------------------------------------------------------------

fn with_grace(grace: u64) -> TopologyTestDriver {
    driver(|b| {
        let prices = b.table::<String, String>("prices", versioned("prices"));
        let options = Joined::from("priced").grace(Duration::from_millis(grace));
        b.stream::<String, String>("orders")
            .left_join_table_with(
                &prices,
                |_, o, p| format!("{o}{}", p.map_or("-", |p| p)),
                options,
            )
            .to("out");
    })
}

#[test]
fn records_wait_for_late_updates() {
    let driver = with_grace(10);
    let prices = driver.input::<String, String>("prices");
    let orders = driver.input::<String, String>("orders");
    prices.pipe_at("k", "a", 100);
    orders.pipe_at("k", "1", 112);
    prices.pipe_at("k", "b", 110);
    orders.pipe_at("k", "2", 111);
    orders.pipe_at("j", "3", 111);
    assert_records(&driver, "out", &[]);
    // Only the stream's own time counts.
    prices.pipe_at("k", "c", 150);
    assert_records(&driver, "out", &[]);
    // In the order of times, then keys; what is just as old as the grace period is due.
    orders.pipe_at("k", "4", 122);
    let mut expected = vec![("j", "3-", 111), ("k", "2b", 111), ("k", "1b", 112)];
    assert_records(&driver, "out", &expected);
    // Too late to wait.
    orders.pipe_at("k", "5", 111);
    expected.push(("k", "5b", 111));
    assert_records(&driver, "out", &expected);
    orders.pipe_at("k", "6", 500);
    expected.push(("k", "4b", 122));
    assert_records(&driver, "out", &expected);
}

#[test]
fn equal_records_wait_each() {
    let driver = with_grace(5);
    let orders = driver.input::<String, String>("orders");
    orders.pipe_at("k", "1", 10);
    orders.pipe_at("k", "1", 10);
    orders.pipe_at("k", "2", 15);
    assert_records(&driver, "out", &[("k", "1-", 10), ("k", "1-", 10)]);
}

#[test]
fn without_waiting_there_is_no_order_to_make() {
    let driver = with_grace(0);
    let orders = driver.input::<String, String>("orders");
    [10, 9, 10].into_iter().for_each(|at| orders.pipe_at("k", "x", at));
    assert_records(&driver, "out", &[("k", "x-", 10), ("k", "x-", 9), ("k", "x-", 10)]);
}

#[test]
fn an_aborted_attempt_keeps_nobody_waiting() {
    let driver = with_grace(10).manual_commit();
    let prices = driver.input::<String, String>("prices");
    let orders = driver.input::<String, String>("orders");
    prices.pipe_at("k", "a", 100);
    orders.pipe_at("k", "1", 110);
    orders.pipe_at("k", "2", 110);
    driver.commit();
    orders.pipe_at("k", "3", 110);
    orders.pipe_at("k", "4", 130);
    // The records of the attempt are read again.
    driver.abort();
    orders.pipe_at("k", "5", 119);
    driver.commit();
    let late = [("k", "1a", 110), ("k", "2a", 110), ("k", "3a", 110), ("k", "5a", 119)];
    assert_records(&driver, "out", &late);
}

#[test]
fn the_buffer_of_a_join_is_the_jvms() {
    let driver = with_grace(10);
    driver.input::<String, String>("orders").pipe_at("k", "v", 258);
    let topic =
        driver.produced_topics().into_iter().find(|topic| topic.contains("Buffer")).unwrap();
    assert!(topic.ends_with("-priced-Buffer-changelog"), "{topic}");
    let records = driver.output_raw(&topic);
    let [record] = &records[..] else { panic!("{records:?}") };
    let key = b"\0\0\0\0\0\0\0\x01\x02k\0\0\0\x01";
    assert_eq!(record.key.as_deref(), Some(&key[..]));
    let context = b"\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\0\0\0\0\x06orders\0\0\0\0\0\0\0\0";
    let values = b"\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01v\0\0\0\0\0\0\0\0";
    assert_eq!(record.value.as_deref(), Some(&[&context[..], &values[..]].concat()[..]));
}

#[test]
fn a_record_without_a_key_has_nothing_to_wait_for() {
    let driver = driver(|b| {
        let history = Materialized::from("prices").versioned(HISTORY);
        let prices = b.table::<Option<String>, String>("prices", history);
        let stream = b.stream::<Option<String>, String>("orders");
        let options = || Joined::from(auto()).grace(HISTORY);
        stream
            .left_join_table_with(&prices, |_, o, p| format!("{o}{}", p.is_some()), options())
            .select_key(|k, _| k.clone().unwrap_or_else(|| "null".to_owned()))
            .to("left");
        stream.join_table_with(&prices, |_, o, p| format!("{o}{p}"), options()).to("inner");
    });
    let orders = driver.input::<Option<String>, String>("orders");
    orders.pipe_at(None, "1", 10);
    orders.pipe_at(Some("k".to_owned()), "2", 10);
    assert_records(&driver, "left", &[("null", "1false", 10)]);
    assert_eq!(driver.dropped_records().iter().map(|dropped| dropped.count).sum::<u64>(), 1);
}

#[test]
fn who_waits_is_joined_after_a_restart() {
    let driver = with_grace(10).manual_commit();
    let orders = driver.input::<String, String>("orders");
    orders.pipe_at("k", "1", 100);
    orders.pipe_at("k", "2", 105);
    driver.commit();
    // All operators are made anew.
    driver.abort();
    orders.pipe_at("k", "3", 104);
    orders.pipe_at("k", "4", 112);
    driver.commit();
    assert_records(&driver, "out", &[("k", "1-", 100)]);
    orders.pipe_at("k", "5", 130);
    driver.commit();
    let rest = [("k", "1-", 100), ("k", "3-", 104), ("k", "2-", 105), ("k", "4-", 112)];
    assert_records(&driver, "out", &rest);
}
