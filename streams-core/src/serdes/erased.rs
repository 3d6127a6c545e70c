//! A serde with its type erased.

use std::fmt;
use std::sync::Arc;

use super::error::short_name;
use super::{Serde, SerdeContext, SerdeError};
use crate::error::BoxError;

/// A shared serde, erased: one virtual call per record and direction. A clone is a count.
pub struct SerdeRef<T>(Arc<dyn Serde<T>>);

impl<T: 'static> SerdeRef<T> {
    /// Erases `serde`.
    pub fn new(serde: impl Serde<T>) -> Self {
        Self(Arc::new(serde))
    }

    /// Two functions make a serde. The first appends to its vector.
    pub fn from_fns(
        serialize: impl Fn(&T, &mut Vec<u8>) -> Result<(), BoxError> + Send + Sync + 'static,
        deserialize: impl Fn(&[u8]) -> Result<T, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Functions { serialize, deserialize })
    }

    /// For a topic: appends the bytes of `value`, or tells that it is null (`false`).
    pub fn serialize_or_null(
        &self,
        value: &T,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<bool, BoxError> {
        if self.0.is_null(value) {
            return Ok(false);
        }
        self.0.serialize(value, out, cx)?;
        Ok(true)
    }

    /// From a topic: `None` is null, which is an error if `T` has no null.
    pub fn deserialize_or_null(
        &self,
        bytes: Option<&[u8]>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<T, BoxError> {
        match bytes {
            Some(bytes) => self.0.deserialize(bytes, cx),
            None => self.0.from_null().ok_or_else(|| null_error::<T>(cx.is_key).into()),
        }
    }
}

fn null_error<T>(is_key: bool) -> SerdeError {
    let of = short_name::<T>();
    if is_key { SerdeError::NullKey { of } } else { SerdeError::NullValue { of } }
}

impl<T> Clone for SerdeRef<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for SerdeRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerdeRef<{}>", short_name::<T>())
    }
}

impl<T: 'static> Serde<T> for SerdeRef<T> {
    fn serialize(
        &self,
        value: &T,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        self.0.serialize(value, out, cx)
    }

    fn deserialize(&self, bytes: &[u8], cx: &mut SerdeContext<'_>) -> Result<T, BoxError> {
        self.0.deserialize(bytes, cx)
    }

    fn is_null(&self, value: &T) -> bool {
        self.0.is_null(value)
    }

    fn from_null(&self) -> Option<T> {
        self.0.from_null()
    }

    fn fixed_size(&self) -> Option<usize> {
        self.0.fixed_size()
    }

    fn window_bytes(&self) -> usize {
        self.0.window_bytes()
    }
}

struct Functions<W, R> {
    serialize: W,
    deserialize: R,
}

impl<T, W, R> Serde<T> for Functions<W, R>
where
    W: Fn(&T, &mut Vec<u8>) -> Result<(), BoxError> + Send + Sync + 'static,
    R: Fn(&[u8]) -> Result<T, BoxError> + Send + Sync + 'static,
{
    fn serialize(
        &self,
        value: &T,
        out: &mut Vec<u8>,
        _: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        (self.serialize)(value, out)
    }

    fn deserialize(&self, bytes: &[u8], _: &mut SerdeContext<'_>) -> Result<T, BoxError> {
        (self.deserialize)(bytes)
    }
}
