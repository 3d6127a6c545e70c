//! Formats that are made of parts: parts behind their length, and a reader that checks each step.

use super::error::short_name;
use super::{Serde, SerdeContext, SerdeError};
use crate::error::BoxError;

/// Appends `value` behind its length as an int32; null is -1 without bytes.
pub(super) fn write_part<T>(
    format: &'static str,
    serde: &impl Serde<T>,
    value: &T,
    out: &mut Vec<u8>,
    cx: &mut SerdeContext<'_>,
) -> Result<(), BoxError> {
    if serde.is_null(value) {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return Ok(());
    }
    // The length is known only afterwards; its place is filled then, so that nothing is copied.
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    serde.serialize(value, out, cx)?;
    let length = length(format, out.len() - start - 4)?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Reads what [`write_part`] wrote; null is an error if `T` has none.
pub(super) fn read_part<T>(
    reader: &mut Reader<'_>,
    serde: &impl Serde<T>,
    cx: &mut SerdeContext<'_>,
) -> Result<T, BoxError> {
    match reader.part()? {
        Some(bytes) => serde.deserialize(bytes, cx),
        None => from_null(reader.format, serde),
    }
}

/// The value of a null inside of a larger value.
pub(super) fn from_null<T>(format: &'static str, serde: &impl Serde<T>) -> Result<T, BoxError> {
    serde.from_null().ok_or_else(|| {
        let of = short_name::<T>();
        let why = format!("it contains a null, and `{of}` has none: read it as `Option<{of}>`");
        SerdeError::Malformed { format, why }.into()
    })
}

/// A length as the JVM's formats have it.
pub(super) fn length(format: &'static str, len: usize) -> Result<i32, SerdeError> {
    i32::try_from(len).map_err(|_| SerdeError::TooLong { format, len })
}

/// What is left of some bytes; every step is checked.
pub(super) struct Reader<'a> {
    format: &'static str,
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(format: &'static str, bytes: &'a [u8]) -> Self {
        Self { format, left: bytes }
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], SerdeError> {
        let (bytes, left) = self.left.split_at_checked(len).ok_or(SerdeError::Truncated {
            format: self.format,
            needed: len,
            left: self.left.len(),
        })?;
        self.left = left;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, SerdeError> {
        Ok(self.bytes(1)?[0])
    }

    pub(super) fn int32(&mut self) -> Result<i32, SerdeError> {
        let bytes = self.bytes(4)?.try_into().expect("four bytes were asked for");
        Ok(i32::from_be_bytes(bytes))
    }

    /// A count or a length.
    pub(super) fn length(&mut self) -> Result<usize, SerdeError> {
        let length = self.int32()?;
        usize::try_from(length).map_err(|_| self.malformed(format!("a length of {length}")))
    }

    /// A part behind its length; -1 is null.
    pub(super) fn part(&mut self) -> Result<Option<&'a [u8]>, SerdeError> {
        match self.int32()? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => self.bytes(length).map(Some),
                Err(_) => Err(self.malformed(format!("a length of {length}"))),
            },
        }
    }

    pub(super) fn end(self) -> Result<(), SerdeError> {
        match self.left.len() {
            0 => Ok(()),
            left => Err(SerdeError::LeftOver { format: self.format, left }),
        }
    }

    pub(super) fn malformed(&self, why: String) -> SerdeError {
        SerdeError::Malformed { format: self.format, why }
    }
}
