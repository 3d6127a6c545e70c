//! How a change of a table goes through a repartition topic: the JVM's format.
//!
//! The last byte tells what is there: `old 0`, `new 1`, or both, `varint(new's length) new old 2`.
//! 3, 4 and 5 are the same with a byte before it that says whether the change is the latest of its
//! key; versioned tables write them.

use streams_core::stores::{Change, Held};
use streams_core::{BoxError, Serde, SerdeContext, SerdeRef};

const OLD: u8 = 0;
const NEW: u8 = 1;
const BOTH: u8 = 2;
/// Added to a flag when a byte for "is the latest" stands before it.
const WITH_LATEST: u8 = 3;

/// The format of a change whose values have this one.
pub(crate) struct ChangeSerde<V>(pub(crate) SerdeRef<V>);

impl<V: 'static> Serde<Change<V>> for ChangeSerde<V> {
    fn serialize(
        &self,
        change: &Change<V>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        match (&change.new, &change.old) {
            (None, None) => return Err(ChangeError::Nothing.into()),
            (None, Some(old)) => {
                self.0.serialize(old, out, cx)?;
                out.push(OLD);
            }
            (Some(new), None) => {
                self.0.serialize(new, out, cx)?;
                out.push(NEW);
            }
            (Some(new), Some(old)) => {
                let mut bytes = Vec::new();
                self.0.serialize(new, &mut bytes, cx)?;
                let length = i32::try_from(bytes.len()).map_err(|_| ChangeError::TooLong)?;
                write_varint(length, out);
                out.extend_from_slice(&bytes);
                self.0.serialize(old, out, cx)?;
                out.push(BOTH);
            }
        }
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8], cx: &mut SerdeContext<'_>) -> Result<Change<V>, BoxError> {
        let (flag, mut bytes) = bytes.split_last().ok_or(ChangeError::TooShort)?;
        let mut flag = *flag;
        if (WITH_LATEST..=WITH_LATEST + BOTH).contains(&flag) {
            (_, bytes) = bytes.split_last().ok_or(ChangeError::TooShort)?;
            flag -= WITH_LATEST;
        }
        let mut value = |bytes: &[u8]| self.0.deserialize(bytes, cx).map(Held::new);
        match flag {
            OLD => Ok(Change::new(None, Some(value(bytes)?))),
            NEW => Ok(Change::new(Some(value(bytes)?), None)),
            BOTH => {
                let (length, rest) = read_varint(bytes)?;
                let length = usize::try_from(length).map_err(|_| ChangeError::TooShort)?;
                let (new, old) = rest.split_at_checked(length).ok_or(ChangeError::TooShort)?;
                Ok(Change::new(Some(value(new)?), Some(value(old)?)))
            }
            flag => Err(ChangeError::Flag(flag).into()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ChangeError {
    #[error("a change from nothing to nothing cannot be written to a repartition topic")]
    Nothing,
    #[error("the new value of a change is longer than 2 GiB")]
    TooLong,
    #[error("the bytes of a change end too early")]
    TooShort,
    #[error("a change ends with {0}, which is no known format: was it written by a newer version?")]
    Flag(u8),
}

/// Zigzag, seven bits a byte, the lowest first.
fn write_varint(value: i32, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 31)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn read_varint(bytes: &[u8]) -> Result<(i32, &[u8]), ChangeError> {
    let mut value = 0_u32;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= u32::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let value = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
            return Ok((value, &bytes[at + 1..]));
        }
    }
    Err(ChangeError::TooShort)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use streams_core::{DefaultSerde, Headers};

    use super::*;

    fn change(new: Option<&str>, old: Option<&str>) -> Change<String> {
        let held = |text: Option<&str>| text.map(|text| Held::new(text.to_owned()));
        Change::new(held(new), held(old))
    }

    fn bytes(change: &Change<String>) -> Result<Vec<u8>, BoxError> {
        let mut headers = Headers::new();
        let mut out = Vec::new();
        let serde = ChangeSerde(String::default_serde());
        serde.serialize(change, &mut out, &mut SerdeContext::value("t", &mut headers))?;
        Ok(out)
    }

    fn read(bytes: &[u8]) -> Result<Change<String>, BoxError> {
        let mut headers = Headers::new();
        let serde = ChangeSerde(String::default_serde());
        serde.deserialize(bytes, &mut SerdeContext::value("t", &mut headers))
    }

    #[test]
    fn the_format_is_the_jvms() {
        assert_eq!(bytes(&change(None, Some("old"))).unwrap(), b"old\x00");
        assert_eq!(bytes(&change(Some("new"), None)).unwrap(), b"new\x01");
        assert_eq!(bytes(&change(Some("new"), Some("older"))).unwrap(), b"\x06newolder\x02");
        assert!(bytes(&change(None, None)).is_err());
    }

    #[test]
    fn what_was_written_is_read() {
        let long = "x".repeat(1000);
        for change in [
            change(None, Some("old")),
            change(Some(""), None),
            change(Some(&long), Some("")),
            change(Some(""), Some(&long)),
        ] {
            assert_eq!(read(&bytes(&change).unwrap()).unwrap(), change);
        }
    }

    #[test]
    fn newer_versions_say_whether_it_is_the_latest() {
        assert_eq!(read(b"old\x01\x03").unwrap(), change(None, Some("old")));
        assert_eq!(read(b"new\x00\x04").unwrap(), change(Some("new"), None));
        assert_eq!(read(b"\x06newold\x01\x05").unwrap(), change(Some("new"), Some("old")));
    }

    #[test]
    fn malformed_bytes_are_errors() {
        for bytes in
            [&b""[..], b"\x02", b"\x03", b"\x7fnew\x02", b"\xff\xff\xff\xff\xff\x02", b"x\x09"]
        {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
