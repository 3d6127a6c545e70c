//! What travels on the edges of tables.

use super::held::Held;

/// A key's value before and after: the value type of records between table operators.
///
/// `old` is what was last forwarded for the key, and only there if some operator below asked for
/// it. The counterpart of Kafka Streams' `Change`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<V> {
    /// `None`: the key was deleted.
    pub new: Option<Held<V>>,
    /// `None`: there was nothing, or nobody asked.
    pub old: Option<Held<V>>,
    /// Whether no later value of the key is known. Only a versioned table says no: then `old` is
    /// the latest value all the same, and aggregations and joins of tables leave the change out.
    pub is_latest: bool,
}

impl<V> Change<V> {
    /// Both values, the new one being the latest of its key.
    pub fn new(new: Option<Held<V>>, old: Option<Held<V>>) -> Self {
        Self { new, old, is_latest: true }
    }

    /// The same change, of the key's latest value or of an earlier one.
    #[must_use]
    pub fn latest(self, is_latest: bool) -> Self {
        Self { is_latest, ..self }
    }

    /// Whether it says nothing: no value before, none after.
    pub fn is_empty(&self) -> bool {
        self.new.is_none() && self.old.is_none()
    }
}
