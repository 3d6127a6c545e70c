//! `Repartitioned`.

use std::sync::Arc;

use streams_core::RecordRef;
use streams_core::topology::{Partitioner, Partitions};

use super::named::named_options;

named_options! {
    /// An explicit repartition topic: `<application.id>-<name>-repartition`.
    Repartitioned {
        partitions: Option<i32> = None,
        partitioner: Option<Partitioner<K, V>> = None,
    }
}

impl<K: 'static, V: 'static> Repartitioned<K, V> {
    /// How many partitions the topic has; otherwise as many as the topics that are written to it.
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// The partition is chosen per record, not by the key's hash.
    pub fn partitioner(
        mut self,
        f: impl Fn(RecordRef<'_, K, V>, i32) -> Partitions + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(Arc::new(f));
        self
    }
}
