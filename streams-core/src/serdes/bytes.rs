//! Raw bytes: Kafka Streams' `Serdes.ByteArray()` and `Serdes.Bytes()`.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::{Serde, SerdeContext, default_serdes};
use crate::error::BoxError;

/// Bytes as they are: a key or a value that nobody looks into. A clone is a count.
///
/// A type of its own because `Vec<u8>` would be a list of numbers; see [`List`](super::List).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(Arc<[u8]>);

impl Bytes {
    /// No bytes. Not the same as null.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self(Arc::from(&[][..]))
    }
}

/// Printable characters as they are, others as `\x00`.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.0.to_vec()
    }
}

impl<const N: usize> From<[u8; N]> for Bytes {
    fn from(bytes: [u8; N]) -> Self {
        Self(Arc::from(&bytes[..]))
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(bytes: &[u8; N]) -> Self {
        Self(Arc::from(&bytes[..]))
    }
}

macro_rules! from_bytes {
    ($([$source:ty, $value:ident => $bytes:expr])+) => { $(
        impl From<$source> for Bytes {
            fn from($value: $source) -> Self {
                Self($bytes)
            }
        }
    )+ };
}

from_bytes! {
    [&[u8], bytes => bytes.into()]
    [Vec<u8>, bytes => bytes.into()]
    [Box<[u8]>, bytes => bytes.into()]
    [Arc<[u8]>, bytes => bytes]
    [&str, text => text.as_bytes().into()]
    [String, text => text.into_bytes().into()]
}

macro_rules! equal_bytes {
    ($([$($generics:tt)*] $other:ty;)+) => { $(
        impl<$($generics)*> PartialEq<$other> for Bytes {
            fn eq(&self, other: &$other) -> bool {
                let other: &[u8] = other.as_ref();
                &*self.0 == other
            }
        }
    )+ };
}

equal_bytes! {
    [] [u8];
    [] &[u8];
    [] Vec<u8>;
    [] str;
    [] &str;
    [const N: usize] [u8; N];
    [const N: usize] &[u8; N];
}

/// The bytes themselves, for [`Bytes`], `Vec<u8>`, `Box<[u8]>` and `Arc<[u8]>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

macro_rules! raw_serde {
    ($($type:ty),+) => { $(
        impl Serde<$type> for Raw {
            fn serialize(
                &self,
                value: &$type,
                out: &mut Vec<u8>,
                _: &mut SerdeContext<'_>,
            ) -> Result<(), BoxError> {
                out.extend_from_slice(value);
                Ok(())
            }

            fn deserialize(
                &self,
                bytes: &[u8],
                _: &mut SerdeContext<'_>,
            ) -> Result<$type, BoxError> {
                Ok(bytes.into())
            }
        }
    )+ };
}

raw_serde!(Bytes, Vec<u8>, Box<[u8]>, Arc<[u8]>);

default_serdes! {
    [] Bytes => Raw;
    [] Arc<[u8]> => Raw;
    [] Box<[u8]> => Raw;
}
