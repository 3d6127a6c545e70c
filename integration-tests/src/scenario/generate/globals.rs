//! Joins with global tables, in some scenarios: chosen apart from all else, so that the scenario
//! of a seed is the same but for them.

use super::functions::{KEYS, NULLING, STREAM_JOINERS};
use crate::scenario::random::Random;
use crate::scenario::{Input, Op, Scenario, Step};

const TOPIC: &str = "global";

/// Adds one or two joins below streams without null, and the records of the table.
pub(super) fn add(seed: u64, scenario: &mut Scenario) {
    let mut random = Random::new(seed ^ 0x006c_6f62_616c);
    let streams = plain_streams(scenario);
    if streams.is_empty() || !random.percent(15) {
        return;
    }
    let mut table = op("global_table", &[], &[("topic", TOPIC)]);
    if random.percent(40) {
        table.params.insert("store".to_owned(), "global-store".to_owned());
    }
    if random.percent(20) {
        table.params.insert("name".to_owned(), "global-name".to_owned());
    }
    scenario.ops.push(Op { id: Some("global".to_owned()), ..table });
    for number in 0..=random.below(2) {
        let stream = random.pick(&streams).clone();
        let mut key = String::from(*random.pick(KEYS));
        let left = random.percent(50);
        let mut params = vec![("f", *random.pick(STREAM_JOINERS))];
        if left && random.percent(40) {
            key += *random.pick(NULLING);
            params.push(("null", "yes"));
        }
        params.push(("k", &key));
        let call = if left { "left_join_global" } else { "join_global" };
        let joined = format!("looked-up{number}");
        let join = op(call, &[&stream, "global"], &params);
        scenario.ops.push(Op { id: Some(joined.clone()), ..join });
        let topic = format!("out-{joined}");
        scenario.ops.push(op("to", &[&joined], &[("topic", &topic)]));
    }
    rows(&mut random, scenario);
}

/// Puts records of the table between the others.
fn rows(random: &mut Random, scenario: &mut Scenario) {
    for _ in 0..random.between(1, 8) {
        let key = (!random.percent(5)).then(|| random.pick(&["a", "b", "c", "1", "x"]).to_string());
        let value =
            (!random.percent(20)).then(|| random.pick(&["r", "s", "rs", "x", ""]).to_string());
        let (topic, at) = (TOPIC.to_owned(), random.between(0, 500));
        let row = Step::Record(Input { topic, key, value, at, headers: Vec::new() });
        let place = random.below(scenario.steps.len() + 1);
        scenario.steps.insert(place, row);
    }
}

/// Ids of streams whose keys and values are never null.
fn plain_streams(scenario: &Scenario) -> Vec<String> {
    let plain = |op: &&Op| match &*op.call {
        "stream" => op.get("nulls").is_none(),
        "map" => !op.yes("null"),
        "flat_map" | "join_table" | "left_join_table" => true,
        _ => false,
    };
    scenario.ops.iter().filter(plain).filter_map(|op| op.id.clone()).collect()
}

fn op(call: &str, parents: &[&str], params: &[(&str, &str)]) -> Op {
    let params = params.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Op {
        id: None,
        call: call.to_owned(),
        parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
        params: params.collect(),
    }
}
