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
}

impl<V> Change<V> {
    /// Both values.
    pub fn new(new: Option<Held<V>>, old: Option<Held<V>>) -> Self {
        Self { new, old }
    }

    /// Whether it says nothing: no value before, none after.
    pub fn is_empty(&self) -> bool {
        self.new.is_none() && self.old.is_none()
    }
}
