//! Which store is wanted.

use crate::{Segments, StateError};

/// The physical layout of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum StoreKind {
    /// Rows ordered by key.
    KeyValue,
    /// Rows whose keys begin with the number of a time segment (8 bytes, big endian). Whole
    /// segments expire; see [`StoreSpec::segments`].
    Segmented,
}

impl StoreKind {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::KeyValue => 1,
            Self::Segmented => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::KeyValue),
            2 => Some(Self::Segmented),
            _ => None,
        }
    }

    /// The start of the names of this kind's families: kinds differ in layout and options.
    pub(crate) const fn family_prefix(self) -> &'static str {
        match self {
            Self::KeyValue => "kv.",
            Self::Segmented => "win.",
        }
    }
}

/// A store of a task: its name, its layout, and whether it outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// Unique within the application.
    pub name: String,
    /// The physical layout.
    pub kind: StoreKind,
    /// What the bytes mean, for example `timestamped-key-value`; kept in the metadata row. Opening
    /// a store whose rows mean something else is [`StateError::Incompatible`].
    pub store_type: String,
    /// Whether the state outlives the process. A store that does not keeps its rows in memory, and
    /// across leases within one process.
    pub persistent: bool,
    /// How the rows of a [`StoreKind::Segmented`] store expire; others have none.
    pub segments: Option<Segments>,
}

impl StoreSpec {
    /// A persistent store of `kind`, of the type `key-value`.
    pub fn new(name: impl Into<String>, kind: StoreKind) -> Self {
        Self {
            name: name.into(),
            kind,
            store_type: "key-value".to_owned(),
            persistent: true,
            segments: None,
        }
    }

    /// A persistent key-value store.
    pub fn key_value(name: impl Into<String>) -> Self {
        Self::new(name, StoreKind::KeyValue)
    }

    /// A persistent store whose rows expire by segments.
    pub fn segmented(name: impl Into<String>, segments: Segments) -> Self {
        Self { segments: Some(segments), ..Self::new(name, StoreKind::Segmented) }
    }

    /// The same store with rows that mean `store_type`.
    pub fn with_store_type(self, store_type: impl Into<String>) -> Self {
        Self { store_type: store_type.into(), ..self }
    }

    /// The same store in memory.
    pub fn in_memory(self) -> Self {
        Self { persistent: false, ..self }
    }

    pub(crate) fn family(&self) -> String {
        format!("{}{}", self.kind.family_prefix(), self.name)
    }

    pub(crate) fn validate(&self) -> Result<(), StateError> {
        if self.name.is_empty() || self.name.len() > 200 {
            return Err(StateError::StoreName { name: self.name.clone() });
        }
        Ok(())
    }
}
