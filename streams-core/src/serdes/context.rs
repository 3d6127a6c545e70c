//! What a serde may know beside the value.

use crate::record::Headers;

/// Where the bytes go to or come from. Serdes of schema registries need it; others ignore it.
#[derive(Debug)]
pub struct SerdeContext<'a> {
    /// The topic as the broker knows it; for a store, its changelog topic.
    pub topic: &'a str,
    /// Whether it is the key; otherwise the value.
    pub is_key: bool,
    /// Of the record. What a serde writes here goes out with the record.
    pub headers: &'a mut Headers,
}

impl<'a> SerdeContext<'a> {
    /// For the key of a record of `topic`.
    pub fn key(topic: &'a str, headers: &'a mut Headers) -> Self {
        Self { topic, is_key: true, headers }
    }

    /// For the value of a record of `topic`.
    pub fn value(topic: &'a str, headers: &'a mut Headers) -> Self {
        Self { topic, is_key: false, headers }
    }
}
