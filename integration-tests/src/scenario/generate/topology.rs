//! Random topologies: sources, then operators over whatever there is already, then sinks.

use std::collections::BTreeSet;

use crate::scenario::random::Random;
use crate::scenario::{Op, Scenario};

/// A topic that the topology reads.
pub(super) struct InputTopic {
    pub(super) name: String,
    pub(super) nulls: Nulls,
}

/// Where null may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Nulls {
    pub(super) keys: bool,
    pub(super) values: bool,
}

const NONE: Nulls = Nulls { keys: false, values: false };

/// What an operator returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stream(Nulls),
    /// `numbers`: of `count`. `odd_old`: in the JVM old values are not what the table had before
    /// (docs/differences.md), so that nobody below may ask for them.
    Table {
        numbers: bool,
        odd_old: bool,
    },
    Grouped,
    GroupedTable,
    Cogrouped,
    /// A group cut into windows.
    Windows(Windows),
    /// As `Table`, of keys in windows.
    WindowTable {
        numbers: bool,
        odd_old: bool,
    },
    /// A group that was co-grouped: the JVM refuses to use one with a name again.
    Taken,
}

/// What was cut, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Windows {
    sessions: bool,
    sliding: bool,
    cogrouped: bool,
    on_close: bool,
}

const TEXTS: Kind = Kind::Table { numbers: false, odd_old: false };

/// One result of an operator.
struct Node {
    id: String,
    kind: Kind,
    used: bool,
    /// The key was changed above, and not repartitioned since.
    rekeyed: bool,
    /// The topics from which its records come.
    roots: BTreeSet<String>,
}

struct Topology<'a> {
    random: &'a mut Random,
    scenario: &'a mut Scenario,
    nodes: Vec<Node>,
    names: usize,
    cache: bool,
}

const MAPPINGS: &[&str] = &[
    "v",
    "v|upper",
    "v|add:x",
    "k.v",
    "v|first",
    "v|len",
    "v|mod:2",
    "v|rev",
    "k",
    "v|last|add:y",
];
const KEYS: &[&str] = &["v|first", "v", "v|mod:2", "v|len", "k", "k.v", "v|last"];
const FOREIGN_KEYS: &[&str] = &["v|first", "v|first|null_if:x", "k", "v|last|null_if:b"];
const PREDICATES: &[&str] =
    &["v|has:a", "v|odd", "v|lt:b", "v|has:x", "k|is:a", "v|len|odd", "v|is:a", "k.v|odd"];
const JOINERS: &[&str] = &["a+b", "max", "a+b|first", "b/a", "min"];
const STREAM_JOINERS: &[&str] = &["a+b", "k:a+b", "max", "b"];
const FOLDS: &[&str] = &["a+b", "max", "min", "b", "a"];
const AGGREGATES: &[&str] = &["a+v", "max", "k/a/v", "v", "a|add:1"];
const NULLING: &[&str] = &["|null_if:x", "|null_if:b", "|null_if:1"];

/// Makes the calls; the topics that they read.
pub(super) fn generate(random: &mut Random, scenario: &mut Scenario) -> Vec<InputTopic> {
    let cache = scenario.options.contains_key("cache");
    let mut topology = Topology { random, scenario, nodes: Vec::new(), names: 0, cache };
    let topics = topology.sources();
    for _ in 0..topology.random.between(1, 7) {
        topology.operator();
    }
    topology.sinks();
    topics
}

impl Topology<'_> {
    fn sources(&mut self) -> Vec<InputTopic> {
        let mut topics = Vec::new();
        for name in ["left", "right", "third"].iter().take(self.random.below(3) + 1) {
            let mut nulls = Nulls { keys: true, values: true };
            if self.random.percent(50) {
                let op = self.op("table", &[("topic", name)]);
                let op = self.maybe_stored(op);
                self.add(op, TEXTS);
            } else {
                nulls = Nulls { keys: self.random.percent(15), values: self.random.percent(25) };
                let mut op = self.op("stream", &[("topic", name)]);
                let value = match (nulls.keys, nulls.values) {
                    (false, false) => None,
                    (true, false) => Some("keys"),
                    (false, true) => Some("values"),
                    (true, true) => Some("both"),
                };
                op.params.extend(value.map(|value| ("nulls".to_owned(), value.to_owned())));
                let op = self.maybe_named(op);
                self.add(op.clone(), Kind::Stream(nulls));
                if self.random.percent(10) {
                    let again = Op { id: None, ..op };
                    let mut again = Op { params: again.params.clone(), ..again };
                    again.params.remove("name");
                    self.add(again, Kind::Stream(nulls));
                }
            }
            topics.push(InputTopic { name: (*name).to_owned(), nulls });
        }
        topics
    }

    /// Appends one operator below a node, most often one that is not used yet.
    fn operator(&mut self) {
        let open: Vec<usize> = (0..self.nodes.len()).filter(|&n| !self.nodes[n].used).collect();
        let parent = if !open.is_empty() && self.random.percent(80) {
            *self.random.pick(&open)
        } else {
            self.random.below(self.nodes.len())
        };
        match self.nodes[parent].kind {
            Kind::Stream(nulls) => self.below_stream(parent, nulls),
            Kind::Table { numbers, odd_old } => self.below_table(parent, numbers, odd_old),
            Kind::Grouped => self.below_group(parent),
            Kind::GroupedTable => self.below_grouped_table(parent),
            Kind::Cogrouped => self.below_cogrouped(parent),
            Kind::Windows(windows) => self.below_windows(parent, windows),
            Kind::WindowTable { numbers, odd_old } => {
                self.below_window_table(parent, numbers, odd_old);
            }
            Kind::Taken => {}
        }
    }

    /// Groups are aggregated, and everything that nobody reads is written to a topic.
    fn sinks(&mut self) {
        let mut n = 0;
        // Co-grouping makes one more of them.
        while n < self.nodes.len() {
            match self.nodes[n].kind {
                Kind::Grouped if !self.nodes[n].used => self.below_group(n),
                Kind::GroupedTable if !self.nodes[n].used => self.below_grouped_table(n),
                Kind::Cogrouped if !self.nodes[n].used => self.below_cogrouped(n),
                Kind::Windows(windows) if !self.nodes[n].used => self.below_windows(n, windows),
                _ => {}
            }
            n += 1;
        }
        for n in 0..self.nodes.len() {
            let writes = matches!(
                self.nodes[n].kind,
                Kind::Stream(_) | Kind::Table { .. } | Kind::WindowTable { .. }
            );
            if writes && (!self.nodes[n].used || self.random.percent(25)) {
                let topic = format!("out-{}", self.nodes[n].id.replace('.', "-"));
                let mut op = self.op("to", &[("topic", &topic)]);
                op.parents.push(self.nodes[n].id.clone());
                let op = self.maybe_named(op);
                self.scenario.ops.push(op);
            }
        }
    }

    fn below_stream(&mut self, parent: usize, nulls: Nulls) {
        let same = Kind::Stream(nulls);
        let plain = nulls == NONE;
        match self.random.below(if plain { 17 } else { 10 }) {
            0 => {
                let call = *self.random.pick(&["filter", "filter_not"]);
                let p = *self.random.pick(PREDICATES);
                self.one(parent, call, &[("p", p)], same);
            }
            1 => {
                let (f, values) = self.mapping();
                let op = self.below(parent, "map_values", &f);
                self.add(op, Kind::Stream(Nulls { values, ..nulls }));
            }
            2 => {
                let k = *self.random.pick(KEYS);
                let (mut f, values) = self.mapping();
                f.push(("k", k.to_owned()));
                let op = self.below(parent, "map", &f);
                self.add(op, Kind::Stream(Nulls { keys: false, values }));
            }
            3 => {
                let f = *self.random.pick(&["v", "k.v", "v|upper"]);
                self.one(
                    parent,
                    "flat_map_values",
                    &[("f", f)],
                    Kind::Stream(Nulls { values: false, ..nulls }),
                );
            }
            4 => {
                let f = *self.random.pick(&["v", "k.v"]);
                let k = *self.random.pick(&["b", "k", "a|first", "b|mod:2"]);
                self.one(parent, "flat_map", &[("f", f), ("k", k)], Kind::Stream(NONE));
            }
            5 => {
                let k = *self.random.pick(KEYS);
                if self.random.percent(15) {
                    let k = format!("{k}{}", self.random.pick(NULLING));
                    let kind = Kind::Stream(Nulls { keys: true, ..nulls });
                    self.one(parent, "select_key", &[("k", &k), ("null", "yes")], kind);
                } else {
                    let kind = Kind::Stream(Nulls { keys: false, ..nulls });
                    self.one(parent, "select_key", &[("k", k)], kind);
                }
            }
            6 => self.split(parent, same),
            7 => self.merge(parent, same),
            // A merged repartition topic would move above it in the JVM (docs/differences.md).
            8 if nulls != NONE && self.scenario.options.contains_key("optimize") => {}
            8 if nulls.values => {
                let kind = Kind::Stream(Nulls { values: false, ..nulls });
                self.one(parent, "drop_null_values", &[], kind);
            }
            8 if nulls.keys => {
                self.one(
                    parent,
                    "drop_null_keys",
                    &[],
                    Kind::Stream(Nulls { keys: false, ..nulls }),
                );
            }
            8 => self.one(parent, "peek", &[], same),
            9 if nulls == (Nulls { keys: false, values: true }) => self.as_table(parent),
            9 if !nulls.keys => self.one(parent, "repartition", &[], same),
            9 => {}
            10 | 11 => {
                let k = *self.random.pick(KEYS);
                self.one(parent, "group_by", &[("k", k)], Kind::Grouped);
            }
            12 | 13 => self.one(parent, "group_by_key", &[], Kind::Grouped),
            14 => self.as_table(parent),
            _ => self.join_table(parent),
        }
    }

    fn below_table(&mut self, parent: usize, numbers: bool, odd_old: bool) {
        match self.random.below(if numbers || odd_old { 4 } else { 9 }) {
            // A filter takes old values if they are there.
            0 if odd_old => {}
            0 => {
                let call = *self.random.pick(&["filter", "filter_not"]);
                let p = *self.random.pick(PREDICATES);
                let op = self.below(parent, call, &[("p", p.to_owned())]);
                let op = self.maybe_stored(op);
                self.add(op, Kind::Table { numbers, odd_old });
            }
            1 | 2 => {
                let f = *self.random.pick(MAPPINGS);
                let op = self.below(parent, "map_values", &[("f", f.to_owned())]);
                let op = if odd_old { op } else { self.maybe_stored(op) };
                self.add(op, Kind::Table { numbers: false, odd_old });
            }
            3 if odd_old || (numbers && self.random.percent(50)) => {}
            4 if !numbers => {
                let nulls = Nulls { keys: false, values: true };
                self.one(parent, "to_stream", &[], Kind::Stream(nulls));
            }
            3 | 5 => {
                let (k, f) = (*self.random.pick(KEYS), *self.random.pick(MAPPINGS));
                self.one(parent, "group_by", &[("k", k), ("f", f)], Kind::GroupedTable);
            }
            6 if !numbers => self.join_on(parent),
            _ => self.join_tables(parent),
        }
    }

    fn windows(&mut self, parent: usize, cogrouped: bool) {
        let grace = self.random.pick(&[0, 0, 5, 20, 100]).to_string();
        let mut params = vec![("grace", grace)];
        let call = *self.random.pick(&["time_windows", "session_windows", "sliding_windows"]);
        match call {
            "time_windows" => {
                let size = *self.random.pick(&[10, 30, 60]);
                params.push(("size", size.to_string()));
                if self.random.percent(50) {
                    let advance = size / *self.random.pick(&[1, 2, 3, 5]);
                    params.push(("advance", advance.to_string()));
                }
            }
            "session_windows" => {
                params.push(("gap", self.random.pick(&[1, 5, 20, 50]).to_string()));
            }
            _ => params.push(("difference", self.random.pick(&[1, 5, 20, 50]).to_string())),
        }
        // Sessions that end together: the JVM's store in memory has another order than the one on disk.
        let on_close = !cogrouped && call != "session_windows" && self.random.percent(30);
        if on_close {
            params.push(("emit", "close".to_owned()));
        }
        let op = self.below(parent, call, &params);
        let sessions = call == "session_windows";
        let sliding = call == "sliding_windows";
        self.add(op, Kind::Windows(Windows { sessions, sliding, cogrouped, on_close }));
    }

    fn below_windows(&mut self, parent: usize, windows: Windows) {
        let Windows { sessions, cogrouped, .. } = windows;
        if cogrouped && self.nodes[parent].used {
            return;
        }
        let mut params = Vec::new();
        let mut numbers = false;
        let call = if cogrouped {
            "aggregate"
        } else {
            match self.random.below(3) {
                0 => {
                    numbers = true;
                    "count"
                }
                1 => {
                    params.push(("f", self.random.pick(FOLDS).to_string()));
                    "reduce"
                }
                _ if sessions => {
                    params.push(("f", self.random.pick(AGGREGATES).to_string()));
                    "aggregate"
                }
                _ => {
                    params = self.aggregate("f");
                    "aggregate"
                }
            }
        };
        if sessions && call == "aggregate" {
            params.push(("merge", self.random.pick(FOLDS).to_string()));
        }
        let op = self.below(parent, call, &params);
        let mut op = self.maybe_stored(op);
        if windows.on_close || cogrouped || sessions || windows.sliding {
            // What is as old as the store's retention, the JVM loses, or has in a cache only
            // (docs/differences.md).
            op.params.entry("store".to_owned()).or_insert_with(|| format!("store-of-{parent}"));
            op.params.insert("retention".to_owned(), "1000000".to_owned());
        } else if op.get("store").is_some() && self.random.percent(10) {
            op.params.insert("retention".to_owned(), "500".to_owned());
        }
        let fresh = numbers && !sessions && op.get("store").is_some();
        if fresh {
            op.params.insert("fresh".to_owned(), "yes".to_owned());
        }
        // Of sessions and sliding windows the JVM leaves old values out, or takes others.
        let tumbling = self
            .scenario
            .ops
            .iter()
            .any(|made| made.call == "time_windows" && made.id.as_ref() == op.parents.first());
        let odd_old = (!tumbling || (numbers && !fresh)) && !self.cache;
        self.add(op, Kind::WindowTable { numbers, odd_old });
    }

    fn below_window_table(&mut self, parent: usize, numbers: bool, odd_old: bool) {
        match self.random.below(7) {
            0 if !odd_old => {
                let call = *self.random.pick(&["filter", "filter_not"]);
                let p = *self.random.pick(PREDICATES);
                self.one(parent, call, &[("p", p)], Kind::WindowTable { numbers, odd_old });
            }
            5 | 6 if !odd_old && self.keeps_serde(parent) => {
                let until = *self.random.pick(&["close", "close", "0", "20", "100"]);
                let mut params = vec![("until", until)];
                if until != "close" && self.random.percent(30) {
                    params.push(("max", "2"));
                }
                let kind = Kind::WindowTable { numbers, odd_old: true };
                self.one(parent, "suppress", &params, kind);
            }
            1 => {
                let f = *self.random.pick(MAPPINGS);
                let kind = Kind::WindowTable { numbers: false, odd_old };
                self.one(parent, "map_values", &[("f", f)], kind);
            }
            2 | 3 if !numbers => {
                let op = self.below(parent, "unwindow", &[]);
                self.add(op, Kind::Stream(Nulls { keys: false, values: true }));
            }
            4 if !odd_old => {
                let (k, f) = (*self.random.pick(KEYS), *self.random.pick(MAPPINGS));
                self.one(parent, "group_by", &[("k", k), ("f", f)], Kind::GroupedTable);
            }
            _ => {}
        }
    }

    /// Whether a table of windows still has the serde of its aggregation.
    fn keeps_serde(&self, node: usize) -> bool {
        let id = Some(&self.nodes[node].id);
        let made = self.scenario.ops.iter().find(|op| op.id.as_ref() == id);
        made.is_some_and(|op| ["count", "reduce", "aggregate"].contains(&&*op.call))
    }

    fn below_cogrouped(&mut self, parent: usize) {
        if self.nodes[parent].used {
            return;
        }
        if self.random.percent(50) {
            return self.windows(parent, true);
        }
        let op = self.below(parent, "aggregate", &[]);
        let op = self.maybe_stored(op);
        self.add(op, TEXTS);
    }

    fn cogroup(&mut self, parent: usize) {
        if self.nodes[parent].used {
            return;
        }
        let f = *self.random.pick(AGGREGATES);
        let mut op = self.below(parent, "cogroup", &[("f", f.to_owned())]);
        self.nodes[parent].kind = Kind::Taken;
        if let Some(other) = self.other(parent, |other| other == Kind::Grouped)
            && !self.nodes[other].used
        {
            self.nodes[other].used = true;
            self.nodes[other].kind = Kind::Taken;
            op.parents.push(self.nodes[other].id.clone());
            op.params.insert("f2".to_owned(), self.random.pick(AGGREGATES).to_string());
        }
        self.add(op, Kind::Cogrouped);
    }

    fn below_group(&mut self, parent: usize) {
        match self.random.below(7) {
            3 => self.cogroup(parent),
            4..=6 => self.windows(parent, false),
            0 => {
                let op = self.below(parent, "count", &[]);
                let mut op = self.maybe_stored(op);
                let fresh = op.params.contains_key("store");
                if fresh {
                    op.params.insert("fresh".to_owned(), "yes".to_owned());
                }
                self.add(op, Kind::Table { numbers: true, odd_old: !fresh && !self.cache });
            }
            1 => {
                let f = *self.random.pick(FOLDS);
                let op = self.below(parent, "reduce", &[("f", f.to_owned())]);
                let op = self.maybe_stored(op);
                self.add(op, TEXTS);
            }
            _ => {
                let f = self.aggregate("f");
                let op = self.below(parent, "aggregate", &f);
                let op = self.maybe_stored(op);
                self.add(op, TEXTS);
            }
        }
    }

    fn below_grouped_table(&mut self, parent: usize) {
        let (kind, op) = match self.random.below(3) {
            0 => (Kind::Table { numbers: true, odd_old: false }, self.below(parent, "count", &[])),
            1 => {
                let f = self.random.pick(FOLDS).to_string();
                (TEXTS, self.below(parent, "reduce", &[("f", f), ("minus", "a-b".to_owned())]))
            }
            _ => {
                let mut f = self.aggregate("f");
                f.push(("minus", "a-v".to_owned()));
                (TEXTS, self.below(parent, "aggregate", &f))
            }
        };
        let op = self.maybe_stored(op);
        self.add(op, kind);
    }

    fn aggregate(&mut self, name: &'static str) -> Vec<(&'static str, String)> {
        let f = *self.random.pick(AGGREGATES);
        if self.random.percent(25) {
            let f = format!("{f}{}", self.random.pick(NULLING));
            return vec![(name, f), ("null", "yes".to_owned())];
        }
        vec![(name, f.to_owned())]
    }

    fn mapping(&mut self) -> (Vec<(&'static str, String)>, bool) {
        let f = *self.random.pick(MAPPINGS);
        if self.random.percent(20) {
            let f = format!("{f}{}", self.random.pick(NULLING));
            return (vec![("f", f), ("null", "yes".to_owned())], true);
        }
        (vec![("f", f.to_owned())], false)
    }

    fn split(&mut self, parent: usize, kind: Kind) {
        let p1 = self.random.pick(PREDICATES).to_string();
        let mut op = self.below(parent, "split", &[("p1", p1)]);
        let mut branches = vec![1];
        if self.random.percent(50) {
            op.params.insert("p2".to_owned(), self.random.pick(PREDICATES).to_string());
            branches.push(2);
        }
        if self.random.percent(60) {
            op.params.insert("default".to_owned(), "yes".to_owned());
            branches.push(0);
        }
        let op = self.maybe_named(op);
        let id = self.id();
        for branch in branches {
            let Node { rekeyed, ref roots, .. } = self.nodes[parent];
            let (id, roots) = (format!("{id}.{branch}"), roots.clone());
            self.nodes.push(Node { id, kind, used: false, rekeyed, roots });
        }
        self.scenario.ops.push(Op { id: Some(id), ..op });
    }

    fn merge(&mut self, parent: usize, kind: Kind) {
        let Some(other) = self.other(parent, |other| other == kind) else { return };
        // Both may be the same source: then `build()` refuses (docs/differences.md).
        if self.source_of(parent).is_some() && self.source_of(parent) == self.source_of(other) {
            return;
        }
        let mut op = self.below(parent, "merge", &[]);
        self.nodes[other].used = true;
        op.parents.push(self.nodes[other].id.clone());
        let op = self.maybe_named(op);
        self.add(op, kind);
    }

    fn as_table(&mut self, parent: usize) {
        let op = self.below(parent, "to_table", &[]);
        // Named, its store would not go with a repartition topic of a generated name.
        let op = if self.nodes[parent].rekeyed { op } else { self.maybe_stored(op) };
        self.add(op, TEXTS);
    }

    fn join_table(&mut self, parent: usize) {
        let Some(other) = self.other(parent, |other| other == TEXTS) else { return };
        let call = *self.random.pick(&["join_table", "left_join_table"]);
        let f = *self.random.pick(STREAM_JOINERS);
        let mut op = self.below(parent, call, &[("f", f.to_owned())]);
        self.nodes[other].used = true;
        op.parents.push(self.nodes[other].id.clone());
        let op = self.maybe_named(op);
        self.add(op, Kind::Stream(NONE));
    }

    fn join_on(&mut self, parent: usize) {
        let Some(other) = self.other(parent, |other| other == TEXTS) else { return };
        let call = *self.random.pick(&["join_on", "left_join_on"]);
        let (f, k) = (*self.random.pick(JOINERS), *self.random.pick(FOREIGN_KEYS));
        let params = [("f", f.to_owned()), ("k", k.to_owned())];
        let mut op = self.below(parent, call, &params);
        self.nodes[other].used = true;
        op.parents.push(self.nodes[other].id.clone());
        let op = self.maybe_stored(op);
        // Without a store nobody can say how its rows would be stored for those who ask.
        let odd_old = op.get("store").is_none();
        self.add(op, Kind::Table { numbers: false, odd_old });
    }

    fn join_tables(&mut self, parent: usize) {
        let Some(other) = self.other(parent, |other| other == TEXTS) else { return };
        let call = *self.random.pick(&["join", "left_join", "outer_join"]);
        let f = *self.random.pick(JOINERS);
        let mut op = self.below(parent, call, &[("f", f.to_owned())]);
        self.nodes[other].used = true;
        op.parents.push(self.nodes[other].id.clone());
        let op = self.maybe_stored(op);
        let diamond = !self.nodes[parent].roots.is_disjoint(&self.nodes[other].roots);
        let uncached = !self.cache || op.get("cache") == Some("off");
        let odd_old = diamond && uncached && op.get("store").is_some();
        self.add(op, Kind::Table { numbers: false, odd_old });
    }

    /// The topic that this node itself reads.
    fn source_of(&self, node: usize) -> Option<&str> {
        let id = Some(&*self.nodes[node].id);
        self.scenario.ops.iter().find(|op| op.id.as_deref() == id)?.get("topic")
    }

    /// Another node of a kind, if there is one.
    fn other(&mut self, than: usize, kind: impl Fn(Kind) -> bool) -> Option<usize> {
        let fits = |&n: &usize| n != than && kind(self.nodes[n].kind);
        let all: Vec<usize> = (0..self.nodes.len()).filter(fits).collect();
        (!all.is_empty()).then(|| *self.random.pick(&all))
    }

    fn one(&mut self, parent: usize, call: &str, params: &[(&'static str, &str)], kind: Kind) {
        let params: Vec<_> = params.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        let op = self.below(parent, call, &params);
        let op = self.maybe_named(op);
        self.add(op, kind);
    }

    fn below(&mut self, parent: usize, call: &str, params: &[(&'static str, String)]) -> Op {
        self.nodes[parent].used = true;
        let params: Vec<_> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut op = self.op(call, &params);
        op.parents.push(self.nodes[parent].id.clone());
        op
    }

    fn op(&self, call: &str, params: &[(&'static str, &str)]) -> Op {
        let params = params.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Op { call: call.to_owned(), params: params.collect(), ..Op::default() }
    }

    fn maybe_named(&mut self, mut op: Op) -> Op {
        if self.random.percent(25) {
            self.names += 1;
            op.params.insert("name".to_owned(), format!("name{}", self.names));
        }
        op
    }

    /// A named store has further options.
    fn maybe_stored(&mut self, op: Op) -> Op {
        let mut op = self.maybe_named(op);
        if self.random.percent(50) {
            self.names += 1;
            op.params.insert("store".to_owned(), format!("store{}", self.names));
            for option in ["cache", "log"] {
                if self.random.percent(5) {
                    op.params.insert(option.to_owned(), "off".to_owned());
                }
            }
        }
        op
    }

    fn id(&self) -> String {
        format!("n{}", self.scenario.ops.len())
    }

    fn add(&mut self, op: Op, kind: Kind) {
        let id = self.id();
        let above = |parent: &String| self.nodes.iter().any(|n| n.id == *parent && n.rekeyed);
        let rekeyed = match &*op.call {
            "map" | "flat_map" | "select_key" | "unwindow" => true,
            "repartition" | "join_table" | "left_join_table" | "to_table" => false,
            _ => matches!(kind, Kind::Stream(_)) && op.parents.iter().any(above),
        };
        let topics = op.get("topic").into_iter().flat_map(|topics| topics.split(','));
        let mut roots: BTreeSet<String> = topics.map(str::to_owned).collect();
        for node in self.nodes.iter().filter(|node| op.parents.contains(&node.id)) {
            roots.extend(node.roots.iter().cloned());
        }
        self.nodes.push(Node { id: id.clone(), kind, used: false, rekeyed, roots });
        self.scenario.ops.push(Op { id: Some(id), ..op });
    }
}
