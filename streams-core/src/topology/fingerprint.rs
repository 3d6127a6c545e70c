//! What a topology keeps under which names, so that the next version of an application can be told
//! when a generated name has moved: its state would be another's, or left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::graph::Topology;

/// The stores and repartition topics of a topology, as text that can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// By kind and name.
    resources: BTreeMap<(String, String), Content>,
}

/// What lies under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    /// What a row means.
    rows: String,
    /// The topics of the same sub-topology, without generated ones: their names move as well.
    topics: BTreeSet<String>,
}

/// A generated name that does not mean what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The name is there, for something else.
    Replaced {
        /// `store` or `repartition topic`, and the name.
        what: String,
        /// What it was.
        before: String,
        /// What it is.
        now: String,
    },
    /// The name is gone, and others like it are new.
    Renamed {
        /// `store` or `repartition topic`, and the name.
        what: String,
        /// The new names.
        new: Vec<String>,
    },
}

const HEADER: &str = "streams topology 1";

impl Topology {
    /// Which stores and repartition topics there are.
    pub fn fingerprint(&self) -> Fingerprint {
        let graph = self.graph();
        let mut resources = BTreeMap::new();
        for sub in &graph.subtopologies {
            let read = || sub.nodes.iter().flat_map(|node| graph.source_topics(*node));
            let is_internal = |topic: &&Arc<str>| graph.internal_topics.contains_key(*topic);
            let is_named = |topic: &&Arc<str>| !is_internal(topic) || prefix(topic).is_none();
            let topics: BTreeSet<_> = read().filter(is_named).map(ToString::to_string).collect();
            let content = |rows: &str| Content { rows: rows.to_owned(), topics: topics.clone() };
            for store in sub.stores.iter().map(|store| &graph.stores[*store]) {
                let key = ("store".to_owned(), store.name().to_string());
                resources.insert(key, content(&store.spec().store_type));
            }
            for topic in read().filter(is_internal) {
                let key = ("repartition topic".to_owned(), topic.to_string());
                resources.insert(key, content("records"));
            }
        }
        Fingerprint { resources }
    }
}

impl Fingerprint {
    /// What was written with `Display`; `None` if it is no such text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let resource = |line: &str| {
            let mut fields = line.split('\t');
            let mut field = || fields.next().map(str::to_owned);
            let (key, rows) = ((field()?, field()?), field()?);
            let topics = field()?;
            let topics = topics.split(',').filter(|topic| !topic.is_empty()).map(str::to_owned);
            Some((key, Content { rows, topics: topics.collect() }))
        };
        Some(Self { resources: lines.map(resource).collect::<Option<_>>()? })
    }

    /// The generated names of `before` that moved. Names that a user gave mean what they say, and
    /// what was only added or only taken away has moved nothing.
    pub fn moved_since(&self, before: &Self) -> Vec<Moved> {
        let generated = before.resources.iter().filter(|((_, name), _)| prefix(name).is_some());
        generated.filter_map(|(key, was)| self.moved(before, key, was)).collect()
    }

    fn moved(&self, before: &Self, key: &(String, String), was: &Content) -> Option<Moved> {
        let (kind, name) = key;
        let what = format!("{kind} {name}");
        if let Some(now) = self.resources.get(key) {
            let moved = Moved::Replaced { what, before: was.to_string(), now: now.to_string() };
            return was.is_another_than(now).then_some(moved);
        }
        let is_like_it = |(k, n): &&(String, String)| k == kind && prefix(n) == prefix(name);
        let new = self.resources.keys().filter(|key| !before.resources.contains_key(*key));
        let new: Vec<_> = new.filter(is_like_it).map(|(_, name)| name.clone()).collect();
        (!new.is_empty()).then_some(Moved::Renamed { what, new })
    }
}

impl Content {
    /// More or fewer topics are still the same sub-topology: something was added to it or taken
    /// away.
    fn is_another_than(&self, other: &Self) -> bool {
        let apart = self.topics.is_disjoint(&other.topics);
        let known = !self.topics.is_empty() && !other.topics.is_empty();
        self.rows != other.rows || (known && apart)
    }
}

/// What comes before the ten digits of a generated name.
fn prefix(name: &str) -> Option<&str> {
    let base = name.strip_suffix("-repartition").unwrap_or(name);
    let (prefix, digits) = base.split_at_checked(base.len().checked_sub(10)?)?;
    (prefix.ends_with('-') && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(prefix)
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        for ((kind, name), what) in &self.resources {
            let topics: Vec<_> = what.topics.iter().map(String::as_str).collect();
            writeln!(f, "{kind}\t{name}\t{}\t{}", what.rows, topics.join(","))?;
        }
        Ok(())
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.topics.iter().map(String::as_str).collect();
        write!(f, "{} of {}", self.rows, topics.join(" and "))
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced { what, before, now } => {
                write!(f, "the {what} was {before}, and is now {now}")
            }
            Self::Renamed { what, new } => {
                write!(f, "the {what} is gone, and new is {}", new.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn fingerprint(resources: &[(&str, &str, &str)]) -> Fingerprint {
        let lines = resources.iter().map(|(kind, name, what)| format!("{kind}\t{name}\t{what}\n"));
        Fingerprint::parse(&format!("{HEADER}\n{}", lines.collect::<String>())).unwrap()
    }

    const A3: (&str, &str, &str) =
        ("store", "KSTREAM-AGGREGATE-STATE-STORE-0000000003", "key-value\ta");
    const A5: (&str, &str, &str) =
        ("store", "KSTREAM-AGGREGATE-STATE-STORE-0000000005", "key-value\ta");

    #[test]
    fn what_is_written_is_read() {
        let one =
            fingerprint(&[A3, ("repartition topic", "words-repartition", "records\twords,others")]);
        assert_eq!(Fingerprint::parse(&one.to_string()), Some(one));
        assert_eq!(Fingerprint::parse("streams topology 2\n"), None);
        assert_eq!(Fingerprint::parse("streams topology 1\nhalf a line"), None);
        assert_eq!(Fingerprint::parse(""), None);
    }

    #[test]
    fn additions_and_removals_move_nothing() {
        let named = ("store", "counts", "key-value\ta");
        for (before, now) in [
            (vec![A3], vec![A3, A5]),
            (vec![A3, A5], vec![A3]),
            (vec![A3], vec![(A3.0, A3.1, "key-value\ta,b")]),
            (vec![named], vec![A3]),
            (vec![named], vec![("store", "totals", "key-value\tb")]),
            (vec![named], vec![("store", "counts", "key-value\tb")]),
        ] {
            assert_eq!(fingerprint(&now).moved_since(&fingerprint(&before)), []);
        }
    }

    #[test]
    fn a_generated_name_that_moved_is_found() {
        let moved = fingerprint(&[A5]).moved_since(&fingerprint(&[A3]));
        assert_eq!(
            moved.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["the store KSTREAM-AGGREGATE-STATE-STORE-0000000003 is gone, and new is \
              KSTREAM-AGGREGATE-STATE-STORE-0000000005"]
        );
        let other = (A3.0, A3.1, "key-value\tb");
        let moved = fingerprint(&[other]).moved_since(&fingerprint(&[A3]));
        assert!(matches!(&moved[..], [Moved::Replaced { .. }]), "{moved:?}");
    }

    #[test]
    fn generated_names_end_in_ten_digits() {
        assert_eq!(prefix("KSTREAM-MAP-0000000004-repartition"), Some("KSTREAM-MAP-"));
        assert_eq!(prefix("in-STATE-STORE-0000000001"), Some("in-STATE-STORE-"));
        assert_eq!(prefix("counts"), None);
        assert_eq!(prefix("counts-000000001"), None);
        assert_eq!(prefix("ünïcödéß"), None);
    }
}
