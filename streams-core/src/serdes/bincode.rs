//! Bincode: small and fast, and read by Rust only.

use bincode::config::standard;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Serde, SerdeContext, SerdeError};
use crate::error::BoxError;

/// Bincode 2 with its standard configuration (variable-length integers), for all types with
/// serde's `Serialize` and `Deserialize`. It knows no names: a field that is added, removed or
/// moved makes old bytes unreadable, so use it for stores that can be rebuilt.
/// Values above a gibibyte are refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bincode;

impl<T: Serialize + DeserializeOwned + 'static> Serde<T> for Bincode {
    fn serialize(
        &self,
        value: &T,
        out: &mut Vec<u8>,
        _: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        bincode::serde::encode_into_std_write(value, out, standard())?;
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8], _: &mut SerdeContext<'_>) -> Result<T, BoxError> {
        // Without a limit, a length in malformed bytes is allocated before it is checked, and a
        // poison record would end the process. A limit counts at most 16 for each byte read.
        let (value, read) = if bytes.len() <= 1 << 20 {
            bincode::serde::decode_from_slice(bytes, standard().with_limit::<{ 16 << 20 }>())?
        } else {
            bincode::serde::decode_from_slice(bytes, standard().with_limit::<{ 1 << 30 }>())?
        };
        match bytes.len() - read {
            0 => Ok(value),
            left => Err(SerdeError::LeftOver { format: "bincode", left }.into()),
        }
    }
}
