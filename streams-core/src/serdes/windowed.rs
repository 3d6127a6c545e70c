//! Keys in windows, in the formats of Kafka Streams' windowed serdes.

use std::time::Duration;

use super::{DefaultSerde, DefaultWrite, Serde, SerdeContext, SerdeError, SerdeRef};
use crate::error::BoxError;
use crate::record::Timestamp;
use crate::windowed::{SessionWindow, TimeWindow, Windowed};

const TIME_BYTES: usize = 8;
const FORMAT: &str = "a windowed key";

/// The key's bytes, then the start of its window. The end is not written, so whoever reads has to
/// know the size.
///
/// `Consumed::with("counts", TimeWindowedKey { inner: Utf8, size }, BigEndian)` reads what a
/// windowed count has written.
#[derive(Clone, Copy, Debug)]
pub struct TimeWindowedKey<S> {
    /// The format of the key.
    pub inner: S,
    /// From a window's start to its end.
    pub size: Duration,
}

impl<K: 'static, S: Serde<K>> Serde<Windowed<K>> for TimeWindowedKey<S> {
    fn serialize(
        &self,
        value: &Windowed<K>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        write_time_windowed(&self.inner, value, out, cx)
    }

    fn deserialize(
        &self,
        bytes: &[u8],
        cx: &mut SerdeContext<'_>,
    ) -> Result<Windowed<K>, BoxError> {
        let (key, [start]) = split(bytes)?;
        let window = TimeWindow { start, end: start + self.size };
        Ok(Windowed { key: self.inner.deserialize(key, cx)?, window })
    }

    fn window_bytes(&self) -> usize {
        TIME_BYTES
    }
}

/// The key's bytes, then the end of its session, then its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionWindowedKey<S>(pub S);

impl<K: 'static, S: Serde<K>> Serde<Windowed<K, SessionWindow>> for SessionWindowedKey<S> {
    fn serialize(
        &self,
        value: &Windowed<K, SessionWindow>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        self.0.serialize(&value.key, out, cx)?;
        out.extend_from_slice(&value.window.end.as_millis().to_be_bytes());
        out.extend_from_slice(&value.window.start.as_millis().to_be_bytes());
        Ok(())
    }

    fn deserialize(
        &self,
        bytes: &[u8],
        cx: &mut SerdeContext<'_>,
    ) -> Result<Windowed<K, SessionWindow>, BoxError> {
        let (key, [end, start]) = split(bytes)?;
        Ok(Windowed { key: self.0.deserialize(key, cx)?, window: SessionWindow { start, end } })
    }

    fn window_bytes(&self) -> usize {
        2 * TIME_BYTES
    }
}

impl<K: DefaultSerde> DefaultSerde for Windowed<K, SessionWindow> {
    fn default_serde() -> SerdeRef<Self> {
        SerdeRef::new(SessionWindowedKey(K::default_serde()))
    }
}

/// To write a windowed key its size does not matter.
impl<K: DefaultSerde> DefaultWrite for Windowed<K, TimeWindow> {
    fn default_write() -> SerdeRef<Self> {
        SerdeRef::new(WriteTimeWindowed(K::default_serde()))
    }
}

/// Writes, and refuses to read.
struct WriteTimeWindowed<S>(S);

impl<K: 'static, S: Serde<K>> Serde<Windowed<K>> for WriteTimeWindowed<S> {
    fn serialize(
        &self,
        value: &Windowed<K>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        write_time_windowed(&self.0, value, out, cx)
    }

    fn deserialize(&self, _: &[u8], _: &mut SerdeContext<'_>) -> Result<Windowed<K>, BoxError> {
        let why = "its bytes do not say how long its window is: read it with `TimeWindowedKey`";
        Err(SerdeError::Malformed { format: FORMAT, why: why.into() }.into())
    }

    fn window_bytes(&self) -> usize {
        TIME_BYTES
    }
}

fn write_time_windowed<K: 'static>(
    inner: &impl Serde<K>,
    value: &Windowed<K>,
    out: &mut Vec<u8>,
    cx: &mut SerdeContext<'_>,
) -> Result<(), BoxError> {
    inner.serialize(&value.key, out, cx)?;
    out.extend_from_slice(&value.window.start.as_millis().to_be_bytes());
    Ok(())
}

/// The key's bytes, and the times behind them.
fn split<const TIMES: usize>(bytes: &[u8]) -> Result<(&[u8], [Timestamp; TIMES]), SerdeError> {
    let needed = TIMES * TIME_BYTES;
    let truncated = SerdeError::Truncated { format: FORMAT, needed, left: bytes.len() };
    let key = bytes.len().checked_sub(needed).ok_or(truncated)?;
    let (key, times) = bytes.split_at(key);
    let mut of = times.as_chunks::<TIME_BYTES>().0.iter();
    let time = std::array::from_fn(|_| {
        Timestamp::from_millis(of.next().map_or(0, |time| i64::from_be_bytes(*time)))
    });
    Ok((key, time))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::record::Headers;
    use crate::serdes::Utf8;
    use crate::windowed::SessionWindowed;

    fn bytes<T>(serde: &impl Serde<T>, value: &T) -> Vec<u8> {
        let (mut out, mut headers) = (Vec::new(), Headers::new());
        serde.serialize(value, &mut out, &mut SerdeContext::key("t", &mut headers)).unwrap();
        out
    }

    fn read<T>(serde: &impl Serde<T>, bytes: &[u8]) -> Result<T, BoxError> {
        let mut headers = Headers::new();
        serde.deserialize(bytes, &mut SerdeContext::key("t", &mut headers))
    }

    #[test]
    fn the_formats_are_the_jvms() {
        let of = TimeWindowedKey { inner: Utf8, size: Duration::from_millis(5) };
        let key = Windowed::new("k".to_owned(), TimeWindow::from_millis(1, 6));
        assert_eq!(bytes(&of, &key), b"k\0\0\0\0\0\0\0\x01");
        assert_eq!(bytes(&Windowed::<String>::default_write(), &key), bytes(&of, &key));
        let key = Windowed::new("k".to_owned(), SessionWindow::from_millis(1, 6));
        assert_eq!(
            bytes(&SessionWindowedKey(Utf8), &key),
            b"k\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x01"
        );
    }

    #[test]
    fn what_is_too_short_is_an_error() {
        let of = TimeWindowedKey { inner: Utf8, size: Duration::from_millis(5) };
        assert!(read::<Windowed<String>>(&of, b"1234567").is_err());
        let session =
            read::<SessionWindowed<String>>(&SessionWindowedKey(Utf8), b"123456789012345");
        assert!(session.is_err());
        assert!(read(&Windowed::<String>::default_write(), b"k\0\0\0\0\0\0\0\x01").is_err());
    }

    #[test]
    fn an_end_beyond_the_end_of_time_is_the_end_of_time() {
        let of = TimeWindowedKey { inner: Utf8, size: Duration::from_millis(5) };
        let key: Windowed<String> = read(&of, b"k\x7f\xff\xff\xff\xff\xff\xff\xff").unwrap();
        assert_eq!(key.window.end.as_millis(), i64::MAX);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(key in ".{0,5}", start in 0..1_i64 << 40, length in 0..1_i64 << 30) {
            let size = Duration::from_millis(length.unsigned_abs());
            let of = TimeWindowedKey { inner: Utf8, size };
            let timed = Windowed::new(key.clone(), TimeWindow::from_millis(start, start + length));
            prop_assert_eq!(read(&of, &bytes(&of, &timed)).unwrap(), timed);
            let of = SessionWindowedKey(Utf8);
            let session = Windowed::new(key, SessionWindow::from_millis(start, start + length));
            prop_assert_eq!(read(&of, &bytes(&of, &session)).unwrap(), session);
        }
    }
}
