//! UUIDs: Kafka Streams' `Serdes.UUID()`.

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::{Serde, SerdeContext, SerdeError, default_serdes};
use crate::error::BoxError;

/// A UUID as the 36 characters of its text, in lower case with hyphens.
#[derive(Clone, Copy, Debug, Default)]
pub struct UuidText;

impl Serde<Uuid> for UuidText {
    fn serialize(
        &self,
        value: &Uuid,
        out: &mut Vec<u8>,
        _: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        let mut text = [0; Hyphenated::LENGTH];
        out.extend_from_slice(value.hyphenated().encode_lower(&mut text).as_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8], _: &mut SerdeContext<'_>) -> Result<Uuid, BoxError> {
        let (format, of, expected) = ("the text of a UUID", "Uuid", Hyphenated::LENGTH);
        if bytes.len() != expected {
            return Err(SerdeError::Size { format, of, expected, found: bytes.len() }.into());
        }
        Ok(Uuid::try_parse_ascii(bytes)?)
    }

    fn fixed_size(&self) -> Option<usize> {
        Some(Hyphenated::LENGTH)
    }
}

default_serdes! { [] Uuid => UuidText; }
