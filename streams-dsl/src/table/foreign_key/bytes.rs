//! Keys and values of a foreign-key join as bytes: its messages and its store hold nothing else.

use std::sync::Arc;

use streams_core::serdes::Bytes;
use streams_core::{BoxError, Headers, Serde, SerdeContext, SerdeRef};

/// A serde with the name of the topic that it is told, and a buffer.
pub(crate) struct ByteSerde<T> {
    serde: SerdeRef<T>,
    topic: Arc<str>,
    is_key: bool,
    buffer: Vec<u8>,
}

impl<T: 'static> ByteSerde<T> {
    /// For keys. `topic` need not exist: serdes with a registry name their schemas after it.
    pub(crate) fn key(serde: SerdeRef<T>, topic: String) -> Self {
        Self { serde, topic: topic.into(), is_key: true, buffer: Vec::new() }
    }

    /// For values.
    pub(crate) fn value(serde: SerdeRef<T>, topic: String) -> Self {
        Self { is_key: false, ..Self::key(serde, topic) }
    }

    /// The bytes of `value`.
    pub(crate) fn bytes(&mut self, value: &T) -> Result<Bytes, BoxError> {
        self.buffer.clear();
        let (mut headers, is_key) = (Headers::new(), self.is_key);
        let mut cx = SerdeContext { topic: &self.topic, is_key, headers: &mut headers };
        self.serde.serialize(value, &mut self.buffer, &mut cx)?;
        Ok(Bytes::from(self.buffer.as_slice()))
    }

    /// What the bytes stand for.
    pub(crate) fn read(&self, bytes: &Bytes) -> Result<T, BoxError> {
        let (mut headers, is_key) = (Headers::new(), self.is_key);
        let mut cx = SerdeContext { topic: &self.topic, is_key, headers: &mut headers };
        self.serde.deserialize(bytes.as_slice(), &mut cx)
    }

    /// Whether `value` is the serde's null.
    pub(crate) fn is_null(&self, value: &T) -> bool {
        self.serde.is_null(value)
    }
}
