//! Aggregations in windows, and their tables.

use super::functions::{AGGREGATES, FOLDS, KEYS, MAPPINGS, PREDICATES};
use super::topology::{Kind, Nulls, Topology, Windows};

impl Topology<'_> {
    pub(super) fn windows(&mut self, parent: usize, cogrouped: bool) {
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

    pub(super) fn below_windows(&mut self, parent: usize, windows: Windows) {
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

    pub(super) fn below_window_table(&mut self, parent: usize, numbers: bool, odd_old: bool) {
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
}
