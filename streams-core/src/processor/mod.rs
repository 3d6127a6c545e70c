//! The Processor API: operators written by hand, and what the DSL's operators are made of.
//!
//! Reading order: [`Processor`], [`ProcessorContext`] (what it may do per record),
//! [`ProcessorInit`] (what its supplier may do, once per task), [`FixedKeyProcessor`].

mod context;
mod fixed_key;
mod from_fn;
mod init;
mod traits;

pub use self::context::{ProcessorContext, StateAccess};
pub(crate) use self::fixed_key::FixedKeyNode;
pub use self::fixed_key::{FixedKey, FixedKeyContext, FixedKeyInit, FixedKeyProcessor};
pub use self::from_fn::{FixedKeyFn, ProcessorFn, process_fn, process_values_fn};
pub use self::init::{ChildHandle, CommittedTime, ProcessorInit, Punctuator, SharedHandle};
pub use self::traits::{Data, Processor};
