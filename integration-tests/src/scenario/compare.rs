//! Two results beside each other.

use std::collections::{BTreeMap, BTreeSet};

/// The first difference, with what is around it; `None` if there is none. That both refuse a
/// topology, or fail at one step, is the same whatever they say.
pub fn difference(jvm: &str, ours: &str) -> Option<String> {
    let (jvm_lines, our_lines) = (significant(jvm), significant(ours));
    // A time that the JVM leaves to its producer may be any.
    let untimed = |line: &str| line.rsplit_once(" @").map(|(before, _)| before.to_owned());
    let same = |a: &Line<'_>, b: &Line<'_>| {
        a.text == b.text
            || a.or.contains(&b.text)
            || (a.text.ends_with(" @-") && untimed(a.text) == untimed(b.text))
            || ["refused: ", "failed: "]
                .iter()
                .any(|what| a.text.starts_with(what) && b.text.starts_with(what))
    };
    let at = jvm_lines.iter().zip(&our_lines).position(|(a, b)| !same(a, b));
    let at = match at {
        Some(at) => at,
        None if jvm_lines.len() == our_lines.len() => return None,
        None => jvm_lines.len().min(our_lines.len()),
    };
    let step = jvm_lines[..at].iter().rev().map(|line| line.text);
    let step = step.into_iter().find(|line| !line.starts_with(' '));
    let from = at.saturating_sub(3);
    let around = |lines: &[Line<'_>]| {
        let mut text = String::new();
        for (n, line) in lines.iter().enumerate().skip(from).take(at - from + 6) {
            let mark = if n == at { '>' } else { ' ' };
            text.push_str(&format!("{mark} {}\n", line.text));
        }
        text
    };
    Some(format!(
        "at `{}`, line {}\n--- the JVM\n{}--- here\n{}",
        step.unwrap_or(""),
        at + 1,
        around(&jvm_lines),
        around(&our_lines)
    ))
}

/// What differs, roughly; failures that are made smaller stay of one sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// One side refuses the topology.
    Refused,
    /// The descriptions.
    Topology,
    /// What is written, or what is in the stores.
    Records,
}

/// The sort of a difference; `None` if there is none.
pub(super) fn sort_of_difference(jvm: &str, ours: &str) -> Option<Sort> {
    difference(jvm, ours)?;
    let refused = |result: &str| result.starts_with("topology\nrefused: ");
    let topology = |result: &str| result.split("step ").next().map(str::to_owned);
    if refused(jvm) || refused(ours) {
        Some(Sort::Refused)
    } else if topology(jvm) != topology(ours) {
        Some(Sort::Topology)
    } else {
        Some(Sort::Records)
    }
}

/// A line of a result; what may stand there as well.
#[derive(Default)]
struct Line<'a> {
    text: &'a str,
    or: Vec<&'a str>,
}

/// A result without what is left out of comparisons (docs/differences.md): of a changelog only the
/// last record of each key counts in each step, in the order of the keys, without headers, and none that
/// deletes what is not there. Where a step deletes a key several times, any of the deletions may be
/// the one that counts.
fn significant(result: &str) -> Vec<Line<'_>> {
    let mut present = BTreeSet::new();
    let mut lines = Vec::new();
    // Of the changelog in hand, by key: its last value and line.
    let mut changes: BTreeMap<&str, (&str, Line<'_>)> = BTreeMap::new();
    let mut of = "";
    for line in result.lines().chain([""]) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let change = match words[..] {
            [topic, key, value, ..] if line.starts_with("  ") && topic.ends_with("-changelog") => {
                Some((topic, key, value))
            }
            _ => None,
        };
        let topic = change.map_or("", |(topic, ..)| topic);
        if topic != of {
            for (key, (value, line)) in std::mem::take(&mut changes) {
                let says_something = if value == "-" {
                    present.remove(&(of, key))
                } else {
                    present.insert((of, key));
                    true
                };
                lines.extend(says_something.then_some(line));
            }
            of = topic;
        }
        match change {
            Some((_, key, value)) => {
                let headers = words.get(4).map_or(0, |headers| headers.len() + 1);
                let text = &line[..line.len() - headers];
                let (before, last) = changes.entry(key).or_default();
                let mut or = std::mem::take(&mut last.or);
                match (*before, value) {
                    ("-", "-") => or.push(last.text),
                    _ => or.clear(),
                }
                *before = value;
                *last = Line { text, or };
            }
            None if line.is_empty() => {}
            None => lines.push(Line { text: line, or: Vec::new() }),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_difference_is_shown() {
        let (jvm, ours) = ("step 1\n  out a 1 @1\n", "step 1\n  out a 2 @1\n");
        let shown = difference(jvm, ours).unwrap();
        assert!(shown.contains("at `step 1`, line 2"), "{shown}");
        assert!(shown.contains("> "), "{shown}");
        assert_eq!(difference(jvm, jvm), None);
        assert!(difference(jvm, "step 1\n").is_some());
        assert_eq!(difference("refused: a\n", "refused: b\n"), None);
        assert!(difference("refused: a\n", "step 1\n").is_some());
    }

    #[test]
    fn a_deletion_of_nothing_in_a_changelog_says_nothing() {
        let jvm = "step 1\n  s-changelog a - @1\n  s-changelog a x @1\n  s-changelog a - @2\n";
        let ours = "step 1\n  s-changelog a x @1\n  s-changelog a - @2\n";
        assert_eq!(difference(jvm, ours), None);
        assert!(difference(jvm, "step 1\n  s-changelog a x @2\n").is_some());
        let jvm = "step 1\n  s-changelog b x @1\n  s-changelog a x @1\n  s-changelog b y @2\n";
        let ours = "step 1\n  s-changelog a x @1\n  s-changelog b y @2\n";
        assert_eq!(difference(jvm, ours), None);
        assert!(difference(ours, "step 1\n  s-changelog b y @2\n").is_some());
    }

    #[test]
    fn of_several_deletions_of_a_step_any_may_be_the_one_that_counts() {
        let jvm =
            "step 1\n  s-changelog a x @1\nstep 2\n  s-changelog a - @5\n  s-changelog a - @3\n";
        let ours =
            |time| format!("step 1\n  s-changelog a x @1\nstep 2\n  s-changelog a - @{time}\n");
        assert_eq!(difference(jvm, &ours(5)), None);
        assert_eq!(difference(jvm, &ours(3)), None);
        assert!(difference(jvm, &ours(4)).is_some());
    }
}
