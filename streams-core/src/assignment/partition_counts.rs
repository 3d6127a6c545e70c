//! How many partitions each topic of the application has or must have, and thereby which tasks
//! exist. Counts come out as in Kafka Streams, so that topics it made can be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::plan::{GroupTopology, InternalTopic};
use crate::client::NewTopic;
use crate::task_id::TaskId;

/// Partition counts by topic.
pub type Counts = BTreeMap<Arc<str>, i32>;

/// What follows from the topology and the partitions of the users' topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionPlan {
    /// Of every topic: users', repartition topics and changelogs.
    pub counts: Counts,
    /// Every task, in order: for each sub-topology as many as its largest source has partitions.
    pub tasks: Vec<TaskId>,
    /// The tasks that have a changelog.
    pub stateful: BTreeSet<TaskId>,
}

/// Why the tasks cannot be laid out. Only somebody who changes topics or the topology can help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Users' topics that are read do not exist.
    #[error("missing source topics: {}: create them, then start the application again", list(.0))]
    MissingSourceTopics(BTreeSet<Arc<str>>),
    /// More than one source could read a topic.
    #[error(
        "topic {topic} matches more than one pattern, `{}`: change them, so that one source reads \
         it",
        .patterns.join("` and `")
    )]
    MatchedTwice {
        /// Its name.
        topic: Arc<str>,
        /// Those that match it.
        patterns: Vec<String>,
    },
    /// Topics whose records meet in one task have different partition counts.
    #[error(
        "topics that are joined or merged by key need equally many partitions, but sub-topology \
         {subtopology} reads {}: create them anew with equal counts, or repartition one of them",
        counted(.topics)
    )]
    NotCopartitioned {
        /// Which one reads them.
        subtopology: u32,
        /// All whose count is given, with that count.
        topics: Counts,
    },
    /// Nothing that has a known count flows into these repartition topics.
    #[error(
        "cannot derive the number of partitions of {}, because they feed only each other: give \
         one of them a number of partitions in its `Repartitioned` options",
        list(.0)
    )]
    Undetermined(BTreeSet<Arc<str>>),
    /// An internal topic exists with another count than needed.
    #[error(
        "internal topics have the wrong number of partitions: {}: the partitions of a source \
         topic or the topology changed; reset the application (stop it, delete these topics and \
         its local state), or use another application id",
        wrong(.0)
    )]
    WrongInternalCount(Vec<WrongCount>),
}

/// One internal topic that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongCount {
    /// Its name.
    pub topic: Arc<str>,
    /// What the plan needs.
    pub expected: i32,
    /// What the broker has.
    pub found: i32,
}

impl PartitionPlan {
    /// Lays out tasks and internal topics. `users` are the counts of the users' topics; those
    /// that do not exist are not in it.
    pub fn new(topology: &GroupTopology, users: &Counts) -> Result<Self, PlanError> {
        require_sources(topology, users)?;
        let mut counts = known_counts(topology, users);
        derive_repartition_counts(topology, &mut counts)?;
        align_copartitioned(topology, users, &mut counts)?;
        let mut plan = Self { counts, ..Self::default() };
        for sub in &topology.subtopologies {
            let sources = sub.source_topics.iter().chain(sub.repartition_sources.keys());
            let tasks = sources.filter_map(|t| plan.counts.get(t)).copied().max().unwrap_or(0);
            let ids = (0..tasks).map(|p| TaskId::new(sub.subtopology, p));
            plan.tasks.extend(ids.clone());
            if !sub.changelogs.is_empty() && tasks > 0 {
                plan.stateful.extend(ids);
                plan.counts.extend(sub.changelogs.keys().map(|t| (t.clone(), tasks)));
            }
        }
        plan.tasks.sort_unstable();
        Ok(plan)
    }

    /// The internal topics that do not exist, ready to be made. `existing` are counts as the
    /// broker has them; a count that is not the plan's is an error.
    pub fn missing_internal(
        &self,
        topology: &GroupTopology,
        existing: &Counts,
    ) -> Result<Vec<NewTopic>, PlanError> {
        let mut missing = Vec::new();
        let mut wrong = Vec::new();
        for (name, topic) in internal_topics(topology) {
            let Some(&expected) = self.counts.get(name) else { continue };
            match existing.get(name) {
                None => missing.push(new_topic(name, topic, expected)),
                Some(&found) if found == expected => {}
                Some(&found) => wrong.push(WrongCount { topic: name.clone(), expected, found }),
            }
        }
        if wrong.is_empty() { Ok(missing) } else { Err(PlanError::WrongInternalCount(wrong)) }
    }
}

/// Every internal topic, by name; each once.
pub fn internal_topics(topology: &GroupTopology) -> BTreeMap<&Arc<str>, &InternalTopic> {
    let subs = topology.subtopologies.iter();
    subs.flat_map(|sub| sub.repartition_sources.iter().chain(sub.changelogs.iter())).collect()
}

/// Every users' topic that is read.
pub fn source_topics(topology: &GroupTopology) -> BTreeSet<&Arc<str>> {
    topology.subtopologies.iter().flat_map(|sub| sub.source_topics.iter()).collect()
}

fn require_sources(topology: &GroupTopology, users: &Counts) -> Result<(), PlanError> {
    let missing: BTreeSet<_> = source_topics(topology)
        .into_iter()
        .filter(|topic| !users.contains_key(*topic))
        .cloned()
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(PlanError::MissingSourceTopics(missing)) }
}

/// The users' topics, and what users enforced on repartition topics.
fn known_counts(topology: &GroupTopology, users: &Counts) -> Counts {
    let mut counts: Counts =
        source_topics(topology).into_iter().map(|topic| (topic.clone(), users[topic])).collect();
    for sub in &topology.subtopologies {
        let enforced = sub.repartition_sources.iter();
        counts.extend(enforced.filter_map(|(name, t)| Some((name.clone(), t.partitions?))));
    }
    counts
}

/// Fills in the rest: the maximum over all sources of all sub-topologies that write the topic.
/// A sub-topology's own sources may be repartition topics, even ones that it writes itself, so
/// counts grow from what is known until nothing changes.
fn derive_repartition_counts(
    topology: &GroupTopology,
    counts: &mut Counts,
) -> Result<(), PlanError> {
    let subs = &topology.subtopologies;
    let open: BTreeSet<Arc<str>> = subs
        .iter()
        .flat_map(|sub| sub.repartition_sources.keys())
        .filter(|topic| !counts.contains_key(*topic))
        .cloned()
        .collect();
    let mut grew = true;
    while grew {
        grew = false;
        for topic in &open {
            let most = inflow(topology, counts, topic);
            if let Some(most) = most.filter(|_| most > counts.get(topic).copied()) {
                counts.insert(topic.clone(), most);
                grew = true;
            }
        }
    }
    let unknown: BTreeSet<_> = open.into_iter().filter(|t| !counts.contains_key(t)).collect();
    if unknown.is_empty() { Ok(()) } else { Err(PlanError::Undetermined(unknown)) }
}

/// The largest count so far that flows into the topic; `None` if none is known.
fn inflow(topology: &GroupTopology, counts: &Counts, topic: &Arc<str>) -> Option<i32> {
    let writers = topology.subtopologies.iter().filter(|sub| sub.repartition_sinks.contains(topic));
    let sources =
        writers.flat_map(|sub| sub.source_topics.iter().chain(sub.repartition_sources.keys()));
    sources.filter_map(|source| counts.get(source)).copied().max()
}

/// Within a group, counts that are given (users' topics, enforced ones) must agree and hold for
/// all; where none is given, the largest derived one does.
fn align_copartitioned(
    topology: &GroupTopology,
    users: &Counts,
    counts: &mut Counts,
) -> Result<(), PlanError> {
    let internal = internal_topics(topology);
    for sub in &topology.subtopologies {
        for group in merge_overlapping(&sub.copartition_groups) {
            let given: Counts = group
                .iter()
                .filter(|t| match internal.get(*t) {
                    Some(internal) => internal.partitions.is_some(),
                    None => users.contains_key(*t),
                })
                .filter_map(|t| Some((t.clone(), *counts.get(t)?)))
                .collect();
            let distinct: BTreeSet<i32> = given.values().copied().collect();
            if distinct.len() > 1 {
                let subtopology = sub.subtopology;
                return Err(PlanError::NotCopartitioned { subtopology, topics: given });
            }
            let derived = || group.iter().filter_map(|t| counts.get(t)).copied().max();
            let Some(count) = distinct.first().copied().or_else(derived) else { continue };
            for topic in group.iter().filter(|t| internal.contains_key(*t)) {
                counts.insert(topic.clone(), count);
            }
        }
    }
    Ok(())
}

/// Groups that share a topic are one group: equality is transitive.
fn merge_overlapping(groups: &[BTreeSet<Arc<str>>]) -> Vec<BTreeSet<Arc<str>>> {
    let mut merged: Vec<BTreeSet<Arc<str>>> = Vec::new();
    for group in groups {
        let mut group = group.clone();
        merged.retain(|other| {
            let apart = other.is_disjoint(&group);
            if !apart {
                group.extend(other.iter().cloned());
            }
            apart
        });
        merged.push(group);
    }
    merged
}

fn new_topic(name: &Arc<str>, topic: &InternalTopic, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.clone(),
        partitions,
        replication_factor: topic.replication_factor,
        configs: topic.configs.clone(),
    }
}

fn list(topics: &BTreeSet<Arc<str>>) -> String {
    topics.iter().map(|topic| &**topic).collect::<Vec<_>>().join(", ")
}

fn counted(topics: &Counts) -> String {
    let topics = topics.iter().map(|(topic, n)| format!("{topic} ({n} partitions)"));
    topics.collect::<Vec<_>>().join(", ")
}

fn wrong(topics: &[WrongCount]) -> String {
    let topics =
        topics.iter().map(|t| format!("{} (expected {}, found {})", t.topic, t.expected, t.found));
    topics.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::assignment::SubtopologyTopics;

    fn names(of: &[&str]) -> BTreeSet<Arc<str>> {
        of.iter().map(|name| Arc::from(*name)).collect()
    }

    fn counts(of: &[(&str, i32)]) -> Counts {
        of.iter().map(|(name, n)| (Arc::from(*name), *n)).collect()
    }

    fn internal(of: &[(&str, Option<i32>)]) -> BTreeMap<Arc<str>, InternalTopic> {
        let topic = |partitions| InternalTopic { partitions, ..InternalTopic::default() };
        of.iter().map(|(name, n)| (Arc::from(*name), topic(*n))).collect()
    }

    fn sub(number: u32, sources: &[&str], sinks: &[&str]) -> SubtopologyTopics {
        SubtopologyTopics {
            subtopology: number,
            source_topics: names(sources),
            repartition_sinks: names(sinks),
            ..SubtopologyTopics::default()
        }
    }

    fn topology(subtopologies: Vec<SubtopologyTopics>) -> GroupTopology {
        GroupTopology { subtopologies, ..GroupTopology::default() }
    }

    #[test]
    fn repartition_counts_are_the_largest_inflow_through_several_hops() {
        let second = SubtopologyTopics {
            repartition_sources: internal(&[("r1", None)]),
            changelogs: internal(&[("log", None)]),
            ..sub(1, &[], &["r2"])
        };
        let third = SubtopologyTopics {
            repartition_sources: internal(&[("r2", None)]),
            ..sub(2, &["c"], &[])
        };
        let all = topology(vec![sub(0, &["a", "b"], &["r1"]), second, third]);
        let plan = PartitionPlan::new(&all, &counts(&[("a", 2), ("b", 5), ("c", 7)])).unwrap();
        let expected = [("a", 2), ("b", 5), ("c", 7), ("log", 5), ("r1", 5), ("r2", 5)];
        assert_eq!(plan.counts, counts(&expected));
        assert_eq!(plan.tasks.len(), 5 + 5 + 7);
        assert_eq!(plan.stateful, (0..5).map(|p| TaskId::new(1, p)).collect());
    }

    #[test]
    fn a_subtopology_may_read_what_it_writes() {
        let only = SubtopologyTopics {
            repartition_sources: internal(&[("r1", None), ("r2", None)]),
            ..sub(0, &["a", "b"], &["r1", "r2"])
        };
        let plan =
            PartitionPlan::new(&topology(vec![only]), &counts(&[("a", 2), ("b", 3)])).unwrap();
        assert_eq!(plan.counts, counts(&[("a", 2), ("b", 3), ("r1", 3), ("r2", 3)]));
    }

    #[test]
    fn an_enforced_count_holds_and_flows_on() {
        let second = SubtopologyTopics {
            repartition_sources: internal(&[("r1", Some(12))]),
            ..sub(1, &[], &["r2"])
        };
        let third = SubtopologyTopics {
            repartition_sources: internal(&[("r2", None)]),
            ..sub(2, &[], &[])
        };
        let all = topology(vec![sub(0, &["a"], &["r1"]), second, third]);
        let plan = PartitionPlan::new(&all, &counts(&[("a", 2)])).unwrap();
        assert_eq!(plan.counts, counts(&[("a", 2), ("r1", 12), ("r2", 12)]));
    }

    #[test]
    fn a_copartitioned_repartition_topic_takes_the_count_of_the_users_topic() {
        let joined = SubtopologyTopics {
            repartition_sources: internal(&[("r", None)]),
            copartition_groups: vec![names(&["r", "b"])],
            ..sub(1, &["b"], &[])
        };
        let all = topology(vec![sub(0, &["a"], &["r"]), joined]);
        let plan = PartitionPlan::new(&all, &counts(&[("a", 9), ("b", 4)])).unwrap();
        assert_eq!(plan.counts["r"], 4);
        assert_eq!(plan.tasks.iter().filter(|t| t.subtopology == 1).count(), 4);
    }

    #[test]
    fn a_group_of_derived_topics_takes_the_largest() {
        let joined = SubtopologyTopics {
            repartition_sources: internal(&[("r1", None), ("r2", None)]),
            copartition_groups: vec![names(&["r1", "r2"])],
            ..sub(2, &[], &[])
        };
        let all = topology(vec![sub(0, &["a"], &["r1"]), sub(1, &["b"], &["r2"]), joined]);
        let plan = PartitionPlan::new(&all, &counts(&[("a", 3), ("b", 8)])).unwrap();
        assert_eq!((plan.counts["r1"], plan.counts["r2"]), (8, 8));
    }

    #[test]
    fn unequal_topics_of_one_group_are_named_with_their_counts() {
        let joined = |groups: &[&[&str]]| SubtopologyTopics {
            repartition_sources: internal(&[("r", Some(3))]),
            copartition_groups: groups.iter().map(|group| names(group)).collect(),
            ..sub(1, &["a", "b"], &[])
        };
        let users = counts(&[("a", 3), ("b", 4)]);
        let error = PartitionPlan::new(&topology(vec![joined(&[&["a", "b"]])]), &users);
        let text = error.unwrap_err().to_string();
        assert!(text.contains("a (3 partitions), b (4 partitions)"), "{text}");
        // Also when they meet only by way of a third, and when a count is enforced.
        let error =
            PartitionPlan::new(&topology(vec![joined(&[&["a", "r"], &["r", "b"]])]), &users);
        assert!(matches!(error, Err(PlanError::NotCopartitioned { subtopology: 1, .. })));
        let error = PartitionPlan::new(&topology(vec![joined(&[&["b", "r"]])]), &users);
        assert!(matches!(error, Err(PlanError::NotCopartitioned { .. })));
        assert!(PartitionPlan::new(&topology(vec![joined(&[&["a", "r"]])]), &users).is_ok());
    }

    #[test]
    fn all_missing_sources_are_named() {
        let all = topology(vec![sub(0, &["a", "b"], &[]), sub(1, &["c"], &[])]);
        let error = PartitionPlan::new(&all, &counts(&[("b", 1)])).unwrap_err();
        assert_eq!(error, PlanError::MissingSourceTopics(names(&["a", "c"])));
    }

    #[test]
    fn topics_that_feed_only_each_other_are_an_error() {
        let first = SubtopologyTopics {
            repartition_sources: internal(&[("x", None)]),
            ..sub(0, &[], &["y"])
        };
        let second = SubtopologyTopics {
            repartition_sources: internal(&[("y", None)]),
            ..sub(1, &[], &["x"])
        };
        let error = PartitionPlan::new(&topology(vec![first, second]), &Counts::new()).unwrap_err();
        assert_eq!(error, PlanError::Undetermined(names(&["x", "y"])));
    }

    #[test]
    fn existing_internal_topics_must_fit_and_others_are_made() {
        let counting = SubtopologyTopics {
            changelogs: internal(&[("log", None), ("log2", None)]),
            ..sub(0, &["a"], &[])
        };
        let all = topology(vec![counting]);
        let plan = PartitionPlan::new(&all, &counts(&[("a", 6)])).unwrap();
        let missing = plan.missing_internal(&all, &counts(&[("log", 6)])).unwrap();
        assert_eq!(missing.len(), 1);
        assert_eq!((&*missing[0].name, missing[0].partitions), ("log2", 6));
        let error = plan.missing_internal(&all, &counts(&[("log", 4)])).unwrap_err();
        assert!(error.to_string().contains("log (expected 6, found 4)"), "{error}");
    }
}
