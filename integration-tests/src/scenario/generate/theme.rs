//! What a scenario is mostly about. Operators that need several others above them would come up in one
//! of thousands otherwise.

use crate::scenario::random::Random;

/// What a scenario is mostly about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    /// All operators alike.
    Any,
    /// Windows, and what is below them.
    Windows,
    /// Tables, joined and grouped.
    Tables,
    /// Changes of keys and what follows from them, often optimised.
    Keys,
    /// Streams, joined with each other and with tables.
    Joins,
}

impl Theme {
    pub(super) fn random(random: &mut Random) -> Self {
        match random.below(100) {
            0..20 => Self::Any,
            20..60 => Self::Windows,
            60..75 => Self::Tables,
            75..85 => Self::Joins,
            _ => Self::Keys,
        }
    }

    /// In how many of a hundred scenarios the JVM's record caches are on. Without them it gets old
    /// values of sessions and sliding windows wrong.
    pub(super) fn cached(self) -> usize {
        if self == Self::Windows { 50 } else { 30 }
    }

    /// In how many of a hundred scenarios the topology is optimised.
    pub(super) fn optimised(self) -> usize {
        if self == Self::Keys { 50 } else { 10 }
    }

    /// How many of a hundred sources are tables.
    pub(super) fn tables(self) -> usize {
        match self {
            Self::Any => 50,
            Self::Windows => 10,
            Self::Tables => 85,
            Self::Keys => 20,
            Self::Joins => 35,
        }
    }

    /// How many operators there are, but for what all need: aggregations below groups, sinks.
    pub(super) fn operators(self, random: &mut Random) -> i64 {
        random.between(1, if self == Self::Windows { 10 } else { 7 })
    }

    /// Whether the next operator goes below the latest one.
    pub(super) fn goes_deep(self, random: &mut Random) -> bool {
        random.percent(if self == Self::Windows { 60 } else { 30 })
    }

    /// How many of a hundred operators read something that nobody reads yet.
    pub(super) fn unread(self) -> usize {
        if self == Self::Keys { 55 } else { 80 }
    }

    /// Which operator is put below a stream that has keys and values, by its number in
    /// `below_stream`.
    pub(super) fn below_stream(self, random: &mut Random) -> usize {
        match self {
            Self::Windows if random.percent(75) => *random.pick(&[10, 12, 12]),
            Self::Keys if random.percent(75) => *random.pick(&[0, 1, 2, 5, 5, 7, 7, 9, 10, 12, 12]),
            Self::Joins if random.percent(75) => *random.pick(&[5, 14, 15, 15, 17, 17, 17]),
            _ => random.below(19),
        }
    }

    /// Whether a group is cut into windows.
    pub(super) fn cuts(self, random: &mut Random) -> bool {
        random.percent(if self == Self::Windows { 80 } else { 40 })
    }
}
