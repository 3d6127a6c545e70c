//! `#[derive(DefaultSerde)]`. A crate of its own because the compiler wants procedural macros so;
//! use it through `streams-dsl`.

mod default_serde;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Gives a type its default serde: JSON, or the format named by `#[default_serde(..)]`.
///
/// ```ignore
/// #[derive(Clone, Serialize, Deserialize, DefaultSerde)]
/// struct Order { id: String, amount: i64 }
///
/// #[derive(Clone, Serialize, Deserialize, DefaultSerde)]
/// #[default_serde(Bincode)]
/// struct Sketch { registers: Vec<u8> }
/// ```
///
/// The format is a unit struct that implements `Serde` for the type. `#[default_serde(crate =
/// path)]` names the crate whose `serdes` module is meant, where `streams-dsl` is known by
/// another name. A type with parameters has the default serde for those parameters for which
/// the format is a serde.
#[proc_macro_derive(DefaultSerde, attributes(default_serde))]
pub fn default_serde(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    default_serde::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
