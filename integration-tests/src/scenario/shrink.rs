//! A smaller scenario that still fails.

use std::collections::BTreeSet;

use super::{Op, Scenario, Step};

/// Leaves out what it can while `fails` holds; it is asked at most `tries` times.
pub fn shrink(
    scenario: &Scenario,
    mut tries: usize,
    mut fails: impl FnMut(&Scenario) -> bool,
) -> Scenario {
    let mut best = scenario.clone();
    loop {
        let mut smaller = false;
        let mut n = 0;
        // What was left out moves what comes next to the same number.
        while let Some(candidate) = candidate(&best, n) {
            if tries == 0 {
                return best;
            }
            match candidate {
                Some(candidate) if candidate != best => {
                    tries -= 1;
                    if fails(&candidate) {
                        best = candidate;
                        smaller = true;
                    } else {
                        n += 1;
                    }
                }
                _ => n += 1,
            }
        }
        if !smaller {
            return best;
        }
    }
}

/// The `n`th thing to try: `None` behind the last, `Some(None)` if it cannot be done.
fn candidate(scenario: &Scenario, n: usize) -> Option<Option<Scenario>> {
    let steps = scenario.steps.len();
    let ops = scenario.ops.len();
    // Runs of steps first, the later ones before the earlier: half of them, a quarter, and one.
    let sizes: Vec<usize> = [steps / 2, steps / 4, 1].into_iter().filter(|&s| s > 0).collect();
    let mut rest = n;
    for size in sizes {
        let runs = steps.div_ceil(size);
        if rest < runs {
            let end = steps - rest * size;
            let mut smaller = scenario.clone();
            smaller.steps.drain(end.saturating_sub(size)..end);
            return Some(Some(smaller));
        }
        rest -= runs;
    }
    if rest < ops {
        return Some(Some(without_op(scenario, ops - 1 - rest)));
    }
    rest -= ops;
    if rest < ops {
        return Some(bypassed(scenario, ops - 1 - rest));
    }
    rest -= ops;
    let options: Vec<(usize, &String)> = scenario
        .ops
        .iter()
        .enumerate()
        .flat_map(|(at, op)| op.params.keys().map(move |p| (at, p)))
        .collect();
    if rest < options.len() {
        let (at, name) = options[rest];
        let removable =
            ["name", "store", "cache", "log", "null", "default", "p2", "emit", "grace", "advance"];
        // What differs without these is known to differ.
        let needed = match name.as_str() {
            "store" => scenario.ops[at].yes("fresh") || scenario.ops[at].get("retention").is_some(),
            "retention" => true,
            _ => false,
        };
        if needed || !removable.contains(&name.as_str()) {
            return Some(None);
        }
        let mut smaller = scenario.clone();
        smaller.ops[at].params.remove(name);
        return Some(Some(smaller));
    }
    rest -= options.len();
    if rest < steps {
        let mut smaller = scenario.clone();
        if let Step::Record(input) = &mut smaller.steps[rest] {
            input.headers.clear();
        }
        return Some(Some(smaller));
    }
    rest -= steps;
    (rest == 0 && !scenario.options.is_empty()).then(|| {
        let mut smaller = scenario.clone();
        // Without these other things differ, too.
        smaller.options.retain(|name, _| name == "cache" || name == "stores");
        Some(smaller)
    })
}

/// Without a call and all that depend on it.
fn without_op(scenario: &Scenario, at: usize) -> Scenario {
    let mut gone: BTreeSet<String> = BTreeSet::new();
    let mut smaller = scenario.clone();
    smaller.ops.clear();
    for (n, op) in scenario.ops.iter().enumerate() {
        if n == at || op.parents.iter().any(|parent| gone.contains(root(parent))) {
            gone.extend(op.id.clone());
        } else {
            smaller.ops.push(op.clone());
        }
    }
    without_unread_topics(smaller)
}

/// Without a call: what was below it is below its parent.
fn bypassed(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let Op { id: Some(id), parents, .. } = &scenario.ops[at] else { return None };
    let parent = parents.first()?;
    let mut smaller = scenario.clone();
    smaller.ops.remove(at);
    for op in &mut smaller.ops {
        for other in op.parents.iter_mut().filter(|other| root(other) == id) {
            parent.clone_into(other);
        }
    }
    Some(without_unread_topics(smaller))
}

/// The id of a call, of one of its results.
fn root(id: &str) -> &str {
    id.split('.').next().unwrap_or(id)
}

fn without_unread_topics(mut scenario: Scenario) -> Scenario {
    let sources = scenario.ops.iter().filter(|op| op.parents.is_empty());
    let read: BTreeSet<&str> =
        sources.filter_map(|op| op.get("topic")).flat_map(|topics| topics.split(',')).collect();
    let is_read = |step: &Step| match step {
        Step::Record(input) => read.contains(&*input.topic),
        Step::Wall(_) => true,
    };
    let steps = scenario.steps.iter().filter(|step| is_read(step)).cloned().collect();
    scenario.steps = steps;
    scenario
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let text = "\
scenario big
option cache=on
s = stream topic=in
t = table topic=other
f = filter s p=v|has:a name=kept
m = map_values f f=v
g = group_by m k=v name=g
c = count g store=counts
to c topic=out
to t topic=copy
> in key=a value=1 at=1
> other key=a value=2 at=1
> in key=a value=3 at=1 headers=h:1
";
        let big = Scenario::parse_all(text).unwrap().remove(0);
        let fails = |s: &Scenario| {
            ["group_by", "count"].iter().all(|call| s.ops.iter().any(|op| op.call == *call))
                && s.steps.iter().any(|step| step.to_string().contains("value=3"))
        };
        let small = shrink(&big, 1000, fails);
        let wanted =
            "scenario big\noption cache=on\ns = stream topic=in\ng = group_by s k=v\nc = count g\n";
        assert_eq!(small.to_string(), format!("{wanted}> in key=a value=3 at=1\n"));
    }
}
