//! Which topics a source reads that names them by a regular expression.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use super::partition_counts::{PlanError, internal_topics, source_topics};
use super::plan::{GroupTopology, SubtopologyTopics};

/// A regular expression over whole topic names.
#[derive(Clone)]
pub struct TopicPattern {
    /// As the user wrote it.
    text: Arc<str>,
    regex: Regex,
}

impl TopicPattern {
    /// Compiles a pattern; what is wrong with it, if something is.
    pub fn new(pattern: &str) -> Result<Self, String> {
        // A group, so that alternatives are whole names too.
        let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| error.to_string())?;
        Ok(Self { text: pattern.into(), regex })
    }

    /// As the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `topic` matches. Kafka's own topics never do.
    pub fn matches(&self, topic: &str) -> bool {
        !topic.starts_with("__") && self.regex.is_match(topic)
    }
}

impl GroupTopology {
    /// Whether some source names its topics by a pattern.
    pub fn has_patterns(&self) -> bool {
        self.subtopologies.iter().any(|sub| !sub.patterns.is_empty())
    }

    /// The same with the topics among `existing` that its patterns match. What another source
    /// reads by name, and topics of the application's own, are left out.
    #[must_use]
    pub fn resolved<'a>(&self, existing: impl Iterator<Item = &'a Arc<str>>) -> Self {
        if !self.has_patterns() {
            return self.clone();
        }
        let mut resolved = self.clone();
        for topic in self.unnamed(existing) {
            let is_meant = |sub: &&mut SubtopologyTopics| sub.means(topic).next().is_some();
            if let Some(sub) = resolved.subtopologies.iter_mut().find(is_meant) {
                sub.source_topics.insert(topic.clone());
            }
        }
        resolved
    }

    /// A topic that more than one pattern matches: it is not clear which source is to read it.
    ///
    /// # Errors
    /// [`PlanError::MatchedTwice`].
    pub fn check_patterns<'a>(
        &self,
        existing: impl Iterator<Item = &'a Arc<str>>,
    ) -> Result<(), PlanError> {
        for topic in self.unnamed(existing) {
            let matching = self.subtopologies.iter().flat_map(|sub| sub.means(topic));
            let patterns: Vec<_> = matching.map(|pattern| pattern.as_str().to_owned()).collect();
            if patterns.len() > 1 {
                return Err(PlanError::MatchedTwice { topic: topic.clone(), patterns });
            }
        }
        Ok(())
    }

    /// What no source reads by name, and is none of the application's own.
    fn unnamed<'a>(
        &self,
        existing: impl Iterator<Item = &'a Arc<str>>,
    ) -> impl Iterator<Item = &'a Arc<str>> {
        let mut named = source_topics(self);
        named.extend(internal_topics(self).into_keys());
        named.extend(&self.global_topics);
        existing.filter(move |topic| !named.contains(*topic))
    }
}

impl SubtopologyTopics {
    /// The patterns that match a topic.
    fn means(&self, topic: &str) -> impl Iterator<Item = &TopicPattern> {
        self.patterns.iter().filter(move |pattern| pattern.matches(topic))
    }
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TopicPattern {}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicPattern({})", self.text)
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;
    use crate::assignment::InternalTopic;

    #[test]
    fn a_pattern_matches_whole_names() {
        let pattern = TopicPattern::new("orders-.*|returns").unwrap();
        assert!(pattern.matches("orders-eu") && pattern.matches("returns"));
        assert!(!pattern.matches("my-orders-eu") && !pattern.matches("returns-eu"));
        assert!(!TopicPattern::new(".*").unwrap().matches("__consumer_offsets"));
        assert!(TopicPattern::new("orders-(").unwrap_err().contains("unclosed"));
    }

    #[test]
    fn named_and_internal_topics_are_not_matched() {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        let sub = |number, topics: &[&str]| SubtopologyTopics {
            subtopology: number,
            source_topics: names(topics),
            ..SubtopologyTopics::default()
        };
        let mut topology = GroupTopology {
            subtopologies: vec![sub(0, &["orders-us"]), sub(1, &[])],
            ..GroupTopology::default()
        };
        topology.subtopologies[0]
            .changelogs
            .insert("orders-app-store-changelog".into(), InternalTopic::default());
        topology.subtopologies[1].patterns = vec![TopicPattern::new("orders-.*").unwrap()];
        let existing: BTreeSet<Arc<str>> =
            names(&["orders-us", "orders-eu", "other", "orders-app-store-changelog"]);
        let resolved = topology.resolved(existing.iter());
        assert_eq!(resolved.subtopologies[0], topology.subtopologies[0]);
        assert_eq!(resolved.subtopologies[1].source_topics, names(&["orders-eu"]));
        assert_eq!(topology.check_patterns(existing.iter()), Ok(()));
        topology.global_topics = names(&["orders-eu"]);
        assert_eq!(topology.resolved(existing.iter()), topology);
    }

    #[test]
    fn a_topic_that_two_patterns_match_is_a_mistake() {
        let patterns = ["orders-.*", ".*-eu", ".*-asia"].map(|p| TopicPattern::new(p).unwrap());
        let sub = SubtopologyTopics { patterns: patterns.to_vec(), ..Default::default() };
        let topology = GroupTopology { subtopologies: vec![sub], ..GroupTopology::default() };
        let check = |topic: &str| topology.check_patterns([&Arc::from(topic)].into_iter());
        assert_eq!(check("orders-us"), Ok(()));
        assert_eq!(check("returns-eu"), Ok(()));
        assert_eq!(
            check("orders-eu").unwrap_err().to_string(),
            "topic orders-eu matches more than one pattern, `orders-.*` and `.*-eu`: change them, \
             so that one source reads it"
        );
    }
}
