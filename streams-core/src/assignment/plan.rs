//! What the group needs to know of a topology: its sub-topologies and the topics they touch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::topic_pattern::TopicPattern;

/// The topics of all sub-topologies of one application. Every member derives it from its own
/// topology; the leader's one decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupTopology {
    /// In ascending order of their number. Numbers need not be dense: sub-topologies without
    /// tasks (global stores) take a number but do not appear here.
    pub subtopologies: Vec<SubtopologyTopics>,
    /// The topics of global stores, which no pattern of the others means.
    pub global_topics: BTreeSet<Arc<str>>,
}

/// The topics that the tasks of one sub-topology touch. Topics have the names that the broker
/// knows: those of internal topics carry the application id already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubtopologyTopics {
    /// The first number of its task ids.
    pub subtopology: u32,
    /// Users' topics that it reads. They must exist.
    pub source_topics: BTreeSet<Arc<str>>,
    /// Users' topics that it reads if they exist; see [`GroupTopology::resolved`].
    pub patterns: Vec<TopicPattern>,
    /// Internal topics that it reads.
    pub repartition_sources: BTreeMap<Arc<str>, InternalTopic>,
    /// Internal topics that it writes and some sub-topology reads.
    pub repartition_sinks: BTreeSet<Arc<str>>,
    /// Changelogs of its stores, those excepted that are a source topic themselves.
    pub changelogs: BTreeMap<Arc<str>, InternalTopic>,
    /// Sets of topics that it reads (users' or internal ones) which must have equally many
    /// partitions, because their records meet in one task.
    pub copartition_groups: Vec<BTreeSet<Arc<str>>>,
}

/// A topic that the library makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    /// How many partitions the user asked for; `None`: derived from what flows into it.
    pub partitions: Option<i32>,
    /// By the broker's names; complete: defaults, `topic.` settings and the store's own merged.
    pub configs: BTreeMap<String, String>,
    /// -1 is the broker's default.
    pub replication_factor: i16,
}

impl Default for InternalTopic {
    fn default() -> Self {
        Self { partitions: None, configs: BTreeMap::new(), replication_factor: -1 }
    }
}

impl GroupTopology {
    /// Equal for topologies whose tasks mean the same: the same sub-topologies, with the same
    /// topics. A member whose fingerprint is not the leader's cannot run the leader's tasks.
    ///
    /// Stable over versions of this library and of the compiler, as both may live in one group.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv1a::new();
        for sub in &self.subtopologies {
            hash.number(u64::from(sub.subtopology));
            hash.names(sub.source_topics.iter());
            let patterns: Vec<Arc<str>> = sub.patterns.iter().map(|p| p.as_str().into()).collect();
            if !patterns.is_empty() {
                hash.names(patterns.iter());
            }
            hash.names(sub.repartition_sources.keys());
            for topic in sub.repartition_sources.values() {
                hash.number(topic.partitions.map_or(0, |n| u64::from(n.unsigned_abs())));
            }
            hash.names(sub.repartition_sinks.iter());
            hash.names(sub.changelogs.keys());
            hash.number(sub.copartition_groups.len() as u64);
            for group in &sub.copartition_groups {
                hash.names(group.iter());
            }
        }
        hash.0
    }
}

/// The 64-bit FNV-1a hash: small, and fixed for all time.
struct Fnv1a(u64);

impl Fnv1a {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    fn names<'a>(&mut self, names: impl ExactSizeIterator<Item = &'a Arc<str>>) {
        self.number(names.len() as u64);
        for name in names {
            self.number(name.len() as u64);
            self.bytes(name.as_bytes());
        }
    }
}
