//! Where records leave the topology.

use std::borrow::Cow;
use std::fmt::Debug;

use streams_core::serdes::DefaultWrite;
use streams_core::topology::Produced;
use streams_core::{Data, RecordRef};

use super::{KStream, Operator};
use crate::graph::{Call, Kind, NewNode};

impl<K: Data, V: Data> KStream<K, V> {
    /// Writes the records to a topic, which must exist.
    #[track_caller]
    pub fn to(&self, topic: impl Into<Produced<K, V>>) {
        self.to_in(Call::new("to"), topic.into());
    }

    /// Writes each record to a topic of its own choice: borrowed from it, or made. The topics must
    /// exist.
    ///
    /// ```
    /// # use streams_dsl::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// builder
    ///     .stream::<String, String>("events")
    ///     .to_dynamic(|record| format!("events-{}", record.key).into());
    /// ```
    #[track_caller]
    pub fn to_dynamic(
        &self,
        topic: impl for<'a> Fn(RecordRef<'a, K, V>) -> Cow<'a, str> + Send + Sync + 'static,
    ) where
        K: DefaultWrite,
        V: DefaultWrite,
    {
        self.to_in(Call::new("to_dynamic"), Produced::dynamic(topic));
    }

    #[track_caller]
    fn to_in(&self, call: Call, produced: Produced<K, V>) {
        let name = self.graph.name(produced.name(), &[("KSTREAM-SINK-", "")]);
        let produced = produced.or_inherit(self.key_serde().as_ref(), self.value_serde().as_ref());
        let node = NewNode::new(call, name, &[self.node], Kind::Sink)
            .lower(move |lowering| lowering.sink(produced));
        self.graph.add(node);
    }

    /// Calls `f` with each record.
    #[track_caller]
    pub fn for_each(&self, f: impl Fn(K, V) + Send + Sync + 'static) {
        let operator = Operator::maps_record(Call::new("for_each"), "KSTREAM-FOREACH-");
        self.end(operator, move |key, value| {
            f(key, value);
            Ok(())
        });
    }

    /// Prints each record as `[label]: key, value`.
    #[track_caller]
    pub fn print(&self, label: &str)
    where
        K: Debug,
        V: Debug,
    {
        let operator = Operator::maps_record(Call::new("print"), "KSTREAM-PRINTER-");
        let label = label.to_owned();
        self.end(operator, move |key, value| {
            println!("[{label}]: {key:?}, {value:?}");
            Ok(())
        });
    }

    #[track_caller]
    pub(super) fn end(
        &self,
        operator: Operator,
        f: impl Fn(K, V) -> Result<(), streams_core::BoxError> + Send + Sync + 'static,
    ) {
        let end: KStream<(), ()> = self.stateless(operator, move |(), key, value, _| f(key, value));
        drop(end);
    }
}
