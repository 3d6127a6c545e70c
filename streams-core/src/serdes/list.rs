//! Lists: Kafka Streams' `Serdes.ListSerde(..)`.

use super::parts::{Reader, from_null, length, read_part, write_part};
use super::{DefaultSerde, Serde, SerdeContext, default_serdes};
use crate::error::BoxError;

/// `Vec<T>` in the bytes of the JVM's `ListSerde`:
///
/// - elements of constant size ([`Serde::fixed_size`]): byte 0, the number of nulls and the index
///   of each, the number of elements, then each element that is not null;
/// - other elements: byte 1, the number of elements, then each behind its length, -1 for null.
///
/// All numbers are big endian int32s. Either form is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct List<S>(pub S);

const FORMAT: &str = "a list";
const CONSTANT_SIZE: u8 = 0;
const VARIABLE_SIZE: u8 = 1;
/// What is reserved before elements were seen: a length in malformed bytes must not allocate
/// gigabytes.
const RESERVED_MAX: usize = 4096;

impl<T: 'static, S: Serde<T>> Serde<Vec<T>> for List<S> {
    fn serialize(
        &self,
        list: &Vec<T>,
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError> {
        if self.0.fixed_size().is_some() {
            self.write_constant_size(list, out, cx)
        } else {
            out.push(VARIABLE_SIZE);
            out.extend_from_slice(&length(FORMAT, list.len())?.to_be_bytes());
            list.iter().try_for_each(|element| write_part(FORMAT, &self.0, element, out, cx))
        }
    }

    fn deserialize(&self, bytes: &[u8], cx: &mut SerdeContext<'_>) -> Result<Vec<T>, BoxError> {
        let mut reader = Reader::new(FORMAT, bytes);
        let list = match reader.byte()? {
            CONSTANT_SIZE => self.read_constant_size(&mut reader, cx)?,
            VARIABLE_SIZE => self.read_variable_size(&mut reader, cx)?,
            other => {
                let why = format!("it begins with {other}, which is neither 0 nor 1");
                return Err(reader.malformed(why).into());
            }
        };
        reader.end()?;
        Ok(list)
    }
}

impl<S> List<S> {
    fn write_constant_size<T>(
        &self,
        list: &[T],
        out: &mut Vec<u8>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<(), BoxError>
    where
        S: Serde<T>,
    {
        out.push(CONSTANT_SIZE);
        let nulls = list.iter().filter(|element| self.0.is_null(element)).count();
        out.extend_from_slice(&length(FORMAT, nulls)?.to_be_bytes());
        for (index, element) in list.iter().enumerate() {
            if self.0.is_null(element) {
                out.extend_from_slice(&length(FORMAT, index)?.to_be_bytes());
            }
        }
        out.extend_from_slice(&length(FORMAT, list.len())?.to_be_bytes());
        list.iter()
            .filter(|element| !self.0.is_null(element))
            .try_for_each(|element| self.0.serialize(element, out, cx))
    }

    fn read_constant_size<T>(
        &self,
        reader: &mut Reader<'_>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<Vec<T>, BoxError>
    where
        S: Serde<T>,
    {
        let Some(size) = self.0.fixed_size() else {
            let why = "its elements are of constant size, those of this serde are not";
            return Err(reader.malformed(why.to_owned()).into());
        };
        let nulls = reader.length()?;
        let indexes = reader.bytes(nulls.saturating_mul(4))?;
        // Writers list the indexes in ascending order, so that one look ahead suffices.
        let mut nulls = indexes
            .chunks_exact(4)
            .map(|index| u32::from_be_bytes([index[0], index[1], index[2], index[3]]) as usize)
            .peekable();
        let len = reader.length()?;
        let mut list = Vec::with_capacity(len.min(RESERVED_MAX));
        for index in 0..len {
            list.push(match nulls.next_if_eq(&index) {
                Some(_) => from_null(FORMAT, &self.0)?,
                None => self.0.deserialize(reader.bytes(size)?, cx)?,
            });
        }
        match nulls.next() {
            None => Ok(list),
            Some(index) => {
                let why = format!("it has {len} elements, and element {index} is to be null");
                Err(reader.malformed(why).into())
            }
        }
    }

    fn read_variable_size<T>(
        &self,
        reader: &mut Reader<'_>,
        cx: &mut SerdeContext<'_>,
    ) -> Result<Vec<T>, BoxError>
    where
        S: Serde<T>,
    {
        let len = reader.length()?;
        let mut list = Vec::with_capacity(len.min(RESERVED_MAX));
        for _ in 0..len {
            list.push(read_part(reader, &self.0, cx)?);
        }
        Ok(list)
    }
}

default_serdes! { [T: DefaultSerde] Vec<T> => List(T::default_serde()); }
