//! Nothing: the key of a keyless topic, the value of a set.

use super::{Serde, SerdeContext, default_serdes};
use crate::error::BoxError;

/// `()`: written to topics as null, read from whatever is there. In a store it takes no bytes,
/// and is there all the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ignored;

impl Serde<()> for Ignored {
    fn serialize(
        &self,
        (): &(),
        _: &mut Vec<u8>,
        _: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    fn deserialize(&self, _: &[u8], _: &mut SerdeContext<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn is_null(&self, (): &()) -> bool {
        true
    }

    fn from_null(&self) -> Option<()> {
        Some(())
    }
}

default_serdes! { [] () => Ignored; }
