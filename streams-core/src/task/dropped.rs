//! Records that were not processed, counted.

/// Why a record was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropReason {
    /// It has no key, and one is needed.
    NullKey,
    /// It has no value, and one is needed.
    NullValue,
    /// Its window or grace period is over.
    Late,
    /// It has no valid time.
    InvalidTimestamp,
    /// It cannot be read, and the handler said to go on.
    Deserialization,
    /// The application's code failed on it, and the handler said to go on.
    Processing,
    /// It cannot be written, and the handler said to go on.
    Production,
    /// The partitioner said so.
    Partitioner,
    /// The processor has a reason of its own.
    Other(&'static str),
}

impl DropReason {
    /// As in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NullKey => "null-key",
            Self::NullValue => "null-value",
            Self::Late => "late",
            Self::InvalidTimestamp => "invalid-timestamp",
            Self::Deserialization => "deserialization",
            Self::Processing => "processing",
            Self::Production => "production",
            Self::Partitioner => "partitioner",
            Self::Other(reason) => reason,
        }
    }
}

/// How many records a node has dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The node's name.
    pub node: std::sync::Arc<str>,
    /// Why.
    pub reason: DropReason,
    /// Since the task was made.
    pub count: u64,
}

/// Counts by node and reason. Few of either, so a list is enough.
#[derive(Default)]
pub(super) struct DropCounts(Vec<(usize, DropReason, u64)>);

impl DropCounts {
    /// Counts one; the count now.
    pub(super) fn add(&mut self, node: usize, reason: DropReason) -> u64 {
        let known = self.0.iter_mut().find(|(n, r, _)| *n == node && *r == reason);
        match known {
            Some((_, _, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.0.push((node, reason, 1));
                1
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, DropReason, u64)> {
        self.0.iter().copied()
    }
}
