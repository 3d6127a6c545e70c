//! Bytes that the JVM's serializers wrote: `jvm_vectors/vectors.txt`, by the program beside it.

#![allow(clippy::unwrap_used)]

use std::fmt::Debug;

use uuid::Uuid;

use super::{Bytes, DefaultSerde, SerdeContext};
use crate::partitioning::{murmur2, partition_for_key};
use crate::record::Headers;

const VECTORS: &str = include_str!("jvm_vectors/vectors.txt");

fn vector(name: &str) -> &'static str {
    let mut lines = VECTORS.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(n, _)| *n == name).unwrap().1
}

/// `value` becomes the JVM's bytes, and these are read as `value`.
fn check<T: DefaultSerde + Debug + PartialEq>(name: &str, value: T) {
    let serde = T::default_serde();
    let mut headers = Headers::new();
    let mut cx = SerdeContext::value("topic", &mut headers);
    let mut bytes = Vec::new();
    let written = serde.serialize_or_null(&value, &mut bytes, &mut cx).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(if written { &hex } else { "null" }, vector(name), "{name}");
    let read = serde.deserialize_or_null(written.then_some(&bytes[..]), &mut cx).unwrap();
    assert_eq!(read, value, "{name}");
}

#[test]
fn single_values_have_the_jvms_bytes() {
    check("text", "Grüße, 世界 🦀".to_owned());
    check("text-empty", String::new());
    check("i16", -2_i16);
    check("i32", -123_456_789_i32);
    check("i64", 1_234_567_890_123_456_789_i64);
    check("i64", 1_234_567_890_123_456_789_u64);
    check("i64-min", i64::MIN);
    check("f32", -1.5_f32);
    check("f64", std::f64::consts::PI);
    check("true", true);
    check("false", false);
    check("bytes", Bytes::from([0, 0xff, 0x7f]));
    check("void", ());
    check("void", None::<i64>);
    check("i16", Some(-2_i16));
    check("i16", std::sync::Arc::new(-2_i16));
    check("uuid", uuid());
}

#[test]
fn lists_have_the_jvms_bytes() {
    check("list-i64", vec![1_i64, -1]);
    check("list-i64-nulls", vec![None, Some(7_i64), None]);
    check("list-i16", vec![258_i16]);
    check("list-uuid", vec![uuid()]);
    check("list-bool", vec![true, false]);
    check("list-text", vec!["a".to_owned(), String::new(), "bcd".to_owned()]);
    check("list-text-nulls", vec![Some("a".to_owned()), None]);
    check("list-empty", Vec::<String>::new());
    check("list-i32-empty", Vec::<i32>::new());
    check("list-list", vec![vec![1_i32], vec![]]);
}

#[test]
fn keys_have_the_jvms_partitions() {
    for length in 0..=17_u8 {
        let key: Vec<_> = (0..length).map(|i| 200_u8.wrapping_add(i.wrapping_mul(37))).collect();
        let expected = vector(&format!("murmur2-{length}"));
        assert_eq!(format!("{} {}", murmur2(&key), partition_for_key(&key, 12)), expected);
    }
}

fn uuid() -> Uuid {
    Uuid::try_parse("67e55044-10b1-426f-9247-bb680e5fe0c8").unwrap()
}
