//! Bytes at the edges: how keys and values become bytes, and what *null* is.
//!
//! A [`Serde<T>`] is a format for `T`; a [`SerdeRef<T>`] is a shared one with its type erased;
//! [`DefaultSerde`] is what a bare name for a topic or a store stands for. Formats of single
//! types are Kafka Streams' own, byte for byte ([`Utf8`], [`BigEndian`], [`Raw`], [`UuidText`],
//! [`List`]); [`Json`] and [`Bincode`] are formats of every type that has serde's derives.
//!
//! A format of your own is a struct with `impl Serde<T> for ..`, or two closures:
//! [`SerdeRef::from_fns`].

mod bincode;
mod bytes;
mod context;
mod erased;
mod error;
mod json;
mod list;
mod numbers;
mod parts;
mod text;
mod tuple;
mod unit;
mod uuid;
mod windowed;
mod wrappers;

pub use self::bincode::Bincode;
pub use self::bytes::{Bytes, Raw};
pub use self::context::SerdeContext;
pub use self::erased::SerdeRef;
pub use self::error::SerdeError;
pub use self::json::Json;
pub use self::list::List;
pub use self::numbers::BigEndian;
pub use self::text::{Utf8, Utf8Lossy};
pub use self::tuple::Tuple;
pub use self::unit::Ignored;
pub use self::uuid::UuidText;
pub use self::windowed::{SessionWindowedKey, TimeWindowedKey};
pub use self::wrappers::{Nullable, Shared};
pub use streams_macros::DefaultSerde;

use crate::error::BoxError;

/// A format for `T`. Two methods suffice; the others are for types that have a null, and for
/// formats of constant size.
///
/// The counterpart of Kafka Streams' `Serializer` and `Deserializer` in one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a serde for `{T}`",
    label = "needs `Serde<{T}>`",
    note = "`Json` and `Bincode` want `{T}: Serialize + DeserializeOwned`; for another format write `impl Serde<{T}> for ..`"
)]
pub trait Serde<T>: Send + Sync + 'static {
    /// Appends the bytes of `value` to `out`, whatever is in it already.
    ///
    /// On an error the caller drops what was appended.
    fn serialize(
        &self,
        value: &T,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError>;

    /// Reads all of `bytes`; bytes that are left over are an error.
    fn deserialize(&self, bytes: &[u8], cx: &mut SerdeContext<'_>) -> Result<T, BoxError>;

    /// True when `value` is written to a topic as null. Then `serialize` is not called.
    ///
    /// Stores do not ask: what is put into a store is never null, it always has bytes.
    fn is_null(&self, value: &T) -> bool {
        let _ = value;
        false
    }

    /// The value that null is read as; `None`: null is an error.
    #[expect(clippy::wrong_self_convention, reason = "it is the null that is converted")]
    fn from_null(&self) -> Option<T> {
        None
    }

    /// How many bytes every value takes, if Kafka Streams counts the format among those of
    /// constant size. It decides how [`List`] writes elements.
    fn fixed_size(&self) -> Option<usize> {
        None
    }

    /// How many bytes at the end of a key tell its window. A sink that writes such keys chooses
    /// the partition without them, as Kafka Streams does.
    fn window_bytes(&self) -> usize {
        0
    }
}

/// The serde that a bare name stands for: `.to("out")`, `.count("counts")`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default serde, which a bare name for a topic or a store stands for",
    label = "`{Self}` would have to become bytes here",
    note = "on your own type: `#[derive(Serialize, Deserialize, DefaultSerde)]`, or `json_serde!({Self});`",
    note = "for raw bytes use the type `Bytes` in place of `Vec<u8>`",
    note = "a `Windowed` key can be read only by who knows how long its window is: `TimeWindowedKey {{ inner, size }}`, or `inherit` what comes from upstream",
    note = "or name the serdes: `Consumed::with(..)`, `Produced::with(..)`, `Grouped::with(..)`, `Materialized::with(..)`"
)]
pub trait DefaultSerde: Sized + 'static {
    /// A serde for this type.
    fn default_serde() -> SerdeRef<Self>;
}

/// The serde that a bare name stands for where records are only written. Implemented for all types
/// that have a [`DefaultSerde`], and for those that can be written more easily than read:
/// `Windowed<K>`, whose reader must know the size of the window.
pub trait DefaultWrite: Sized + 'static {
    /// A serde that can write this type.
    fn default_write() -> SerdeRef<Self>;
}

impl<T: DefaultSerde> DefaultWrite for T {
    fn default_write() -> SerdeRef<Self> {
        T::default_serde()
    }
}

/// `json_serde!(Order, Payment);` gives each type JSON as its default serde.
///
/// For types of your own crate; `#[derive(DefaultSerde)]` does the same where the type is declared.
#[macro_export]
macro_rules! json_serde {
    ($($type:ty),+ $(,)?) => { $(
        impl $crate::serdes::DefaultSerde for $type {
            fn default_serde() -> $crate::serdes::SerdeRef<Self> {
                $crate::serdes::SerdeRef::new($crate::serdes::Json)
            }
        }
    )+ };
}

/// Default serdes of this crate's formats.
macro_rules! default_serdes {
    ($([$($generics:tt)*] $type:ty => $serde:expr;)+) => { $(
        impl<$($generics)*> $crate::serdes::DefaultSerde for $type {
            fn default_serde() -> $crate::serdes::SerdeRef<Self> {
                $crate::serdes::SerdeRef::new($serde)
            }
        }
    )+ };
}
use default_serdes;

#[cfg(test)]
mod jvm_vectors;
#[cfg(test)]
mod round_trips;
