//! Text: Kafka Streams' `Serdes.String()`.

use std::sync::Arc;

use super::{Serde, SerdeContext, default_serdes};
use crate::error::BoxError;

/// UTF-8, for `String`, `Arc<str>` and `Box<str>`. Bytes that are not UTF-8 are an error; the JVM
/// replaces them silently, as [`Utf8Lossy`] does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8;

/// UTF-8 that reads malformed sequences as U+FFFD, as the JVM does. What was replaced is lost
/// when the text is written again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8Lossy;

macro_rules! text_serde {
    ($($type:ty),+) => { $(
        impl Serde<$type> for Utf8 {
            fn serialize(
                &self,
                value: &$type,
                out: &mut Vec<u8>,
                _: &mut SerdeContext<'_>,
            ) -> Result<(), BoxError> {
                out.extend_from_slice(value.as_bytes());
                Ok(())
            }

            fn deserialize(
                &self,
                bytes: &[u8],
                _: &mut SerdeContext<'_>,
            ) -> Result<$type, BoxError> {
                Ok(std::str::from_utf8(bytes)?.into())
            }
        }

        impl Serde<$type> for Utf8Lossy {
            fn serialize(
                &self,
                value: &$type,
                out: &mut Vec<u8>,
                _: &mut SerdeContext<'_>,
            ) -> Result<(), BoxError> {
                out.extend_from_slice(value.as_bytes());
                Ok(())
            }

            fn deserialize(
                &self,
                bytes: &[u8],
                _: &mut SerdeContext<'_>,
            ) -> Result<$type, BoxError> {
                Ok(String::from_utf8_lossy(bytes).into())
            }
        }
    )+ };
}

text_serde!(String, Arc<str>, Box<str>);

default_serdes! {
    [] String => Utf8;
    [] Arc<str> => Utf8;
    [] Box<str> => Utf8;
}
