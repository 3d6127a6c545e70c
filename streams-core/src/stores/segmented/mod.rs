//! Stores whose rows have a time and expire by segments: windows, sessions, and the buffers of
//! stream-stream joins.
//!
//! All of them are one instance ([`SegmentedInstance`]) with different [`Shape`]s of rows. A row's
//! key in the layers is `segment | 0 | key | time | rest` (see `row`), so that segments can be
//! removed as files, and what the changelog calls the key is a part of it. Visible is what is
//! younger than the retention by the store's own stream time, as in Kafka Streams; what is on disk
//! follows the *committed* stream time (I9), which the layers are told at each seal.
//!
//! Reading order: `row`, `instance`, `walk`, then [`window`], [`session`], [`join`].

mod builder;
pub(super) mod instance;
pub(super) mod join;
pub(super) mod row;
pub(super) mod session;
pub(super) mod walk;
pub(super) mod window;

pub use self::instance::{SegmentedInstance, Written};
pub use self::row::Shape;
pub use self::walk::SegmentedWalk;
