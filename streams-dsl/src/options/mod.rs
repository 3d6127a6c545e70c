//! Options of one operator each. A bare name stands for all defaults: `From<&str>` carries the
//! serde bound, the constructor `with` does not. `X::from("name")` starts a chain of options.
//!
//! Which serde is used: given by `with` > inherited from upstream while the type stays > the type's
//! default.

mod grouped;
mod joined;
mod materialized;
mod named;
mod repartitioned;
mod stream_joined;
mod suppressed;
mod table_joined;

pub use grouped::Grouped;
pub use joined::Joined;
pub use materialized::{KeyValueKind, Materialized, WindowKind};
pub(crate) use materialized::{StoreSettings, Versions};
pub use repartitioned::Repartitioned;
pub use stream_joined::StreamJoined;
pub use suppressed::{Buffer, EmitEarly, ShutDown, Suppressed, WhenFull};
pub(crate) use suppressed::{BufferLimits, Until};
pub(crate) use table_joined::KeyPartitioner;
pub use table_joined::TableJoined;

/// The JVM's generated, positional name: for topologies that must keep theirs.
///
/// It changes when operators are added before it; see [`auto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auto;

/// Stands for a name: the operator gets the one that Kafka Streams would generate.
///
/// ```
/// # use streams_dsl::prelude::*;
/// # let builder = StreamsBuilder::new();
/// let counts = builder.stream::<String, String>("words").group_by_key().count(auto());
/// # let _ = counts;
/// ```
pub fn auto() -> Auto {
    Auto
}
