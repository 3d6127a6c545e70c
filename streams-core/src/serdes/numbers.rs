//! Numbers and booleans: Kafka Streams' `Serdes.Short()`, `Integer()`, `Long()`, `Float()`,
//! `Double()`, `Boolean()`.

use super::{Serde, SerdeContext, SerdeError, default_serdes};
use crate::error::BoxError;

/// Big endian, two's complement, IEEE 754; a boolean is one byte, 0 or 1.
///
/// Unsigned integers have the bytes of the signed ones, so that a JVM reads them right up to the
/// signed maximum. Bytes alone (`u8`) have no serde: a `Vec<u8>` would silently become a list of
/// numbers; see [`Bytes`](super::Bytes).
#[derive(Clone, Copy, Debug, Default)]
pub struct BigEndian;

macro_rules! number_serde {
    ($($type:ty),+) => { $(
        impl Serde<$type> for BigEndian {
            fn serialize(
                &self,
                value: &$type,
                out: &mut Vec<u8>,
                _: &mut SerdeContext<'_>,
            ) -> Result<(), BoxError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            }

            fn deserialize(
                &self,
                bytes: &[u8],
                _: &mut SerdeContext<'_>,
            ) -> Result<$type, BoxError> {
                let bytes = bytes.try_into().map_err(|_| SerdeError::Size {
                    format: "a big endian number",
                    of: stringify!($type),
                    expected: size_of::<$type>(),
                    found: bytes.len(),
                })?;
                Ok(<$type>::from_be_bytes(bytes))
            }

            fn fixed_size(&self) -> Option<usize> {
                Some(size_of::<$type>())
            }
        }

        default_serdes! { [] $type => BigEndian; }
    )+ };
}

number_serde!(i16, i32, i64, u16, u32, u64, f32, f64);

// Not of fixed size: the JVM's list serde writes booleans as elements of variable size.
impl Serde<bool> for BigEndian {
    fn serialize(
        &self,
        value: &bool,
        out: &mut Vec<u8>,
        _: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        out.push(u8::from(*value));
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8], _: &mut SerdeContext<'_>) -> Result<bool, BoxError> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => {
                let why = format!("the byte is {other}, which is neither 0 nor 1");
                Err(SerdeError::Malformed { format: "a boolean", why }.into())
            }
            _ => {
                let (format, of) = ("a boolean", "bool");
                Err(SerdeError::Size { format, of, expected: 1, found: bytes.len() }.into())
            }
        }
    }
}

default_serdes! { [] bool => BigEndian; }
