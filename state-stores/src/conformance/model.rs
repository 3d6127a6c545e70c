//! What an engine is compared with, and the random choices of a seed.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Violation;
use crate::{Bytes, Direction, KeyRange};

/// What should be there.
pub(super) type Rows = BTreeMap<Bytes, Bytes>;

/// What is written together.
pub(super) type Writes = BTreeMap<Bytes, Option<Bytes>>;

/// `rows` after `writes`.
pub(super) fn apply(rows: &mut Rows, writes: &Writes) {
    for (key, value) in writes {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}

/// The rows of a range as a scan should give them.
pub(super) fn in_range(rows: &Rows, range: &KeyRange, direction: Direction) -> Vec<(Bytes, Bytes)> {
    let rows = rows.iter().filter(|(key, _)| range.contains(key));
    let mut rows: Vec<_> = rows.map(|(key, value)| (key.clone(), value.clone())).collect();
    if direction == Direction::Backward {
        rows.reverse();
    }
    rows
}

/// Whether two lists of rows are the same; else where they first differ.
pub(super) fn same<'a>(
    rule: &'static str,
    found: impl IntoIterator<Item = (&'a Bytes, &'a Bytes)>,
    wanted: impl IntoIterator<Item = (&'a Bytes, &'a Bytes)>,
) -> Result<(), Violation> {
    let (mut found, mut wanted) = (found.into_iter(), wanted.into_iter());
    for index in 0.. {
        let (found, wanted) = (found.next(), wanted.next());
        if found != wanted {
            let (found, wanted) = (row_text(found), row_text(wanted));
            return Err(Violation::new(
                rule,
                format!("row {index} is {found}, and should be {wanted}"),
            ));
        }
        if found.is_none() {
            break;
        }
    }
    Ok(())
}

fn row_text(row: Option<(&Bytes, &Bytes)>) -> String {
    match row {
        Some((key, value)) => format!("{} = {}", bytes_text(key), bytes_text(value)),
        None => "none".to_owned(),
    }
}

/// Bytes for people, not all of them if there are many.
pub(super) fn bytes_text(bytes: &[u8]) -> String {
    let mut text = String::from("[");
    for byte in bytes.iter().take(16) {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > 16 {
        let _ = write!(text, ".. {} bytes", bytes.len());
    }
    text + "]"
}

/// Equal seeds choose equally.
pub(super) struct Choices(u64);

impl Choices {
    pub(super) fn of_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % end.max(1) as u64).unwrap_or(0)
    }

    pub(super) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub(super) fn direction(&mut self) -> Direction {
        if self.one_in(2) { Direction::Forward } else { Direction::Backward }
    }

    /// A key of a few, many of which are prefixes of others; with at least `min` bytes.
    pub(super) fn key(&mut self, min: usize) -> Bytes {
        let len = if self.one_in(40) { 300 } else { min + self.below(4) };
        (0..len).map(|_| [0, 1, 0x7f, 0x80, u8::MAX][self.below(5)]).collect()
    }

    pub(super) fn value(&mut self) -> Bytes {
        let len = match self.below(40) {
            0 => 70_000,
            1..5 => 0,
            _ => 1 + self.below(40),
        };
        let byte = u8::try_from(self.below(256)).unwrap_or(0);
        vec![byte; len].into()
    }

    pub(super) fn writes(&mut self, key_min: usize) -> Writes {
        let rows = 1 + self.below(8);
        (0..rows)
            .map(|_| {
                let key = self.key(key_min);
                (key, (!self.one_in(4)).then(|| self.value()))
            })
            .collect()
    }

    /// Any range that is not empty.
    pub(super) fn range(&mut self) -> KeyRange {
        loop {
            let range = match self.below(5) {
                0 => KeyRange::all(),
                1 => KeyRange::prefix(&self.key(1)),
                2 => KeyRange::from(self.key(0)),
                3 => KeyRange::inclusive(self.key(0), &self.key(1)),
                _ => KeyRange::new(self.key(0), self.key(1)),
            };
            if !range.is_empty() {
                return range;
            }
        }
    }
}
