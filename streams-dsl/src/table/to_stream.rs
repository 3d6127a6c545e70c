//! `KTable::to_stream`, `to`.

use std::sync::Arc;

use streams_core::processor::process_fn;
use streams_core::stores::{Change, Held};
use streams_core::topology::Produced;
use streams_core::{Data, SerdeRef};

use super::KTable;
use crate::graph::{Call, Kind, NewNode};
use crate::stream::KStream;

impl<K: Data, V: Data> KTable<K, V> {
    /// Every change of the table, as a stream; `None` is a deletion.
    #[track_caller]
    pub fn to_stream(&self) -> KStream<K, Option<V>> {
        self.to_stream_in(Call::new("to_stream"))
    }

    #[track_caller]
    fn to_stream_in(&self, call: Call) -> KStream<K, Option<V>> {
        let name = self.graph.name(None, &[("KTABLE-TOSTREAM-", "")]);
        let value = self.value_serde().map(nullable);
        let node = NewNode::new(call, name, &[self.node], Kind::Stream)
            .serdes(self.key_serde(), value)
            .lower(|lowering| {
                lowering.processor::<K, Change<V>, _, _>((), |(), _| {
                    process_fn(
                        (),
                        Arc::new(
                            |(): &(),
                             key: K,
                             change: Change<V>,
                             ctx: &mut streams_core::processor::ProcessorContext<
                                '_,
                                K,
                                Option<V>,
                            >| {
                                ctx.forward(key, change.new.map(Held::into_inner))
                            },
                        ),
                    )
                });
            });
        KStream::new(self.graph.clone(), self.graph.add(node))
    }

    /// Writes every change to a topic; a deletion is written as null. Short for
    /// `to_stream().to(..)`.
    #[track_caller]
    pub fn to(&self, topic: impl Into<Produced<K, Option<V>>>) {
        self.to_stream_in(Call::new("to")).to(topic);
    }
}

/// The serde of a table's values, with null for deletions.
pub(crate) fn nullable<V: 'static>(serde: SerdeRef<V>) -> SerdeRef<Option<V>> {
    SerdeRef::new(streams_core::serdes::Nullable(serde))
}
