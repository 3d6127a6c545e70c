//! Operators of streams.

use super::functions::{KEYS, MAPPINGS, NULLING, PREDICATES, STREAM_JOINERS};
use super::topology::{Kind, NONE, Node, Nulls, TEXTS, Topology};
use crate::scenario::Op;

impl Topology<'_> {
    pub(super) fn below_stream(&mut self, parent: usize, nulls: Nulls) {
        let same = Kind::Stream(nulls);
        let plain = nulls == NONE;
        let choice =
            if plain { self.theme.below_stream(self.random) } else { self.random.below(11) };
        match choice {
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
            10 if !plain => self.join_stream(parent, nulls),
            10 | 11 => {
                let k = *self.random.pick(KEYS);
                self.one(parent, "group_by", &[("k", k)], Kind::Grouped);
            }
            12 | 13 => self.one(parent, "group_by_key", &[], Kind::Grouped),
            14 => self.as_table(parent),
            15 | 16 => self.join_table(parent),
            _ => self.join_stream(parent, nulls),
        }
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
            self.nodes.push(Node { id, kind, used: false, rekeyed, roots, history: None });
        }
        self.scenario.ops.push(Op { id: Some(id), ..op });
    }

    fn merge(&mut self, parent: usize, kind: Kind) {
        let Some(other) = self.other(parent, |other| other == kind) else { return };
        // Both may be the same source: then `build()` refuses (docs/differences.md).
        if self.source_of(parent).is_some() && self.source_of(parent) == self.source_of(other) {
            return;
        }
        // A join may lie between, above which a repartition topic would move in the JVM
        // (docs/differences.md).
        let ids = [&self.nodes[parent].id, &self.nodes[other].id];
        let optimizes = self.scenario.options.contains_key("optimize");
        if optimizes && (self.is_above(ids[0], ids[1]) || self.is_above(ids[1], ids[0])) {
            return;
        }
        let mut op = self.below(parent, "merge", &[]);
        self.nodes[other].used = true;
        op.parents.push(self.nodes[other].id.clone());
        let op = self.maybe_named(op);
        self.add(op, kind);
    }

    /// Whether records of `above` come to `below`.
    fn is_above(&self, above: &str, below: &str) -> bool {
        let operator = |id: &str| id.split('.').next().unwrap_or_default().to_owned();
        let (above, mut next) = (operator(above), vec![operator(below)]);
        while let Some(id) = next.pop() {
            if id == above {
                return true;
            }
            let ops = self.scenario.ops.iter().filter(|op| op.id.as_deref() == Some(&*id));
            next.extend(ops.flat_map(|op| &op.parents).map(|parent| operator(parent)));
        }
        false
    }

    fn as_table(&mut self, parent: usize) {
        let op = self.below(parent, "to_table", &[]);
        // Named, its store would not go with a repartition topic of a generated name.
        let op = if self.nodes[parent].rekeyed { op } else { self.maybe_versioned(op) };
        self.add(op, TEXTS);
    }

    fn join_table(&mut self, parent: usize) {
        let Some(other) = self.other(parent, |other| other == TEXTS) else { return };
        let call = *self.random.pick(&["join_table", "left_join_table"]);
        let f = *self.random.pick(STREAM_JOINERS);
        let mut op = self.below(parent, call, &[("f", f.to_owned())]);
        if let Some(history) = self.nodes[other].history
            && self.random.percent(50)
        {
            let grace = self.random.between(0, history.min(60));
            op.params.insert("grace".to_owned(), grace.to_string());
        }
        self.nodes[other].used = true;
        op.parents.push(self.nodes[other].id.clone());
        let op = self.maybe_named(op);
        self.add(op, Kind::Stream(NONE));
    }

    fn join_stream(&mut self, parent: usize, nulls: Nulls) {
        let like = |kind| matches!(kind, Kind::Stream(other) if other.keys == nulls.keys);
        let other = if self.random.percent(15) { None } else { self.other(parent, like) };
        let other = other.unwrap_or(parent);
        let call = *self.random.pick(&["join_stream", "left_join_stream", "outer_join_stream"]);
        let (before, after) = *self.random.pick(&[(10, 10), (0, 20), (50, 5), (30, -5), (-2, 40)]);
        let nulls_of = |node: usize| matches!(self.nodes[node].kind, Kind::Stream(n) if n.values);
        let has_nulls = nulls_of(parent) || nulls_of(other);
        // A record without a value moves the time of the JVM's store in memory, which is used here, but
        // not that of its store on disk.
        let grace = if has_nulls { 1_000_000 } else { *self.random.pick(&[0, 10, 100, 1_000_000]) };
        let params = [
            ("f", self.random.pick(STREAM_JOINERS).to_string()),
            ("before", before.to_string()),
            ("after", after.to_string()),
            ("grace", grace.to_string()),
        ];
        let mut op = self.below(parent, call, &params);
        self.nodes[other].used = true;
        op.parents.push(self.nodes[other].id.clone());
        let mut op = self.maybe_named(op);
        if self.random.percent(30) {
            self.names += 1;
            op.params.insert("store".to_owned(), format!("store{}", self.names));
        }
        // What is too old is in the JVM's changelog, though not in its store (docs/differences.md).
        if grace < 1_000_000 {
            op.params.insert("log".to_owned(), "off".to_owned());
        }
        self.add(op, Kind::Stream(Nulls { values: false, ..nulls }));
    }

    /// The topic that this node itself reads.
    pub(super) fn source_of(&self, node: usize) -> Option<&str> {
        let id = Some(&*self.nodes[node].id);
        self.scenario.ops.iter().find(|op| op.id.as_deref() == id)?.get("topic")
    }

    pub(super) fn mapping(&mut self) -> (Vec<(&'static str, String)>, bool) {
        let f = *self.random.pick(MAPPINGS);
        if self.random.percent(20) {
            let f = format!("{f}{}", self.random.pick(NULLING));
            return (vec![("f", f), ("null", "yes".to_owned())], true);
        }
        (vec![("f", f.to_owned())], false)
    }
}
