//! Choices that a seed decides, so that a round can be run again.

use std::ops::Range;

use streams_core::time::{Clock, SystemClock};

/// A splitmix generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// By the seed in `TORTURE_SEED`, else a fresh one; which one is printed.
    ///
    /// # Panics
    /// If `TORTURE_SEED` is not a number.
    pub fn from_env(what: &str) -> Self {
        let fresh = u64::try_from(SystemClock.wall_ms()).unwrap_or(0) % 1_000_000;
        let seed = super::number_from_env("TORTURE_SEED", fresh);
        println!("{what}: TORTURE_SEED={seed}");
        Self(seed)
    }

    /// Another one, for the part of a run with this number.
    pub fn part(&self, number: u64) -> Self {
        let mut part = Self(self.0 ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        part.next();
        part
    }

    /// A number in the range.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start).max(1)
    }

    /// One of these.
    ///
    /// # Panics
    /// If there is none.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.within(0..of.len() as u64);
        &of[usize::try_from(at).expect("an index is small")]
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
