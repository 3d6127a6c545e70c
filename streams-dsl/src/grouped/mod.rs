//! Groups and aggregates. The aggregate stays in its store: closures get `&mut A`.

mod aggregate;
mod change_serde;
mod stream;
mod table;

pub use stream::KGroupedStream;
pub use table::KGroupedTable;
