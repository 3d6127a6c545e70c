//! Values as a test writes them.

use std::sync::Arc;

use streams_core::Timestamp;
use streams_core::serdes::Bytes;

/// What may stand for a `T` in a test: a `T` itself, `"text"` for a `String`, a literal number for
/// any type of number, an array for a `Vec`, milliseconds for a [`Timestamp`], and all of these
/// for an `Option` too. `Option<String>` is written as `"text"`, `None`, or [`some`]`("text")`.
///
/// Not `Into<T>`: that makes `1` an `i32`, which does not convert to `u64`.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot stand for a `{T}` in a test",
    label = "expected what stands for a `{T}`",
    note = "the types of a test topic are those of `driver.input::<K, V>(..)` and \
            `driver.output::<K, V>(..)`; for your own types write `impl Fixture<{T}> for ..`"
)]
pub trait Fixture<T> {
    /// The value itself.
    fn fixture(self) -> T;
}

/// `Some` of what stands for a `T`: for lists that contain `None` too.
pub fn some<T>(value: impl Fixture<T>) -> Option<T> {
    Some(value.fixture())
}

impl<T> Fixture<T> for T {
    fn fixture(self) -> T {
        self
    }
}

impl<T> Fixture<Option<T>> for T {
    fn fixture(self) -> Option<T> {
        Some(self)
    }
}

impl<T> Fixture<Arc<T>> for T {
    fn fixture(self) -> Arc<T> {
        Arc::new(self)
    }
}

impl<T, A: Fixture<T>, const N: usize> Fixture<Vec<T>> for [A; N] {
    fn fixture(self) -> Vec<T> {
        self.into_iter().map(Fixture::fixture).collect()
    }
}

impl Fixture<Timestamp> for i64 {
    fn fixture(self) -> Timestamp {
        Timestamp::from_millis(self)
    }
}

macro_rules! from_text {
    ($($type:ty),+) => { $(
        impl Fixture<$type> for &str {
            fn fixture(self) -> $type {
                self.into()
            }
        }

        impl Fixture<Option<$type>> for &str {
            fn fixture(self) -> Option<$type> {
                Some(self.into())
            }
        }
    )+ };
}
from_text!(String, Box<str>, Arc<str>);

macro_rules! from_bytes {
    ($([$($generics:tt)*] $from:ty),+) => { $(
        impl<$($generics)*> Fixture<Bytes> for $from {
            fn fixture(self) -> Bytes {
                Bytes::from(self.to_vec())
            }
        }

        impl<$($generics)*> Fixture<Option<Bytes>> for $from {
            fn fixture(self) -> Option<Bytes> {
                Some(Bytes::from(self.to_vec()))
            }
        }
    )+ };
}
from_bytes!([] &[u8], [const N: usize] &[u8; N]);

#[cfg(test)]
mod tests {
    use super::*;

    fn of<T>(value: impl Fixture<T>) -> T {
        value.fixture()
    }

    #[test]
    fn literals_stand_for_what_is_wanted() {
        assert_eq!(of::<u64>(1), 1_u64);
        assert_eq!(of::<Option<i16>>(1), Some(1_i16));
        assert_eq!(of::<Option<i16>>(Some(1)), Some(1_i16));
        assert_eq!(of::<f32>(1.5), 1.5_f32);
        assert_eq!(of::<String>("a"), "a".to_owned());
        assert_eq!(of::<Option<String>>("a"), some("a"));
        assert_eq!(of::<Option<String>>(None), None);
        assert_eq!(of::<Arc<str>>("a"), Arc::from("a"));
        assert_eq!(of::<Arc<i32>>(1), Arc::new(1));
        assert_eq!(of::<Vec<String>>(["a", "b"]), ["a", "b"]);
        assert_eq!(of::<Bytes>(b"ab").as_slice(), b"ab");
        assert_eq!(of::<Timestamp>(7), Timestamp::from_millis(7));
        of::<()>(());
    }
}
