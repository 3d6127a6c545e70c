//! Groups and aggregates. The aggregate stays in its store: closures get `&mut A`.

mod aggregate;
mod change_serde;
mod cogroup;
mod stream;
mod table;
mod windowed;

pub use cogroup::CogroupedKStream;
pub use stream::KGroupedStream;
pub use table::KGroupedTable;
pub use windowed::{
    AnyTimeWindows, SessionWindowedCogroupedKStream, SessionWindowedKStream,
    TimeWindowedCogroupedKStream, TimeWindowedKStream, WindowDefinition,
};
pub(crate) use windowed::{StoredWindows, WindowedParts};
