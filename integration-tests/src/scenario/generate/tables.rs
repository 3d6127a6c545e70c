//! Operators of tables, and of grouped tables.

use super::functions::{FOLDS, FOREIGN_KEYS, JOINERS, KEYS, MAPPINGS, PREDICATES};
use super::topology::{Kind, Nulls, TEXTS, Topology};

/// Among the roots of a table: it may have rows of what is not there, made by `transform_values`.
const OF_NOTHING: &str = "nothing";

impl Topology<'_> {
    pub(super) fn below_table(&mut self, parent: usize, numbers: bool, odd_old: bool) {
        if self.random.percent(10) {
            return self.transform_values(parent, odd_old);
        }
        if !odd_old && self.keeps_serde(parent) && self.random.percent(6) {
            let until = *self.random.pick(&["0", "20", "100"]);
            let mut params = vec![("until", until)];
            if self.random.percent(30) {
                params.push(("max", "2"));
            }
            // What is held back has another old value then (docs/differences.md).
            let kind = Kind::Table { numbers, odd_old: until != "0" };
            return self.one(parent, "suppress", &params, kind);
        }
        match self.random.below(if numbers || odd_old { 4 } else { 9 }) {
            // A filter takes old values if they are there.
            0 if odd_old => {}
            0 => {
                let call = *self.random.pick(&["filter", "filter_not"]);
                let p = *self.random.pick(PREDICATES);
                let op = self.below(parent, call, &[("p", p.to_owned())]);
                let op = self.maybe_versioned(op);
                self.add(op, Kind::Table { numbers, odd_old });
            }
            1 | 2 => {
                let f = *self.random.pick(MAPPINGS);
                let op = self.below(parent, "map_values", &[("f", f.to_owned())]);
                let op = if odd_old { op } else { self.maybe_versioned(op) };
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

    fn transform_values(&mut self, parent: usize, odd_old: bool) {
        let f = *self.random.pick(&["v|upper", "k.v", "v|or:gone", "v|null_if:b", "v|len"]);
        let op = self.below(parent, "transform_values", &[("f", f.to_owned())]);
        let op = if odd_old { self.maybe_named(op) } else { self.maybe_stored(op) };
        let makes_rows = op.get("store").is_none() && ["k.v", "v|or:gone"].contains(&f);
        self.add(op, Kind::Table { numbers: false, odd_old });
        if makes_rows && let Some(node) = self.nodes.last_mut() {
            node.roots.insert(OF_NOTHING.to_owned());
        }
    }

    pub(super) fn below_grouped_table(&mut self, parent: usize) {
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
        let op = self.maybe_versioned(op);
        self.add(op, kind);
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
        let (left, right) = (&self.nodes[parent].roots, &self.nodes[other].roots);
        let of_nothing = left.contains(OF_NOTHING) || right.contains(OF_NOTHING);
        let diamond = of_nothing || !left.is_disjoint(right);
        let is_stored = op.get("store").is_some();
        let odd_old = diamond && is_stored && !self.is_cached(&op);
        self.add(op, Kind::Table { numbers: false, odd_old });
        // What it says was there, a join below with a store computes with.
        if diamond
            && !is_stored
            && let Some(node) = self.nodes.last_mut()
        {
            node.roots.insert(OF_NOTHING.to_owned());
        }
    }
}
