//! `#[derive(DefaultSerde)]` and `json_serde!`, as another crate uses them.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use streams_core::record::Headers;
use streams_core::serdes::{Bincode, DefaultSerde, Serde, SerdeContext};

#[derive(Debug, PartialEq, Serialize, Deserialize, DefaultSerde)]
#[default_serde(crate = streams_core)]
struct Order {
    id: String,
    amount: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, DefaultSerde)]
#[default_serde(Bincode, crate = ::streams_core)]
enum Event {
    Opened,
    Paid { amount: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, DefaultSerde)]
#[default_serde(crate = streams_core)]
struct Envelope<T: Clone, const N: usize>
where
    T: Debug,
{
    version: u32,
    content: T,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plain(u8);
streams_core::json_serde!(Plain, Vec2<i32>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vec2<T>(T, T);

#[track_caller]
fn check<T: DefaultSerde + Debug + PartialEq>(value: T, bytes: &[u8]) {
    let (mut headers, mut out) = (Headers::new(), Vec::new());
    let mut cx = SerdeContext::value("t", &mut headers);
    T::default_serde().serialize(&value, &mut out, &mut cx).expect("it is serialised");
    assert_eq!(out.escape_ascii().to_string(), bytes.escape_ascii().to_string());
    let read = T::default_serde().deserialize(&out, &mut cx).expect("it is read back");
    assert_eq!(read, value);
}

#[test]
fn a_derive_is_json_unless_it_names_a_format() {
    check(Order { id: "a".to_owned(), amount: 7 }, br#"{"id":"a","amount":7}"#);
    check(Event::Opened, &[0]);
    check(Event::Paid { amount: 9 }, &[1, 9]);
    check(Plain(3), b"3");
    check(Vec2(1, 2), b"[1,2]");
}

#[test]
fn a_type_with_parameters_has_the_serde_for_those_that_fit() {
    fn generic<T>(content: T) -> Envelope<T, 3>
    where
        T: Clone + Debug + Serialize + DeserializeOwned + 'static,
    {
        let _ = Envelope::<T, 3>::default_serde();
        Envelope { version: 1, content }
    }
    check(generic(true), br#"{"version":1,"content":true}"#);
}
