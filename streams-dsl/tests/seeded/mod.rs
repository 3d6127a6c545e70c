//! What simulations of operators begin with.

use std::ops::Range;

use streams_dsl::prelude::*;
use streams_test::{SeededSimulation, Simulation};

/// A simulation of what `describe` builds, under exactly-once.
pub(crate) fn simulated(
    seeds: Range<u64>,
    describe: impl Fn(&StreamsBuilder) + 'static,
) -> SeededSimulation {
    let topology = move || {
        let builder = StreamsBuilder::new();
        describe(&builder);
        // What is emitted on close must not depend on how fast records come.
        let config = StreamsConfig::new("simulated", "localhost:9092")
            .set("__emit.interval.ms.kstreams.windowed.aggregation__", 0)
            .set("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__", 0);
        builder.build_with(&config).unwrap()
    };
    Simulation::of(topology).exactly_once().seeds(seeds)
}

/// Numbers under a few keys.
pub(crate) fn numbers(count: i64, keys: i64) -> impl Iterator<Item = (String, i64)> {
    (0..count).map(move |n| (format!("key-{}", n * n % keys), n))
}
