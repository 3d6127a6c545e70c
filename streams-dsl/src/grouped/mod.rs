//! Groups and aggregates. The aggregate stays in its store: closures get `&mut A`.

mod aggregate;
mod stream;

pub use stream::KGroupedStream;
