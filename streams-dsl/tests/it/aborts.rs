//! After an abort nothing of the attempt is left: not in stores, not in operators.

use streams_dsl::prelude::*;
use streams_test::TopologyTestDriver;

const COUNTS: StoreName<KeyValueStore<String, i64>> = StoreName::new("counts");

#[test]
fn an_aborted_attempt_leaves_nothing() {
    let builder = StreamsBuilder::new();
    let words = builder.stream::<String, String>("words").group_by(|_, w| w.clone(), "words");
    let counts = words.count(COUNTS);
    let firsts = words.reduce(|first, _| first, "firsts");
    counts.left_join(&firsts, |_, n, first| format!("{n}{}", first.is_some())).to("joined");
    let driver = TopologyTestDriver::new(&builder.build().unwrap()).manual_commit();
    let words = driver.input::<String, String>("words");
    words.pipe("1", "a");
    driver.commit();
    words.pipe("2", "a");
    words.pipe("3", "b");
    driver.abort();
    driver.commit();
    assert_eq!(driver.store(COUNTS).get("a"), Some(2));
    assert_eq!(driver.store(COUNTS).get("b"), Some(1));
    let joined = driver.output::<String, String>("joined").read_map();
    assert_eq!((joined["a"].as_str(), joined["b"].as_str()), ("2true", "1true"));
}
