//! Aggregations in windows, and their tables.

use super::functions::{AGGREGATES, FOLDS, KEYS, MAPPINGS, PREDICATES};
use super::topology::{Kind, Nulls, Topology, Windows};

impl Topology<'_> {
    pub(super) fn windows(&mut self, parent: usize, cogrouped: bool) {
        let grace = self.random.pick(&[0, 0, 5, 20, 100]).to_string();
        let mut params = vec![("grace", grace)];
        let mut calls = vec!["time_windows", "session_windows", "sliding_windows"];
        if !cogrouped && self.random.percent(20) {
            calls = vec!["unlimited_windows"];
            params = vec![("start", self.random.pick(&[0, 0, 30]).to_string())];
        }
        let call = *self.random.pick(&calls);
        let caches = self.scenario.options.contains_key("cache");
        if call == "sliding_windows" && caches && params[0].1 == "0" {
            // What has just expired is forgotten later if it is cached (docs/differences.md).
            params[0].1 = "5".to_owned();
        }
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
            "unlimited_windows" => {}
            _ => params.push(("difference", self.random.pick(&[1, 5, 20, 50]).to_string())),
        }
        let on_close = !cogrouped && call != "unlimited_windows" && self.random.percent(30);
        if on_close {
            params.push(("emit", "close".to_owned()));
        }
        if on_close && call == "session_windows" {
            // Sessions that end together have another order in the JVM's store in memory.
            self.scenario.options.insert("stores".into(), "rocksdb".into());
        }
        let op = self.below(parent, call, &params);
        let sessions = call == "session_windows";
        let sliding = call == "sliding_windows";
        let unlimited = call == "unlimited_windows";
        let windows = Windows { sessions, sliding, unlimited, cogrouped, on_close };
        self.add(op, Kind::Windows(windows));
    }

    pub(super) fn below_windows(&mut self, parent: usize, windows: Windows) {
        let Windows { sessions, cogrouped, .. } = windows;
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
        // What is as old as the store's retention, the JVM loses, or has in a cache only
        // (docs/differences.md).
        let retention = match self.own_number(parent, "gap") {
            Some(_) if self.is_cached(&op) => Some(1_000_000),
            _ if windows.on_close || cogrouped => Some(1_000_000),
            Some(gap) => self.own_number(parent, "grace").map(|grace| 2 * gap + grace + 1),
            None if windows.unlimited || op.get("store").is_none() => None,
            None => self.random.percent(10).then_some(500),
        };
        if let Some(retention) = retention {
            op.params.entry("store".to_owned()).or_insert_with(|| format!("store-of-{parent}"));
            op.params.insert("retention".to_owned(), retention.to_string());
        }
        let fresh = numbers && !sessions && op.get("store").is_some();
        if fresh {
            op.params.insert("fresh".to_owned(), "yes".to_owned());
        }
        // Where it has no cache, the JVM subtracts nothing if a record leaves its session as long as
        // it was, and what was never added for new sliding windows (docs/differences.md).
        let odd_old = (sessions || windows.sliding || (numbers && !fresh)) && !self.is_cached(&op);
        self.add(op, Kind::WindowTable { numbers, odd_old });
    }

    pub(super) fn below_window_table(&mut self, parent: usize, numbers: bool, odd_old: bool) {
        match self.random.below(8) {
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
                // What is held back has another old value then (docs/differences.md).
                let kind = Kind::WindowTable { numbers, odd_old: until != "0" };
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
            4 | 7 if !odd_old => {
                let (k, f) = (*self.random.pick(KEYS), *self.random.pick(MAPPINGS));
                self.one(parent, "group_by", &[("k", k), ("f", f)], Kind::GroupedTable);
            }
            _ => {}
        }
    }

    /// A number that the call of a node was given.
    fn own_number(&self, node: usize, name: &str) -> Option<i64> {
        let id = Some(&self.nodes[node].id);
        let made = self.scenario.ops.iter().find(|op| op.id.as_ref() == id);
        made?.get(name)?.parse().ok()
    }

    /// Whether a table has serdes: it has a store, or is a source or an aggregation.
    pub(super) fn keeps_serde(&self, node: usize) -> bool {
        let id = Some(&self.nodes[node].id);
        let made = self.scenario.ops.iter().find(|op| op.id.as_ref() == id);
        let with_serdes = ["table", "to_table", "count", "reduce", "aggregate"];
        made.is_some_and(|op| op.get("store").is_some() || with_serdes.contains(&&*op.call))
    }
}
