//! The orders in which Java's `HashSet` and `TreeSet` iterate.

use std::cmp::Ordering;

/// The order in which a Java `HashSet` (or the keys of a `HashMap`) of these strings iterates,
/// when they were added in this order.
pub(super) fn hash_order(names: &[&str]) -> Vec<usize> {
    // Grown from 16 buckets, to be filled by three quarters at most.
    let mut buckets = 16_usize;
    while names.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|&at| {
        let hash = string_hash(names[at]);
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    });
    order
}

/// Java's `String.hashCode`, as unsigned.
fn string_hash(text: &str) -> u32 {
    text.encode_utf16()
        .fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// Items in the order in which a Java `TreeSet` has them that were added one by one. The tree
/// matters, since what the items are compared by may have changed in between.
pub(super) struct SearchTree {
    nodes: Vec<TreeNode>,
    root: Option<usize>,
}

struct TreeNode {
    item: usize,
    parent: Option<usize>,
    children: [Option<usize>; 2],
    red: bool,
}

impl SearchTree {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), root: None }
    }

    /// Adds an item, unless one that is equal is met on the way.
    pub(super) fn insert(&mut self, item: usize, compare: impl Fn(&usize, &usize) -> Ordering) {
        let (mut parent, mut side, mut next) = (None, 0, self.root);
        while let Some(at) = next {
            side = match compare(&item, &self.nodes[at].item) {
                Ordering::Less => 0,
                Ordering::Equal => return,
                Ordering::Greater => 1,
            };
            parent = Some(at);
            next = self.nodes[at].children[side];
        }
        let new = self.nodes.len();
        self.nodes.push(TreeNode { item, parent, children: [None; 2], red: true });
        match parent {
            Some(parent) => self.nodes[parent].children[side] = Some(new),
            None => self.root = Some(new),
        }
        self.balance(new);
    }

    /// The items from left to right.
    pub(super) fn in_order(&self) -> Vec<usize> {
        let (mut items, mut path, mut next) = (Vec::new(), Vec::new(), self.root);
        loop {
            while let Some(at) = next {
                path.push(at);
                next = self.nodes[at].children[0];
            }
            let Some(at) = path.pop() else { return items };
            items.push(self.nodes[at].item);
            next = self.nodes[at].children[1];
        }
    }

    /// A red-black tree after an insertion: no red node has a red parent.
    fn balance(&mut self, mut at: usize) {
        while let Some(mut parent) = self.nodes[at].parent
            && self.nodes[parent].red
            && let Some(grandparent) = self.nodes[parent].parent
        {
            let side = self.side(parent, grandparent);
            match self.nodes[grandparent].children[1 - side] {
                Some(uncle) if self.nodes[uncle].red => {
                    self.nodes[parent].red = false;
                    self.nodes[uncle].red = false;
                    self.nodes[grandparent].red = true;
                    at = grandparent;
                }
                _ => {
                    if self.side(at, parent) != side {
                        self.rotate(parent, side);
                        (at, parent) = (parent, at);
                    }
                    let _ = at;
                    self.nodes[parent].red = false;
                    self.nodes[grandparent].red = true;
                    self.rotate(grandparent, 1 - side);
                    break;
                }
            }
        }
        if let Some(root) = self.root {
            self.nodes[root].red = false;
        }
    }

    fn side(&self, child: usize, parent: usize) -> usize {
        usize::from(self.nodes[parent].children[1] == Some(child))
    }

    /// Moves a node down to that side; its child of the other side takes its place.
    fn rotate(&mut self, at: usize, side: usize) {
        let Some(up) = self.nodes[at].children[1 - side] else { return };
        let (inner, parent) = (self.nodes[up].children[side], self.nodes[at].parent);
        self.nodes[at].children[1 - side] = inner;
        if let Some(inner) = inner {
            self.nodes[inner].parent = Some(at);
        }
        self.nodes[up].parent = parent;
        match parent {
            Some(parent) => {
                let side = self.side(at, parent);
                self.nodes[parent].children[side] = Some(up);
            }
            None => self.root = Some(up),
        }
        self.nodes[up].children[side] = Some(at);
        self.nodes[at].parent = Some(up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_javas() {
        let hash = |text| string_hash(text).cast_signed();
        assert_eq!(hash("orders"), -1_008_770_331);
        assert_eq!(hash("KSTREAM-SOURCE-0000000000"), 1_861_603_632);
        assert_eq!(
            (hash("gr\u{f6}\u{df}e"), hash("\u{1f600}"), hash("")),
            (98_762_257, 1_772_899, 0)
        );
    }

    #[test]
    fn a_tree_is_in_order_however_it_grew() {
        for len in 0..60 {
            let mut tree = SearchTree::new();
            (0..len).for_each(|n| tree.insert(n * 37 % 61, usize::cmp));
            (0..len).for_each(|n| tree.insert(n * 37 % 61, usize::cmp));
            let mut expected: Vec<_> = (0..len).map(|n| n * 37 % 61).collect();
            expected.sort_unstable();
            assert_eq!(tree.in_order(), expected);
        }
    }
}
