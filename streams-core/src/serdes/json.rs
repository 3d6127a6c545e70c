//! JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Serde, SerdeContext};
use crate::error::BoxError;

/// JSON, for all types with serde's `Serialize` and `Deserialize`. The default of
/// `#[derive(DefaultSerde)]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned + 'static> Serde<T> for Json {
    fn serialize(
        &self,
        value: &T,
        out: &mut Vec<u8>,
        _: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        Ok(serde_json::to_writer(out, value)?)
    }

    fn deserialize(&self, bytes: &[u8], _: &mut SerdeContext<'_>) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
