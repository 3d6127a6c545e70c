//! Random topologies: sources, then operators over whatever there is already, then sinks.

use std::collections::BTreeSet;

use super::theme::Theme;
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

pub(super) const NONE: Nulls = Nulls { keys: false, values: false };

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
}

/// What was cut, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Windows {
    pub(super) sessions: bool,
    pub(super) sliding: bool,
    pub(super) unlimited: bool,
    pub(super) cogrouped: bool,
    pub(super) on_close: bool,
}

pub(super) const TEXTS: Kind = Kind::Table { numbers: false, odd_old: false };

/// One result of an operator.
pub(super) struct Node {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) used: bool,
    /// The key was changed above, and not repartitioned since.
    pub(super) rekeyed: bool,
    /// The topics from which its records come.
    pub(super) roots: BTreeSet<String>,
    /// Of a versioned table: for how long it knows what was, in milliseconds.
    pub(super) history: Option<i64>,
}

pub(super) struct Topology<'a> {
    pub(super) random: &'a mut Random,
    pub(super) theme: Theme,
    pub(super) scenario: &'a mut Scenario,
    pub(super) nodes: Vec<Node>,
    pub(super) names: usize,
}

/// Makes the calls; the topics that they read.
pub(super) fn generate(
    random: &mut Random,
    theme: Theme,
    scenario: &mut Scenario,
) -> Vec<InputTopic> {
    let mut topology = Topology { random, theme, scenario, nodes: Vec::new(), names: 0 };
    let topics = topology.sources();
    for _ in 0..theme.operators(topology.random) {
        topology.operator();
    }
    topology.sinks();
    topics
}

impl Topology<'_> {
    /// Whether the JVM's record cache is before the store of this operator.
    pub(super) fn is_cached(&self, op: &Op) -> bool {
        self.scenario.options.contains_key("cache") && op.get("cache") != Some("off")
    }

    fn sources(&mut self) -> Vec<InputTopic> {
        let mut topics = Vec::new();
        for name in ["left", "right", "third"].iter().take(self.random.below(3) + 1) {
            let mut nulls = Nulls { keys: true, values: true };
            if self.random.percent(self.theme.tables()) {
                let op = self.op("table", &[("topic", name)]);
                let op = self.maybe_versioned(op);
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
        let parent = if !open.is_empty() && self.random.percent(self.theme.unread()) {
            let latest = self.theme.goes_deep(self.random).then(|| open.last()).flatten();
            latest.map_or_else(|| *self.random.pick(&open), |latest| *latest)
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

    /// Another node of a kind, if there is one.
    pub(super) fn other(&mut self, than: usize, kind: impl Fn(Kind) -> bool) -> Option<usize> {
        let fits = |&n: &usize| n != than && kind(self.nodes[n].kind);
        let all: Vec<usize> = (0..self.nodes.len()).filter(fits).collect();
        (!all.is_empty()).then(|| *self.random.pick(&all))
    }

    pub(super) fn one(
        &mut self,
        parent: usize,
        call: &str,
        params: &[(&'static str, &str)],
        kind: Kind,
    ) {
        let params: Vec<_> = params.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        let op = self.below(parent, call, &params);
        let op = self.maybe_named(op);
        self.add(op, kind);
    }

    pub(super) fn below(
        &mut self,
        parent: usize,
        call: &str,
        params: &[(&'static str, String)],
    ) -> Op {
        self.nodes[parent].used = true;
        let params: Vec<_> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut op = self.op(call, &params);
        op.parents.push(self.nodes[parent].id.clone());
        op
    }

    pub(super) fn op(&self, call: &str, params: &[(&'static str, &str)]) -> Op {
        let params = params.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Op { call: call.to_owned(), params: params.collect(), ..Op::default() }
    }

    pub(super) fn maybe_named(&mut self, mut op: Op) -> Op {
        if self.random.percent(25) {
            self.names += 1;
            op.params.insert("name".to_owned(), format!("name{}", self.names));
        }
        op
    }

    /// A named store has further options.
    pub(super) fn maybe_stored(&mut self, op: Op) -> Op {
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

    /// As [`maybe_stored`](Self::maybe_stored), of a store that may know what was. The JVM writes what
    /// is too old to the changelog, though not to the store, and forgets deletions that have the time
    /// of the value (docs/differences.md): tables that make such deletions are not versioned.
    pub(super) fn maybe_versioned(&mut self, op: Op) -> Op {
        let mut op = self.maybe_stored(op);
        if op.get("store").is_some() && !op.yes("null") && self.random.percent(30) {
            let history = *self.random.pick(&[5, 20, 50, 1_000_000]);
            op.params.insert("versioned".to_owned(), history.to_string());
            if history < 1_000_000 {
                op.params.insert("log".to_owned(), "off".to_owned());
            }
        }
        op
    }

    pub(super) fn id(&self) -> String {
        format!("n{}", self.scenario.ops.len())
    }

    pub(super) fn add(&mut self, op: Op, kind: Kind) {
        let id = self.id();
        let above = |parent: &String| self.nodes.iter().any(|n| n.id == *parent && n.rekeyed);
        let rekeyed = match &*op.call {
            "map" | "flat_map" | "select_key" | "unwindow" => true,
            "repartition" | "join_table" | "left_join_table" | "to_table" => false,
            "join_stream" | "left_join_stream" | "outer_join_stream" => false,
            _ => matches!(kind, Kind::Stream(_)) && op.parents.iter().any(above),
        };
        let topics = op.get("topic").into_iter().flat_map(|topics| topics.split(','));
        let mut roots: BTreeSet<String> = topics.map(str::to_owned).collect();
        for node in self.nodes.iter().filter(|node| op.parents.contains(&node.id)) {
            roots.extend(node.roots.iter().cloned());
        }
        let history = self.history(&op);
        self.nodes.push(Node { id: id.clone(), kind, used: false, rekeyed, roots, history });
        self.scenario.ops.push(Op { id: Some(id), ..op });
    }

    /// Without a store a table is what the one above it is.
    fn history(&self, op: &Op) -> Option<i64> {
        match (op.get("versioned"), &*op.call, op.get("store")) {
            (Some(history), ..) => history.parse().ok(),
            (None, "filter" | "filter_not" | "map_values", None) => {
                self.nodes.iter().find(|node| op.parents.contains(&node.id))?.history
            }
            _ => None,
        }
    }
}
