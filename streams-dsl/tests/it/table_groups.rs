//! Tables grouped by a new key.

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

/// Users with their region and points, grouped by region.
fn regions() -> TopologyTestDriver {
    let builder = StreamsBuilder::new();
    let regions = builder
        .table::<String, (String, i64)>("users", auto())
        .group_by(|_, (region, points)| (region.clone(), *points), "users-by-region");
    regions.count("counts").to("counts");
    regions.reduce(|a, b| a + b, |a, b| a - b, "sums").to("sums");
    regions
        .aggregate(
            String::new,
            |_, n, log: &mut String| log.push_str(&format!("+{n}")),
            |_, n, log: &mut String| log.push_str(&format!("-{n}")),
            "log",
        )
        .to("log");
    regions
        .aggregate_option(
            |_, n, sum: &mut Option<i64>| *sum = Some(sum.unwrap_or(0) + n),
            |_, n, sum: &mut Option<i64>| *sum = sum.map(|sum| sum - n).filter(|sum| *sum != 0),
            "present",
        )
        .to("present");
    TopologyTestDriver::new(&builder.build().unwrap())
}

fn user(region: &str, points: i64) -> (String, i64) {
    (region.to_owned(), points)
}

#[test]
fn an_update_subtracts_and_adds() {
    let driver = regions();
    let users = driver.input::<String, (String, i64)>("users");
    users.pipe("ann", user("eu", 5));
    users.pipe("bob", user("eu", 7));
    // The same group: one change. Another group: two. A deletion: one.
    users.pipe("ann", user("eu", 6));
    users.pipe("bob", user("us", 7));
    users.pipe_null("ann");
    let counts = driver.output::<String, i64>("counts");
    assert_eq!(
        counts.read_all(),
        [("eu", 1), ("eu", 2), ("eu", 2), ("eu", 1), ("us", 1), ("eu", 0)]
    );
    let sums = driver.output::<String, i64>("sums");
    assert_eq!(
        sums.read_all(),
        [("eu", 5), ("eu", 12), ("eu", 13), ("eu", 6), ("us", 7), ("eu", 0)]
    );
    let log = driver.output::<String, String>("log").read_map();
    assert_eq!(log["eu"], "+5+7-5+6-7-6");
    assert_eq!(log["us"], "+7");
    let present = driver.output::<String, Option<i64>>("present").read_map();
    assert_eq!((present["eu"], present["us"]), (None, Some(7)));
}

#[test]
fn one_change_of_a_group_is_one_record_of_its_topic() {
    let driver = regions();
    let users = driver.input::<String, (String, i64)>("users");
    users.pipe("ann", user("eu", 5));
    users.pipe("ann", user("eu", 6));
    users.pipe("ann", user("us", 6));
    let raw = driver.output_raw("test-users-by-region-repartition");
    let flags: Vec<_> = raw.iter().map(|r| r.value.as_deref().unwrap().last().copied()).collect();
    assert_eq!(flags, [Some(1), Some(2), Some(0), Some(1)]);
    let both = raw[1].value.as_deref().unwrap();
    assert_eq!(both[0], 16, "a zigzag length of 8");
    assert_eq!(both[1..9], 6_i64.to_be_bytes());
    assert_eq!(both[9..17], 5_i64.to_be_bytes());
}

#[test]
fn groups_of_aggregates_see_what_was_emitted_last() {
    let builder = StreamsBuilder::new();
    // How many words occur how often.
    builder
        .stream::<String, String>("words")
        .group_by(|_, word| word.clone(), "words")
        .count(Materialized::from("counts").emit_on_commit(true))
        .group_by(|word, count| (*count, word.clone()), "by-count")
        .count("words-per-count")
        .to("out");
    let driver = TopologyTestDriver::new(&builder.build().unwrap());
    let words = driver.input::<String, String>("words");
    for word in ["a", "b", "a", "a", "b"] {
        words.pipe("k", word);
    }
    let out = driver.output::<i64, i64>("out").read_map();
    assert_eq!(out.into_iter().collect::<Vec<_>>(), [(1, 0), (2, 1), (3, 1)]);
}
