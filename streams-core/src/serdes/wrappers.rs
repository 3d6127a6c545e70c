//! Formats around another format: nullable, and shared.

use std::sync::Arc;

use super::{DefaultSerde, Serde, SerdeContext, SerdeError, default_serdes};
use crate::error::BoxError;

/// `Option<T>`: `None` is null, `Some` is the inner serde's bytes. An inner null (of
/// `Option<Option<T>>`, of `Option<()>`) is read back as the outer `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nullable<S>(pub S);

impl<T: 'static, S: Serde<T>> Serde<Option<T>> for Nullable<S> {
    fn serialize(
        &self,
        value: &Option<T>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        match value {
            Some(value) => self.0.serialize(value, out, cx),
            None => Err(SerdeError::NullInStore.into()),
        }
    }

    fn deserialize(&self, bytes: &[u8], cx: &mut SerdeContext<'_>) -> Result<Option<T>, BoxError> {
        self.0.deserialize(bytes, cx).map(Some)
    }

    fn is_null(&self, value: &Option<T>) -> bool {
        value.as_ref().is_none_or(|value| self.0.is_null(value))
    }

    fn from_null(&self) -> Option<Option<T>> {
        Some(None)
    }

    fn fixed_size(&self) -> Option<usize> {
        self.0.fixed_size()
    }

    fn window_bytes(&self) -> usize {
        self.0.window_bytes()
    }
}

/// `Arc<T>` and `Box<T>`: the inner serde's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared<S>(pub S);

macro_rules! pointer_serde {
    ($($pointer:ident),+) => { $(
        impl<T: 'static, S: Serde<T>> Serde<$pointer<T>> for Shared<S> {
            fn serialize(
                &self,
                value: &$pointer<T>,
                out: &mut Vec<u8>,
                cx: &mut SerdeContext<'_>,
            ) -> Result<(), BoxError> {
                self.0.serialize(value, out, cx)
            }

            fn deserialize(
                &self,
                bytes: &[u8],
                cx: &mut SerdeContext<'_>,
            ) -> Result<$pointer<T>, BoxError> {
                self.0.deserialize(bytes, cx).map($pointer::new)
            }

            fn is_null(&self, value: &$pointer<T>) -> bool {
                self.0.is_null(value)
            }

            fn from_null(&self) -> Option<$pointer<T>> {
                self.0.from_null().map($pointer::new)
            }

            fn fixed_size(&self) -> Option<usize> {
                self.0.fixed_size()
            }

            fn window_bytes(&self) -> usize {
                self.0.window_bytes()
            }
        }
    )+ };
}

pointer_serde!(Arc, Box);

default_serdes! {
    [T: DefaultSerde] Option<T> => Nullable(T::default_serde());
    [T: DefaultSerde] Arc<T> => Shared(T::default_serde());
    [T: DefaultSerde] Box<T> => Shared(T::default_serde());
}
