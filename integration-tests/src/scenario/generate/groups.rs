//! Aggregations without windows, and co-grouping.

use super::functions::{AGGREGATES, FOLDS, NULLING};
use super::topology::{Kind, TEXTS, Topology};

impl Topology<'_> {
    pub(super) fn below_group(&mut self, parent: usize) {
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

    pub(super) fn cogroup(&mut self, parent: usize) {
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

    pub(super) fn below_cogrouped(&mut self, parent: usize) {
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

    pub(super) fn aggregate(&mut self, name: &'static str) -> Vec<(&'static str, String)> {
        let f = *self.random.pick(AGGREGATES);
        if self.random.percent(25) {
            let f = format!("{f}{}", self.random.pick(NULLING));
            return vec![(name, f), ("null", "yes".to_owned())];
        }
        vec![(name, f.to_owned())]
    }
}
