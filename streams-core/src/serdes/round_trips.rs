//! What is written is read back; what is malformed is an error, never a panic.

#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::sync::Arc;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    BigEndian, Bincode, Bytes, DefaultSerde, Json, List, Nullable, Raw, Serde, SerdeContext,
    SerdeError, SerdeRef, Utf8, Utf8Lossy,
};
use crate::error::BoxError;
use crate::record::Headers;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: String,
    amount: Option<i64>,
    tags: Vec<String>,
}

fn write<T>(serde: &impl Serde<T>, value: &T, out: &mut Vec<u8>) -> Result<(), BoxError> {
    serde.serialize(value, out, &mut SerdeContext::value("t", &mut Headers::new()))
}

fn read<T>(serde: &impl Serde<T>, bytes: &[u8]) -> Result<T, BoxError> {
    serde.deserialize(bytes, &mut SerdeContext::value("t", &mut Headers::new()))
}

/// Through bytes and back; what is in the buffer already stays.
fn check<T: Debug + PartialEq>(serde: &impl Serde<T>, value: &T) {
    let mut bytes = b"before".to_vec();
    write(serde, value, &mut bytes).unwrap();
    let written = bytes.strip_prefix(b"before").unwrap();
    if let Some(size) = serde.fixed_size() {
        assert_eq!(written.len(), size);
    }
    assert_eq!(&read(serde, written).unwrap(), value);
}

fn check_default<T: DefaultSerde + Debug + PartialEq>(value: &T) {
    check(&T::default_serde(), value);
}

proptest! {
    #[test]
    fn values(text: String, small: i16, number: i64, big: u64, flag: bool, bytes: Vec<u8>) {
        check_default(&text);
        check_default(&Arc::<str>::from(&*text));
        check_default(&small);
        check_default(&number);
        check_default(&big);
        check_default(&flag);
        check_default(&Bytes::from(&*bytes));
        check(&Raw, &bytes);
        check_default(&Some(number));
        check_default(&Arc::new(text.clone()));
        check_default(&Box::new(text));
    }

    #[test]
    fn lists_and_tuples(
        list: Vec<Option<i32>>,
        texts: Vec<Option<String>>,
        key in (any::<String>(), any::<Option<i64>>()),
        wide in (any::<i16>(), any::<bool>(), any::<String>(), any::<u32>()),
    ) {
        check_default(&list);
        check_default(&texts);
        check_default(&vec![list]);
        check_default(&key);
        check_default(&vec![key]);
        check_default(&wide);
        check_default(&((), wide.0));
    }

    #[test]
    fn formats_of_all_types(id: String, amount: Option<i64>, tags: Vec<String>) {
        let order = Order { id, amount, tags };
        check(&Json, &order);
        check(&Bincode, &order);
    }

    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>, count in any::<i32>(), flag in 0..3_u8) {
        let mut list = vec![flag];
        list.extend(count.to_be_bytes());
        list.extend(&bytes);
        let _ = read(&List(BigEndian), &list).map(|list: Vec<i64>| list);
        let _ = read(&List(Nullable(BigEndian)), &list).map(|list: Vec<Option<i16>>| list);
        let _ = read(&List(Utf8), &list).map(|list: Vec<String>| list);
        let _ = read(&<(Bytes, i64)>::default_serde(), &bytes);
        let _ = read(&Bincode, &bytes).map(|order: Order| order);
        let _ = read(&Json, &bytes).map(|order: Order| order);
    }

    #[test]
    fn tuples_with_an_equal_first_part_share_a_prefix(first: String, a: i64, b: i64) {
        let serde = <(String, i64)>::default_serde();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        write(&serde, &(first.clone(), a), &mut left).unwrap();
        write(&serde, &(first.clone(), b), &mut right).unwrap();
        prop_assert_eq!(&left[..4 + first.len()], &right[..4 + first.len()]);
    }
}

#[track_caller]
fn fails<T: Debug>(serde: &impl Serde<T>, bytes: &[u8], message: &str) {
    assert_eq!(read(serde, bytes).unwrap_err().to_string(), message);
}

#[test]
fn malformed_bytes_are_explained() {
    let number = i64::default_serde();
    fails(&number, b"abc", "a big endian number takes 8 bytes for `i64`, found 3");
    let flag = bool::default_serde();
    fails(&flag, &[2], "not a boolean: the byte is 2, which is neither 0 nor 1");
    let list = Vec::<String>::default_serde();
    fails(&list, &[], "a list ends early: 1 more bytes are announced, 0 are left");
    fails(&list, &[7], "not a list: it begins with 7, which is neither 0 nor 1");
    fails(
        &list,
        &[1, 0, 0, 0, 1, 0, 0, 0, 9, b'a'],
        "a list ends early: 9 more bytes are announced, 1 are left",
    );
    fails(
        &list,
        &[1, 0, 0, 0, 0, b'a'],
        "1 bytes are left over after a list: they were written in another format",
    );
    fails(
        &list,
        &[1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff],
        "not a list: it contains a null, and `String` has none: read it as `Option<String>`",
    );
    let wrong_null = [0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0];
    let message = "not a list: it has 0 elements, and element 5 is to be null";
    fails(&Vec::<Option<i32>>::default_serde(), &wrong_null, message);
    assert!(read(&Utf8, &[0xff]).map(|text: String| text).is_err());
    let lossy: String = read(&Utf8Lossy, &[b'a', 0xff]).unwrap();
    assert_eq!(lossy, "a\u{fffd}");
}

#[test]
fn a_length_in_malformed_bytes_is_not_allocated() {
    // A text of 2^60 bytes, as bincode writes that length.
    let huge = [253, 0, 0, 0, 0, 0, 0, 0, 16];
    assert!(read(&Bincode, &huge).map(|text: String| text).is_err());
    assert!(read(&Bincode, &huge).map(|list: Vec<i64>| list).is_err());
    // The most that the limit counts for a byte that is there.
    let numbers = vec![1_u128; 60_000];
    check(&Bincode, &numbers);
    check(&Bincode, &vec![u64::MAX; 300_000]);
    let many = [0x7f, 0xff, 0xff, 0xff];
    let list = [&[1], &many[..]].concat();
    assert!(read(&Vec::<i64>::default_serde(), &list).is_err());
    let list = [&[0, 0, 0, 0, 0], &many[..]].concat();
    assert!(read(&Vec::<i64>::default_serde(), &list).is_err());
}

#[test]
fn a_list_of_any_form_is_read() {
    let variable = [1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 9];
    assert_eq!(read(&Vec::<i32>::default_serde(), &variable).unwrap(), [9]);
    let constant = [0, 0, 0, 0, 0, 0, 0, 0, 0];
    let message = "not a list: its elements are of constant size, those of this serde are not";
    fails(&Vec::<String>::default_serde(), &constant, message);
}

#[test]
fn null_is_the_serdes() {
    let mut headers = Headers::new();
    let mut cx = SerdeContext::key("topic", &mut headers);
    let mut out = Vec::new();
    let optional = Option::<String>::default_serde();
    assert!(!optional.serialize_or_null(&None, &mut out, &mut cx).unwrap() && out.is_empty());
    assert_eq!(optional.deserialize_or_null(None, &mut cx).unwrap(), None);
    assert_eq!(
        String::default_serde().deserialize_or_null(None, &mut cx).unwrap_err().to_string(),
        "the key is null, and `String` has no null: read it as `Option<String>` and use \
         `drop_null_keys()`, or skip such records with `Consumed::skip_null_keys()`"
    );
    cx.is_key = false;
    let error = i64::default_serde().deserialize_or_null(None, &mut cx).unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(SerdeError::NullValue { of }) if of == "i64"),
        "{error}"
    );
    let error = write(&optional, &None, &mut out).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(SerdeError::NullInStore)), "{error}");
    // A set: in a store, nothing is something.
    let set = <()>::default_serde();
    assert!(set.serialize(&(), &mut out, &mut cx).is_ok() && out.is_empty());
    assert!(set.deserialize(b"whatever", &mut cx).is_ok());
}

#[test]
fn two_functions_make_a_serde() {
    let serde = SerdeRef::from_fns(
        |number: &u64, out| {
            out.extend_from_slice(number.to_string().as_bytes());
            Ok(())
        },
        |bytes| Ok(std::str::from_utf8(bytes)?.parse()?),
    );
    check(&serde, &42);
    assert!(read(&serde, b"x").is_err());
    assert_eq!(format!("{serde:?}"), "SerdeRef<u64>");
}

#[test]
fn bytes_look_and_compare_as_bytes() {
    let bytes = Bytes::from("a\u{0}b");
    assert_eq!(bytes, *b"a\0b");
    assert_eq!(bytes, "a\u{0}b");
    assert_eq!(format!("{bytes:?}"), r#"b"a\x00b""#);
    assert_eq!(bytes, Vec::from(bytes.clone()));
    assert!(Bytes::new().is_empty());
}
