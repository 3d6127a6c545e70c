//! Tuples. The JVM has none; this format is ours.

use super::parts::{Reader, read_part, write_part};
use super::{DefaultSerde, Serde, SerdeContext, default_serdes};
use crate::error::BoxError;

/// A tuple of two to six: each part in the bytes of its own serde, behind its length as a big
/// endian int32; -1 is null.
///
/// The keys with an equal first part lie together in a store, and are found by the prefix of it;
/// parts of constant size are ordered as their bytes are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tuple<S>(pub S);

const FORMAT: &str = "a tuple";

macro_rules! tuple_serde {
    ($([$($index:tt $type:ident $serde:ident),+])+) => { $(
        impl<$($type: 'static, $serde: Serde<$type>),+> Serde<($($type,)+)>
            for Tuple<($($serde,)+)>
        {
            fn serialize(
                &self,
                value: &($($type,)+),
                out: &mut Vec<u8>,
                cx: &mut SerdeContext<'_>,
            ) -> Result<(), BoxError> {
                $(write_part(FORMAT, &self.0.$index, &value.$index, out, cx)?;)+
                Ok(())
            }

            fn deserialize(
                &self,
                bytes: &[u8],
                cx: &mut SerdeContext<'_>,
            ) -> Result<($($type,)+), BoxError> {
                let mut reader = Reader::new(FORMAT, bytes);
                let value = ($(read_part(&mut reader, &self.0.$index, cx)?,)+);
                reader.end()?;
                Ok(value)
            }
        }

        default_serdes! {
            [$($type: DefaultSerde),+] ($($type,)+) => Tuple(($($type::default_serde(),)+));
        }
    )+ };
}

tuple_serde! {
    [0 A SA, 1 B SB]
    [0 A SA, 1 B SB, 2 C SC]
    [0 A SA, 1 B SB, 2 C SC, 3 D SD]
    [0 A SA, 1 B SB, 2 C SC, 3 D SD, 4 E SE]
    [0 A SA, 1 B SB, 2 C SC, 3 D SD, 4 E SE, 5 F SF]
}
