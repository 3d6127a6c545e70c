//! Aggregations without windows, and co-grouping.

use super::functions::{AGGREGATES, FOLDS, NULLING};
use super::topology::{Kind, TEXTS, Topology};

impl Topology<'_> {
    pub(super) fn below_group(&mut self, parent: usize) {
        if self.random.percent(15) {
            return self.cogroup(parent);
        }
        if self.theme.cuts(self.random) {
            return self.windows(parent, false);
        }
        match self.random.below(3) {
            0 => {
                let op = self.below(parent, "count", &[]);
                let mut op = self.maybe_versioned(op);
                let fresh = op.params.contains_key("store");
                if fresh {
                    op.params.insert("fresh".to_owned(), "yes".to_owned());
                }
                let odd_old = !fresh && !self.is_cached(&op);
                self.add(op, Kind::Table { numbers: true, odd_old });
            }
            1 => {
                let f = *self.random.pick(FOLDS);
                let op = self.below(parent, "reduce", &[("f", f.to_owned())]);
                let op = self.maybe_versioned(op);
                self.add(op, TEXTS);
            }
            _ => {
                let f = self.aggregate("f");
                let op = self.below(parent, "aggregate", &f);
                let op = self.maybe_versioned(op);
                self.add(op, TEXTS);
            }
        }
    }

    /// A group with a name can be co-grouped once in the JVM, and not be aggregated besides: it refuses
    /// that, and there is nothing to compare.
    pub(super) fn cogroup(&mut self, parent: usize) {
        let f = *self.random.pick(AGGREGATES);
        let mut op = self.below(parent, "cogroup", &[("f", f.to_owned())]);
        if let Some(other) = self.other(parent, |other| other == Kind::Grouped) {
            self.nodes[other].used = true;
            op.parents.push(self.nodes[other].id.clone());
            op.params.insert("f2".to_owned(), self.random.pick(AGGREGATES).to_string());
        }
        self.add(op, Kind::Cogrouped);
    }

    pub(super) fn below_cogrouped(&mut self, parent: usize) {
        if self.theme.cuts(self.random) {
            return self.windows(parent, true);
        }
        let op = self.below(parent, "aggregate", &[]);
        let op = self.maybe_versioned(op);
        self.add(op, TEXTS);
    }

    pub(super) fn aggregate(&mut self, name: &'static str) -> Vec<(&'static str, String)> {
        let f = *self.random.pick(AGGREGATES);
        if self.random.percent(25) {
            let f = format!("{f}{}", self.random.pick(NULLING));
            return vec![(name, f), ("null", "yes".to_owned())];
        }
        vec![(name, f.to_owned())]
    }
}
