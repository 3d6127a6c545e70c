//! How sources read: their specification, and their node in the arena.

use std::marker::PhantomData;
use std::sync::Arc;

use super::record_queue::{RecordQueue, TypedQueue};
use super::wiring::{Entries, NodeFactory};
use crate::client::TopicPartition;
use crate::error::BoxError;
use crate::processor::{Data, Processor, ProcessorContext};
use crate::record::Timestamp;
use crate::serdes::SerdeRef;
use crate::topology::{Consumed, TimestampExtractor};

/// Makes the queue of one partition of a source, given how the source's node is entered, its
/// place in the arena, and the partition's time as it was committed.
pub(crate) type QueueFactory =
    Arc<dyn Fn(&Entries, usize, TopicPartition, Timestamp) -> Box<dyn RecordQueue> + Send + Sync>;

/// How a source reads.
pub(crate) struct SourceSpec<K, V> {
    pub(super) key: SerdeRef<K>,
    pub(super) value: SerdeRef<V>,
    pub(super) timestamps: TimestampExtractor<K, V>,
    pub(super) skip_null_keys: bool,
    pub(super) skip_null_values: bool,
}

impl<K: Data, V: Data> SourceSpec<K, V> {
    /// `None` if a serde is to be inherited: a source has nobody to inherit from.
    pub(crate) fn of(consumed: Consumed<K, V>) -> Option<Self> {
        Some(Self {
            key: consumed.key.resolve(None)?,
            value: consumed.value.resolve(None)?,
            timestamps: consumed.timestamps,
            skip_null_keys: consumed.skip_null_keys,
            skip_null_values: consumed.skip_null_values,
        })
    }
}

/// Queues of a source. Without a specification there is no topology that would ask for them.
pub(crate) fn queue_factory<K: Data, V: Data>(spec: Option<SourceSpec<K, V>>) -> QueueFactory {
    let spec = spec.map(Arc::new);
    Arc::new(move |entries, node, partition, partition_time| {
        let spec = spec.clone().expect("a source without serdes is an error of `build`");
        let enter = entries.of::<K, V>(node);
        Box::new(TypedQueue::new(spec, node, enter, partition, partition_time))
    })
}

/// The node of a source.
pub(crate) fn source_factory<K: Data, V: Data>() -> NodeFactory {
    Arc::new(|wiring| wiring.node(|_| Source::<K, V>(PhantomData)))
}

struct Source<K, V>(PhantomData<fn() -> (K, V)>);

impl<K: Data, V: Data> Processor for Source<K, V> {
    type KIn = K;
    type VIn = V;
    type KOut = K;
    type VOut = V;

    #[inline]
    fn process(
        &mut self,
        key: K,
        value: V,
        ctx: &mut ProcessorContext<'_, K, V>,
    ) -> Result<(), BoxError> {
        ctx.forward(key, value)
    }
}
