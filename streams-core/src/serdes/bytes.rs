//! Raw bytes: Kafka Streams' `Serdes.ByteArray()` and `Serdes.Bytes()`.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use super::{Serde, SerdeContext, default_serdes};
use crate::error::BoxError;

/// Bytes as they are: a key or a value that nobody looks into. A clone is a copy of a few bytes, or
/// a count; short ones (most keys) are held in place.
///
/// A type of its own because `Vec<u8>` would be a list of numbers; see [`List`](super::List).
#[derive(Clone)]
pub struct Bytes(Repr);

/// With length and discriminant, three words.
const INLINE_MAX: usize = 22;

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Shared(Arc<[u8]>),
}

impl Bytes {
    /// No bytes. Not the same as null.
    pub fn new() -> Self {
        Self(Repr::Inline { len: 0, bytes: [0; INLINE_MAX] })
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Bytes {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Unsigned, byte by byte: as stores order their keys.
impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

/// As a slice, because of [`Borrow`].
impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

/// Printable characters as they are, others as `\x00`.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.as_slice().escape_ascii())
    }
}

impl Deref for Bytes {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.as_slice().to_vec()
    }
}

impl<const N: usize> From<[u8; N]> for Bytes {
    fn from(bytes: [u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

macro_rules! from_bytes {
    ($([$source:ty, $value:ident => $bytes:expr])+) => { $(
        impl From<$source> for Bytes {
            fn from($value: $source) -> Self {
                $bytes
            }
        }
    )+ };
}

/// The others go through this one.
impl From<&[u8]> for Bytes {
    #[inline]
    fn from(slice: &[u8]) -> Self {
        match u8::try_from(slice.len()) {
            Ok(len) if slice.len() <= INLINE_MAX => {
                let mut bytes = [0; INLINE_MAX];
                bytes[..slice.len()].copy_from_slice(slice);
                Self(Repr::Inline { len, bytes })
            }
            _ => Self(Repr::Shared(slice.into())),
        }
    }
}

from_bytes! {
    [Vec<u8>, bytes => bytes.as_slice().into()]
    [Box<[u8]>, bytes => (&*bytes).into()]
    [Arc<[u8]>, bytes => Self(Repr::Shared(bytes))]
    [&str, text => text.as_bytes().into()]
    [String, text => text.as_bytes().into()]
}

macro_rules! equal_bytes {
    ($([$($generics:tt)*] $other:ty;)+) => { $(
        impl<$($generics)*> PartialEq<$other> for Bytes {
            fn eq(&self, other: &$other) -> bool {
                let other: &[u8] = other.as_ref();
                self.as_slice() == other
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn short_and_long_bytes_behave_alike() {
        assert_eq!(size_of::<Bytes>(), 24);
        let long: Vec<u8> = (0..=255).collect();
        let hasher = foldhash::fast::FixedState::default();
        for len in [0, 1, INLINE_MAX - 1, INLINE_MAX, INLINE_MAX + 1, 255, 256] {
            let slice = &long[..len];
            let (one, shared) = (Bytes::from(slice), Bytes::from(Arc::<[u8]>::from(slice)));
            assert_eq!(one, shared);
            assert_eq!((&*one, one.clone().as_slice()), (slice, slice));
            assert_eq!(one.cmp(&shared), Ordering::Equal);
            assert_eq!(hasher.hash_one(&one), hasher.hash_one(slice));
            assert_eq!(one.cmp(&Bytes::from(&long[..40])), slice.cmp(&long[..40]));
        }
    }
}
