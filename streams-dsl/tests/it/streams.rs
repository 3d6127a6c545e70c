//! Operators of streams without state.

use streams_dsl::config::StreamsConfig;
use streams_dsl::prelude::*;
use streams_dsl::reaction;
use streams_test::TopologyTestDriver;

use crate::driver;

#[test]
fn records_are_filtered_and_mapped() {
    let driver = driver(|b| {
        let numbers = b.stream::<String, i64>("numbers");
        numbers.filter(|_, n| *n > 1).map_values(|n| n * 10).to("large");
        numbers.filter_not(|_, n| *n > 1).map_values_with_key(|k, n| format!("{k}{n}")).to("small");
        numbers.map(|k, n| (n, k)).to("swapped");
        numbers.select_key(|k, n| format!("{k}-{n}")).to("rekeyed");
    });
    driver.input::<String, i64>("numbers").pipe_all([("a", 1), ("b", 2)]);
    assert_eq!(driver.output::<String, i64>("large").read_all(), [("b", 20)]);
    assert_eq!(driver.output::<String, String>("small").read_all(), [("a", "a1")]);
    assert_eq!(driver.output::<i64, String>("swapped").read_all(), [(1, "a"), (2, "b")]);
    assert_eq!(driver.output::<String, i64>("rekeyed").read_all(), [("a-1", 1), ("b-2", 2)]);
}

#[test]
fn one_record_becomes_many() {
    let driver = driver(|b| {
        let lines = b.stream::<String, String>("lines");
        lines.flat_map_values(|l, out| out.extend(l.split(' ').map(str::to_owned))).to("words");
        lines
            .flat_map_values_with_key(|k, l, out| {
                out.emit(format!("{k}:{}", l.len()));
                out.emit(l);
            })
            .to("both");
        lines
            .flat_map(|k, l, out| out.extend(l.split(' ').map(|w| (w.to_owned(), k.clone()))))
            .to("by-word");
    });
    let lines = driver.input::<String, String>("lines");
    lines.pipe("1", "b a");
    let words = driver.output::<String, String>("words");
    assert_eq!(words.read_all(), [("1", "b"), ("1", "a")]);
    let both = driver.output::<String, String>("both");
    assert_eq!(both.read_all(), [("1", "1:3"), ("1", "b a")]);
    let by_word = driver.output::<String, String>("by-word");
    assert_eq!(by_word.read_all(), [("b", "1"), ("a", "1")]);
}

#[test]
fn the_first_branch_that_fits_gets_a_record() {
    let driver = driver(|b| {
        let numbers = b.stream::<String, i64>("numbers");
        let (big, medium, rest) =
            numbers.split().branch(|_, n| *n > 100).branch(|_, n| *n > 10).default_branch();
        big.to("big");
        medium.to("medium");
        rest.to("rest");
        let (odd,) = numbers.split().branch(|_, n| n % 2 == 1).no_default_branch();
        odd.to("odd");
    });
    driver.input::<String, i64>("numbers").pipe_all([("a", 1), ("b", 50), ("c", 500), ("d", 11)]);
    let read = |topic: &str| driver.output::<String, i64>(topic).read_values();
    assert_eq!(read("big"), [500]);
    assert_eq!(read("medium"), [50, 11]);
    assert_eq!(read("rest"), [1]);
    assert_eq!(read("odd"), [1, 11]);
}

#[test]
fn eight_branches_are_possible() {
    let driver = driver(|b| {
        let numbers = b.stream::<String, i64>("numbers");
        let all = numbers
            .split()
            .branch(|_, n| *n == 0)
            .branch(|_, n| *n == 1)
            .branch(|_, n| *n == 2)
            .branch(|_, n| *n == 3)
            .branch(|_, n| *n == 4)
            .branch(|_, n| *n == 5)
            .branch(|_, n| *n == 6)
            .default_branch();
        all.0.merge(&all.7).to("ends");
    });
    driver.input::<String, i64>("numbers").pipe_all([("a", 0), ("a", 3), ("a", 7)]);
    assert_eq!(driver.output::<String, i64>("ends").read_values(), [0, 7]);
}

#[test]
fn null_is_a_type() {
    let driver = driver(|b| {
        let updates = b.stream::<Option<String>, Option<i64>>("updates");
        updates.map_some(|n| n + 1).drop_null_keys().drop_null_values().to("there");
        updates.drop_null_keys().map_values(|n| n.is_none()).map_values(i64::from).to("nulls");
    });
    let updates = driver.input::<Option<String>, Option<i64>>("updates");
    updates.pipe("a", 1);
    updates.pipe("b", None);
    updates.pipe(None, 3);
    assert_eq!(driver.output::<String, i64>("there").read_all(), [("a", 2)]);
    assert_eq!(driver.output::<String, i64>("nulls").read_all(), [("a", 0), ("b", 1)]);
}

#[test]
fn time_and_headers_are_read_and_written() {
    let driver = driver(|b| {
        let texts = b.stream::<String, String>("texts");
        texts.with_context().map_values(|(text, cx)| format!("{text}@{}", cx.timestamp())).to("at");
        texts
            .set_timestamp(
                |_, text, time| if text == "old" { Timestamp::from_millis(5) } else { time },
            )
            .edit_headers(|key, _, headers| {
                headers.set("key", key);
            })
            .to("stamped");
        texts
            .map_record(|r| Record { key: r.value.clone(), ..r }.header("by", "value"))
            .to("moved");
    });
    let texts = driver.input::<String, String>("texts");
    texts.pipe_at("a", "old", 100);
    texts.pipe_at("b", "new", 101);
    let at = driver.output::<String, String>("at");
    assert_eq!(at.read_values(), ["old@100 ms", "new@101 ms"]);
    let stamped = driver.output::<String, String>("stamped").read_records();
    assert_eq!(stamped[0].timestamp, Timestamp::from_millis(5));
    assert_eq!(stamped[1].timestamp, Timestamp::from_millis(101));
    assert_eq!(stamped[1].headers.get("key"), Some(&b"b"[..]));
    let moved = driver.output::<String, String>("moved").read_records();
    assert_eq!((moved[0].key.as_str(), moved[0].headers.get("by")), ("old", Some(&b"value"[..])));
}

#[test]
fn an_error_of_a_closure_goes_to_the_handler() {
    let builder = StreamsBuilder::new();
    let texts = builder.stream::<String, String>("texts");
    texts.try_map_values(|text| Ok(text.parse::<i64>()?)).to("numbers");
    texts.try_filter(|_, text| Ok(text.parse::<i64>()? > 1)).to("large");
    texts
        .try_flat_map_values(|text, out| {
            out.emit(0);
            out.emit(text.parse::<i64>()?);
            Ok(())
        })
        .to("some");
    let config = StreamsConfig::new("app", "localhost:9092").on_processing_error(reaction::skip);
    let topology = builder.build().unwrap();
    let driver = TopologyTestDriver::with_config(&topology, &config);
    driver.input::<String, String>("texts").pipe_all([("a", "1"), ("b", "x"), ("c", "3")]);
    assert_eq!(driver.output::<String, i64>("numbers").read_all(), [("a", 1), ("c", 3)]);
    assert_eq!(driver.output::<String, String>("large").read_all(), [("c", "3")]);
    // What was emitted before the error stays.
    assert_eq!(driver.output::<String, i64>("some").read_values(), [0, 1, 0, 0, 3]);
}

#[test]
fn a_record_chooses_its_topic() {
    let driver = driver(|b| {
        let texts = b.stream::<String, String>("texts");
        texts.to_dynamic(|record| record.key.as_str().into());
        texts.to_dynamic(|record| format!("length-{}", record.value.len()).into());
    });
    driver.input::<String, String>("texts").pipe_all([("a", "x"), ("b", "yy")]);
    assert_eq!(driver.output::<String, String>("b").read_values(), ["yy"]);
    assert_eq!(driver.output::<String, String>("length-1").read_values(), ["x"]);
}

#[test]
fn serdes_given_at_the_source_are_used_below() {
    let driver = driver(|b| {
        let json = b.stream(Consumed::<String, i64>::with("numbers", Utf8, Json));
        json.filter(|_, n| *n > 0).to("as-read");
        // Another value: its own default.
        json.map_values(|n| n + 1).to("plain");
        json.filter(|_, n| *n > 0).group_by_key().reduce(|a, b| a + b, "sums").to("sums");
    });
    driver.input::<String, i64>(Consumed::with("numbers", Utf8, Json)).pipe("a", 7);
    assert_eq!(driver.output_raw("as-read")[0].value.as_deref(), Some(&b"7"[..]));
    assert_eq!(driver.output_raw("plain")[0].value.as_deref(), Some(&8_i64.to_be_bytes()[..]));
    assert_eq!(driver.output_raw("sums")[0].value.as_deref(), Some(&b"7"[..]));
}

#[test]
fn a_repartitioned_stream_is_in_the_partition_of_its_key() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("texts")
        .select_key(|_, text| text.clone())
        .repartition(Repartitioned::from("by-text").partitions(3))
        .with_context()
        .map_values(|(_, cx)| i64::from(cx.metadata().map_or(-1, |m| m.partition)))
        .to("partitions");
    let driver = TopologyTestDriver::new(&builder.build().unwrap());
    let texts = driver.input::<String, String>("texts");
    for n in 0..30 {
        texts.pipe("k", format!("t{}", n % 10));
    }
    let seen = driver.output::<String, i64>("partitions").read_all();
    assert_eq!(seen.len(), 30);
    for n in 0..10 {
        let of_key: Vec<_> = seen.iter().filter(|(key, _)| *key == format!("t{n}")).collect();
        assert!(of_key.windows(2).all(|pair| pair[0].1 == pair[1].1), "{of_key:?}");
    }
}
