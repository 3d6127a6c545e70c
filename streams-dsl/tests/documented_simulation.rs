//! The example of `docs/simulation.md`, run as it stands there.

use streams_dsl::prelude::*;
use streams_test::Simulation;

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("orders")
        .group_by(|_, item| item.clone(), "by-item")
        .count("sold")
        .to("sold-so-far");
    builder.build().expect("a valid topology")
}

#[test]
fn whatever_happens_each_order_counts_once() {
    let orders = (0..200).map(|n| (format!("customer-{}", n % 7), format!("item-{}", n % 7)));
    Simulation::of(topology)
        .exactly_once()
        .input("orders", 2, orders)
        .output("sold-so-far", 2)
        .seeds(0..100)
        .check(|committed, _| {
            let sold = committed.table::<String, i64>("sold-so-far");
            assert_eq!(sold.values().sum::<i64>(), 200);
            assert_eq!(sold, committed.store("sold"));
        })
        .run();
}

#[test]
fn the_documentation_shows_this_example() {
    let document = include_str!("../../docs/simulation.md");
    let (_, example) = document.split_once("```rust\n").expect("the document has an example");
    let (example, _) = example.split_once("```").expect("the example ends");
    assert!(
        include_str!("documented_simulation.rs").contains(example),
        "docs/simulation.md shows another example than the one that is run here"
    );
}
