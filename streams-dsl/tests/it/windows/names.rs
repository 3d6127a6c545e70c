//! Names of processors, stores and topics.

use streams_dsl::prelude::*;

use super::ms;

#[test]
fn names_are_the_jvms() {
    let b = StreamsBuilder::new();
    let words = b.stream::<String, String>("in").group_by(|_, word| word.clone(), auto());
    words.windowed_by(TimeWindows::tumbling(ms(10))).count(auto()).to("counts");
    words.windowed_by(SessionWindows::gap(ms(10))).reduce(|_, last| last, auto()).to("last");
    let described = b.build().unwrap().describe().to_string();
    for part in [
        "Processor: KSTREAM-AGGREGATE-0000000003 (stores: [KSTREAM-AGGREGATE-STATE-STORE-0000000002])",
        "Sink: KSTREAM-SINK-0000000004 (topic: KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition)",
        "Processor: KSTREAM-REDUCE-0000000010 (stores: [KSTREAM-REDUCE-STATE-STORE-0000000009])",
        "KSTREAM-REDUCE-STATE-STORE-0000000009-repartition",
    ] {
        assert!(described.contains(part), "{part}\nis not in\n{described}");
    }
}
