//! Finds what is wrong with the graph: all mistakes at once, each with the user's call.

use std::collections::BTreeMap;

use super::names;
use super::{
    Call, GraceJoin, GraphState, Kind, NodeId, Origin, Repartition, SourceTopics, StoreName,
};

/// Adds the mistakes that only show when all calls are known to those that were seen before.
pub(super) fn validate(state: &mut GraphState) {
    let mut found = Vec::new();
    names_of_operators(state, &mut found);
    names_of_stores(state, &mut found);
    repartition_topics(state, &mut found);
    partition_counts(state, &mut found);
    one_source_per_topic(state, &mut found);
    versioned_tables(state, &mut found);
    if state.options.explicit_names {
        explicit_names(state, &mut found);
    }
    state.mistakes.append(&mut found);
}

type Mistakes = Vec<(String, Call)>;

/// Names that Kafka takes, each only once.
fn names_of_operators(state: &GraphState, found: &mut Mistakes) {
    let mut taken: BTreeMap<String, Call> = BTreeMap::new();
    for node in &state.nodes {
        if let Some(Err(problem)) = node.name.given.as_deref().map(names::check) {
            found.push((problem, node.call));
            continue;
        }
        let parts = node.name.parts.len().max(usize::from(node.name.given.is_some()));
        for name in (0..parts).map(|part| node.name.part(part)) {
            if let Some(first) = taken.get(&name) {
                let message = format!("the name {name:?} was already given to {first}");
                found.push((message, node.call));
            } else {
                taken.insert(name, node.call);
            }
        }
    }
}

fn names_of_stores(state: &GraphState, found: &mut Mistakes) {
    let mut taken: BTreeMap<String, Call> = BTreeMap::new();
    for (id, table) in state.tables.iter().filter(|(_, table)| table.materialized) {
        let (Some(store), call) = (&table.store, state.node(*id).call) else { continue };
        let store = store.to_string();
        if table.stored.is_none() {
            let message = format!(
                "{call} needs a store, because an operator below looks its rows up or subtracts \
                 old ones, and nobody told the serdes of its values: use .materialize(\"name\") on \
                 the table"
            );
            found.push((message, call));
        }
        if let Err(problem) = names::check(&store) {
            found.push((problem, call));
        }
        if let Some(first) = taken.get(&store) {
            found.push((format!("the store {store:?} already belongs to {first}"), call));
        } else {
            taken.insert(store, call);
        }
    }
}

/// Repartition topics whose records meet in one task have equally many partitions. How many other
/// topics have, only Kafka knows: that is checked at the start.
fn partition_counts(state: &GraphState, found: &mut Mistakes) {
    for (call, left, right) in &state.copartitioned {
        let mut first: Option<(String, i32)> = None;
        for origin in state.origins(*left).into_iter().chain(state.origins(*right)) {
            let Kind::Repartition(Repartition { partitions: Some(count), .. }) =
                state.node(origin).kind
            else {
                continue;
            };
            let topic = state.repartition_topic(origin);
            match &first {
                Some((other, theirs)) if *theirs != count => {
                    let message = format!(
                        "the repartition topics {other:?} and {topic:?} are joined, or grouped \
                         together, and have {theirs} and {count} partitions: give both the same \
                         number"
                    );
                    found.push((message, *call));
                    break;
                }
                Some(_) => {}
                None => first = Some((topic, count)),
            }
        }
    }
}

fn repartition_topics(state: &GraphState, found: &mut Mistakes) {
    let mut taken: BTreeMap<String, Call> = BTreeMap::new();
    for (id, node) in state.ids().zip(&state.nodes) {
        let Kind::Repartition(_) = &node.kind else { continue };
        let topic = state.repartition_topic(id);
        if let Err(problem) = names::check(&topic) {
            found.push((problem, node.call));
        }
        if let Some(first) = taken.get(&topic) {
            let message = format!(
                "the repartition topic {topic:?} was already made by {first}: give this one \
                 another name, or group once and use the grouped stream twice"
            );
            found.push((message, node.call));
        } else {
            taken.insert(topic, node.call);
        }
    }
}

/// What only a versioned table can do, and what it cannot.
fn versioned_tables(state: &GraphState, found: &mut Mistakes) {
    for (id, table) in &state.tables {
        let (node, is_suppression) = (state.node(*id), table.origin == Origin::Buffer);
        let above = node.parents.first().filter(|_| is_suppression);
        if let Some(above) = above.filter(|above| state.history_ms(**above).is_some()) {
            let message = format!(
                "{} holds updates back, but the table of {} is versioned: its updates change the \
                 past too, and none replaces another",
                node.call,
                state.node(*above).call
            );
            found.push((message, node.call));
        }
    }
    for join in &state.grace_joins {
        let (call, grace) = (join.call, join.grace_ms);
        let table = state.node(join.table).call;
        let message = match state.history_ms(join.table) {
            Some(history) if history >= grace => continue,
            Some(history) => format!(
                "{call} has a grace period of {grace} ms, but the table of {table} keeps its \
                 history for {history} ms only: make its Materialized::versioned(..) at least as \
                 long"
            ),
            None => format!(
                "{call} has a grace period, and so asks for values of the past, but the table of \
                 {table} has only the latest: give it a store with Materialized::versioned(..)"
            ),
        };
        found.push((message, call));
    }
}

/// Topics on the broker that would be renamed if an operator were added before them.
fn explicit_names(state: &GraphState, found: &mut Mistakes) {
    for (id, table) in state.tables.iter().filter(|(_, table)| table.materialized) {
        if let Some(store @ StoreName::Generated(_)) = &table.store {
            let call = state.node(*id).call;
            let message = format!("{call} has a store with the generated name {store}: name it");
            found.push((message, call));
        }
    }
    for (store, call) in &state.generated_stores {
        let message = format!("{call} has stores with the generated name {store}: name them");
        found.push((message, *call));
    }
    for GraceJoin { call, join, .. } in &state.grace_joins {
        if state.node(*join).name.given.is_none() {
            let store = format!("{}-Buffer", state.node(*join).name.main());
            let message = format!("{call} has a store with the generated name {store}: name it");
            found.push((message, *call));
        }
    }
    for (id, node) in state.ids().zip(&state.nodes) {
        if matches!(node.kind, Kind::Repartition(_)) && state.is_generated(id) {
            let (call, topic) = (node.call, state.repartition_topic(id));
            let message =
                format!("{call} has a repartition topic with the generated name {topic}: name it");
            found.push((message, call));
        }
    }
}

/// Only streams of equal topics and types may share a source: records of a topic are read once.
fn one_source_per_topic(state: &GraphState, found: &mut Mistakes) {
    let sources: Vec<_> = state
        .ids()
        .filter_map(|id| match &state.node(id).kind {
            Kind::Source(topics) => Some((id, topics)),
            _ => None,
        })
        .collect();
    for (at, (id, topics)) in sources.iter().enumerate() {
        if topics.topics.iter().any(String::is_empty) || topics.topics.is_empty() {
            found.push(("a source needs the name of a topic".into(), state.node(*id).call));
        }
        let clash = sources[..at].iter().find_map(|earlier| clash(state, earlier, topics));
        if let Some(message) = clash {
            found.push((message, state.node(*id).call));
        }
    }
}

fn clash(
    state: &GraphState,
    (earlier, theirs): &(NodeId, &SourceTopics),
    ours: &SourceTopics,
) -> Option<String> {
    let shared = ours.topics.iter().find(|topic| theirs.topics.contains(topic))?;
    if ours.pattern != theirs.pattern {
        return None;
    }
    let earlier = state.node(*earlier).call;
    let what = if ours.pattern { "the pattern" } else { "the topic" };
    if ours.table || theirs.table {
        return Some(format!(
            "{what} {shared:?} is already read by {earlier}: read it once, as a table, and use \
             to_stream() of it"
        ));
    }
    if ours.topics != theirs.topics {
        return Some(format!(
            "{what} {shared:?} is already read by {earlier}, together with other topics: read it \
             once and use merge()"
        ));
    }
    if ours.records != theirs.records {
        return Some(format!(
            "{what} {shared:?} is already read by {earlier} as {}, here as {}",
            theirs.records.1, ours.records.1
        ));
    }
    if ours.reset != theirs.reset {
        return Some(format!(
            "{what} {shared:?} is already read by {earlier}, with another offset_reset"
        ));
    }
    if ours.reading != theirs.reading {
        return Some(format!(
            "{what} {shared:?} is already read by {earlier}, with another timestamp_extractor or \
             other null records skipped: both are one source; say it in the first call"
        ));
    }
    None
}
