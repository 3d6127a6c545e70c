//! Random records: out of order, late, null, duplicate, with equal times.

use std::collections::BTreeSet;

use super::topology::{InputTopic, Nulls};
use crate::scenario::random::Random;
use crate::scenario::{Input, Op, Scenario, Step};

/// Pipes up to 24 records.
pub(super) fn generate(random: &mut Random, topics: &[InputTopic], scenario: &mut Scenario) {
    let mut now = random.between(0, 60);
    // How far time goes on average.
    let pace = *random.pick(&[0, 3, 10, 40, 100]);
    let waits = |op: &Op| ["left_join_stream", "outer_join_stream"].contains(&&*op.call);
    let on_close = scenario.ops.iter().any(|op| op.get("emit").is_some() || waits(op));
    let has_versions = scenario.ops.iter().any(|op| op.get("versioned").is_some());
    let mut taken = BTreeSet::new();
    for _ in 0..random.between(1, 24) {
        // Results of closed windows come once a second at most.
        if random.percent(if on_close { 30 } else { 4 }) {
            scenario.steps.push(Step::Wall(random.between(1, 3000)));
        }
        now += random.between(0, pace * 2);
        let late = if random.percent(30) { random.between(0, 50) } else { 0 };
        let mut at = (now - late).max(0);
        // Deletions with the time of the value: see `maybe_versioned`.
        while has_versions && !taken.insert(at) {
            at += 1;
        }
        if random.percent(5)
            && let Some(Step::Record(before)) = scenario.steps.last()
        {
            let again = Step::Record(Input { at, ..before.clone() });
            scenario.steps.push(again);
            continue;
        }
        let topic = random.pick(topics);
        let step = Step::Record(record(random, topic, at));
        scenario.steps.push(step);
    }
}

fn record(random: &mut Random, topic: &InputTopic, at: i64) -> Input {
    let Nulls { keys, values } = topic.nulls;
    let key = (!(keys && random.percent(15))).then(|| random.pick(&["a", "b", "c"]).to_string());
    let value = (!(values && random.percent(25))).then(|| text(random));
    let headers = match random.below(10) {
        0 => vec![("h".to_owned(), Some("1".to_owned()))],
        1 => vec![("h".to_owned(), None), ("h".to_owned(), Some("2".to_owned()))],
        _ => vec![],
    };
    Input { topic: topic.name.clone(), key, value, at, headers }
}

/// Mostly one or two characters, so that texts meet.
fn text(random: &mut Random) -> String {
    let length = *random.pick(&[0, 1, 1, 1, 2, 2, 3]);
    (0..length).map(|_| *random.pick(&['a', 'b', 'c', 'x', 'y'])).collect()
}
